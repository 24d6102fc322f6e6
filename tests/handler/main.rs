//! The real executable, started as a Functions host starts it and called over TCP.

mod bodies;
mod client;
mod endpoint;
mod faults;
mod logs;
mod process;
