//! How a request gets to the handler and its answer back, in the two ways the host has.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, MessageBody},
    dev::Payload,
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    rt::{
        self,
        time::{Sleep, sleep},
    },
    web::Bytes,
};
use hyper::{
    Method, Request, Response, Uri,
    body::{Body, Frame, Incoming},
    header,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::sync::mpsc;
use uuid::Uuid;

/// The version of the host whose behaviour this is.
const HOST_VERSION: &str = "4.1037.0.0";

/// How often a refused connection is tried again when proxying.
const RETRIES: u32 = 10;

/// How long the client keeps an idle connection to the handler (.NET's `SocketsHttpHandler`).
const IDLE: Duration = Duration::from_secs(60);

/// Headers that concern one connection only. `Expect` is among them because the server has
/// answered it before the handler is asked.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "expect",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// What .NET keeps as headers of the content, not of the request. `HttpRequestExtensions` copies
/// the latter only, and then adds the length and type of a content that it has copied.
const OF_CONTENT: [&str; 11] = [
    "allow",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "expires",
    "last-modified",
];

/// The way in which a request is passed on.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// `enableProxyingHttpRequest`: streamed both ways, a refused connection tried again
    /// (`DefaultHttpProxyService`).
    Proxying,
    /// `enableForwardingHttpRequest`: rebuilt, without a body whose length is not given, tried
    /// once (`DefaultHttpWorkerService`).
    Forwarding,
}

pub struct Forwarder {
    client: Client<HttpConnector, Upload>,
    mode: Mode,
    port: u16,
    /// How long a proxied request may go without a byte in either direction.
    inactivity: Duration,
}

impl Forwarder {
    pub fn new(mode: Mode, port: u16, inactivity: Duration) -> Self {
        Self {
            client: client(),
            mode,
            port,
            inactivity,
        }
    }

    /// Passes a request on. Whatever goes wrong, the client gets a 500 without a body.
    pub async fn forward(&self, request: &HttpRequest, payload: Payload) -> HttpResponse {
        let activity = Activity::default();
        let Some(outgoing) = self.outgoing(request, payload, &activity) else {
            return HttpResponse::BadRequest().finish();
        };
        let answer = match self.mode {
            Mode::Forwarding => self.client.request(outgoing).await.ok(),
            Mode::Proxying => tokio::select! {
                answer = self.with_retries(outgoing) => answer,
                () = activity.ceases(self.inactivity) => None,
            },
        };
        match answer {
            Some(answer) => {
                let limit = (self.mode == Mode::Proxying).then_some(self.inactivity);
                incoming(answer, limit)
            }
            None => HttpResponse::InternalServerError().finish(),
        }
    }

    /// The upload outlives a failed attempt unread, for nothing is sent before there is a
    /// connection.
    async fn with_retries(&self, request: Request<Upload>) -> Option<Response<Incoming>> {
        let (head, upload) = request.into_parts();
        for attempt in 0..=RETRIES {
            let request = Request::from_parts(head.clone(), upload.clone());
            match self.client.request(request).await {
                Ok(answer) => return Some(answer),
                Err(error) if error.is_connect() && attempt < RETRIES => {
                    sleep(Duration::from_millis(
                        u64::from(50 * (attempt + 1)).min(250),
                    ))
                    .await;
                }
                Err(_) => return None,
            }
        }
        None
    }

    fn outgoing(
        &self,
        request: &HttpRequest,
        payload: Payload,
        activity: &Activity,
    ) -> Option<Request<Upload>> {
        let path = request.uri().path_and_query()?.as_str();
        let uri = format!("http://127.0.0.1:{}{path}", self.port);
        let mut outgoing = Request::new(Upload::none());
        *outgoing.method_mut() = Method::from_bytes(request.method().as_str().as_bytes()).ok()?;
        *outgoing.uri_mut() = uri.parse::<Uri>().ok()?;

        let has_body = match self.mode {
            Mode::Proxying => !matches!(payload, Payload::None),
            Mode::Forwarding => content_length(request.headers()).is_some_and(|length| length > 0),
        };
        let headers = outgoing.headers_mut();
        copy_headers(request.headers(), headers, |name| match self.mode {
            Mode::Proxying => name != "host",
            Mode::Forwarding => {
                !OF_CONTENT.contains(&name)
                    || (has_body && matches!(name, "content-length" | "content-type"))
            }
        });
        self.add_headers(headers)?;
        // Without its length given, a GET is taken not to have a body.
        if has_body && !headers.contains_key(header::CONTENT_LENGTH) {
            headers.insert(header::TRANSFER_ENCODING, value("chunked")?);
        }

        let sender = has_body.then(|| {
            let (sender, receiver) = mpsc::channel(1);
            *outgoing.body_mut() = Upload(Some(Arc::new(Mutex::new(receiver))));
            sender
        });
        rt::spawn(pump(payload, sender, activity.clone()));
        Some(outgoing)
    }

    fn add_headers(&self, headers: &mut header::HeaderMap) -> Option<()> {
        let id = value(&Uuid::new_v4().to_string())?;
        headers.insert("x-azure-functions-hostversion", value(HOST_VERSION)?);
        headers.insert("x-azure-functions-invocationid", id.clone());
        match self.mode {
            Mode::Proxying => {
                headers.insert("x-ms-invocation-id", id);
            }
            Mode::Forwarding => {
                let product = format!("Azure-Functions-Host/{HOST_VERSION}");
                let agent = match headers.get(header::USER_AGENT) {
                    Some(agent) => [agent.as_bytes(), b" ", product.as_bytes()].concat(),
                    None => product.into_bytes(),
                };
                let agent = header::HeaderValue::from_bytes(&agent).ok()?;
                headers.insert(header::USER_AGENT, agent);
            }
        }
        Some(())
    }
}

/// The client for the calls that the host makes of its own, too.
pub fn client() -> Client<HttpConnector, Upload> {
    Client::builder(TokioExecutor::new())
        .pool_idle_timeout(IDLE)
        .pool_timer(hyper_util::rt::TokioTimer::new())
        .build_http()
}

fn value(text: &str) -> Option<header::HeaderValue> {
    header::HeaderValue::from_str(text).ok()
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get("content-length")?.to_str().ok()?.parse().ok()
}

fn copy_headers(from: &HeaderMap, to: &mut header::HeaderMap, keep: impl Fn(&str) -> bool) {
    let named = named_by_connection(from.get_all("connection").map(HeaderValue::as_bytes));
    for (name, value) in from {
        let name = name.as_str();
        if !HOP_BY_HOP.contains(&name) && !named.iter().any(|n| n == name) && keep(name) {
            let name = header::HeaderName::from_bytes(name.as_bytes());
            let value = header::HeaderValue::from_bytes(value.as_bytes());
            if let (Ok(name), Ok(value)) = (name, value) {
                to.append(name, value);
            }
        }
    }
}

/// The headers that a `Connection` header claims for this connection.
fn named_by_connection<'a>(values: impl Iterator<Item = &'a [u8]>) -> Vec<String> {
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .collect()
}

/// Status, headers and body as the handler gave them.
fn incoming(answer: Response<Incoming>, limit: Option<Duration>) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).expect("hyper has read a status code");
    let named = named_by_connection(
        head.headers
            .get_all("connection")
            .iter()
            .map(|v| v.as_bytes()),
    );
    let size = match head.headers.get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok().and_then(|length| length.parse().ok()),
        None => None,
    };
    let size = match size {
        Some(size) => BodySize::Sized(size),
        None if body.is_end_stream() => BodySize::None,
        None => BodySize::Stream,
    };
    let mut response = HttpResponse::new(status).set_body(Download::new(body, size, limit));
    for (name, value) in &head.headers {
        let name = name.as_str();
        if HOP_BY_HOP.contains(&name) || named.iter().any(|n| n == name) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value.as_bytes())) {
            response.headers_mut().append(name, value);
        }
    }
    response.map_into_boxed_body()
}

/// Reads a body to its end, even if nobody takes it: a server that answers before it has read the
/// body has to close the connection.
pub async fn drain(payload: Payload) {
    pump(payload, None, Activity::default()).await;
}

type Chunk = Result<Bytes, io::Error>;

async fn pump(mut payload: Payload, mut to: Option<mpsc::Sender<Chunk>>, activity: Activity) {
    while let Some(chunk) = next(&mut payload).await {
        activity.note();
        let chunk = chunk.map_err(|error| io::Error::other(error.to_string()));
        let is_broken = chunk.is_err();
        if let Some(sender) = &to
            && sender.send(chunk).await.is_err()
        {
            to = None;
        }
        if is_broken {
            break;
        }
    }
}

pub async fn next(payload: &mut Payload) -> Option<Result<Bytes, actix_web::error::PayloadError>> {
    use actix_web::body::BodyStream;
    let mut stream = std::pin::pin!(BodyStream::new(payload));
    std::future::poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// A request's body. A clone is the same body, for the next attempt to send it.
#[derive(Clone)]
pub struct Upload(Option<Arc<Mutex<mpsc::Receiver<Chunk>>>>);

impl Upload {
    pub fn none() -> Self {
        Self(None)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Some(receiver) = &self.0 else {
            return Poll::Ready(None);
        };
        let mut receiver = receiver.lock().unwrap_or_else(PoisonError::into_inner);
        receiver
            .poll_recv(context)
            .map(|chunk| chunk.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// The body of an answer on its way back.
struct Download {
    body: Incoming,
    size: BodySize,
    limit: Option<(Duration, Pin<Box<Sleep>>)>,
}

impl Download {
    fn new(body: Incoming, size: BodySize, limit: Option<Duration>) -> Self {
        Self {
            body,
            size,
            limit: limit.map(|limit| (limit, Box::pin(sleep(limit)))),
        }
    }
}

impl MessageBody for Download {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, io::Error>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
                if let Some((_, timer)) = &mut self.limit {
                    ready!(timer.as_mut().poll(context));
                    return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
                }
                return Poll::Pending;
            };
            if let Some((limit, timer)) = &mut self.limit {
                *timer = Box::pin(sleep(*limit));
            }
            match frame {
                None => return Poll::Ready(None),
                Some(Err(error)) => return Poll::Ready(Some(Err(io::Error::other(error)))),
                // Trailers are left out: what comes after the body is not passed on.
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }
}

/// When something was last sent on a request.
#[derive(Clone)]
struct Activity(Arc<Mutex<Instant>>);

impl Default for Activity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Activity {
    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends when nothing has been noted for `limit`.
    async fn ceases(&self, limit: Duration) {
        loop {
            let idle = self
                .0
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .elapsed();
            if idle >= limit {
                return;
            }
            sleep(limit - idle).await;
        }
    }
}
