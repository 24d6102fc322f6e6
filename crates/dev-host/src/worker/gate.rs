//! What calls know of the handler, and what they can ask for.

use std::{net::Ipv4Addr, time::Duration};

use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    time::sleep,
};

/// Where the handler listens.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Between two looks if the handler answers.
pub const POLL: Duration = Duration::from_millis(25);

pub struct Gate {
    pub port: u16,
    answers: Answers,
    orders: mpsc::UnboundedSender<Order>,
    /// Somebody else starts the handler and ends it.
    is_attached: bool,
}

/// The number of the start that answers; none while the handler starts. So a call can say which
/// start it was sent to.
pub type Answers = watch::Receiver<Option<u64>>;

pub enum Order {
    /// Kill the process of that start and start the handler again, unless that has happened already.
    Restart(u64),
    /// No new call will come. Those that run may end, within a limit.
    Retire,
}

impl Gate {
    pub fn new(port: u16, answers: Answers, orders: mpsc::UnboundedSender<Order>) -> Self {
        Self {
            port,
            answers,
            orders,
            is_attached: false,
        }
    }

    /// To a handler that somebody else starts.
    pub fn attached(port: u16) -> Self {
        Self {
            is_attached: true,
            ..Self::new(port, watch::channel(Some(1)).1, mpsc::unbounded_channel().0)
        }
    }

    /// Waits until the handler answers; gives the number of its start. None if it is gone for good.
    pub async fn start(&self) -> Option<u64> {
        while self.is_attached && TcpStream::connect((ADDRESS, self.port)).await.is_err() {
            sleep(POLL).await;
        }
        let mut answers = self.answers.clone();
        *answers.wait_for(Option::is_some).await.ok()?
    }

    pub fn order(&self, order: Order) {
        // Nobody is there to take it if the handler is gone for good.
        let _ = self.orders.send(order);
    }
}
