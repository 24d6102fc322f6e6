//! The executable that the Functions host starts.

mod logging;
mod server;

use std::process::ExitCode;

// From `build.rs`: a `mod` for each function, and `fn functions`, which puts each at its route.
include!(concat!(env!("OUT_DIR"), "/functions.rs"));

fn main() -> ExitCode {
    logging::init();
    // The host restarts a handler that crashes. It does not restart one that exits with code 0,
    // because it takes that for a wish to stop.
    match server::run(functions) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            log::error!("{message}");
            ExitCode::FAILURE
        }
    }
}
