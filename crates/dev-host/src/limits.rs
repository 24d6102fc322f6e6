//! How long the host waits, and what host.json allows a call: how many at once, and for how long.
//! The figures are those of the table "host.json, measured".

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

/// How long the host waits.
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

pub struct CallLimits {
    /// `functionTimeout`.
    pub timeout: Option<Duration>,
    /// Running or waiting for their turn.
    outstanding: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The place of a call among the others.
pub struct Place {
    deadline: Option<Instant>,
    _permits: [OwnedSemaphorePermit; 2],
}

impl CallLimits {
    /// `functionTimeout`, `maxOutstandingRequests`, `maxConcurrentRequests`; none is no limit.
    pub fn new(
        timeout: Option<Duration>,
        max_outstanding: Option<usize>,
        max_concurrent: Option<usize>,
    ) -> Self {
        let semaphore = |permits: Option<usize>| {
            let most = Semaphore::MAX_PERMITS;
            Arc::new(Semaphore::new(
                permits.map_or(most, |count| count.min(most)),
            ))
        };
        Self {
            timeout,
            // Measured: of 2, one call gets in; of 3, two. For 1 it was not measured.
            outstanding: semaphore(max_outstanding.map(|count| (count - 1).max(1))),
            running: semaphore(max_concurrent),
        }
    }

    /// Waits until it is a call's turn. None if too many calls are waiting already.
    pub async fn place(&self) -> Option<Place> {
        let outstanding = Arc::clone(&self.outstanding).try_acquire_owned().ok()?;
        let running = Arc::clone(&self.running).acquire_owned().await.ok()?;
        Some(Place {
            deadline: self.timeout.map(|timeout| Instant::now() + timeout),
            _permits: [outstanding, running],
        })
    }
}

impl Place {
    /// None if the call has taken too long before the step is done.
    pub async fn in_time<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        match self.deadline {
            Some(deadline) => timeout_at(deadline, step).await.ok(),
            None => Some(step.await),
        }
    }
}
