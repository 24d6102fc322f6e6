//! Bodies of requests and answers.
//!
//! Each request's body is read to its end, also if the function has no interest in it. An answer
//! before the end of the body would make the server close the connection. The host, which is still
//! sending the body, then fails, and the caller gets a 500.

use std::{
    cell::RefCell,
    future::poll_fn,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, ready},
};

use actix_web::{
    Error, HttpMessage,
    body::{BodySize, BoxBody, MessageBody},
    dev::Payload,
    error::PayloadError,
    http::{Method, header},
    web::Bytes,
};
use futures_util::Stream;

use crate::invocation::{ID, Id};

/// A request's body. The function and the reader of the rest share it.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<Payload>>);

impl Shared {
    pub fn new(payload: Payload) -> Self {
        Self(Rc::new(RefCell::new(payload)))
    }

    /// As the function gets it.
    pub fn lent(&self) -> Payload {
        Payload::Stream {
            payload: Box::pin(self.clone()),
        }
    }

    /// Whether the function, or the answer that it has given, may still read it.
    pub fn is_lent(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Reads what is left and throws it away.
    pub async fn read_rest(&mut self) {
        poll_fn(|context| self.poll_rest(context)).await;
    }

    fn poll_rest(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while let Some(Ok(_)) = ready!(Pin::new(&mut *self).poll_next(context)) {}
        Poll::Ready(())
    }
}

impl Stream for Shared {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}

/// The body of an answer, behind which the rest of the request's is read.
pub struct Answer {
    pub body: BoxBody,
    pub id: Option<Id>,
    pub request: Option<Shared>,
}

impl MessageBody for Answer {
    type Error = Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Error>>> {
        let id = self.id;
        let piece = ID.sync_scope(id, || Pin::new(&mut self.body).poll_next(context));
        if let (Poll::Ready(None), Some(request)) = (&piece, &mut self.request) {
            ready!(request.poll_rest(context));
        }
        piece.map_err(Error::from)
    }
}

/// Whether the request has a body that ends only with the connection: one that asks for another
/// protocol. Nobody may wait for the end of such a body.
pub fn is_endless(request: &impl HttpMessage, method: &Method) -> bool {
    let mut upgrades = request.headers().get_all(header::UPGRADE);
    let is_upgrade = upgrades.any(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let is_chunked = request.chunked().unwrap_or_default();
    !is_chunked && (is_upgrade || *method == Method::CONNECT)
}
