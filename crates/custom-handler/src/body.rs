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
    Error, HttpMessage as _,
    body::{BodySize, BoxBody, MessageBody},
    dev::{Payload, ServiceRequest},
    error::PayloadError,
    http::{Method, header},
    web::Bytes,
};
use futures_util::Stream;

use crate::invocation::{CURRENT, Invocation};

/// A request's body. The function and the reader of the rest share it.
#[derive(Clone)]
pub struct Shared(Rc<RefCell<Payload>>);

impl Shared {
    /// Takes the body out of a request, and lends it to the function. None if there is nothing to
    /// read.
    pub fn of(request: &mut ServiceRequest) -> Option<Self> {
        let is_endless = is_endless(request);
        let payload = request.parts_mut().1;
        let body = payload.take();
        if is_endless || matches!(body, Payload::None) {
            return None;
        }
        let body = Self(Rc::new(RefCell::new(body)));
        *payload = Payload::Stream {
            payload: Box::pin(body.clone()),
        };
        Some(body)
    }

    /// Whether the function, or the answer that it has given, may still read it.
    pub fn is_lent(&self) -> bool {
        Rc::strong_count(&self.0) > 1
    }

    /// Reads what is left and throws it away.
    pub async fn read_rest(mut self) {
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
    pub call: Invocation,
    /// What is left of the request's body, if the function may still read it.
    pub left: Option<Shared>,
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
        let Self { body, call, left } = &mut *self;
        let piece = CURRENT.sync_scope(call.clone(), || Pin::new(&mut *body).poll_next(context));
        if let (Poll::Ready(None), Some(left)) = (&piece, left) {
            // Nothing that has ended may be polled again.
            *body = BoxBody::new(());
            ready!(left.poll_rest(context));
        }
        piece.map_err(Error::from)
    }
}

/// Whether the request has a body that ends only with the connection: one that asks for another
/// protocol. Nobody may wait for the end of such a body.
fn is_endless(request: &ServiceRequest) -> bool {
    let mut upgrades = request.headers().get_all(header::UPGRADE);
    let is_upgrade = upgrades.any(|name| name.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let is_chunked = request.chunked().unwrap_or_default();
    !is_chunked && (is_upgrade || request.method() == Method::CONNECT)
}
