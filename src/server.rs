//! The HTTP server: each setting answers something that the Functions host was seen to do.

use std::{
    cell::Cell,
    env,
    future::{Future as _, poll_fn},
    net::Ipv4Addr,
    ops::{Deref, DerefMut},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    rc::Rc,
    task::Poll,
    time::Duration,
};

use actix_web::{
    App, Error, FromRequest, Handler, HttpRequest, HttpResponse, HttpServer, Responder,
    body::{BodyStream, MessageBody},
    dev::{Payload, ServiceRequest, ServiceResponse},
    error::ErrorInternalServerError,
    guard::fn_guard,
    http::{KeepAlive, Uri},
    middleware::{Next, from_fn},
    rt::System,
    web::{self, ServiceConfig},
};
use log::{info, warn};

/// The variable in which the host says where it will look for the handler.
const PORT: &str = "FUNCTIONS_CUSTOMHANDLER_PORT";

/// Serves the functions until SIGTERM or SIGINT.
///
/// An error is one line, for the log.
pub fn run(functions: fn(&mut ServiceConfig)) -> Result<(), String> {
    let port = port()?;
    let server = HttpServer::new(move || {
        App::new()
            .wrap(from_fn(ignore_letter_case))
            .wrap(from_fn(read_whole_body))
            // The host asks `GET /` until something answers; any answer will do.
            .service(web::resource("/").to(HttpResponse::Ok))
            .configure(functions)
    })
    // A machine in Azure (an instance) has one or two cores, and the host needs most of them.
    .workers(1)
    // The host keeps idle connections for 60 s. If the handler closes one first, a request that
    // is just on its way fails: 29 of 960 POSTs did. So the handler never closes one.
    .keep_alive(KeepAlive::Os)
    // Nor a new one on which no request has come yet. (actix-web would after 5 s.)
    .client_request_timeout(Duration::ZERO)
    .bind((Ipv4Addr::LOCALHOST, port))
    .map_err(|error| {
        format!("can't listen on 127.0.0.1:{port} ({error}): give another port in {PORT}")
    })?;
    for address in server.addrs() {
        info!("listening on http://{address}");
    }
    System::new()
        .block_on(server.run())
        .map_err(|error| format!("the server failed: {error}"))
}

fn port() -> Result<u16, String> {
    let Some(value) = env::var_os(PORT) else {
        warn!("{PORT} is not set: no host, so no key is checked. `cargo start` starts one too");
        return Ok(3000); // as in Microsoft's examples
    };
    let value = value.to_string_lossy();
    value
        .parse()
        .map_err(|_| format!("{PORT} is {value:?}: give a port from 0 (any free one) to 65535"))
}

/// Puts a function at a path, which is in lower case and has no slash at its end.
///
/// The host lets only the methods of its function.json through. They are checked here too, so that
/// two functions can share a path.
pub fn function<F, Args>(
    app: &mut ServiceConfig,
    path: &str,
    methods: Option<&'static [&str]>,
    function: F,
) where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    let takes = move |method: &str| methods.is_none_or(|methods| methods.contains(&method));
    app.service(
        web::resource(path)
            .guard(fn_guard(move |call| takes(call.head().method.as_str())))
            .wrap(from_fn(restore_letter_case))
            .to(function),
    );
}

/// The id that the host gives to an invocation, for the log.
///
/// When a client sends such a header too, an older host puts its own id behind the client's.
#[allow(dead_code, reason = "not every function logs")]
pub fn invocation_id(request: &HttpRequest) -> &str {
    let ids = request.headers().get("x-azure-functions-invocationid");
    let last = ids.and_then(|ids| ids.to_str().ok()?.rsplit(", ").next());
    last.unwrap_or("none")
}

/// The host takes `/API/RandomNumber/` for `/api/randomnumber`, and passes it on unchanged.
/// So a function is looked up by the path in lower case and without the slash at its end.
async fn ignore_letter_case(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let path = request.path().to_ascii_lowercase();
    let path = path.strip_suffix('/').unwrap_or(&path);
    // `/` without its slash is empty, which is no URI: it stays `/`.
    if let Ok(uri) = Uri::try_from(path) {
        request.match_info_mut().get_mut().update(&uri);
    }
    next.call(request).await
}

/// Puts the path back as it was sent, so that the function gets `Ada` for a parameter and not `ada`.
/// The parameters are known by their places in the path, which are the same in lower case.
async fn restore_letter_case(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let uri = request.uri().clone();
    request.match_info_mut().get_mut().update(&uri);
    next.call(request).await
}

/// Reads what a function has left of the request's body, and throws it away.
///
/// An answer before the end of the body would make the server close the connection. The host, which
/// is still sending the body, then fails, and the caller gets a 500.
async fn read_whole_body(
    mut request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let (_, payload) = request.parts_mut();
    let left = Rc::new(Cell::new(Payload::None));
    let lent = Lent {
        payload: payload.take(),
        left: Rc::clone(&left),
    };
    *payload = Payload::Stream {
        payload: Box::pin(Pin::new(lent)),
    };
    let response = {
        let mut call = pin!(next.call(request));
        // A panic becomes a 500. Without an answer the host would send a GET again, 40 times.
        poll_fn(|context| {
            catch_unwind(AssertUnwindSafe(|| call.as_mut().poll(context)))
                .unwrap_or_else(|_| Poll::Ready(Err(ErrorInternalServerError(""))))
        })
        .await
    };
    let mut rest = pin!(BodyStream::new(left.replace(Payload::None)));
    while let Some(Ok(_)) = poll_fn(|context| rest.as_mut().poll_next(context)).await {}
    response
}

/// A request's body, lent to the function, which may drop it unread. Then what is left of it goes to
/// `left`, so that `read_whole_body` can read it. (By `DerefMut`, `Pin<Lent>` is a stream like the
/// body.)
struct Lent {
    payload: Payload,
    left: Rc<Cell<Payload>>,
}

impl Deref for Lent {
    type Target = Payload;

    fn deref(&self) -> &Payload {
        &self.payload
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Payload {
        &mut self.payload
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.left.set(self.payload.take());
    }
}
