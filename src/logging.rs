//! Log lines: which stream each goes to, and how it is written.
//!
//! The host logs each line of stdout as information. It logs each line of stderr as an error, or
//! as a warning if the line contains "warn" in any letter case. So the level decides the stream.

use std::{
    env,
    io::{self, Write as _},
    panic,
};

use log::{Level, LevelFilter, Record, error, warn};

/// Starts logging, at the level in `RUST_LOG` or else at info. A panic is logged as an error.
pub fn init() {
    let value = env::var_os("RUST_LOG").unwrap_or_default();
    let value = value.to_string_lossy();
    let given = value.parse::<LevelFilter>();
    let level = *given.as_ref().unwrap_or(&LevelFilter::Info);
    env_logger::Builder::new()
        // At info, debug and trace the libraries log parts of requests, and so the function key. So
        // from them only warnings and errors are logged.
        .filter_level(level.min(LevelFilter::Warn))
        .filter_module(env!("CARGO_CRATE_NAME"), level)
        // env_logger itself writes to one stream only. So the line is written here, to the stream
        // of its level.
        .format(|_, record| match record.level() {
            Level::Error | Level::Warn => io::stderr().write_all(line(record).as_bytes()),
            Level::Info | Level::Debug | Level::Trace => {
                io::stdout().write_all(line(record).as_bytes())
            }
        })
        .init();
    panic::set_hook(Box::new(|panic| error!("{panic}")));
    if given.is_err() && !value.is_empty() {
        warn!(
            "RUST_LOG is {value:?}, which is no level: give off, error, warn, info, debug or \
             trace. Logging at info"
        );
    }
}

/// The host takes a line break for the end of a log entry, and an error with "warn" in it for a
/// warning. So a line break or other control character becomes a space, and an error says "w*rn".
fn line(record: &Record) -> String {
    // No time of day: the host adds its own.
    let line = format!("{} {}", record.level(), record.args());
    let mut line = line.replace(char::is_control, " ");
    if record.level() == Level::Error {
        while let Some(start) = line.to_ascii_lowercase().find("warn") {
            line.replace_range(start + 1..start + 2, "*");
        }
    }
    line + "\n"
}
