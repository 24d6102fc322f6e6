//! The real server in the fuzzer's process, so that the fuzzer sees which code a request reaches;
//! what it finds is sent over TCP.
//!
//!     cargo install cargo-fuzz
//!     cargo +nightly fuzz run request fuzz/corpus/request fuzz/seeds >/dev/null
//!
//! Port 3000 has to be free. stdout is the handler's log.

#![no_main]

#[path = "../tests/support/raw.rs"]
mod raw;

use std::{net::TcpStream, panic, process, thread, time::Duration};

use libfuzzer_sys::fuzz_target;
use random_number_function::{logging, random_number, server};

const PORT: u16 = 3000;

fn start() {
    logging::init();
    // Also in the server a panic is a finding.
    panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        process::abort();
    }));
    thread::spawn(|| server::run(random_number::configure).expect("it listens"));
    while TcpStream::connect(("127.0.0.1", PORT)).is_err() {
        thread::sleep(Duration::from_millis(10));
    }
}

fuzz_target!(init: start(), |request: &[u8]| {
    raw::assert_answered_or_unfinished(PORT, request);
});
