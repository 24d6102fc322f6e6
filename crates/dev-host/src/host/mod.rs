//! What all parts of the host share.

pub mod admin;
pub mod dispatch;
mod greeting;
pub mod keys;
pub mod reload;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};

use tokio::sync::watch;

use crate::{
    app::App,
    console::Console,
    host::keys::{Grant, Keys, presented_key},
    limits::Limits,
    proxy::Handler,
    wire::message::Request,
    worker::gate::Order,
};

pub struct Host {
    /// Each call takes it once.
    pub served: RwLock<Arc<Served>>,
    /// Without a slash at its end.
    pub url: String,
    pub auth: bool,
    pub keys: Mutex<Keys>,
    pub console: Console,
    pub limits: Limits,
    pub start: Instant,
    /// Becomes true when the host stops. Each connection listens.
    pub stopping: watch::Sender<bool>,
}

/// An app and the handler that was started for it. They are replaced together: so a call goes to
/// the handler that knows the same functions as the host.
pub struct Served {
    pub app: App,
    pub handler: Handler,
}

impl Host {
    pub fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn master_key(&self) -> String {
        self.keys().master.clone()
    }

    /// The key `default` of a function, unless there is no such function or it has lost that key.
    pub fn function_key(&self, function: &str) -> Option<String> {
        let mut keys = self.keys();
        let key = keys.scope(Some(function))?.get("default")?;
        Some(key.value.clone())
    }

    pub fn served(&self) -> Arc<Served> {
        Arc::clone(&self.served.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on calls go to another handler. Those that run end at the old one.
    pub fn swap(&self, served: Served) {
        self.keys().add(&served.app.functions);
        let mut current = self.served.write().unwrap_or_else(PoisonError::into_inner);
        current.handler.gate().order(Order::Retire);
        *current = Arc::new(served);
    }

    /// What the key of a request entitles to in a call of the function or, without one, in a call
    /// of the host itself.
    pub fn grant(&self, request: &Request, function: Option<&str>) -> Grant {
        if self.auth {
            let key = presented_key(request);
            self.keys().grant(key.as_deref(), function)
        } else {
            Grant::Master
        }
    }
}
