//! A pipe of log lines that loses a line rather than wait for its reader.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Result, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
};

use log::Level;

/// What a pipe takes in one piece or not at all; see pipe(7).
const ATOMIC: usize = 4096;

/// `O_NONBLOCK` of Linux on x86-64 and AArch64.
const NONBLOCK: i32 = 0o4000;

/// When the reader of a log stops reading, the pipe fills, and a plain write would then stop the
/// request that wants to log. Here the line is lost instead, and counted; the next one that gets
/// through is preceded by a line that says how many. Lines that were written are the kernel's, so
/// the end of this process loses none.
pub struct Pipe {
    file: File,
    stream: &'static str,
    level: Level,
    lost: u64,
}

impl Pipe {
    /// The pipe behind a standard stream, where there is one. A file never makes its writer wait,
    /// and who stops a terminal means it.
    ///
    /// The level is for the line that says what has been lost.
    pub fn behind(descriptor: u8, stream: &'static str, level: Level) -> Option<Self> {
        // Opened anew, because a flag of the inherited pipe would be shared with everybody who
        // has inherited it too.
        let path = format!("/proc/self/fd/{descriptor}");
        if !cfg!(target_os = "linux") || !fs::metadata(&path).ok()?.file_type().is_fifo() {
            return None;
        }
        let file = OpenOptions::new()
            .write(true)
            .custom_flags(NONBLOCK)
            .open(path)
            .ok()?;
        Some(Self {
            file,
            stream,
            level,
            lost: 0,
        })
    }

    /// Writes one line; one that is too long loses its end.
    fn put(&mut self, line: &[u8]) {
        let written = if line.len() > ATOMIC {
            let cut = [&line[..ATOMIC - 1], b"\n"].concat();
            self.file.write(&cut)
        } else {
            self.file.write(line)
        };
        // Any other error is that nobody will ever read again.
        if written.is_err_and(|error| error.kind() == ErrorKind::WouldBlock) {
            self.lost += 1;
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> Result<usize> {
        if self.lost > 0 {
            let (lost, level, stream) = (self.lost, self.level, self.stream);
            self.lost = 0;
            self.put(format!("{level} {lost} log lines lost: {stream} was not read\n").as_bytes());
            if self.lost > 0 {
                // The notice itself found no room.
                self.lost = lost + 1;
                return Ok(line.len());
            }
        }
        self.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
