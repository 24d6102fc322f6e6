//! HTTP/1.1: what comes in is read, and what goes out is written.

pub mod answer;
pub mod message;
pub mod reader;
pub mod request;
