//! A pipe of log lines that loses a line rather than wait long for its reader.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Result, Write},
    os::unix::fs::{FileTypeExt, OpenOptionsExt},
    thread,
    time::{Duration, Instant},
};

use log::Level;

/// What a pipe takes in one piece or not at all; see pipe(7).
const ATOMIC: usize = 4096;

/// `O_NONBLOCK` of Linux on x86-64 and AArch64.
const NONBLOCK: i32 = 0o4000;

/// How long a full pipe is given to be read. A reader that is only slow makes room within
/// milliseconds; one that stops costs this each time that it stops.
const PATIENCE: Duration = Duration::from_millis(250);

/// When the reader of a log stops reading, the pipe fills, and a plain write would then stop the
/// request that wants to log, and with it the whole server. Here lines are lost instead, and
/// counted; the next one that gets through is preceded by a line that says how many. Lines that
/// were written are the kernel's, so the end of this process loses none.
pub struct Pipe {
    file: File,
    stream: &'static str,
    level: Level,
    lost: u64,
}

impl Pipe {
    /// The pipe behind a standard stream, where there is one. A file never makes its writer wait,
    /// and whoever pauses a terminal does so on purpose.
    ///
    /// The level is for the line that says what has been lost.
    pub fn behind(descriptor: u8, stream: &'static str, level: Level) -> Option<Self> {
        // Opened anew, because a flag of the inherited pipe would be shared with everybody who
        // has inherited it too.
        let path = format!("/proc/self/fd/{descriptor}");
        let is_known =
            cfg!(target_os = "linux") && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
        if !is_known || !fs::metadata(&path).ok()?.file_type().is_fifo() {
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

    /// Writes one line, or counts it as lost; one that is too long loses its end.
    fn put(&mut self, line: &[u8], patience: Duration) {
        let cut;
        let line = if line.len() > ATOMIC {
            let mut end = ATOMIC - 1;
            // Not within a character of UTF-8.
            while line[end] & 0xC0 == 0x80 {
                end -= 1;
            }
            cut = [&line[..end], b"\n"].concat();
            &cut
        } else {
            line
        };
        let begin = Instant::now();
        // Any other error is that nobody will ever read again.
        while let Err(error) = self.file.write(line)
            && error.kind() == ErrorKind::WouldBlock
        {
            if begin.elapsed() >= patience {
                self.lost += 1;
                break;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, line: &[u8]) -> Result<usize> {
        if self.lost > 0 {
            let (lost, level, stream) = (self.lost, self.level, self.stream);
            self.lost = 0;
            let notice = format!("{level} {lost} log lines lost: {stream} was not read\n");
            self.put(notice.as_bytes(), Duration::ZERO);
            if self.lost > 0 {
                // The notice itself found no room.
                self.lost = lost + 1;
                return Ok(line.len());
            }
        }
        self.put(line, PATIENCE);
        Ok(line.len())
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
