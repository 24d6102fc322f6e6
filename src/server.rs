//! The HTTP server, with every setting that the Functions host's behaviour asks for.
//!
//! What is said here of the host was read from its source, `Azure/azure-functions-host`, v4.1037;
//! the class that does it is named.

use std::{
    env, fmt,
    future::{Future, poll_fn},
    io,
    net::Ipv4Addr,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
    time::Duration,
};

use actix_web::{
    App, Error, FromRequest, Handler, HttpRequest, HttpResponse, HttpServer, Responder,
    body::{BodyStream, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::InternalError,
    guard::fn_guard,
    http::{
        ConnectionType, KeepAlive, Method,
        header::{self, HeaderName},
    },
    middleware::{Next, from_fn},
    rt::{
        self, System,
        signal::unix::{SignalKind, signal},
        time::sleep,
    },
    web::{self, ServiceConfig},
};
use log::{info, warn};

/// The variable in which the host says where it will look for the handler
/// (`HttpWorkerProcess`).
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// Where to listen when no host has said so: the port of the examples in the documentation of
/// custom handlers.
const DEFAULT_PORT: u16 = 3000;

/// The host's `extensions.http.routePrefix`, by default.
const ROUTE_PREFIX: &str = "api";

/// How long a new connection may go without a whole request head. The host keeps connections that
/// it has not used yet for 60 s (.NET's `SocketsHttpHandler`).
const FIRST_REQUEST: Duration = Duration::from_secs(300);

/// Between a stop signal and the closing of what is idle: connections on which a request is just
/// on its way still get the answer, with the word that it is the last one. New connections are
/// taken until then: an answer is better than a reset.
const LAST_CALL: Duration = Duration::from_millis(100);

/// For requests whose body is still coming in when the handler is to stop, in seconds. A whole
/// stop must fit into 5 s.
const FINISH_SECS: u64 = 3;

/// Serves the function until SIGTERM or SIGINT, then finishes what has begun.
///
/// Listens on 127.0.0.1, on the port in `FUNCTIONS_CUSTOMHANDLER_PORT`; 0 stands for any free
/// one, and the log says which.
///
/// # Errors
///
/// In one line for a person to read: the variable holds no port, the port can't be had, or the
/// server has ended although nobody asked it to.
pub fn run(function: fn(&mut ServiceConfig)) -> Result<(), String> {
    let port = port()?;
    System::new().block_on(serve(port, function))
}

fn port() -> Result<u16, String> {
    let Some(value) = env::var_os(PORT) else {
        warn!(
            "{PORT} is not set, so no Functions host has started this and no key is checked; \
             listening on port {DEFAULT_PORT}. `cargo start` runs the handler behind a host"
        );
        return Ok(DEFAULT_PORT);
    };
    let value = value.to_string_lossy();
    value
        .parse()
        .map_err(|_| format!("{PORT} is {value:?}: give a port from 0 (any free one) to 65535"))
}

async fn serve(port: u16, function: fn(&mut ServiceConfig)) -> Result<(), String> {
    let stopping = Arc::new(AtomicBool::new(false));
    // Before the port is open: whoever finds the handler ready may already signal it.
    let stop_signal =
        stop_signal().map_err(|error| format!("no signal can be awaited: {error}"))?;

    let closing = Arc::clone(&stopping);
    let server = HttpServer::new(move || {
        let closing = Arc::clone(&closing);
        App::new()
            .wrap(from_fn(move |request, next| {
                answer(Arc::clone(&closing), request, next)
            }))
            // The host's readiness and health ping; any answer will do for it.
            .service(web::resource("/").to(async |_: DrainedBody| HttpResponse::Ok().finish()))
            .configure(function)
            .default_service(web::to(async |_: DrainedBody| {
                HttpResponse::NotFound().finish()
            }))
    })
    // An instance has one or two cores and shares them with the host, which does more for each
    // request than the handler does: a second worker has nothing to win (benches/README.md).
    .workers(1)
    // The handler must never be the first to hang up: the host does not repeat a request with a
    // body that meets a closing connection. It gives up connections that idle for 60 s, and being
    // the only client it leaves none behind.
    .keep_alive(KeepAlive::Os)
    .client_request_timeout(FIRST_REQUEST)
    .shutdown_timeout(FINISH_SECS)
    .shutdown_signal({
        let stopping = Arc::clone(&stopping);
        async move {
            let name = stop_signal.await;
            info!("{name} received, stopping");
            stopping.store(true, Ordering::Relaxed);
            sleep(LAST_CALL).await;
        }
    })
    .bind((Ipv4Addr::LOCALHOST, port))
    .map_err(|error| cannot_listen(port, &error))?;

    rt::spawn(give_memory_back());
    for address in server.addrs() {
        info!("listening on http://{address}");
    }
    server
        .run()
        .await
        .map_err(|error| format!("the server failed: {error}"))?;
    if stopping.load(Ordering::Relaxed) {
        Ok(())
    } else {
        Err("the server ended without having been asked to".to_owned())
    }
}

/// Gives unused memory back to the system. Left to itself, glibc returns only what lies at the end
/// of a heap, and a crowd of connections would be paid for until the handler ends.
async fn give_memory_back() {
    #[cfg(target_env = "gnu")]
    loop {
        unsafe extern "C" {
            safe fn malloc_trim(pad: usize) -> i32;
        }
        // After 10,000 connections one time takes 5 ms, otherwise next to nothing.
        sleep(Duration::from_secs(10)).await;
        malloc_trim(0);
    }
}

fn cannot_listen(port: u16, error: &io::Error) -> String {
    let origin = if env::var_os(PORT).is_some() {
        "is"
    } else {
        "is not set, which means"
    };
    let remedy = match error.kind() {
        io::ErrorKind::AddrInUse => "end the process that uses it, or give another port",
        _ => "give another port",
    };
    format!("{PORT} {origin} {port}: can't listen on 127.0.0.1:{port} ({error}): {remedy}")
}

/// A future that ends with the name of the signal that asks the handler to stop.
fn stop_signal() -> io::Result<impl Future<Output = &'static str> + Send> {
    let mut signals = [
        ("SIGTERM", signal(SignalKind::terminate())?),
        ("SIGINT", signal(SignalKind::interrupt())?),
    ];
    Ok(poll_fn(move |context| {
        for (name, signal) in &mut signals {
            if signal.poll_recv(context).is_ready() {
                return Poll::Ready(*name);
            }
        }
        Poll::Pending
    }))
}

/// Tells the client of a handler that is about to stop not to send it anything more.
async fn answer(
    stopping: Arc<AtomicBool>,
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    if stopping.load(Ordering::Relaxed) {
        response
            .response_mut()
            .head_mut()
            .set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// Puts a function with an HTTP trigger at its route: `/api/NAME` in any letter case and with or
/// without a slash at its end: the host takes all of these for the function and hands the path on
/// unchanged.
///
/// The methods should be those of the function's `function.json`. The host answers any other with
/// 404 and does not pass it on; asked directly, the handler answers 405.
pub fn http_trigger<F, Args>(app: &mut ServiceConfig, name: &str, methods: &[Method], function: F)
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let allow = methods
        .iter()
        .map(Method::as_str)
        .collect::<Vec<_>>()
        .join(", ");
    // Nearly every request spells the path as the function is named, and the regex would take as
    // much time as all else that is done here for a request. So the plain comparison comes first.
    for path in [
        format!("/{ROUTE_PREFIX}/{name}"),
        format!("/{{path:(?i:{ROUTE_PREFIX}/{name}/?)}}"),
    ] {
        let (methods, allow) = (methods.to_vec(), allow.clone());
        app.service(
            web::resource(path)
                .route(
                    web::route()
                        .guard(fn_guard(move |context| {
                            methods.contains(&context.head().method)
                        }))
                        .to(function.clone()),
                )
                .default_service(web::to(move |_: DrainedBody| {
                    let response = HttpResponse::MethodNotAllowed()
                        .insert_header((header::ALLOW, allow.as_str()))
                        .finish();
                    async { response }
                })),
        );
    }
}

/// A request body that has been read to its end and thrown away, in constant memory.
///
/// A function that has no use for the body takes this, so as to answer only when the body is
/// there. An earlier answer makes the server close the connection, the host's copy of the body
/// then fails, and the caller gets a 500 (`DefaultHttpProxyService`).
pub struct DrainedBody;

impl FromRequest for DrainedBody {
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Error>>>>;

    fn from_request(_: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let body = BodyStream::new(payload.take());
        Box::pin(async move {
            let mut body = pin!(body);
            while let Some(chunk) = poll_fn(|context| body.as_mut().poll_next(context)).await {
                // Where a broken body ends is unknown, so nothing can follow it.
                chunk.map_err(|error| {
                    InternalError::from_response(
                        error,
                        HttpResponse::BadRequest().force_close().finish(),
                    )
                })?;
            }
            Ok(Self)
        })
    }
}

static INVOCATION_ID: HeaderName = HeaderName::from_static("x-azure-functions-invocationid");

/// The id that the host gives to an invocation, for the log; displayed as nothing when there is
/// none.
///
/// A client that reaches the handler without a host can put anything into the header, so only a
/// GUID is taken for an id.
pub struct InvocationId<'a>(Option<&'a str>);

impl<'a> InvocationId<'a> {
    /// The header is added by `HttpRequestExtensions`, in both of the host's ways to pass a
    /// request on.
    pub fn of(request: &'a HttpRequest) -> Self {
        let header = request.headers().get(&INVOCATION_ID);
        Self(
            header
                .and_then(|value| value.to_str().ok())
                .filter(|value| is_guid(value)),
        )
    }
}

impl fmt::Display for InvocationId<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(id) => write!(f, " InvocationId: {id}"),
            None => Ok(()),
        }
    }
}

fn is_guid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}
