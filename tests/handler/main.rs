//! The real executable, started as a Functions host starts it and called over TCP.

mod bodies;
mod endpoint;
mod handler;
mod logs;
mod process;
