//! Keeps a handler running. The rules are those of the table "Its life, measured" of the recordings,
//! but for three that are wanted so: a handler that can't be started at all is reported at once, a
//! stop waits 5 s for running calls, and no handler outlives its host.

use std::{
    future::pending,
    io::{self, ErrorKind},
    net::TcpListener,
    process::ExitStatus,
    time::Duration,
};

use tokio::{
    net::TcpStream,
    sync::{mpsc, watch},
    task::spawn_local,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    console::Console,
    limits::Limits,
    process::{ADDRESS, Launch, POLL, Process},
};

/// By this exit code the handler asks to be started again.
const RESTART: i32 = 200;

/// So many failures within this time end the host. (Three were measured; the time is from the
/// host's sources.)
const FAILURES: usize = 3;
const FAILURE_WINDOW: Duration = Duration::from_secs(30 * 60);

/// If the system has no room for another process, it may have some after this time.
const NO_ROOM: Duration = Duration::from_millis(100);

/// What calls know of the handler.
pub struct Gate {
    pub port: u16,
    state: watch::Receiver<State>,
    orders: mpsc::UnboundedSender<Order>,
    /// Somebody else starts the handler and ends it.
    is_attached: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    Starting,
    /// Counted from 1, so that a call can say which start it was sent to.
    Answers {
        start: u64,
    },
}

enum Order {
    /// Kill the process of that start, unless another has taken its place already.
    Restart { start: u64 },
    /// No new call will come. Those that run may end.
    Retire,
}

impl Gate {
    /// To a handler that somebody else starts.
    pub fn attached(port: u16) -> Self {
        Self {
            port,
            state: watch::channel(State::Answers { start: 1 }).1,
            orders: mpsc::unbounded_channel().0,
            is_attached: true,
        }
    }

    /// Waits until the handler answers; gives the number of its start. None if it is gone for good.
    pub async fn start(&self) -> Option<u64> {
        while self.is_attached && TcpStream::connect((ADDRESS, self.port)).await.is_err() {
            sleep(POLL).await;
        }
        let mut state = self.state.clone();
        let state = state.wait_for(|state| *state != State::Starting).await;
        match *state.ok()? {
            State::Answers { start } => Some(start),
            State::Starting => None,
        }
    }

    /// Kills the process of that start, whatever it is doing, and starts the handler again. If that
    /// has already happened, nothing is left to do.
    pub fn restart(&self, start: u64) {
        let _ = self.orders.send(Order::Restart { start });
    }

    /// Ends the handler when the calls that hold this gate have ended, and in any case soon.
    pub fn retire(&self) {
        let _ = self.orders.send(Order::Retire);
    }
}

/// Where workers run, each in a task of its own, until the host ends.
pub struct Workers {
    ends: watch::Sender<bool>,
    problems: mpsc::UnboundedSender<String>,
}

impl Workers {
    /// And what they say in one line if the host has to end.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (problems, told) = mpsc::unbounded_channel();
        let ends = watch::channel(false).0;
        (Self { ends, problems }, told)
    }

    pub fn keep(&self, worker: Worker) {
        spawn_local(worker.run(self.ends.subscribe(), self.problems.clone()));
    }

    /// Ends all handlers.
    pub async fn end(&self) {
        self.ends.send_replace(true);
        self.ends.closed().await;
    }
}

pub struct Worker {
    life: Life,
    orders: mpsc::UnboundedReceiver<Order>,
}

struct Life {
    launch: Launch,
    /// The same at each start.
    port: u16,
    console: Console,
    limits: Limits,
    state: watch::Sender<State>,
    process: Option<Process>,
    starts: u64,
    failures: Vec<Instant>,
}

/// How a start has come to nothing.
enum Failure {
    Unable(io::Error),
    Silent,
    Ended(ExitStatus),
}

impl Worker {
    /// For a handler that is not started yet, on a port of its own.
    ///
    /// # Errors
    ///
    /// One line: there is no free port.
    pub fn new(launch: Launch, console: Console, limits: Limits) -> Result<(Self, Gate), String> {
        let port = TcpListener::bind((ADDRESS, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("there is no free port for the handler: {error}"))?
            .port();
        let (state, known) = watch::channel(State::Starting);
        let (sender, orders) = mpsc::unbounded_channel();
        let life = Life {
            launch,
            port,
            console,
            limits,
            state,
            process: None,
            starts: 0,
            failures: Vec::new(),
        };
        let gate = Gate {
            port,
            state: known,
            orders: sender,
            is_attached: false,
        };
        Ok((Self { life, orders }, gate))
    }

    /// Starts the handler, and does not try again.
    ///
    /// # Errors
    ///
    /// What it has done instead of answering, as the end of a sentence.
    pub async fn start_once(&mut self) -> Result<(), String> {
        let Err(failure) = self.life.start().await else {
            return Ok(());
        };
        let problem = self.life.problem(&failure);
        let last_lines = self.life.stop().await;
        Err(match failure {
            Failure::Unable(_) => problem,
            _ => format!("{problem}; {last_lines}"),
        })
    }

    /// Keeps the handler running until no call needs it any more, or until the host ends. Tells in
    /// one line why the host has to end, if it has to.
    async fn run(
        self,
        mut host_ends: watch::Receiver<bool>,
        problems: mpsc::UnboundedSender<String>,
    ) {
        let Self {
            mut life,
            mut orders,
        } = self;
        let state = life.state.clone();
        let mut last_moment = None;
        loop {
            let order = async {
                loop {
                    match orders.recv().await {
                        Some(Order::Restart { start })
                            if *state.borrow() != (State::Answers { start }) => {}
                        order => return order,
                    }
                }
            };
            let too_late = async {
                match last_moment {
                    Some(moment) => sleep_until(moment).await,
                    None => pending().await,
                }
            };
            let order = tokio::select! {
                problem = life.live() => {
                    if last_moment.is_none() {
                        let _ = problems.send(problem);
                    }
                    return;
                }
                order = order => order,
                () = too_late => None,
                _ = host_ends.wait_for(|ends| *ends) => None,
            };
            match order {
                Some(Order::Restart { .. }) => drop(life.stop().await),
                Some(Order::Retire) => last_moment = Some(Instant::now() + life.limits.swap),
                // No call holds the gate any more.
                None => return drop(life.stop().await),
            }
        }
    }
}

impl Life {
    /// Starts the handler, again and again if need be, until the host has to end. What was started
    /// before goes on.
    async fn live(&mut self) -> String {
        loop {
            if let Err(problem) = self.live_once().await {
                return problem;
            }
        }
    }

    /// Starts the handler once, unless it runs, and waits for its end. An error ends the host.
    async fn live_once(&mut self) -> Result<(), String> {
        let too_late = Instant::now() + self.limits.start;
        let has_answered = *self.state.borrow() != State::Starting;
        let failure = match &mut self.process {
            Some(process) if has_answered => Failure::Ended(process.ended().await),
            _ => match self.start().await {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            },
        };
        let code = match &failure {
            Failure::Ended(exit) => exit.code(),
            _ => None,
        };
        match code {
            Some(0) if has_answered => {
                self.console
                    .host("the handler exited with 0, so it is not started again: calls get 500");
                pending::<()>().await;
            }
            // Measured: the host waits although nobody is there any more.
            Some(0) => {
                self.console.host(&format!(
                    "the handler {}: as on Azure, the start limit of {} s has to pass",
                    self.problem(&failure),
                    self.limits.start.as_secs_f32()
                ));
                sleep_until(too_late).await;
            }
            Some(RESTART) => {
                self.stop().await;
                self.console
                    .host("the handler exited with 200: it is started again");
                return Ok(());
            }
            _ => {}
        }
        let problem = self.problem(&failure);
        let last_lines = self.stop().await;
        if let Failure::Unable(_) = failure {
            return Err(format!("the handler {problem}"));
        }
        self.failed(&problem, &last_lines)
    }

    /// Starts the handler and waits until it answers.
    async fn start(&mut self) -> Result<(), Failure> {
        self.stop().await;
        let too_late = Instant::now() + self.limits.start;
        self.console.host(&format!(
            "starting the handler on {ADDRESS}:{}, for the host alone to call",
            self.port
        ));
        let process = self.spawn().await.map_err(Failure::Unable)?;
        let process = self.process.insert(process);
        match timeout_at(too_late, process.answers(self.port)).await {
            Ok(None) => {
                self.starts += 1;
                let start = self.starts;
                self.state.send_replace(State::Answers { start });
                Ok(())
            }
            Ok(Some(exit)) => Err(Failure::Ended(exit)),
            Err(_) => Err(Failure::Silent),
        }
    }

    async fn spawn(&self) -> io::Result<Process> {
        let mut is_told = false;
        loop {
            match Process::spawn(&self.launch, self.port, &self.console) {
                Err(error) if is_no_room(&error) => {
                    if !is_told {
                        self.console.host(&format!(
                            "the handler can't be started now ({error}): it is tried again until \
                             it can"
                        ));
                    }
                    is_told = true;
                    sleep(NO_ROOM).await;
                }
                spawned => return spawned,
            }
        }
    }

    /// Counts a failure; the last that is allowed is an error.
    fn failed(&mut self, problem: &str, last_lines: &str) -> Result<(), String> {
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
        Err(format!(
            "the handler failed {FAILURES} times within {} min; at last it {problem}; {last_lines}",
            FAILURE_WINDOW.as_secs() / 60
        ))
    }

    /// Kills the handler, if there is one; says what were its last lines on stderr. The real host
    /// gives the handler no sign before either.
    async fn stop(&mut self) -> String {
        self.state.send_replace(State::Starting);
        let lines = match self.process.take() {
            Some(process) => process.kill().await,
            None => String::new(),
        };
        match lines.as_str() {
            "" => "it wrote nothing to stderr".to_owned(),
            lines => format!("its last lines on stderr: {lines}"),
        }
    }

    /// As the end of a sentence that begins with "the handler".
    fn problem(&self, failure: &Failure) -> String {
        match failure {
            Failure::Unable(error) => format!(
                "can't be started: {} ({error}): customHandler.description in host.json says where \
                 the executable has to be (defaultExecutablePath) and where it runs \
                 (workingDirectory)",
                self.launch.executable.display()
            ),
            Failure::Silent => format!(
                "has not answered GET / within {} s: it has to serve HTTP on \
                 {ADDRESS}, on the port in FUNCTIONS_CUSTOMHANDLER_PORT",
                self.limits.start.as_secs_f32()
            ),
            Failure::Ended(exit) => {
                let before = match *self.state.borrow() {
                    State::Starting => " before it answered GET /",
                    State::Answers { .. } => "",
                };
                match exit.code() {
                    Some(code) => format!("exited with {code}{before}"),
                    None => format!("was ended by {exit}{before}"),
                }
            }
        }
    }
}

/// Too many open files, here or in the whole system (23, 24), or no room for a process.
fn is_no_room(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(23 | 24))
        || matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::OutOfMemory)
}
