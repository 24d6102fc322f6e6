//! The executable that the Functions host starts: environment → logging → server.

use std::process::ExitCode;

use log::error;
use random_number_function::{logging, random_number, server};

fn main() -> ExitCode {
    logging::init();
    // The host restarts a handler that fails and abandons one that exits with 0 (README,
    // "What the host does to a handler"), so 0 is left to the one case that is meant: it was asked to stop.
    match server::run(random_number::configure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            error!("{message}");
            ExitCode::FAILURE
        }
    }
}
