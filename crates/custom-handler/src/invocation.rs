//! The call that is being served, an *invocation*.

use std::{rc::Rc, str};

use actix_web::http::header::HeaderMap;
use tokio::task_local;

task_local! {
    pub static CURRENT: Invocation;
}

#[derive(Clone, Default)]
pub struct Invocation {
    /// None if the host has given it none.
    pub id: Option<Rc<str>>,
    /// The function that was chosen for it: its place among the registered ones.
    pub function: usize,
}

/// The host sends the id in this header, but none with its question if the handler is there.
pub const HEADER: &str = "x-azure-functions-invocationid";

/// The id of a call: what stands behind the last comma, for a client's own header of that name may
/// come first. None if it is no GUID.
pub fn id(headers: &HeaderMap) -> Option<Rc<str>> {
    let value = headers.get_all(HEADER).last()?.as_bytes();
    let last = value.rsplit(|byte| *byte == b',').next()?;
    let id = str::from_utf8(last).ok()?.trim();
    let fits = |(at, byte): (usize, u8)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => byte.is_ascii_hexdigit(),
    };
    (id.len() == 36 && id.bytes().enumerate().all(fits)).then(|| id.into())
}
