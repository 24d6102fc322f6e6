//! Log lines: which stream each goes to, which call it belongs to, and how it is written.
//!
//! The host logs each line of stdout as information. It logs each line of stderr as an error, or
//! as a warning if the line contains "warn" in any letter case. So the level decides the stream.
//! Nothing but the line's own text ties it to its call, so each line bears the invocation id.

use std::{
    env,
    io::{self, Write as _},
    panic,
};

use log::{Level, LevelFilter, Record, error, warn};

use crate::invocation::CURRENT;

/// Starts logging, at the level in `RUST_LOG` or else at info. A panic is logged as an error.
///
/// Below the level of warnings only the given crates and this one are logged: the others log parts
/// of requests there, and so the function key.
pub fn init(crates: &[&str]) {
    let value = env::var_os("RUST_LOG").unwrap_or_default();
    let value = value.to_string_lossy();
    let given = value.parse::<LevelFilter>();
    let level = *given.as_ref().unwrap_or(&LevelFilter::Info);
    let crates: Vec<String> = crates.iter().copied().map(str::to_owned).collect();
    env_logger::Builder::new()
        .filter_level(level)
        // env_logger itself takes `azure` for `azure_core`, too, and writes to one stream only.
        .format(move |_, record| match record.level() {
            Level::Error | Level::Warn => io::stderr().write_all(line(record).as_bytes()),
            _ if is_own(record, &crates) => io::stdout().write_all(line(record).as_bytes()),
            _ => Ok(()),
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

fn is_own(record: &Record, crates: &[String]) -> bool {
    let module = record.module_path().unwrap_or(record.target());
    let name = module.split("::").next().unwrap_or_default();
    name == env!("CARGO_CRATE_NAME") || crates.iter().any(|own| own == name)
}

/// The host takes a line break for the end of a log entry, and an error with "warn" in it for a
/// warning. So a line break or other control character becomes a space, and an error says "w*rn".
fn line(record: &Record) -> String {
    let id = CURRENT.try_with(|call| call.id.clone()).ok().flatten();
    let id = id.as_deref().unwrap_or("-");
    // No time of day: the host adds its own.
    let line = format!("{} {id} {}", record.level(), record.args());
    let mut line = line.replace(char::is_control, " ");
    if record.level() == Level::Error {
        let small = line.to_ascii_lowercase();
        for (start, _) in small.match_indices("warn") {
            line.replace_range(start + 1..start + 2, "*");
        }
    }
    line + "\n"
}
