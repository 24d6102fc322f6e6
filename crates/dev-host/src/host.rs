//! What all parts of the host share.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};

use crate::{
    app::App,
    auth::{Grant, presented_key},
    console::Console,
    keys::Keys,
    limits::Limits,
    request::Request,
    worker::Gate,
};

pub struct Host {
    /// Replaced as a whole when its files change, so each call takes it once.
    pub app: RwLock<Arc<App>>,
    pub auth: bool,
    pub keys: Mutex<Keys>,
    pub gate: Gate,
    pub console: Console,
    pub limits: Limits,
    pub start: Instant,
}

impl Host {
    pub fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn app(&self) -> Arc<App> {
        Arc::clone(&self.app.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, app: App) {
        self.keys().add(&app.functions);
        *self.app.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(app);
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
