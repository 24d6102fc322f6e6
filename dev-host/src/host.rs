//! From a request to its answer: which part of the host it is for, and if its key opens that.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Instant,
};

use crate::{
    Limits, admin,
    app::App,
    auth::{Grant, Level, presented_key},
    console::Console,
    forward::{Download, Forwarder},
    function_json::Function,
    http::Headers,
    keys::Keys,
    routes::{find, segments},
    server::{Body, LONGEST_BODY, Request, reason},
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

pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub headers: Headers,
    pub content: Content,
    /// The connection is closed, and the client told so.
    pub closes: bool,
    /// The connection is closed without a word.
    pub ends_connection: bool,
}

pub enum Content {
    Whole(Vec<u8>),
    Streamed(Box<Download>),
}

impl Answer {
    pub fn empty(status: u16) -> Self {
        Self {
            status,
            reason: reason(status).to_owned(),
            headers: Headers::default(),
            content: Content::Whole(Vec::new()),
            closes: false,
            ends_connection: false,
        }
    }

    pub fn text(status: u16, kind: &str, text: impl Into<Vec<u8>>) -> Self {
        let mut answer = Self::empty(status);
        answer.headers.add("Content-Type", kind);
        answer.content = Content::Whole(text.into());
        answer
    }
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

    pub async fn answer(
        &self,
        forwarder: &Forwarder,
        request: &Request,
        body: &mut Body<'_>,
    ) -> Answer {
        let start = Instant::now();
        let app = self.app();
        let mut answer = self.dispatch(&app, forwarder, request, body).await;
        for (name, value) in &app.host_json.custom_headers {
            answer.headers.set(name, value);
        }
        // The query is left out: it can hold a key.
        self.console.host(&format!(
            "{} {} {} {:.1} ms",
            request.method,
            request.path.escape_debug(),
            answer.status,
            start.elapsed().as_secs_f64() * 1000.0
        ));
        answer
    }

    async fn dispatch(
        &self,
        app: &App,
        forwarder: &Forwarder,
        request: &Request,
        body: &mut Body<'_>,
    ) -> Answer {
        if request.path == "/" {
            let page = "<!DOCTYPE html>\n<title>dev-host</title>\n\
                        <p>The function app is up and running.\n";
            return Answer::text(200, "text/html", page);
        }
        if let Some(answer) = admin::answer(self, app, request, body).await {
            return answer;
        }
        let path = segments(&request.path);
        let Some((function, _)) = find(&app.functions, &request.method, &path) else {
            return Answer::empty(404);
        };
        let grant = self.grant(request, Some(&function.name));
        if !grant.satisfies(function.level) {
            return Answer::empty(401);
        }
        if function.disabled && !grant.satisfies(Level::Admin) {
            // After the key: who has none doesn't learn that a function is disabled.
            return Answer::empty(404);
        }
        // Row "header: empty host".
        if request.host().is_empty() {
            return Answer::empty(500);
        }
        // Row "body: 104857601".
        if request.length().is_some_and(|length| length > LONGEST_BODY) {
            return Answer {
                closes: true,
                ..Answer::empty(500)
            };
        }
        let call = forwarder.forward(app.host_json.mode, request, body);
        let answer = app.host_json.limits.apply(&self.gate, call).await;
        if answer.status == 404 {
            function.hint.call_once(|| self.hint(function));
        }
        answer
    }

    /// A handler that knows a function by another path is the usual reason for a 404 that only the
    /// handler can have given.
    fn hint(&self, function: &Function) {
        self.console.host(&format!(
            "{}: the handler answered 404 to what the host routed to it: does it serve /{}?",
            function.name, function.route
        ));
    }
}
