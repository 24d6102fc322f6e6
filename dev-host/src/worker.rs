//! The handler's process: started, watched, started again, stopped.

use std::{
    collections::VecDeque,
    future::pending,
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU16, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::rt::{
    self,
    task::JoinHandle,
    time::{sleep, timeout},
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
};
use uuid::Uuid;

use crate::{
    Limits,
    app::App,
    console::{Console, Severity},
    forward::{Upload, client},
};

/// Between two looks if the handler answers (`WorkerConstants`), or has ended.
const POLL: Duration = Duration::from_millis(25);

/// An exit with this code is meant: the handler wants to be started again.
const RESTART: i32 = 200;

/// So many failures within this time end the host (`HttpFunctionInvocationDispatcher`).
const FAILURES: usize = 3;
const FAILURE_WINDOW: Duration = Duration::from_secs(30 * 60);

/// How many of the last lines on stderr become the text of the error (`WorkerProcess`).
const LAST_LINES: usize = 3;

/// What a process that is gone may still have in its pipes is read for no longer than this: a
/// child of its own can hold them open.
const LAST_WORDS: Duration = Duration::from_secs(1);

pub struct Worker {
    command: Command,
    port: Arc<AtomicU16>,
    console: Console,
    limits: Limits,
    process: Option<Process>,
    failures: Vec<Instant>,
}

struct Process {
    child: Child,
    group: Option<Pid>,
    readers: [JoinHandle<()>; 2],
    last_lines: Arc<Mutex<VecDeque<String>>>,
}

impl Worker {
    pub fn new(app: &App, executable: PathBuf, console: Console, limits: Limits) -> Self {
        let id = Uuid::new_v4().to_string();
        let mut command = Command::new(executable);
        command
            .args(&app.handler.arguments)
            .current_dir(app.root.join(&app.handler.working_directory))
            .envs(app.settings.iter().map(|(name, value)| (name, value)))
            .env("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &id)
            .env("FUNCTIONS_HTTPWORKER_ID", &id)
            .env("FUNCTIONS_APP_ROOT_PATH", &app.root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the host alone, which lets requests in flight finish first.
            .process_group(0)
            .kill_on_drop(true);
        #[cfg(target_os = "linux")]
        die_with_host(&mut command);
        Self {
            command,
            port: Arc::default(),
            console,
            limits,
            process: None,
            failures: Vec::new(),
        }
    }

    /// The port of the handler that was started last. Each start has one of its own: if somebody
    /// else takes a port first, the next start can still succeed.
    pub fn port(&self) -> Arc<AtomicU16> {
        Arc::clone(&self.port)
    }

    /// Starts the handler, and starts it again by the rules for exit codes until it answers. All
    /// the starts together have the time that `limits` gives.
    ///
    /// # Errors
    ///
    /// One line: the handler can't be started, doesn't answer in time, ends with 0, or has failed
    /// too often.
    pub async fn start(&mut self) -> Result<(), String> {
        let limit = self.limits.start;
        timeout(limit, self.start_until_it_answers())
            .await
            .unwrap_or_else(|_| {
                Err(format!(
                    "the handler has not answered GET / within {} s: it has to serve HTTP on \
                     127.0.0.1, on the port in FUNCTIONS_CUSTOMHANDLER_PORT",
                    limit.as_secs_f32()
                ))
            })
    }

    async fn start_until_it_answers(&mut self) -> Result<(), String> {
        loop {
            let port = free_port()?;
            self.port.store(port, Ordering::Relaxed);
            self.command
                .env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string())
                .env("FUNCTIONS_HTTPWORKER_PORT", port.to_string());
            self.console.host(&format!(
                "starting the handler on 127.0.0.1:{port}, for the host alone to call"
            ));
            let process = Process::spawn(&mut self.command, &self.console)?;
            let process = self.process.insert(process);
            let exit = tokio::select! {
                exit = process.child.wait() => exit,
                // If the handler is gone, it was somebody else who answered.
                () = answers(port) => match process.child.try_wait().transpose() {
                    None => return Ok(()),
                    Some(exit) => exit,
                },
            };
            if !self.wants_restart(exit).await? {
                return Err("the handler exited with 0 before it answered GET /".to_owned());
            }
        }
    }

    /// Keeps the handler running. Ends only when the host has to end.
    ///
    /// # Errors
    ///
    /// As [`Self::start`].
    pub async fn keep(&mut self) -> Result<(), String> {
        loop {
            let Some(process) = &mut self.process else {
                // Nothing runs and nothing is to be started any more.
                return pending().await;
            };
            let exit = process.child.wait().await;
            if self.wants_restart(exit).await? {
                self.start().await?;
            } else {
                self.console.host(
                    "the handler exited with 0, which the host takes for its wish: it is not \
                     started again",
                );
            }
        }
    }

    /// What an exit asks for: to start the handler again, or to leave it at that.
    async fn wants_restart(&mut self, exit: io::Result<ExitStatus>) -> Result<bool, String> {
        let exit = exit.map_err(|error| format!("the handler can't be awaited: {error}"))?;
        let last_lines = match self.process.take() {
            Some(process) => process.last_words().await,
            None => String::new(),
        };
        match exit.code() {
            Some(0) => return Ok(false),
            Some(RESTART) => {
                self.console
                    .host("the handler exited with 200: it is started again");
                return Ok(true);
            }
            _ => {}
        }
        self.failures.push(Instant::now());
        self.failures
            .retain(|failure| failure.elapsed() < FAILURE_WINDOW);
        let count = self.failures.len();
        if count < FAILURES {
            self.console.host(&format!(
                "the handler failed ({exit}), {count} of {FAILURES} times: it is started again"
            ));
            return Ok(true);
        }
        let last_lines = if last_lines.is_empty() {
            "it wrote nothing to stderr".to_owned()
        } else {
            format!("its last lines on stderr: {last_lines}")
        };
        Err(format!(
            "the handler failed {FAILURES} times within {} min, last with {exit}; {last_lines}",
            FAILURE_WINDOW.as_secs() / 60
        ))
    }

    /// Asks the handler to end, and makes it end if it does not do so in time.
    pub async fn stop(&mut self) {
        let Some(mut process) = self.process.take() else {
            return;
        };
        process.signal(Signal::TERM);
        if timeout(self.limits.stop, process.ended()).await.is_err() {
            self.console
                .host("the handler has not ended after SIGTERM: it is killed");
        }
        process.signal(Signal::KILL);
        let _ = process.child.wait().await;
        process.last_words().await;
    }
}

impl Process {
    fn spawn(command: &mut Command, console: &Console) -> Result<Self, String> {
        let mut child = command.spawn().map_err(|error| {
            let executable = command.as_std().get_program().display();
            format!(
                "the handler {executable} can't be started ({error}): host.json says \
                 where an executable has to be"
            )
        })?;
        let last_lines = Arc::<Mutex<VecDeque<String>>>::default();
        let tail = Arc::clone(&last_lines);
        let (output, errors) = (console.clone(), console.clone());
        let readers = [
            rt::spawn(lines(child.stdout.take(), move |line| {
                output.handler(Severity::Information, line);
            })),
            rt::spawn(lines(child.stderr.take(), move |line| {
                errors.handler(Severity::of_stderr(line), line);
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.push_back(line.to_owned());
                if tail.len() > LAST_LINES {
                    tail.pop_front();
                }
            })),
        ];
        Ok(Self {
            group: child.id().and_then(|id| Pid::from_raw(id.cast_signed())),
            child,
            readers,
            last_lines,
        })
    }

    /// Signals the handler and the processes it has started.
    fn signal(&self, signal: Signal) {
        if let Some(group) = self.group {
            // It fails if nobody is left to get it.
            let _ = kill_process_group(group, signal);
        }
    }

    /// Ends when the handler has. It is not reaped yet, so that its id can't be somebody else's.
    async fn ended(&self) {
        let Some(leader) = self.group else { return };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        while let Ok(None) = waitid(WaitId::Pid(leader), look) {
            sleep(POLL).await;
        }
    }

    /// Reads what is left in the pipes; gives the last lines of stderr.
    async fn last_words(self) -> String {
        for reader in self.readers {
            let _ = timeout(LAST_WORDS, reader).await;
        }
        let lines = self
            .last_lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        lines
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" | ")
    }
}

/// Lets the handler get SIGKILL when the thread that starts it ends, however the host ends. It is
/// started from the host's one thread, which lives for as long as the handler is wanted. Only
/// Linux has this: elsewhere the handler outlives a host that is killed.
#[cfg(target_os = "linux")]
fn die_with_host(command: &mut Command) {
    use rustix::process::{getpid, getppid, set_parent_process_death_signal};

    let host = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        // The host may have been gone before the signal was ordered.
        if getppid() == Some(host) {
            Ok(())
        } else {
            Err(io::ErrorKind::BrokenPipe.into())
        }
    };
    // SAFETY: between fork and exec this makes two system calls and neither allocates nor locks.
    unsafe {
        command.pre_exec(prepare);
    }
}

fn free_port() -> Result<u16, String> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(|error| format!("there is no free port for the handler: {error}"))
}

/// Ends when the handler answers; any answer will do, and so will anything that is not a refused
/// connection (`DefaultHttpWorkerService.IsWorkerReady`).
async fn answers(port: u16) {
    let client = client();
    loop {
        let mut request = hyper::Request::new(Upload::none());
        *request.uri_mut() = format!("http://127.0.0.1:{port}/")
            .parse()
            .expect("an address and a port make a URI");
        match client.request(request).await {
            Err(error) if error.is_connect() => sleep(POLL).await,
            _ => return,
        }
    }
}

async fn lines(stream: Option<impl AsyncRead + Unpin>, print: impl Fn(&str)) {
    let Some(stream) = stream else { return };
    let mut stream = BufReader::new(stream);
    let mut line = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut line).await {
        print(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']));
        line.clear();
    }
}
