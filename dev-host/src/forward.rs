//! How a request gets to the handler and its answer back, in the two ways the host has.

use std::{
    cell::Cell,
    future::poll_fn,
    io,
    pin::Pin,
    rc::Rc,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodyStream, MessageBody as _, SizedStream},
    dev::Payload,
    http::{
        StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    rt::{self, time::sleep},
    web::Bytes,
};
use futures_util::{StreamExt as _, stream::unfold};
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

use crate::worker::{Call, Gate};

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

/// The way in which a request is passed on.
#[derive(Clone, Copy, PartialEq)]
pub enum Mode {
    /// `enableProxyingHttpRequest`: streamed both ways under the handler's own `Host`, a refused
    /// connection tried again (`DefaultHttpProxyService`).
    Proxying,
    /// `enableForwardingHttpRequest`: rebuilt without a body whose length is not given, and tried
    /// once (`DefaultHttpWorkerService`). `HttpRequestExtensions` copies the client's `Host` with
    /// the other headers, so the handler sees the name that the client called.
    Forwarding,
}

pub struct Forwarder {
    client: Client<HttpConnector, Upload>,
    gate: Gate,
    inactivity: Duration,
}

impl Forwarder {
    /// A proxied request may go without a byte in either direction for `inactivity`.
    pub fn new(gate: Gate, inactivity: Duration) -> Self {
        Self {
            client: client(),
            gate,
            inactivity,
        }
    }

    /// Passes a request on. Whatever goes wrong, the client gets a 500 without a body.
    pub async fn forward(
        &self,
        mode: Mode,
        request: &HttpRequest,
        payload: Payload,
    ) -> HttpResponse {
        let activity = Activity::new(match mode {
            Mode::Proxying => self.inactivity,
            Mode::Forwarding => Duration::MAX,
        });
        let Some(outgoing) = outgoing(mode, request, payload, &activity) else {
            return HttpResponse::BadRequest().finish();
        };
        let call = self.gate.enter().await;
        let answer = tokio::select! {
            answer = self.send(mode, outgoing, &call) => answer,
            () = activity.clone().ceases() => None,
        };
        match answer {
            Some(answer) => incoming(answer, call, activity),
            None => HttpResponse::InternalServerError().finish(),
        }
    }

    /// The upload outlives a failed attempt unread, for nothing is sent before there is a
    /// connection.
    async fn send(
        &self,
        mode: Mode,
        request: Request<Upload>,
        call: &Call,
    ) -> Option<Response<Incoming>> {
        let retries = match mode {
            Mode::Proxying => RETRIES,
            Mode::Forwarding => 0,
        };
        let (head, upload) = request.into_parts();
        let mut attempt = 0;
        loop {
            let port = call.port().await?;
            let uri = format!("http://127.0.0.1:{port}{}", head.uri);
            let mut request = Request::from_parts(head.clone(), upload.clone());
            *request.uri_mut() = uri.parse().ok()?;
            match self.client.request(request).await {
                Ok(answer) => return Some(answer),
                Err(error) if error.is_connect() && attempt < retries => {
                    attempt += 1;
                    sleep(Duration::from_millis(u64::from(50 * attempt).min(250))).await;
                }
                Err(_) => return None,
            }
        }
    }
}

fn outgoing(
    mode: Mode,
    request: &HttpRequest,
    payload: Payload,
    activity: &Activity,
) -> Option<Request<Upload>> {
    let path = request.uri().path_and_query()?.as_str();
    let mut outgoing = Request::new(Upload::none());
    *outgoing.method_mut() = Method::from_bytes(request.method().as_str().as_bytes()).ok()?;
    *outgoing.uri_mut() = path.parse::<Uri>().ok()?;

    let has_body = match mode {
        Mode::Proxying => !matches!(payload, Payload::None),
        Mode::Forwarding => content_length(request.headers()).is_some_and(|length| length > 0),
    };
    let from = request.headers().iter();
    let headers = outgoing.headers_mut();
    for (name, value) in end_to_end(from.map(|(name, value)| (name.as_str(), value.as_bytes()))) {
        let is_kept = match mode {
            Mode::Proxying => name != "host",
            // What .NET keeps as headers of the content `HttpRequestExtensions` doesn't copy;
            // it adds the length and type of a content that it has copied. The few others of
            // that kind, such as `Expires`, belong to answers.
            Mode::Forwarding => {
                !name.starts_with("content-")
                    || (has_body && matches!(name, "content-length" | "content-type"))
            }
        };
        if is_kept {
            let name = header::HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, header::HeaderValue::from_bytes(value).ok()?);
        }
    }
    add_headers(mode, headers)?;
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

fn add_headers(mode: Mode, headers: &mut header::HeaderMap) -> Option<()> {
    let id = value(&Uuid::new_v4().to_string())?;
    headers.insert("x-azure-functions-hostversion", value(HOST_VERSION)?);
    headers.insert("x-azure-functions-invocationid", id.clone());
    match mode {
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
fn client() -> Client<HttpConnector, Upload> {
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

/// Leaves out the headers of one connection, those that `Connection` claims for it included.
fn end_to_end<'a>(headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> Vec<(&'a str, &'a [u8])> {
    let mut headers: Vec<_> = headers.collect();
    let claimed: Vec<String> = headers
        .iter()
        .filter(|(name, _)| *name == "connection")
        .flat_map(|(_, value)| value.split(|byte| *byte == b','))
        .map(|name| String::from_utf8_lossy(name).trim().to_ascii_lowercase())
        .collect();
    headers.retain(|(name, _)| {
        !HOP_BY_HOP.contains(name) && !claimed.iter().any(|claimed| claimed == name)
    });
    headers
}

/// Status, headers and body as the handler gave them.
fn incoming(answer: Response<Incoming>, call: Call, activity: Activity) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).expect("hyper has read a status code");
    let length = head
        .headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse().ok());
    let is_empty = body.is_end_stream();
    let chunks = unfold(
        (body, call, activity),
        |(mut body, call, activity)| async move {
            let frame = tokio::select! {
                // In this order: the handler isn't blamed for a client that is slow to read.
                biased;
                frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)) => {
                    frame?.map_err(io::Error::other)
                }
                () = activity.clone().ceases() => Err(io::ErrorKind::TimedOut.into()),
            };
            activity.note();
            // Trailers are left out: what comes after the body is not passed on.
            let chunk = frame.map(|frame| frame.into_data().unwrap_or_default());
            Some((chunk, (body, call, activity)))
        },
    );
    let response = HttpResponse::new(status);
    let mut response = match length {
        Some(length) => response.set_body(SizedStream::new(length, chunks).boxed()),
        None if is_empty => response,
        None => response.set_body(BodyStream::new(chunks).boxed()),
    };
    let headers = head.headers.iter();
    for (name, value) in end_to_end(headers.map(|(name, value)| (name.as_str(), value.as_bytes())))
    {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(value)) {
            response.headers_mut().append(name, value);
        }
    }
    response
}

/// Reads a body to its end, even if nobody takes it: a server that answers before it has read the
/// body has to close the connection.
pub async fn drain(payload: Payload) {
    pump(payload, None, Activity::new(Duration::MAX)).await;
}

type Chunk = Result<Bytes, io::Error>;

async fn pump(mut payload: Payload, mut to: Option<mpsc::Sender<Chunk>>, activity: Activity) {
    while let Some(chunk) = payload.next().await {
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

/// When something was last sent on a request, in either direction.
#[derive(Clone)]
struct Activity {
    limit: Duration,
    last: Rc<Cell<Instant>>,
}

impl Activity {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            last: Rc::new(Cell::new(Instant::now())),
        }
    }

    fn note(&self) {
        self.last.set(Instant::now());
    }

    /// Ends when nothing has been noted for as long as the limit.
    async fn ceases(self) {
        while let Some(rest) = self.limit.checked_sub(self.last.get().elapsed()) {
            sleep(rest).await;
        }
    }
}
