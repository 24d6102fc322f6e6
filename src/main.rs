//! The executable that the Functions host starts: environment → logging → server.

use std::process::ExitCode;

use log::error;
use random_number_function::{logging, random_number, server};

fn main() -> ExitCode {
    logging::init();
    // The host starts a handler again that fails, but not one that exits with 0
    // (`WorkerProcess`). So 0 is left to the one end that is meant: being asked to stop.
    match server::run(random_number::configure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            error!("{message}");
            ExitCode::FAILURE
        }
    }
}
