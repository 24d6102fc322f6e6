//! Processes, as Linux shows them.

use std::{
    fs,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::PATIENCE;

/// Sends a signal to a process.
pub fn signal(process: u32, name: &str) {
    let status = Command::new("sh")
        .args(["-c", &format!("kill -s {name} {process}")])
        .status()
        .expect("sh is there");
    assert!(status.success(), "kill -s {name}");
}

/// The memory of a process in KiB: `VmRSS`, what is resident, or `VmHWM`, the most that ever was.
pub fn memory(process: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.expect("a figure").parse().expect("a number")
}

/// Waits for a condition that holds soon unless something is broken.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    eventually(what, || condition().then_some(()));
}

/// Waits for a value that is there soon unless something is broken.
pub fn eventually<T>(what: &str, mut value: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = value() {
            return value;
        }
        assert!(begin.elapsed() < PATIENCE, "not so: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}
