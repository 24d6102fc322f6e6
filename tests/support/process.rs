//! Processes, as Linux shows them.

use std::{
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
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.expect("a figure").parse().expect("a number")
}

/// How many files and sockets a process has open.
pub fn descriptors(process: u32) -> usize {
    std::fs::read_dir(format!("/proc/{process}/fd"))
        .expect("Linux")
        .count()
}

/// Waits for a condition that holds soon unless something is broken.
pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(begin.elapsed() < PATIENCE, "not so: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A listening TCP socket, as /proc/net has it.
pub struct Listener {
    pub address: String,
    pub port: u16,
}

/// The listening TCP sockets of a process, of IPv4 and IPv6 alike.
pub fn listeners(process: u32) -> Vec<Listener> {
    let Ok(descriptors) = std::fs::read_dir(format!("/proc/{process}/fd")) else {
        return Vec::new();
    };
    let sockets: Vec<String> = descriptors
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .map(|link| link.to_string_lossy().into_owned())
        .collect();
    ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| std::fs::read_to_string(table).ok())
        .flat_map(|table| {
            let lines: Vec<String> = table.lines().skip(1).map(str::to_owned).collect();
            lines
        })
        .filter_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (address, port) = fields[1].split_once(':')?;
            let listens = fields[3] == "0A";
            let ours = sockets.contains(&format!("socket:[{}]", fields[9]));
            (listens && ours).then(|| Listener {
                address: address.to_owned(),
                port: u16::from_str_radix(port, 16).expect("hexadecimal"),
            })
        })
        .collect()
}
