//! The id that the host gives to each call, an *invocation*.

use std::str;

use actix_web::http::header::HeaderMap;
use tokio::task_local;

/// A GUID.
pub type Id = [u8; 36];

task_local! {
    /// Of the call that is being served, if the host has given it one.
    pub static ID: Option<Id>;
}

/// The host sends the id in this header. It also sends it with its `GET /` for no call.
pub const HEADER: &str = "x-azure-functions-invocationid";

/// The id of a call: what stands behind the last comma, for a client's own header of that name may
/// come first. None if it is no GUID.
pub fn id(headers: &HeaderMap) -> Option<Id> {
    let value = headers.get_all(HEADER).last()?.as_bytes();
    let id = value.rsplit(|byte| *byte == b',').next()?.trim_ascii();
    let is_hyphen = |index| [8, 13, 18, 23].contains(&index);
    id.iter()
        .enumerate()
        .all(|(index, byte)| match is_hyphen(index) {
            true => *byte == b'-',
            false => byte.is_ascii_hexdigit(),
        })
        .then(|| id.try_into().ok())
        .flatten()
}

/// Hands on the id of the call that is being served, or a dash.
pub fn with_id<T>(write: impl FnOnce(&str) -> T) -> T {
    let id = ID.try_with(|id| *id).ok().flatten();
    write(match &id {
        Some(id) => str::from_utf8(id).unwrap_or("-"),
        None => "-",
    })
}
