//! The host's own server: from a request to an answer, and from the start to the stop.

use std::{
    future::pending,
    net::TcpListener,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse, HttpServer,
    body::{BodyStream, to_bytes_limited},
    dev::Payload,
    http::StatusCode,
    rt,
    web::{self, Data},
};
use rustls::ServerConfig;
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
};

use crate::{
    Limits,
    app::App,
    auth::{Grant, Level, presented_key},
    console::Console,
    forward::{Forwarder, drain},
    function_json::Function,
    key_api,
    keys::Keys,
    reload::Reload,
    routes::{Route, route},
    worker::{Gate, Worker},
};

/// Kestrel's `KeepAliveTimeout`.
const KEEP_ALIVE: Duration = Duration::from_secs(130);

/// The longest body that the Key Management API reads, in bytes.
const LONGEST_KEY: usize = 64 * 1024;

pub struct Host {
    /// Replaced as a whole when its files change, so each call takes it once.
    pub app: RwLock<Arc<App>>,
    pub auth: bool,
    pub keys: Mutex<Keys>,
    pub gate: Gate,
    pub console: Console,
    pub limits: Limits,
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

    fn grant(&self, request: &HttpRequest, function: Option<&str>) -> Grant {
        if self.auth {
            let key = presented_key(request);
            self.keys().grant(key.as_deref(), function)
        } else {
            Grant::Master
        }
    }
}

/// Starts the handler, serves it, and stops both.
///
/// # Errors
///
/// One line: why the host had to end although nobody asked it to.
pub async fn run(
    host: Arc<Host>,
    (mut worker, reload): (Option<Worker>, Option<Reload>),
    listener: TcpListener,
    tls: Option<ServerConfig>,
    stopped: watch::Receiver<bool>,
    stop_on_signals: bool,
    ready: impl FnOnce(),
) -> Result<(), String> {
    let shutdown_seconds = host.limits.stop.as_secs();
    let serving = Arc::clone(&host);
    let server = HttpServer::new(move || {
        let host = Arc::clone(&serving);
        let forwarder = Forwarder::new(host.gate.clone(), host.limits.inactivity);
        actix_web::App::new()
            .app_data(Data::new((host, forwarder)))
            .default_service(web::to(answer))
    })
    .workers(1)
    .keep_alive(KEEP_ALIVE)
    .shutdown_timeout(shutdown_seconds)
    .disable_signals();
    let server = match tls {
        Some(tls) => server.listen_rustls_0_23(listener, tls),
        None => server.listen(listener),
    }
    .map_err(|error| format!("the address can't be listened on: {error}"))?
    .run();
    let handle = server.handle();
    let serving = rt::spawn(server);

    let ready = async {
        if host.gate.enter().await.port().await.is_some() {
            ready();
        }
        pending().await
    };
    let handler = async {
        match &mut worker {
            Some(worker) => worker.run().await,
            None => pending().await,
        }
    };
    let reload = async {
        match reload {
            Some(reload) => reload.run(&host).await,
            None => pending().await,
        }
    };
    let outcome = tokio::select! {
        // In this order, so that a signal is awaited before there is a handler to end.
        biased;
        asked = asked(stopped, stop_on_signals) => asked,
        problem = handler => Err(problem),
        problem = reload => Err(problem),
        never = ready => never,
    };
    if let Some(worker) = &mut worker
        && outcome.is_err()
    {
        // What waits for the handler need not wait any longer.
        worker.give_up();
    }
    host.console
        .host("stopping, once the requests in flight are answered");
    handle.stop(true).await;
    let _ = serving.await;
    if let Some(worker) = &mut worker {
        worker.stop().await;
    }
    outcome
}

/// Ends when the host is to stop.
async fn asked(mut stopped: watch::Receiver<bool>, on_signals: bool) -> Result<(), String> {
    let signals = async {
        if !on_signals {
            return pending().await;
        }
        let no_signal = |error| format!("no signal can be awaited: {error}");
        let mut interrupt = signal(SignalKind::interrupt()).map_err(no_signal)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(no_signal)?;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        Ok(())
    };
    tokio::select! {
        _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
        signalled = signals => signalled,
    }
}

async fn answer(
    request: HttpRequest,
    payload: web::Payload,
    state: Data<(Arc<Host>, Forwarder)>,
) -> HttpResponse {
    let start = Instant::now();
    let (host, forwarder) = state.get_ref();
    let app = host.app();
    let mut answer = dispatch(host, &app, forwarder, &request, payload.into_inner()).await;
    for (name, value) in &app.host_json.custom_headers {
        answer.headers_mut().insert(name.clone(), value.clone());
    }
    // The query is left out: it can hold a key.
    host.console.host(&format!(
        "{} {} {} {:.1} ms",
        request.method(),
        request.path(),
        answer.status().as_u16(),
        start.elapsed().as_secs_f64() * 1000.0
    ));
    answer
}

async fn dispatch(
    host: &Host,
    app: &App,
    forwarder: &Forwarder,
    request: &HttpRequest,
    mut payload: Payload,
) -> HttpResponse {
    let route = route(&app.functions, request.method().as_str(), request.path());
    let answer = match route {
        None => HttpResponse::NotFound().finish(),
        Some(Route::Home) => HttpResponse::Ok()
            .content_type("text/plain; charset=utf-8")
            .body("The function app is up and running.\n"),
        Some(Route::Function(function)) => {
            let grant = host.grant(request, Some(&function.name));
            if !grant.satisfies(function.level) {
                HttpResponse::Unauthorized().finish()
            } else if function.disabled && !grant.satisfies(Level::Admin) {
                // After the key: who has none doesn't learn that a function is disabled.
                HttpResponse::NotFound().finish()
            } else {
                let call = forwarder.forward(app.host_json.mode, request, payload);
                let answer = app.host_json.limits.apply(&host.gate, call).await;
                if answer.status() == StatusCode::NOT_FOUND {
                    function.hint.call_once(|| hint(&host.console, function));
                }
                return answer;
            }
        }
        Some(_) if host.grant(request, None) != Grant::Master => {
            HttpResponse::Unauthorized().finish()
        }
        Some(Route::Status) => HttpResponse::Ok()
            .content_type("application/json; charset=utf-8")
            .body(r#"{"state":"Running"}"#),
        Some(Route::MasterKey) => key_api::master(&host.keys().master, request),
        Some(Route::Keys { function, name }) => {
            let body = BodyStream::new(&mut payload);
            match to_bytes_limited(body, LONGEST_KEY).await {
                Ok(Ok(body)) => key_api::answer(
                    &mut host.keys(),
                    request,
                    &body,
                    function.as_deref(),
                    name.as_deref(),
                ),
                // The rest is left unread, for there may be no end to it.
                _ => return HttpResponse::BadRequest().force_close().finish(),
            }
        }
    };
    drain(payload).await;
    answer
}

/// A handler that knows a function by another path is the usual reason for a 404 that only the
/// handler can have given.
fn hint(console: &Console, function: &Function) {
    console.host(&format!(
        "{}: the handler answered 404 to what the host routed to it: does it serve /{}?",
        function.name, function.route
    ));
}
