//! The handler's process: started, watched, started again, killed. The rules are those of the table
//! "Its life, measured" of the recordings, but for three that are wanted so: a handler that can't be
//! started at all is reported at once, a stop waits 5 s for running calls, and no handler outlives
//! its host.

use std::{
    collections::VecDeque,
    env,
    future::pending,
    io,
    net::{Ipv4Addr, TcpListener},
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    process::{Child, Command},
    sync::{OwnedRwLockReadGuard, RwLock, mpsc, oneshot, watch},
    task::JoinHandle,
    time::{sleep, timeout},
};
use uuid::Uuid;

use crate::{console::Console, limits::Limits};

/// Where the handler listens.
const ADDRESS: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// Between two looks if the handler answers.
const POLL: Duration = Duration::from_millis(25);

/// By this exit code the handler asks to be started again.
const RESTART: i32 = 200;

/// So many failures within this time end the host. (Three were measured; the time is from the
/// host's sources.)
const FAILURES: usize = 3;
const FAILURE_WINDOW: Duration = Duration::from_secs(30 * 60);

/// How many of the last lines on stderr become the text of the error.
const LAST_LINES: usize = 3;

/// When the handler has ended, its output is read for no longer than this: another process may
/// hold the pipe open.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Leads the handler's process group and waits for the host to close its stdin, which happens
/// however the host ends. Then it kills the group, itself included.
const WATCHDOG: &str = "read -r _; kill -KILL 0";

/// How to start the handler.
#[derive(Clone)]
pub struct Launch {
    pub executable: PathBuf,
    /// As host.json has them.
    pub arguments: Vec<String>,
    pub working_directory: PathBuf,
    /// Added to the host's own environment.
    pub environment: Vec<(String, String)>,
}

/// What calls need to know of the handler.
#[derive(Clone)]
pub struct Gate {
    port: u16,
    is_ready: watch::Receiver<bool>,
    /// Each call holds it for reading. A swap takes it for writing: running calls end first, new
    /// ones wait.
    calls: Arc<RwLock<()>>,
    /// Somebody else starts the handler and ends it.
    is_attached: bool,
    orders: mpsc::UnboundedSender<Order>,
}

/// A call under way, to be kept until the last byte of its answer.
pub struct Call {
    pub gate: Gate,
    _running: OwnedRwLockReadGuard<()>,
}

pub type Orders = mpsc::UnboundedReceiver<Order>;

pub enum Order {
    Restart,
    /// Tells when the new handler answers.
    Swap(Launch, oneshot::Sender<()>),
}

impl Gate {
    /// To a handler that somebody else starts.
    pub fn attached(port: u16) -> Self {
        Self {
            port,
            is_ready: watch::channel(true).1,
            calls: Arc::default(),
            is_attached: true,
            orders: mpsc::unbounded_channel().0,
        }
    }

    /// Waits while one handler is swapped for another.
    pub async fn enter(&self) -> Call {
        Call {
            _running: Arc::clone(&self.calls).read_owned().await,
            gate: self.clone(),
        }
    }

    /// Kills the handler, whatever it is doing, and starts it again.
    pub fn restart(&self) {
        let _ = self.orders.send(Order::Restart);
    }

    /// Lets running calls end while new ones wait, then kills the handler and starts another. Says
    /// in the end whether that one answers.
    pub async fn swap(&self, launch: Launch) -> bool {
        let (sender, has_answered) = oneshot::channel();
        let _ = self.orders.send(Order::Swap(launch, sender));
        has_answered.await.is_ok()
    }
}

impl Call {
    /// The handler's port. Waits while the handler starts; none if it is gone for good.
    pub async fn port(&self) -> Option<u16> {
        let Gate { port, .. } = self.gate;
        while self.gate.is_attached && TcpStream::connect((ADDRESS, port)).await.is_err() {
            sleep(POLL).await;
        }
        let mut is_ready = self.gate.is_ready.clone();
        is_ready.wait_for(|is_ready| *is_ready).await.ok()?;
        Some(port)
    }
}

/// Keeps a handler running.
pub struct Worker {
    launch: Launch,
    /// The same at each start.
    port: u16,
    console: Console,
    limits: Limits,
    is_ready: watch::Sender<bool>,
    process: Option<Process>,
    failures: Vec<Instant>,
    calls: Arc<RwLock<()>>,
    /// Whom to tell when the handler answers.
    swap: Option<oneshot::Sender<()>>,
}

struct Process {
    child: Child,
    watchdog: Child,
    stdout: JoinHandle<VecDeque<String>>,
    stderr: JoinHandle<VecDeque<String>>,
}

impl Worker {
    /// # Errors
    ///
    /// One line: there is no free port.
    pub fn new(
        launch: Launch,
        console: Console,
        limits: Limits,
    ) -> Result<(Self, Orders, Gate), String> {
        let port = TcpListener::bind((ADDRESS, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("there is no free port for the handler: {error}"))?
            .port();
        let (is_ready, readiness) = watch::channel(false);
        let (sender, orders) = mpsc::unbounded_channel();
        let calls = Arc::<RwLock<()>>::default();
        let gate = Gate {
            port,
            is_ready: readiness,
            calls: Arc::clone(&calls),
            is_attached: false,
            orders: sender,
        };
        let worker = Self {
            launch,
            port,
            console,
            limits,
            is_ready,
            process: None,
            failures: Vec::new(),
            calls,
            swap: None,
        };
        Ok((worker, orders, gate))
    }

    /// Ends only when the host has to end, and says why in one line.
    pub async fn run(&mut self, orders: &mut Orders) -> String {
        loop {
            // An order interrupts `live`. The next round begins with a new start.
            let order = tokio::select! {
                problem = self.live() => {
                    let order = if self.swap.take().is_some() {
                        // The next change may mend what the last one has broken.
                        self.console.host(&format!("{problem}; calls wait for the next change"));
                        orders.recv().await
                    } else {
                        None
                    };
                    let Some(order) = order else {
                        // Who waits for the handler is told that there will be none.
                        self.is_ready = watch::channel(false).0;
                        return problem;
                    };
                    order
                }
                Some(order) = orders.recv() => order,
            };
            let Order::Swap(launch, sender) = order else {
                self.stop().await;
                continue;
            };
            let calls = Arc::clone(&self.calls);
            // Calls that don't end in time are cut off.
            let swapping = timeout(self.limits.swap, calls.write()).await;
            self.stop().await;
            self.launch = launch;
            self.swap = Some(sender);
            self.failures.clear();
            drop(swapping);
        }
    }

    /// Starts the handler, again and again if need be, until the host has to end.
    async fn live(&mut self) -> String {
        loop {
            if let Err(problem) = self.live_once().await {
                return problem;
            }
        }
    }

    /// Starts the handler once, and waits for its end. An error ends the host.
    async fn live_once(&mut self) -> Result<(), String> {
        let limit = self.limits.start;
        let too_late = sleep(limit);
        tokio::pin!(too_late);
        self.stop().await;
        self.console.host(&format!(
            "starting the handler on 127.0.0.1:{}, for the host alone to call",
            self.port
        ));
        let process = Process::spawn(&self.launch, self.port, &self.console)?;
        let process = self.process.insert(process);
        let start = tokio::select! {
            exit = process.child.wait() => Some(exit),
            // If the handler is gone, it was somebody else who answered.
            () = until_it_answers(self.port) => process.child.try_wait().transpose(),
            () = &mut too_late => {
                let problem = format!(
                    "has not answered GET / within {} s: it has to serve HTTP on 127.0.0.1, on \
                     the port in FUNCTIONS_CUSTOMHANDLER_PORT",
                    limit.as_secs_f32()
                );
                return self.failed(&problem).await;
            }
        };
        let has_answered = start.is_none();
        let exit = match start {
            Some(exit) => exit,
            None => {
                self.is_ready.send_replace(true);
                if let Some(swap) = self.swap.take() {
                    let _ = swap.send(());
                }
                process.child.wait().await
            }
        };
        let exit = exit.map_err(|error| format!("the handler can't be awaited: {error}"))?;
        match exit.code() {
            Some(0) if has_answered => {
                self.console
                    .host("the handler exited with 0, so it is not started again: calls get 500");
                pending().await
            }
            // Measured: the host waits although nobody is there any more.
            Some(0) => {
                let problem = "exited with 0 before it answered GET /";
                self.console.host(&format!(
                    "the handler {problem}: as on Azure, the start limit of {} s has to pass",
                    limit.as_secs_f32()
                ));
                too_late.await;
                self.failed(problem).await
            }
            Some(RESTART) => {
                self.console
                    .host("the handler exited with 200: it is started again");
                Ok(())
            }
            _ => self.failed(&ended(exit)).await,
        }
    }

    /// Counts a failure; the last that is allowed is an error.
    async fn failed(&mut self, problem: &str) -> Result<(), String> {
        let last_lines = self.stop().await;
        self.failures.push(Instant::now());
        self.failures
            .retain(|failure| failure.elapsed() < FAILURE_WINDOW);
        let count = self.failures.len();
        if count < FAILURES {
            self.console.host(&format!(
                "the handler {problem}; failure {count} of {FAILURES}: it is started again"
            ));
            return Ok(());
        }
        let last_lines = match last_lines.as_str() {
            "" => "it wrote nothing to stderr".to_owned(),
            lines => format!("its last lines on stderr: {lines}"),
        };
        Err(format!(
            "the handler failed {FAILURES} times within {} min; at last it {problem}; {last_lines}",
            FAILURE_WINDOW.as_secs() / 60
        ))
    }

    /// Kills the handler, if there is one; gives its last lines on stderr. The real host gives the
    /// handler no sign before either.
    pub async fn stop(&mut self) -> String {
        self.is_ready.send_replace(false);
        let Some(process) = &mut self.process else {
            return String::new();
        };
        let lines = process.kill().await;
        self.process = None;
        lines
    }
}

/// How a process has ended, as the end of a sentence that begins with its name.
fn ended(exit: ExitStatus) -> String {
    match exit.code() {
        Some(code) => format!("exited with {code}"),
        None => format!("was ended by {exit}"),
    }
}

impl Process {
    fn spawn(launch: &Launch, port: u16, console: &Console) -> Result<Self, String> {
        let watchdog = Command::new("/bin/sh")
            .args(["-c", WATCHDOG])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .map_err(|error| format!("/bin/sh can't be started ({error})"))?;
        let group = watchdog.id().map_or(0, u32::cast_signed);

        let (id, port) = (Uuid::new_v4().to_string(), port.to_string());
        let environment = [
            ("FUNCTIONS_CUSTOMHANDLER_PORT", &port),
            ("FUNCTIONS_HTTPWORKER_PORT", &port),
            ("FUNCTIONS_CUSTOMHANDLER_WORKER_ID", &id),
            ("FUNCTIONS_HTTPWORKER_ID", &id),
        ];
        let variable = |name: &str| {
            let own = environment.iter().find(|(own, _)| *own == name);
            let set = || launch.environment.iter().find(|(set, _)| set == name);
            own.map(|(_, value)| (*value).clone())
                .or_else(|| set().map(|(_, value)| value.clone()))
                .or_else(|| env::var(name).ok())
        };
        let arguments: Vec<String> = launch
            .arguments
            .iter()
            .map(|argument| expand(argument, variable))
            .collect();
        let mut child = Command::new(&launch.executable)
            .args(split(&arguments.join(" ")))
            .current_dir(&launch.working_directory)
            .envs(launch.environment.iter().map(|(name, value)| (name, value)))
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C goes to the host alone, which lets running calls end first.
            .process_group(group)
            .spawn()
            .map_err(|error| {
                format!(
                    "the handler {} can't be started ({error}): customHandler.description in \
                     host.json says where the executable has to be (defaultExecutablePath) and \
                     where it runs (workingDirectory)",
                    launch.executable.display()
                )
            })?;

        Ok(Self {
            stdout: tokio::spawn(print(child.stdout.take(), console.clone(), false)),
            stderr: tokio::spawn(print(child.stderr.take(), console.clone(), true)),
            child,
            watchdog,
        })
    }

    /// Kills the handler and the processes it has started; gives the last lines of stderr.
    async fn kill(&mut self) -> String {
        drop(self.watchdog.stdin.take());
        let _ = self.child.start_kill();
        let _ = self.child.wait().await;
        let _ = self.watchdog.wait().await;
        let _ = timeout(LAST_WORDS, &mut self.stdout).await;
        match timeout(LAST_WORDS, &mut self.stderr).await {
            Ok(Ok(mut lines)) => lines.make_contiguous().join(" | "),
            _ => String::new(),
        }
    }
}

/// Replaces each %NAME% by the value of a variable, or by nothing if it isn't set.
pub fn expand(text: &str, variable: impl Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%')
        && let Some((name, after)) = after.split_once('%')
    {
        expanded += before;
        expanded += &variable(name).unwrap_or_default();
        rest = after;
    }
    expanded + rest
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

/// Ends when the handler answers GET /. Any answer will do, and so will anything else that is not
/// a refused connection.
async fn until_it_answers(port: u16) {
    loop {
        match ask(port).await {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => sleep(POLL).await,
            _ => return,
        }
    }
}

async fn ask(port: u16) -> io::Result<u8> {
    let mut stream = TcpStream::connect((ADDRESS, port)).await?;
    let request = format!("GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.read_u8().await
}

/// Prints what the handler writes; gives the last lines at the end.
async fn print(
    stream: Option<impl AsyncRead + Unpin>,
    console: Console,
    is_stderr: bool,
) -> VecDeque<String> {
    let mut last_lines = VecDeque::new();
    let Some(stream) = stream else {
        return last_lines;
    };
    let mut stream = BufReader::new(stream);
    let mut bytes = Vec::new();
    while let Ok(1..) = stream.read_until(b'\n', &mut bytes).await {
        let line = String::from_utf8_lossy(&bytes);
        let line = line.trim_end_matches(['\r', '\n']);
        console.handler(is_stderr, line);
        last_lines.push_back(line.to_owned());
        if last_lines.len() > LAST_LINES {
            last_lines.pop_front();
        }
        bytes.clear();
    }
    last_lines
}
