//! How long the host waits.

use std::time::Duration;

#[derive(Clone, Copy)]
pub struct Limits {
    /// For the first answer of the handler, at each start.
    pub start: Duration,
    /// For the next byte between host and handler, in either direction.
    pub inactivity: Duration,
    /// For running calls when the host is to stop.
    pub stop: Duration,
    /// For running calls of a handler whose place another one has taken.
    pub swap: Duration,
    /// Before a connection to the handler that no call uses is closed.
    pub idle: Duration,
}

impl Default for Limits {
    /// Start, inactivity and idle are the real host's. It stops within 30 s, which is too long for a developer.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            inactivity: Duration::from_secs(240),
            stop: Duration::from_secs(5),
            swap: Duration::from_secs(30),
            idle: Duration::from_secs(60),
        }
    }
}
