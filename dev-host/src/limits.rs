//! What host.json allows a call: how many at once, and for how long. The figures are those of the
//! table "host.json, measured".

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use crate::{
    host::{Answer, Content},
    worker::Gate,
};

pub struct CallLimits {
    timeout: Option<Duration>,
    /// Running or waiting for their turn.
    outstanding: Arc<Semaphore>,
    running: Arc<Semaphore>,
}

/// The place of a call among the others.
pub struct Place {
    gate: Gate,
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
            Arc::new(Semaphore::new(permits.unwrap_or(Semaphore::MAX_PERMITS)))
        };
        Self {
            timeout,
            // Measured: of 2, one call gets in; of 3, two. For 1 it was not measured.
            outstanding: semaphore(max_outstanding.map(|count| (count - 1).max(1))),
            running: semaphore(max_concurrent),
        }
    }

    /// Makes a call when it is its turn. It gets 429 if too many are waiting already, and 500 if
    /// it takes too long: then the handler is killed and started again.
    pub async fn apply(&self, gate: &Gate, call: impl Future<Output = Answer>) -> Answer {
        let Ok(outstanding) = Arc::clone(&self.outstanding).try_acquire_owned() else {
            return Answer::empty(429);
        };
        let running = Arc::clone(&self.running).acquire_owned().await;
        let place = Place {
            gate: gate.clone(),
            // Who stands at a breakpoint takes his time.
            deadline: self
                .timeout
                .filter(|_| !gate.is_attached)
                .map(|timeout| Instant::now() + timeout),
            _permits: [outstanding, running.expect("nobody closes the semaphore")],
        };
        tokio::select! {
            mut answer = call => {
                if let Content::Streamed(download) = &mut answer.content {
                    download.place = Some(place);
                }
                answer
            }
            () = place.expires() => Answer::empty(500),
        }
    }
}

impl Place {
    pub async fn expires(&self) {
        match self.deadline {
            Some(deadline) => sleep_until(deadline).await,
            None => std::future::pending().await,
        }
        self.gate.restart();
    }
}
