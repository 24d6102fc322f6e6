//! Keeps a handler running. The rules are those of the table "Its life, measured" of the recordings,
//! but for three that are wanted so: a handler that can't be started at all is reported at once, a
//! stop waits 5 s for running calls, and no handler outlives its host.

pub mod build;
pub mod gate;
mod process;

use std::{
    cell::Cell,
    future::pending,
    io::{self, ErrorKind},
    mem,
    net::TcpListener,
    process::ExitStatus,
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::spawn_local,
    time::{Instant, sleep, sleep_until, timeout_at},
};

use crate::{
    app::launch::Launch,
    console::Console,
    limits::Limits,
    worker::{
        gate::{ADDRESS, Gate, Order},
        process::Process,
    },
};

/// By this exit code the handler asks to be started again.
const RESTART: i32 = 200;

/// So many failures within this time end the host. (Three were measured; the time is from the
/// host's sources.)
const FAILURES: usize = 3;
const FAILURE_WINDOW: Duration = Duration::from_secs(30 * 60);

/// If the system has no room for another process, it may have some after this time.
const NO_ROOM: Duration = Duration::from_millis(100);

/// Where workers run, each in a task of its own, until the host ends.
pub struct Workers {
    end: watch::Sender<bool>,
    problems: mpsc::UnboundedSender<String>,
}

impl Workers {
    /// And what they say in one line if the host has to end.
    pub fn new() -> (Self, mpsc::UnboundedReceiver<String>) {
        let (problems, told) = mpsc::unbounded_channel();
        let end = watch::Sender::new(false);
        (Self { end, problems }, told)
    }

    pub fn keep(&self, worker: Worker) {
        spawn_local(worker.run(self.end.subscribe(), self.problems.clone()));
    }

    /// Ends all handlers.
    pub async fn end(&self) {
        self.end.send_replace(true);
        self.end.closed().await;
    }
}

pub struct Worker {
    launch: Launch,
    /// The same at each start.
    port: u16,
    console: Console,
    limits: Limits,
    orders: mpsc::UnboundedReceiver<Order>,
    starts: u64,
    /// The start that answers.
    answers: watch::Sender<Option<u64>>,
    process: Option<Process>,
    failures: Vec<Instant>,
}

/// How the handler has failed.
enum Failure {
    Unable(io::Error),
    Silent,
    Ended(ExitStatus),
}

impl Worker {
    /// For a handler that is not started yet, on a port of its own.
    pub fn new(launch: Launch, console: Console, limits: Limits) -> Result<(Self, Gate), String> {
        let port = TcpListener::bind((ADDRESS, 0))
            .and_then(|listener| listener.local_addr())
            .map_err(|error| format!("there is no free port for the handler: {error}"))?
            .port();
        let (answers, answering) = watch::channel(None);
        let (sender, orders) = mpsc::unbounded_channel();
        let worker = Self {
            launch,
            port,
            console,
            limits,
            orders,
            starts: 0,
            answers,
            process: None,
            failures: Vec::new(),
        };
        Ok((worker, Gate::new(port, answering, sender)))
    }

    /// Starts the handler, and does not try again. The error is the end of a sentence: what it has
    /// done instead of answering.
    pub async fn start_once(&mut self) -> Result<(), String> {
        let Err(failure) = self.start().await else {
            return Ok(());
        };
        let problem = self.problem(&failure);
        let last_lines = self.stop().await;
        Err(match failure {
            Failure::Unable(_) => problem,
            _ => format!("{problem}; {last_lines}"),
        })
    }

    /// Keeps the handler running until no call needs it any more, or until the host ends. Tells in
    /// one line why the host has to end, if it has to.
    async fn run(
        mut self,
        mut host_ends: watch::Receiver<bool>,
        problems: mpsc::UnboundedSender<String>,
    ) {
        let mut orders = mem::replace(&mut self.orders, mpsc::unbounded_channel().1);
        let (answers, limit) = (self.answers.clone(), self.limits.swap);
        // By when a retired handler has to end.
        let last_moment = Cell::new(None);
        loop {
            let order = async {
                loop {
                    let order = match last_moment.get() {
                        None => orders.recv().await,
                        Some(moment) => timeout_at(moment, orders.recv()).await.ok().flatten(),
                    };
                    match order {
                        Some(Order::Restart(start)) if *answers.borrow() != Some(start) => {}
                        Some(Order::Retire) => last_moment.set(Some(Instant::now() + limit)),
                        order => return order,
                    }
                }
            };
            let order = tokio::select! {
                problem = self.live() => {
                    if last_moment.get().is_none() {
                        let _ = problems.send(problem);
                    }
                    return;
                }
                order = order => order,
                _ = host_ends.wait_for(|ends| *ends) => None,
            };
            self.stop().await;
            // No call holds the gate any more, or none may.
            if order.is_none() {
                return;
            }
        }
    }

    /// Starts the handler unless it runs, again and again if need be. Ends when the host has to end,
    /// and says why.
    async fn live(&mut self) -> String {
        loop {
            let too_late = Instant::now() + self.limits.start;
            let has_answered = self.answers.borrow().is_some();
            let failure = match &mut self.process {
                Some(process) if has_answered => Failure::Ended(process.ended().await),
                _ => match self.start().await {
                    Ok(()) => continue,
                    Err(failure) => failure,
                },
            };
            let problem = self.problem(&failure);
            let code = match failure {
                Failure::Unable(_) => return format!("the handler {problem}"),
                Failure::Silent => None,
                Failure::Ended(exit) => exit.code(),
            };
            let console = self.console.clone();
            let tell = |what: &str| console.host(&format!("the handler {problem}{what}"));
            if code == Some(0) && has_answered {
                tell(", so it is not started again: calls get 500");
                return pending().await;
            }
            if code == Some(0) {
                // Measured: the host waits although nobody is there any more.
                let limit = self.limits.start.as_secs_f32();
                tell(&format!(
                    ": as on Azure, the start limit of {limit} s has to pass"
                ));
                sleep_until(too_late).await;
            }
            let last_lines = self.stop().await;
            if code == Some(RESTART) {
                tell(": it is started again");
                continue;
            }
            let recent = |failure: &Instant| failure.elapsed() < FAILURE_WINDOW;
            self.failures.push(Instant::now());
            self.failures.retain(recent);
            let count = self.failures.len();
            if count >= FAILURES {
                return format!(
                    "the handler failed {FAILURES} times within {} min; at last it {problem}; \
                     {last_lines}",
                    FAILURE_WINDOW.as_secs() / 60
                );
            }
            tell(&format!(
                "; failure {count} of {FAILURES}: it is started again"
            ));
        }
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
                self.answers.send_replace(Some(self.starts));
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
                    if !mem::replace(&mut is_told, true) {
                        self.console.host(&format!(
                            "the handler can't be started now ({error}): it is tried again until \
                             it can"
                        ));
                    }
                    sleep(NO_ROOM).await;
                }
                spawned => return spawned,
            }
        }
    }

    /// Kills the handler, if there is one; says what were its last lines on stderr. The real host
    /// gives the handler no sign before either.
    async fn stop(&mut self) -> String {
        self.answers.send_replace(None);
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
                "has not answered GET / within {} s: it has to serve HTTP on {ADDRESS}, on the \
                 port in FUNCTIONS_CUSTOMHANDLER_PORT",
                self.limits.start.as_secs_f32()
            ),
            Failure::Ended(exit) => {
                let how = match exit.code() {
                    Some(code) => format!("exited with {code}"),
                    None => format!("was ended by {exit}"),
                };
                match self.answers.borrow().is_some() {
                    true => how,
                    false => how + " before it answered GET /",
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
