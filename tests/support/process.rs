//! Processes.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    process::{Child, Command},
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

/// A process and all that it starts. They are told to end when this goes out of scope.
pub struct Group(pub Child);

impl Group {
    pub fn start(command: &mut Command) -> Self {
        Self(command.process_group(0).spawn().unwrap())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        signal(format!("-{}", self.0.id()), "TERM");
        let _ = self.0.wait();
    }
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
