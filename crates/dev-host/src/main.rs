//! `cargo start`: options → host.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use clap::Parser as _;
use dev_host::Options;

fn main() -> ExitCode {
    // A reader that is gone is no reason to end, here and below.
    let ended = dev_host::start(Options::parse()).and_then(|host| {
        let _ = writeln!(io::stdout(), "\n{}\nCtrl-C to stop\n", host.greeting());
        host.wait()
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}
