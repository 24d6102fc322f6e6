//! The plainest HTTP client there is: what is sent and what comes back stays visible to the byte.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
};

use crate::PATIENCE;

/// A keep-alive connection.
pub struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub fn to(port: u16) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the handler accepts");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self {
            stream: BufReader::new(stream),
        }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        assert!(self.try_send(bytes), "the handler reads");
    }

    /// As `send`, for a handler that may have hung up.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.get_mut().write_all(bytes.as_ref()).is_ok()
    }

    /// A request without a body, and its answer.
    pub fn request(&mut self, method: &str, target: &str, headers: &str) -> Answer {
        self.send(format!(
            "{method} {target} HTTP/1.1\r\nHost: handler\r\n{headers}\r\n"
        ));
        self.answer_to(method)
    }

    pub fn get(&mut self, target: &str) -> Answer {
        self.request("GET", target, "")
    }

    /// A request with a body, and its answer.
    pub fn post(&mut self, target: &str, content_type: &str, body: &str) -> Answer {
        let length = body.len();
        self.send(format!(
            "POST {target} HTTP/1.1\r\nHost: handler\r\nContent-Type: {content_type}\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        ));
        self.answer()
    }

    pub fn answer(&mut self) -> Answer {
        self.answer_to("GET")
    }

    fn answer_to(&mut self, method: &str) -> Answer {
        let mut line = || {
            let mut line = String::new();
            self.stream.read_line(&mut line).expect("an answer");
            assert!(line.ends_with("\r\n"), "it ends in mid-answer: {line:?}");
            line.trim_end().to_owned()
        };
        let status = line();
        let status = status.strip_prefix("HTTP/1.1 ").expect("HTTP/1.1");
        let mut headers = Vec::new();
        loop {
            let header = line();
            if header.is_empty() {
                break;
            }
            let (name, value) = header.split_once(": ").expect("a header");
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        let mut answer = Answer {
            status: status[..3].parse().unwrap(),
            headers,
            body: Vec::new(),
        };
        if method == "HEAD" || answer.status == 100 {
            return answer;
        }
        if let Some(length) = answer.header("content-length") {
            answer.body = self.bytes(length.parse().unwrap());
            return answer;
        }
        assert_eq!(answer.header("transfer-encoding"), Some("chunked"));
        loop {
            let line = self.until("\r\n");
            let size = usize::from_str_radix(line.trim_end(), 16).expect("a chunk");
            answer.body.extend(self.bytes(size));
            self.until("\r\n");
            if size == 0 {
                return answer;
            }
        }
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).expect("more of it");
        bytes
    }

    /// What comes up to a text, which is its end.
    pub fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        while !text.ends_with(end.as_bytes()) {
            text.extend(self.bytes(1));
        }
        String::from_utf8(text).unwrap()
    }

    /// To send from another thread while this one reads.
    pub fn sender(&self) -> TcpStream {
        self.stream.get_ref().try_clone().unwrap()
    }

    /// Waits for the end of the connection. True if nothing comes before it, not even a reset.
    pub fn ends(&mut self) -> bool {
        matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// All that comes until the handler closes the connection.
    pub fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        // A reset also ends it.
        let _ = self.stream.read_to_end(&mut rest);
        String::from_utf8_lossy(&rest).into_owned()
    }

    /// Whether the handler has sent anything that is not read yet; asked without waiting.
    pub fn has_news(&mut self) -> bool {
        let stream = self.stream.get_ref();
        stream.set_nonblocking(true).unwrap();
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        !self.stream.buffer().is_empty() || peeked.is_ok()
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|header| header.0 == name);
        let value = values.next().map(|header| header.1.as_str());
        assert!(values.next().is_none(), "{name} twice");
        value
    }

    /// The number, from a body that holds nothing else.
    pub fn value(&self) -> u64 {
        assert_eq!(self.status, 200, "{self:?}");
        let body: HashMap<String, u64> = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(body.len(), 1, "{body:?}");
        body["value"]
    }
}
