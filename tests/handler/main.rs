//! The real executable, started as a Functions host starts it and called over TCP.

mod bodies;
mod endpoint;
mod logs;
mod process;

use std::process::Command;

use test_support::handler::Handler;

const ENDPOINT: &str = "/api/RandomNumber";
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// A command for the handler, with no variable but its own.
fn handler(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handler"));
    command.env_clear().envs(variables.iter().copied());
    command
}

/// On a free port.
fn start() -> Handler {
    start_with(&[])
}

fn start_with(variables: &[(&str, &str)]) -> Handler {
    let mut command = handler(variables);
    command.env(PORT, "0");
    Handler::spawn(command).expect("the handler listens")
}
