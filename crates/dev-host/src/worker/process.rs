//! One process of the handler: how it is started, what it prints, and how it is killed.

use std::{
    env, io,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{
    app::launch::{Launch, expand},
    console::Console,
    worker::gate::{ADDRESS, POLL},
};

/// How many of the last lines on stderr become the text of the error.
const LAST_LINES: usize = 3;

/// Of a longer line of the handler the rest is left out, for it may have no end. (The real host was
/// seen to log one of 40 000 characters whole; what it does with a longer one is not verified.)
const LONGEST_LINE: u64 = 64 * 1024;

/// When the handler has ended, its output is read for no longer than this: another process may
/// hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Leads the handler's process group and waits for the host to close its stdin, which happens
/// however the host ends. Then it kills the group, itself included.
const WATCHDOG: &str = "read -r _; kill -KILL 0";

/// It is killed when this is dropped.
pub struct Process {
    child: Child,
    watchdog: Child,
    stdout: JoinHandle<Vec<String>>,
    stderr: JoinHandle<Vec<String>>,
}

impl Process {
    /// A handler that listens on the port if it does what it is told.
    pub fn spawn(launch: &Launch, port: u16, console: &Console) -> io::Result<Self> {
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        let group = watchdog.id().map_or(0, u32::cast_signed);

        let (id, port) = (Uuid::new_v4().to_string(), port.to_string());
        let mut environment = launch.environment.clone();
        for (name, value) in [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", &port),
            ("FUNCTIONS_HTTPWORKER_PORT", &port),
            ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &id),
            ("FUNCTIONS_HTTPWORKER_ID", &id),
        ] {
            environment.insert(name.to_owned(), value.clone());
        }
        let variable = |name: &str| {
            environment
                .get(name)
                .cloned()
                .or_else(|| env::var(name).ok())
        };
        let arguments = launch.arguments.iter();
        let arguments: Vec<String> = arguments.map(|text| expand(text, variable)).collect();
        let mut child = Command::new(&launch.executable)
            .args(split(&arguments.join(" ")))
            .current_dir(&launch.working_directory)
            .envs(&environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the host alone, which lets running calls end first.
            .process_group(group)
            .spawn()?;

        Ok(Self {
            stdout: tokio::spawn(print(child.stdout.take(), console.clone(), false)),
            stderr: tokio::spawn(print(child.stderr.take(), console.clone(), true)),
            child,
            watchdog,
        })
    }

    /// Waits until it answers on the port; or else says how it has ended.
    pub async fn answers(&mut self, port: u16) -> Option<ExitStatus> {
        tokio::select! {
            exit = self.ended() => Some(exit),
            // If the handler is gone, it was somebody else who answered.
            () = until_it_answers(port) => self.child.try_wait().ok().flatten(),
        }
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> ExitStatus {
        let exit = self.child.wait().await;
        exit.expect("nobody else awaits the host's own child")
    }

    /// Kills the handler and the processes it has started; gives the last lines of stderr.
    pub async fn kill(mut self) -> String {
        drop(self.watchdog.stdin.take());
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        let _ = self.watchdog.wait().await;
        let _ = timeout(LAST_WORDS, &mut self.stdout).await;
        match timeout(LAST_WORDS, &mut self.stderr).await {
            Ok(Ok(lines)) => lines.join(" | "),
            _ => String::new(),
        }
    }
}

/// Splits a command line as .NET does: at blanks outside of double quotes. A quote after a
/// backslash is a plain character.
fn split(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = None::<String>;
    let mut is_quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            ' ' | '\t' if !is_quoted => words.extend(word.take()),
            '\\' if characters.peek() == Some(&'"') => {
                characters.next();
                word.get_or_insert_default().push('"');
            }
            '"' => {
                word.get_or_insert_default();
                is_quoted = !is_quoted;
            }
            other => word.get_or_insert_default().push(other),
        }
    }
    words.extend(word);
    words
}

/// Ends when the handler answers GET /. Any answer will do, even a connection that is closed.
async fn until_it_answers(port: u16) {
    let mut stream = loop {
        match TcpStream::connect((ADDRESS, port)).await {
            Ok(stream) => break stream,
            Err(_) => sleep(POLL).await,
        }
    };
    let request = format!("GET / HTTP/1.1\r\nHost: {ADDRESS}:{port}\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let _ = stream.read_u8().await;
}

/// Prints what the handler writes; gives the last lines at the end.
async fn print(
    stream: Option<impl AsyncRead + Unpin>,
    console: Console,
    is_stderr: bool,
) -> Vec<String> {
    let mut last_lines = Vec::new();
    let Some(stream) = stream else {
        return last_lines;
    };
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    let mut is_rest = false;
    loop {
        bytes.clear();
        let part = (&mut stream).take(LONGEST_LINE);
        let Ok(1..) = { part }.read_until(b'\n', &mut bytes).await else {
            return last_lines;
        };
        let goes_on = bytes.len() as u64 == LONGEST_LINE && !bytes.ends_with(b"\n");
        if !is_rest {
            let line = String::from_utf8_lossy(&bytes);
            let mut line = line.trim_end_matches(['\r', '\n']).to_owned();
            if goes_on {
                line += &format!(" [cut here: the line has more than {LONGEST_LINE} bytes]");
            }
            console.handler(is_stderr, &line);
            last_lines.push(line);
            if last_lines.len() > LAST_LINES {
                last_lines.remove(0);
            }
        }
        is_rest = goes_on;
    }
}
