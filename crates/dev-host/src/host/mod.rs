//! What the host decides: which function a call is for, which key opens it, what it answers itself.

pub mod admin;
pub mod dispatch;
mod greeting;
pub mod keys;
pub mod reload;

use std::{sync::Arc, time::Instant};

use tokio::sync::watch;

use crate::{
    app::App, console::Console, host::keys::Access, limits::Limits, proxy::Handler,
    worker::gate::Order,
};

pub struct Host {
    /// What new calls get.
    pub current: watch::Sender<Arc<Served>>,
    pub access: Access,
    /// Without a slash at its end.
    pub url: String,
    pub console: Console,
    pub limits: Limits,
    pub start: Instant,
    /// Becomes true when the host is to stop.
    pub stopping: watch::Sender<bool>,
}

/// An app and the handler that was started for it. They are replaced together: so a call goes to
/// the handler that knows the same functions as the host.
pub struct Served {
    pub app: App,
    pub handler: Handler,
}

impl Host {
    /// To be taken once for each call.
    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.current.borrow())
    }

    /// From now on calls go to another handler. Those that run end at the old one.
    pub fn swap(&self, served: Served) {
        self.access.keys().add(&served.app.functions);
        let before = self.current.send_replace(Arc::new(served));
        before.handler.gate.order(Order::Retire);
    }
}
