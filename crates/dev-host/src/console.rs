//! What the person at the keyboard sees. No key is part of it, except where it says how to call a
//! function.

use std::{io::Write as _, sync::Arc};

/// Where lines go.
#[derive(Clone)]
pub struct Console(Arc<dyn Fn(&str) + Send + Sync>);

/// The real host takes this word off the beginning of a line, and logs the rest under another
/// category.
const WORKERS_OWN: &str = "LanguageWorkerConsoleLog";

impl Console {
    /// Hands each line, which comes without a line break, to a function.
    pub fn new(line: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self(Arc::new(line))
    }

    pub fn stdout() -> Self {
        // A reader that is gone is no reason to end.
        Self::new(|line| drop(writeln!(std::io::stdout(), "{line}")))
    }

    pub fn silent() -> Self {
        Self::new(|_| {})
    }

    /// A line of the host itself.
    pub(crate) fn host(&self, line: &str) {
        (self.0)(&format!("host         {line}"));
    }

    /// Lines for the person at the keyboard, which may have a key.
    pub(crate) fn plain(&self, lines: &str) {
        lines.lines().for_each(|line| (self.0)(line));
    }

    pub(crate) fn warning(&self, line: &str) {
        self.host(&format!("warning: {line}"));
    }

    /// A line of the handler, with the level that the real host gives it ("Log lines" of the
    /// recordings): on stderr, "warn" anywhere and in any letter case makes an error a warning.
    pub(crate) fn handler(&self, is_stderr: bool, line: &str) {
        let level = match is_stderr {
            false => "Information",
            true if line.to_ascii_lowercase().contains("warn") => "Warning",
            true => "Error",
        };
        let line = line.strip_prefix(WORKERS_OWN).unwrap_or(line);
        (self.0)(&format!("{level:<12} {line}"));
    }
}
