//! An HTTP/1.1 server for the stand-ins: one thread per connection, TLS or not, and able to do
//! what no well-behaved server library does, to hang up without an answer.
//!
//! It leaves out what its clients (the Azure CLI and curl) don't use: chunked request bodies,
//! pipelining, trailers.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, TcpListener},
    sync::{Arc, OnceLock},
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use serde_json::Value;

#[derive(Default)]
pub struct Request {
    pub method: String,
    /// As it was sent, without the query.
    pub path: String,
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut matching = self.headers.iter().filter(|(header, _)| header == name);
        matching.next().map(|(_, value)| value.as_str())
    }
}

pub enum Reply {
    Answer(Answer),
    /// The bytes of a whole answer, after which the connection is closed.
    Verbatim(Vec<u8>),
    /// The connection is closed without an answer.
    HangUp,
    /// There is no answer, until the client closes the connection.
    Silence,
}

pub struct Answer {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
    /// The recording that has an answer of the same form.
    pub like: String,
}

impl Reply {
    pub fn status(status: u16) -> Self {
        Self::text(status, "")
    }

    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, &body.to_string()).with("Content-Type", "application/json")
    }

    pub fn text(status: u16, text: &str) -> Self {
        Self::Answer(Answer {
            status,
            headers: Vec::new(),
            body: text.into(),
            like: String::new(),
        })
    }

    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.headers.push((name, value.into()));
        }
        self
    }

    pub fn like(mut self, recording: &str) -> Self {
        if let Self::Answer(answer) = &mut self {
            answer.like = recording.to_owned();
        }
        self
    }
}

/// Serves on a free port of 127.0.0.1, which it gives, as long as the tests run.
pub fn serve(
    with_tls: bool,
    answer: impl Fn(Request) -> Reply + Clone + Send + Sync + 'static,
) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let port = listener.local_addr().expect("a bound socket").port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = answer.clone();
            thread::spawn(move || {
                // A client that goes away is none of the server's trouble.
                let _ = stream.and_then(|stream| {
                    if !with_tls {
                        return converse(stream, &answer);
                    }
                    let connection = ServerConnection::new(Arc::clone(&tls().1));
                    let connection = connection.map_err(io::Error::other)?;
                    converse(StreamOwned::new(connection, stream), &answer)
                });
            });
        }
    });
    port
}

fn converse(stream: impl Read + Write, answer: &dyn Fn(Request) -> Reply) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream)? {
        let bytes = match answer(request) {
            Reply::Answer(answer) => {
                let mut bytes = format!("HTTP/1.1 {} Status\r\n", answer.status).into_bytes();
                for (name, value) in answer.headers {
                    write!(bytes, "{name}: {value}\r\n")?;
                }
                // An answer of status 204 has no length.
                if answer.status != 204 {
                    write!(bytes, "Content-Length: {}\r\n", answer.body.len())?;
                }
                bytes.extend(b"\r\n");
                bytes.extend(answer.body);
                bytes
            }
            Reply::Verbatim(bytes) => {
                stream.get_mut().write_all(&bytes)?;
                return stream.get_mut().flush();
            }
            Reply::HangUp => break,
            Reply::Silence => return io::copy(&mut stream, &mut io::sink()).map(|_| ()),
        };
        stream.get_mut().write_all(&bytes)?;
        stream.get_mut().flush()?;
    }
    Ok(())
}

/// The next request, or none if the client has closed the connection.
fn read(stream: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut request = Request::default();
    let mut words = line.split_whitespace().map(str::to_owned);
    request.method = words.next().unwrap_or_default();
    request.path = words.next().unwrap_or_default();
    if let Some((path, query)) = request.path.clone().split_once('?') {
        (request.path, request.query) = (path.to_owned(), query.to_owned());
    }
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        request
            .headers
            .push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = request.header("content-length").map_or(Ok(0), str::parse);
    request.body = vec![0; length.map_err(io::Error::other)?];
    stream.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// A certificate for loopback, as PEM, and the settings of a server that shows it.
pub fn tls() -> &'static (String, Arc<ServerConfig>) {
    static TLS: OnceLock<(String, Arc<ServerConfig>)> = OnceLock::new();
    TLS.get_or_init(|| {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let made = rcgen::generate_simple_self_signed(names).unwrap();
        let key = made.signing_key.serialize_pem();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key);
        (made.cert.pem(), Arc::new(server.unwrap()))
    })
}
