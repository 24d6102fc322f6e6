//! What host.json allows calls: how many at once, and for how long. The figures are those of the table
//! "host.json, measured".

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout_at},
};

/// For the calls of one app.
pub struct Throttle {
    /// `functionTimeout`.
    pub timeout: Option<Duration>,
    /// Running or waiting for their turn.
    outstanding: Semaphore,
    running: Semaphore,
}

/// Lets one call be passed on. It is given back when it is dropped.
pub struct Permit<'a> {
    deadline: Option<Instant>,
    _permits: [SemaphorePermit<'a>; 2],
}

impl Throttle {
    /// `functionTimeout`, `maxOutstandingRequests`, `maxConcurrentRequests`; none is no limit.
    pub fn new(
        timeout: Option<Duration>,
        max_outstanding: Option<usize>,
        max_concurrent: Option<usize>,
    ) -> Self {
        let semaphore = |permits: Option<usize>| {
            let most = Semaphore::MAX_PERMITS;
            Semaphore::new(permits.unwrap_or(most).min(most))
        };
        Self {
            timeout,
            // Measured: of 2, one call gets in; of 3, two. For 1 it was not measured.
            outstanding: semaphore(max_outstanding.map(|count| (count - 1).max(1))),
            running: semaphore(max_concurrent),
        }
    }

    /// Waits until it is a call's turn. None if too many calls are waiting already.
    pub async fn permit(&self) -> Option<Permit<'_>> {
        let outstanding = self.outstanding.try_acquire().ok()?;
        let running = self.running.acquire().await.ok()?;
        Some(Permit {
            deadline: self.timeout.map(|timeout| Instant::now() + timeout),
            _permits: [outstanding, running],
        })
    }
}

impl Permit<'_> {
    /// None if the call has taken too long before the step is done.
    pub async fn in_time<T>(&self, step: impl Future<Output = T>) -> Option<T> {
        match self.deadline {
            Some(deadline) => timeout_at(deadline, step).await.ok(),
            None => Some(step.await),
        }
    }
}
