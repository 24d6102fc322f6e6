//! Processes, as Linux shows them.

use std::{
    fs,
    path::PathBuf,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use crate::PATIENCE;

/// Runs a command, which has to succeed. Gives its standard output.
pub fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Sends a signal to a process, or with `-` before its id to a whole process group.
pub fn signal(process: impl ToString, name: &str) {
    let line = format!("kill -s {name} -- {}", process.to_string());
    succeeds(Command::new("sh").args(["-c", &line]));
}

/// The memory of a process in KiB: `VmRSS`, what is resident, or `VmHWM`, the most that ever was.
pub fn memory(process: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("Linux");
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix(figure)?.strip_prefix(':'));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kibibytes.expect("a figure").parse().expect("a number")
}

/// The port on which a process listens, if it does.
pub fn listening_port(process: u32) -> Option<u16> {
    let files = fs::read_dir(format!("/proc/{process}/fd")).ok()?;
    let links = files.filter_map(|file| fs::read_link(file.ok()?.path()).ok());
    let links: Vec<PathBuf> = links.collect();
    // See proc(5): all sockets, also those of other processes.
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap();
    sockets.lines().skip(1).find_map(|line| {
        let columns: Vec<_> = line.split_whitespace().collect();
        let (state, link) = (columns[3], format!("socket:[{}]", columns[9]));
        let (_, port) = columns[1].split_once(':')?;
        let is_listening = state == "0A" && links.contains(&PathBuf::from(link));
        is_listening.then(|| u16::from_str_radix(port, 16).unwrap())
    })
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
