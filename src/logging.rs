//! Which log line goes to which stream, and what never gets into one.
//!
//! The Functions host logs each line of a handler's stdout as information and takes each line of
//! its stderr for an error, or for a warning if it contains "warn" in any letter case
//! (`WorkerProcess` in `Azure/azure-functions-host`). So the stream has to follow from the level.

use std::{
    env,
    fmt::{self, Write as _},
    io::Write as _,
    panic,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use env_logger::{Builder, Logger, Target, WriteStyle};
use log::{Level, LevelFilter, Log, Metadata, Record, error, warn};

use crate::pipe::Pipe;

/// The level at which the HTTP libraries may log. Below it they quote from requests, values of
/// headers among it; the access key travels in a header or in the query.
const LIBRARIES: LevelFilter = LevelFilter::Warn;

/// How long a library's complaint is not repeated. Out of descriptors, it would complain of each
/// attempt to accept a connection.
const REPEAT: Duration = Duration::from_secs(60);

/// Starts logging, at the level in `RUST_LOG` or else at info: info and below to stdout, warn and
/// error to stderr. A panic is logged as an error.
pub fn init() {
    let value = env::var_os("RUST_LOG").unwrap_or_default();
    let value = value.to_string_lossy();
    let level = value.parse::<LevelFilter>().ok();

    let target = |pipe: Option<Pipe>, other| match pipe {
        Some(pipe) => Target::Pipe(Box::new(pipe)),
        None => other,
    };
    let streams = Streams {
        stdout: logger(target(
            Pipe::behind(1, "stdout", Level::Info),
            Target::Stdout,
        )),
        stderr: logger(target(
            Pipe::behind(2, "stderr", Level::Warn),
            Target::Stderr,
        )),
        level: level.unwrap_or(LevelFilter::Info),
        complaint: Mutex::new(None),
    };
    log::set_max_level(streams.level);
    log::set_boxed_logger(Box::new(streams)).expect("init is called once");

    if level.is_none() && !value.is_empty() {
        warn!(
            "RUST_LOG is {value:?}, which is no level: give off, error, warn, info, debug or \
             trace. Logging at info"
        );
    }
    panic::set_hook(Box::new(|panic| error!("{panic}")));
}

struct Streams {
    stdout: Logger,
    stderr: Logger,
    level: LevelFilter,
    /// The last complaint of any library, and when it was logged.
    complaint: Mutex<Option<(String, Instant)>>,
}

impl Log for Streams {
    fn enabled(&self, metadata: &Metadata) -> bool {
        metadata.level() <= self.level && (is_own(metadata) || metadata.level() <= LIBRARIES)
    }

    fn log(&self, record: &Record) {
        let metadata = record.metadata();
        if !self.enabled(metadata) || (!is_own(metadata) && self.is_repeated(record)) {
            return;
        }
        match record.level() {
            Level::Error | Level::Warn => self.stderr.log(record),
            Level::Info | Level::Debug | Level::Trace => self.stdout.log(record),
        }
    }

    fn flush(&self) {}
}

impl Streams {
    fn is_repeated(&self, record: &Record) -> bool {
        let complaint = record.args().to_string();
        let mut last = self
            .complaint
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if matches!(&*last, Some((text, when)) if *text == complaint && when.elapsed() < REPEAT) {
            return true;
        }
        *last = Some((complaint, Instant::now()));
        false
    }
}

fn is_own(metadata: &Metadata) -> bool {
    // A target is the path of a module.
    metadata.target().split("::").next() == Some(env!("CARGO_CRATE_NAME"))
}

fn logger(target: Target) -> Logger {
    Builder::new()
        .filter_level(LevelFilter::Trace)
        .target(target)
        .write_style(WriteStyle::Never)
        // No time of day: the host puts its own to each line.
        .format(|stream, record| writeln!(stream, "{}", line(record.level(), record.args())))
        .build()
}

/// An event as one line, whatever it holds, which the host takes for what it is.
fn line(level: Level, message: &fmt::Arguments) -> String {
    // Longer than nearly every line, so that none is moved while it grows.
    let mut line = String::with_capacity(128);
    let _ = write!(line, "{level} ");
    let _ = write!(OneLine(&mut line), "{message}");
    if level == Level::Error {
        without_warn(&line)
    } else {
        line
    }
}

/// Writes control characters, line breaks above all, as escapes.
struct OneLine<'a>(&'a mut String);

impl fmt::Write for OneLine<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        // Nearly every text is of these alone, and then there is nothing to look for.
        if text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            self.0.push_str(text);
            return Ok(());
        }
        for character in text.chars() {
            if character.is_control() {
                self.0.extend(character.escape_default());
            } else {
                self.0.push(character);
            }
        }
        Ok(())
    }
}

/// Spells "warn" with a star, for the host would demote the error.
fn without_warn(line: &str) -> String {
    let mut bytes = line.as_bytes().to_vec();
    for start in 0..bytes.len().saturating_sub(3) {
        if bytes[start..start + 4].eq_ignore_ascii_case(b"warn") {
            bytes[start + 1] = b'*';
        }
    }
    String::from_utf8(bytes).expect("ASCII has taken the place of ASCII")
}
