//! HTTP/1.1 as it comes in: lines, headers and bodies, read piece by piece. The host does not use a
//! library for it, for what the real one makes of odd bytes is what is to be equal.

use std::io::{self, ErrorKind};

use tokio::{io::AsyncReadExt as _, net::tcp::OwnedReadHalf};

use crate::wire::message::{Framing, Headers, Request, is_token};

/// At most so much of a body is held at once.
const PIECE: usize = 64 * 1024;

/// The longest line within a body that is cut into chunks, and all trailers together.
const LONGEST_CHUNK_LINE: usize = 8 * 1024;
const LONGEST_TRAILERS: usize = 32 * 1024;

/// The longest body that a function gets (row "body: 104857600").
pub const LONGEST_BODY: u64 = 104_857_600;

/// What comes in on a connection.
pub struct Reader {
    stream: OwnedReadHalf,
    buffer: Vec<u8>,
    /// Of the buffer so many bytes were given out already.
    used: usize,
    /// How many bytes have come in all.
    pub received: u64,
}

impl Reader {
    pub fn new(stream: OwnedReadHalf) -> Self {
        Self {
            stream,
            buffer: Vec::new(),
            used: 0,
            received: 0,
        }
    }

    fn unread(&self) -> &[u8] {
        &self.buffer[self.used..]
    }

    pub fn has_unread(&self) -> bool {
        !self.unread().is_empty()
    }

    /// If neither a byte nor the end of the stream has come.
    pub fn is_silent(&self) -> bool {
        let read = self.stream.try_read(&mut [0]);
        !self.has_unread() && read.is_err_and(|error| error.kind() == ErrorKind::WouldBlock)
    }

    /// Waits for a byte; false at the end.
    pub async fn has_more(&mut self) -> io::Result<bool> {
        Ok(self.has_unread() || self.fill().await? > 0)
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.used);
        self.used = 0;
        self.buffer.reserve(PIECE);
        let count = self.stream.read_buf(&mut self.buffer).await?;
        self.received += count as u64;
        Ok(count)
    }

    /// A line without its end, which is a line feed with or without a carriage return. Too long a
    /// line is [`ErrorKind::FileTooLarge`].
    pub async fn line(&mut self, longest: usize) -> io::Result<&[u8]> {
        let mut searched = 0;
        let length = loop {
            let found = self.unread()[searched..].iter().position(|b| *b == b'\n');
            let length = found.map(|at| searched + at);
            searched = self.unread().len();
            if length.unwrap_or(searched) >= longest {
                return Err(ErrorKind::FileTooLarge.into());
            }
            match length {
                Some(length) => break length,
                None if self.fill().await? == 0 => return Err(ErrorKind::UnexpectedEof.into()),
                None => {}
            }
        };
        let line = &self.buffer[self.used..][..length];
        self.used += length + 1;
        Ok(line.strip_suffix(b"\r").unwrap_or(line))
    }

    /// The header lines of a head, up to the empty line. `text` decodes a value; what it can't decode
    /// is [`ErrorKind::InvalidData`].
    pub async fn headers(
        &mut self,
        longest: usize,
        text: impl Fn(&[u8]) -> Option<String>,
    ) -> io::Result<Headers> {
        let mut headers = Headers::default();
        let mut room = longest;
        loop {
            let line = self.line(room).await?;
            if line.is_empty() {
                return Ok(headers);
            }
            room = room.saturating_sub(line.len() + 2);
            let header = header(line).and_then(|(name, value)| Some((name, text(value)?)));
            let (name, value) = header.ok_or(ErrorKind::InvalidData)?;
            headers.add(name, value);
        }
    }

    /// The next piece of a body, empty at its end.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Vec<u8>> {
        match framing {
            Framing::Length(0) => Ok(Vec::new()),
            Framing::UntilClosed => self.some(u64::MAX).await,
            Framing::Length(left) => {
                let piece = self.some(*left).await?;
                *left -= piece.len() as u64;
                whole(piece)
            }
            Framing::Chunks { .. } => self.chunks(framing).await,
        }
    }

    /// All chunks that are here already are one piece, however small they are. Trailers are dropped
    /// (row "body: chunked with an extension and a trailer").
    async fn chunks(&mut self, framing: &mut Framing) -> io::Result<Vec<u8>> {
        let mut pieces = Vec::new();
        while let Framing::Chunks { left, is_first } = framing {
            // Between two chunks are the end of a line and the line with a size.
            let lines = self.unread().iter().filter(|byte| **byte == b'\n');
            let would_wait = match left {
                0 => lines.take(2).count() < 2,
                _ => !self.has_unread(),
            };
            if would_wait && !pieces.is_empty() {
                break;
            }
            if *left == 0 {
                if !*is_first && !self.line(LONGEST_CHUNK_LINE).await?.is_empty() {
                    return Err(ErrorKind::InvalidData.into());
                }
                *is_first = false;
                *left = chunk_size(self.line(LONGEST_CHUNK_LINE).await?)?;
            }
            if *left == 0 {
                let no_text = |_: &_| Some(String::new());
                self.headers(LONGEST_TRAILERS, no_text).await?;
                *framing = Framing::NONE;
                break;
            }
            let piece = whole(self.some(*left).await?)?;
            *left -= piece.len() as u64;
            pieces.extend(piece);
        }
        Ok(pieces)
    }

    async fn some(&mut self, most: u64) -> io::Result<Vec<u8>> {
        if !self.has_more().await? {
            return Ok(Vec::new());
        }
        let count = self.unread().len();
        let count = usize::try_from(most).map_or(count, |most| count.min(most));
        if count == self.buffer.len() {
            return Ok(std::mem::take(&mut self.buffer));
        }
        let some = self.unread()[..count].to_vec();
        self.used += count;
        Ok(some)
    }
}

fn whole(piece: Vec<u8>) -> io::Result<Vec<u8>> {
    match piece.is_empty() {
        true => Err(ErrorKind::UnexpectedEof.into()),
        false => Ok(piece),
    }
}

fn chunk_size(line: &[u8]) -> io::Result<u64> {
    let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
    let size = std::str::from_utf8(size).map_err(|_| ErrorKind::InvalidData)?;
    u64::from_str_radix(size.trim(), 16).map_err(|_| ErrorKind::InvalidData.into())
}

/// Name and value in one line of a head. None if it is no header.
fn header(line: &[u8]) -> Option<(&str, &[u8])> {
    let (name, value) = line.split_at_checked(line.iter().position(|byte| *byte == b':')?)?;
    let value = value[1..].trim_ascii();
    let is_clean = is_token(name) && !value.contains(&b'\r') && !value.contains(&0);
    is_clean.then_some((std::str::from_utf8(name).ok()?, value))
}

/// What is to come of a request's body.
pub struct Body<'a> {
    pub reader: &'a mut Reader,
    pub framing: Framing,
    /// The client waits for `100 Continue` before it sends the body.
    is_awaited: bool,
    /// Some of it was read already, so that the request can't be sent again.
    pub is_begun: bool,
    read: u64,
}

impl<'a> Body<'a> {
    pub fn new(request: &Request, reader: &'a mut Reader) -> Self {
        Self {
            reader,
            framing: request.framing,
            is_awaited: request.headers.lists("expect", "100-continue"),
            is_begun: false,
            read: 0,
        }
    }

    /// The next piece, empty at the end.
    pub async fn piece(&mut self) -> io::Result<Vec<u8>> {
        self.is_begun = true;
        if std::mem::take(&mut self.is_awaited) && !self.reader.has_unread() {
            let stream = self.reader.stream.as_ref();
            stream.try_write(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let piece = self.reader.piece(&mut self.framing).await?;
        self.read += piece.len() as u64;
        if self.read > LONGEST_BODY {
            return Err(ErrorKind::FileTooLarge.into());
        }
        Ok(piece)
    }

    /// All that is left of the body.
    pub async fn whole(&mut self) -> Option<Vec<u8>> {
        let mut whole = Vec::new();
        loop {
            let piece = self.piece().await.ok()?;
            if piece.is_empty() {
                return Some(whole);
            }
            whole.extend(piece);
        }
    }
}
