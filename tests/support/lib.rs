//! What the tests share, one noun per module.

pub mod app;
pub mod checkout;
pub mod client;
pub mod core_tools;
pub mod handler;
pub mod process;

use std::{path::Path, time::Duration};

/// For what should take no time at all; only a hang needs more on however slow a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
