//! The host's own server: from a request to an answer, and from the start to the stop.

use std::{
    future::pending,
    net::TcpListener,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU16},
    time::{Duration, Instant},
};

use actix_web::{
    App, HttpRequest, HttpResponse, HttpServer,
    dev::Payload,
    error::PayloadError,
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
    app::Function,
    auth::{Grant, Level, presented_key},
    console::Console,
    forward::{Forwarder, Mode, drain},
    key_api,
    keys::Keys,
    routes::{Route, route},
    worker::Worker,
};

/// Kestrel's `KeepAliveTimeout`.
const KEEP_ALIVE: Duration = Duration::from_secs(130);

/// The longest body that the Key Management API reads, in bytes.
const LONGEST_KEY: usize = 64 * 1024;

pub struct Host {
    pub functions: Vec<Function>,
    pub mode: Mode,
    pub auth: bool,
    pub keys: Mutex<Keys>,
    pub handler_port: Arc<AtomicU16>,
    pub console: Console,
    pub limits: Limits,
}

impl Host {
    pub fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
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

/// What ends the host from without.
pub struct Stop {
    pub stopped: watch::Receiver<bool>,
    pub on_signals: bool,
}

/// Starts the handler, serves it, and stops both.
///
/// # Errors
///
/// One line: why the host had to end although nobody asked it to.
pub async fn run(
    host: Arc<Host>,
    mut worker: Worker,
    listener: TcpListener,
    tls: Option<ServerConfig>,
    stop: Stop,
    ready: impl FnOnce(),
) -> Result<(), String> {
    let mut stop = pin!(asked(stop));
    let outcome = tokio::select! {
        // In this order, so that a signal is awaited before there is a handler to end.
        biased;
        asked = &mut stop => Some(asked),
        started = worker.start() => started.err().map(Err),
    };
    if let Some(outcome) = outcome {
        worker.stop().await;
        return outcome;
    }

    let shutdown_seconds = host.limits.stop.as_secs();
    let serving = Arc::clone(&host);
    let server = HttpServer::new(move || {
        let host = Arc::clone(&serving);
        let port = Arc::clone(&host.handler_port);
        let forwarder = Forwarder::new(host.mode, port, host.limits.inactivity);
        App::new()
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
    ready();

    let outcome = tokio::select! {
        asked = &mut stop => asked,
        ended = worker.keep() => ended,
    };
    handle.stop(true).await;
    let _ = serving.await;
    worker.stop().await;
    outcome
}

/// Ends when the host is to stop.
async fn asked(mut stop: Stop) -> Result<(), String> {
    let signals = async {
        if !stop.on_signals {
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
        _ = stop.stopped.wait_for(|stopped| *stopped) => Ok(()),
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
    let answer = dispatch(host, forwarder, &request, payload.into_inner()).await;
    let status = answer.status().as_u16();
    host.console
        .request(request.method(), request.path(), status, start.elapsed());
    answer
}

async fn dispatch(
    host: &Host,
    forwarder: &Forwarder,
    request: &HttpRequest,
    payload: Payload,
) -> HttpResponse {
    let Some(route) = route(&host.functions, request.method().as_str(), request.path()) else {
        return finish(HttpResponse::NotFound().finish(), payload).await;
    };
    let function = match route {
        Route::Function(function) => function,
        Route::Home => {
            let page = HttpResponse::Ok()
                .content_type("text/plain; charset=utf-8")
                .body("The function app is up and running.\n");
            return finish(page, payload).await;
        }
        Route::Status | Route::Keys(..) | Route::MasterKey
            if host.grant(request, None) != Grant::Master =>
        {
            return finish(HttpResponse::Unauthorized().finish(), payload).await;
        }
        Route::Status => {
            let status = HttpResponse::Ok()
                .content_type("application/json; charset=utf-8")
                .body(r#"{"state":"Running"}"#);
            return finish(status, payload).await;
        }
        Route::MasterKey => {
            let key = key_api::master(&host.keys().master, request);
            return finish(key, payload).await;
        }
        Route::Keys(scope, name) => {
            return match read(payload).await {
                Ok(body) => {
                    key_api::answer(&mut host.keys(), request, &body, &scope, name.as_deref())
                }
                Err(_) => HttpResponse::BadRequest().force_close().finish(),
            };
        }
    };

    let grant = host.grant(request, Some(&function.name));
    if !grant.satisfies(function.level) {
        return finish(HttpResponse::Unauthorized().finish(), payload).await;
    }
    // The host checks the key first: who has none doesn't learn that a function is disabled.
    if function.disabled && !grant.satisfies(Level::Admin) {
        return finish(HttpResponse::NotFound().finish(), payload).await;
    }
    forwarder.forward(request, payload).await
}

async fn finish(answer: HttpResponse, payload: Payload) -> HttpResponse {
    drain(payload).await;
    answer
}

async fn read(mut payload: Payload) -> Result<Vec<u8>, PayloadError> {
    let mut body = Vec::new();
    while let Some(chunk) = crate::forward::next(&mut payload).await {
        body.extend_from_slice(&chunk?);
        if body.len() > LONGEST_KEY {
            return Err(PayloadError::Overflow);
        }
    }
    Ok(body)
}
