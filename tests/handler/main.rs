//! The real executable, started as a Functions host starts it and called over TCP.

mod bodies;
mod endpoint;
mod logs;
mod process;

use std::process::Command;

use test_support::handler::{Ended, Handler};

const ENDPOINT: &str = "/api/RandomNumber";
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// With no variable but its own.
fn command(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_handler"));
    command.env_clear().envs(variables.iter().copied());
    command
}

fn spawn(variables: &[(&str, &str)]) -> Result<Handler, Ended> {
    Handler::spawn(command(variables))
}

/// On a free port.
fn start() -> Handler {
    start_with("")
}

fn start_with(rust_log: &str) -> Handler {
    spawn(&[(PORT, "0"), ("RUST_LOG", rust_log)]).expect("it listens")
}
