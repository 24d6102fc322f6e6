//! What the real host did, byte for byte: each recorded request goes through dev-host to a handler
//! that answers as told, and both sides are compared with crates/conformance/recorded/proxying.jsonl.
//! README.md there says what "equal" leaves aside; exceptions.json there lists the rows that may differ.

use std::{
    collections::BTreeMap,
    io::{self, BufRead, BufReader, ErrorKind, Read, Write},
    mem,
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc, LazyLock, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use dev_host::{Options, Running};
use regex::Regex;
use serde_json::{Value, json};
use socket2::SockRef;
use tempfile::TempDir;
use test_support::{PATIENCE, app::app, put, read};

/// So many hosts work off the rows at the same time.
const LANES: usize = 6;

/// A host that says nothing for so long to what is no request yet is taken to wait for more.
const QUIET: Duration = Duration::from_millis(150);

/// Asked after a row whose connection is to stay open: the answer shows that it did, and is the
/// last one.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// Of a longer body the recording has so many bytes.
const BEGIN: usize = 200;

#[test]
fn each_recorded_row() {
    let rows: Vec<Value> = read("crates/conformance/recorded/proxying.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let exceptions = read("crates/conformance/recorded/exceptions.json");
    let exceptions: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&exceptions).unwrap();
    let (exceptions, either) = (&exceptions["differs"], &exceptions["either"]);

    let next = AtomicUsize::new(0);
    let differences = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                let lane = Lane::start();
                while let Some(row) = rows.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Some(difference) = lane.difference(row) {
                        let name = row["name"].as_str().unwrap().to_owned();
                        differences.lock().unwrap().insert(name, difference);
                    }
                }
            });
        }
    });

    let differences = differences.into_inner().unwrap();
    let mut wrong = Vec::new();
    for (name, difference) in &differences {
        if !exceptions.contains_key(name) && !either.contains_key(name) {
            wrong.push(format!("{name}: {difference}"));
        }
    }
    for name in exceptions.keys() {
        if !differences.contains_key(name) {
            wrong.push(format!("{name}: listed as an exception, but equal"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A host and the handler it is attached to, which is in this process, for one row at a time.
struct Lane {
    host: Running,
    handler: Arc<Mutex<Told>>,
    app: TempDir,
}

impl Lane {
    fn start() -> Self {
        let app = app("none");
        let settings = json!({"Values": {"WEBSITE_HOSTNAME": "w"}});
        put(app.path(), "local.settings.json", settings.to_string());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // The keys are the letters that the recording writes for them.
        let host = dev_host::start(Options {
            app_root: app.path().to_owned(),
            function_key: Some("K".to_owned()),
            master_key: Some("M".to_owned()),
            attach: Some(listener.local_addr().unwrap().port()),
            ..Options::default()
        })
        .unwrap();
        let handler = Arc::<Mutex<Told>>::default();
        let serving = Arc::clone(&handler);
        thread::spawn(move || {
            for connection in listener.incoming() {
                let handler = Arc::clone(&serving);
                thread::spawn(move || serve(&handler, &connection.unwrap()));
            }
        });
        let set = "PUT /admin/host/keys/default HTTP/1.1\r\nHost: x\r\nx-functions-key: M\r\n\
                   Content-Length: 30\r\n\r\n{\"name\":\"default\",\"value\":\"F\"}";
        let (answer, _) = exchange(host.port(), set.as_bytes(), 0, true);
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Self { host, handler, app }
    }

    /// What is not as recorded.
    fn difference(&self, row: &Value) -> Option<String> {
        let text = |member: &str| expand(row[member].as_str().unwrap());
        let answers = match &row["handler_answers"] {
            Value::Null => {
                let usual = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\
                             Content-Length: 11\r\n\r\n{\"value\":1}";
                json!([[usual]])
            }
            Value::String(text) => serde_json::from_str(&expand(text)).unwrap(),
            told => told.clone(),
        };
        let is_early = row["handler_answers_before_the_body"] == true;
        *self.handler.lock().unwrap() = Told {
            answers: serde_json::from_value(answers).unwrap(),
            is_early,
            saw: Vec::new(),
        };

        let mut send = text("send");
        for key in ["K", "F", "M", "k"] {
            send = send.replace(&format!("{{{key}}}"), key);
        }
        let send = latin1_bytes(&send);
        let body_bytes = row["body_bytes"].as_u64().unwrap_or(0);
        let stays_open = row["then"] == "open";
        let (got, then) = exchange(self.host.port(), &send, body_bytes, stays_open);
        if is_early {
            // What is left of the body is read after the answer.
            let expected = row["handler_saw"].as_array().unwrap().len();
            for _ in 0..2_000 {
                if self.handler.lock().unwrap().saw.len() < expected {
                    thread::sleep(Duration::from_millis(1));
                }
            }
        }

        let mut differences = Vec::new();
        let mut compare = |what: &str, expected: Vec<String>, found: Vec<String>| {
            if expected != found {
                let [expected, found] = [expected, found].map(|texts| {
                    let text = texts.join("\n             ");
                    text.chars().take(700).collect::<String>()
                });
                let lines = format!("{what}\n    expected {expected}\n    found    {found}");
                differences.push(lines);
            }
        };
        let saw = Value::from(mem::take(&mut self.handler.lock().unwrap().saw));
        compare("the handler saw", seen(&row["handler_saw"]), seen(&saw));
        let root = self.app.path().canonicalize().unwrap();
        let got = got.replace(root.to_str().unwrap().trim_start_matches('/'), "{app root}");
        let expected = received(&text("client_got"));
        compare("the client got", expected, received(&got));
        compare("then it was", vec![text("then")], vec![then.to_owned()]);
        (!differences.is_empty()).then(|| differences.join("\n  "))
    }
}

/// What the handler is told, and what it saw.
#[derive(Default)]
struct Told {
    answers: Vec<Vec<Value>>,
    is_early: bool,
    saw: Vec<Value>,
}

fn serve(told: &Mutex<Told>, stream: &TcpStream) {
    let mut reader = BufReader::with_capacity(1 << 16, stream);
    while answer(told, stream, &mut reader).is_some() {}
    // What was not read would make the end a reset: so it did in the recording.
}

/// None when the connection ends.
fn answer(told: &Mutex<Told>, mut stream: &TcpStream, reader: &mut impl BufRead) -> Option<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if reader.read_until(b'\n', &mut head).ok()? == 0 {
            return None;
        }
    }
    let head = latin1(&head[..head.len() - 4]);
    let (parts, is_early) = {
        let mut told = told.lock().unwrap();
        let heads = told.saw.iter().filter(|saw| saw.get("head").is_some());
        let nth = heads.count().min(told.answers.len() - 1);
        if told.is_early {
            told.saw.push(json!({"head": head, "early": true}));
        }
        (told.answers[nth].clone(), told.is_early)
    };
    if !is_early {
        let body = body(reader, &head)?;
        let begin = latin1(&body[..body.len().min(BEGIN)]);
        let saw = json!({"head": head, "body": begin, "size": body.len()});
        told.lock().unwrap().saw.push(saw);
    }
    for part in parts {
        match part {
            Value::String(word) if word == "close" => return None,
            Value::String(word) if word == "reset" => {
                let socket = SockRef::from(stream);
                socket.set_linger(Some(Duration::ZERO)).unwrap();
                return None;
            }
            Value::String(text) => stream.write_all(&latin1_bytes(&text)).ok()?,
            Value::Number(seconds) => {
                thread::sleep(Duration::from_secs_f64(seconds.as_f64().unwrap()));
            }
            size => {
                let size = usize::try_from(size["size"].as_u64().unwrap()).unwrap();
                stream.write_all(&vec![b'z'; size]).ok()?;
            }
        }
    }
    if is_early {
        let body = body(reader, &head)?;
        told.lock()
            .unwrap()
            .saw
            .push(json!({"late body": body.len()}));
    }
    Some(())
}
/// The body with its framing, if it is chunked.
fn body(reader: &mut impl BufRead, head: &str) -> Option<Vec<u8>> {
    let header = |name: &str| {
        head.lines()
            .filter_map(|line| line.split_once(": "))
            .find(|(found, _)| found.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    let mut body = Vec::new();
    if let Some(length) = header("content-length") {
        let length = length.parse().ok()?;
        let read = reader.take(length).read_to_end(&mut body).ok()?;
        return (read as u64 == length).then_some(body);
    } else if header("transfer-encoding").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            if reader.read_until(b'\n', &mut body).ok()? == 0 {
                return None;
            }
        }
    }
    Some(body)
}

/// Sends a request and so many bytes more; gives all that came back, and what became of the
/// connection.
fn exchange(
    port: u16,
    request: &[u8],
    body_bytes: u64,
    stays_open: bool,
) -> (String, &'static str) {
    let is_request = request.contains(&b'\n');
    let patience = if is_request { PATIENCE } else { QUIET };
    let probe = if is_request && stays_open { PROBE } else { b"" };
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(patience)).unwrap();
    thread::scope(|scope| {
        let sender = scope.spawn(|| {
            let body = io::repeat(b'b').take(body_bytes);
            io::copy(&mut request.chain(body).chain(probe), &mut &stream).is_ok()
        });
        let mut got = Vec::new();
        let end = (&stream).read_to_end(&mut got);
        let _ = stream.shutdown(Shutdown::Both);
        let is_all_sent = sender.join().unwrap();
        let got = latin1(&got);
        let then = match end {
            _ if !is_all_sent => "closed while the body was sent",
            Ok(_) => "closed",
            Err(error) if error.kind() == ErrorKind::ConnectionReset => "reset",
            Err(_) => "open",
        };
        match got.rfind("HTTP/1.1 404 ") {
            Some(at) if !probe.is_empty() => (got[..at].to_owned(), "open"),
            _ => (got, then),
        }
    })
}

/// The answers in a text: head, and body without the framing of chunks. None if the last is not
/// whole.
fn messages(text: &str, is_head: bool) -> Option<Vec<(String, String)>> {
    let mut messages = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (head, after) = rest.split_once("\r\n\r\n")?;
        let lower = head.to_ascii_lowercase();
        let mut body = String::new();
        rest = after;
        if is_head {
        } else if lower.contains("transfer-encoding: chunked") {
            loop {
                let (size, after) = rest.split_once("\r\n")?;
                let size = usize::from_str_radix(size, 16).ok()?;
                body.push_str(after.get(..size)?);
                rest = after.get(size + 2..)?;
                if size == 0 {
                    break;
                }
            }
        } else if let Some((_, value)) = lower.split_once("content-length: ") {
            let length = value.lines().next()?.parse().ok()?;
            // The home page is cut in the recording.
            if let Some(cut) = rest.strip_prefix("<!DOCTYPE html>{the rest") {
                (body, rest) = (cut.to_owned(), "");
            } else if rest.contains("{app root}") || rest.contains("{ms}") {
                (body, rest) = (rest.to_owned(), "");
            } else {
                body = rest.get(..length)?.to_owned();
                rest = &rest[length..];
            }
        }
        messages.push((head.to_owned(), body));
    }
    Some(messages)
}

/// What the client got, in a form to compare.
fn received(text: &str) -> Vec<String> {
    let lower = text.to_ascii_lowercase();
    let is_head = lower.contains("\r\ncontent-length: ") && lower.ends_with("\r\n\r\n");
    let Some(messages) = messages(text, is_head) else {
        // It was cut off.
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        return vec![comparable_head(head, true), format!("cut: {body}")];
    };
    messages
        .into_iter()
        .flat_map(|(head, body)| {
            let is_home = head.to_ascii_lowercase().contains("text/html");
            let body = comparable(if is_home { "" } else { &body });
            let has_length = !is_home && !body.contains('{');
            [comparable_head(&head, has_length), body]
        })
        .collect()
}

/// Status and headers.
fn comparable_head(head: &str, with_length: bool) -> String {
    let (first, rest) = head.split_once("\r\n").unwrap_or((head, ""));
    let status = first.split(' ').nth(1).unwrap();
    let mut headers = headers(rest);
    headers.retain(|line| !line.starts_with("server: ") && !line.starts_with("date: "));
    for line in headers.iter_mut().filter(|_| !with_length) {
        if line.starts_with("content-length: ") {
            line.truncate("content-length".len());
        }
    }
    format!("{status} {headers:?}")
}

/// The lines of a head, their names in lower case, in order.
fn headers(lines: &str) -> Vec<String> {
    let lines = lines.split("\r\n").map(|line| match line.split_once(':') {
        Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// What the handler saw, in a form to compare.
fn seen(saw: &Value) -> Vec<String> {
    saw.as_array()
        .unwrap()
        .iter()
        .map(|request| {
            let Some(head) = request["head"].as_str() else {
                return request.to_string();
            };
            let head = comparable(&expand(head));
            let (first, rest) = head.split_once("\r\n").unwrap();
            let headers = headers(rest);
            let mut body = expand(request["body"].as_str().unwrap_or_default());
            let mut size = request["size"].to_string();
            if headers.contains(&"transfer-encoding: chunked".to_owned()) {
                size = "chunks".to_owned();
                let whole = format!("transfer-encoding: chunked\r\n\r\n{body}");
                body = messages(&whole, false).unwrap().remove(0).1;
            }
            format!("{first} {headers:?} {body:?} {size} {}", request["early"])
        })
        .collect()
}

/// Puts the recording's words for what varies.
fn comparable(text: &str) -> String {
    static PATTERNS: LazyLock<[(Regex, &str); 5]> = LazyLock::new(|| {
        [
            (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "{uuid}"),
            (r"4\.1037\.0\.0", "{host version}"),
            (r"127\.0\.0\.1:[0-9]+", "127.0.0.1:{handler port}"),
            (r#""id":"[^"]*""#, r#""id":"{host id}""#),
            (r#""processUptime":[0-9]+"#, r#""processUptime":{ms}"#),
        ]
        .map(|(pattern, word)| (Regex::new(pattern).unwrap(), word))
    });
    // Long texts vary in nothing, and the patterns are slow.
    let patterns = PATTERNS.iter().filter(|_| text.len() < 100_000);
    patterns.fold(text.to_owned(), |text, (pattern, word)| {
        pattern.replace_all(&text, *word).into_owned()
    })
}

/// `{a*8000}` stands for 8000 times `a`.
fn expand(text: &str) -> String {
    static RUN: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"\{(.)\*([0-9]+)\}(\.\.\.)?").unwrap());
    RUN.replace_all(text, |found: &regex::Captures<'_>| {
        found[1].repeat(found[2].parse().unwrap())
    })
    .into_owned()
}

fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

fn latin1_bytes(text: &str) -> Vec<u8> {
    text.chars()
        .map(|char| u8::try_from(u32::from(char)).unwrap())
        .collect()
}
