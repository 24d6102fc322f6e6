//! A small Functions host for development: it starts a custom handler as the Azure Functions host
//! does, checks the access keys and passes requests on. Each room uses only those below it:
//!
//! - `server`: connections, and the host's end;
//! - `host`: which function a call is for, and which key opens it;
//! - `proxy`: how a call is passed on;
//! - `worker`: the handler's process;
//! - `app`: the app as it lies on the disk;
//! - `wire`: HTTP as the real host's server speaks it.
//!
//! Where an error is a text, it is one line for the person at the keyboard: what is wrong, and what
//! to do.
//!
//! What is said of the real host was measured, unless a comment says otherwise; README.md lists what
//! is left out.

mod app;
mod console;
mod host;
mod limits;
mod proxy;
mod server;
mod wire;
mod worker;

use std::{
    collections::BTreeMap,
    env,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use clap::{ArgAction, Parser, value_parser};
use tokio::{runtime, sync::watch, task::LocalSet};

use crate::{
    app::{App, watch::Watch},
    host::{Host, Served, keys::Access, reload::Reload},
    proxy::Handler,
    server::run,
    wire::request::decoded_path,
    worker::{Worker, build::build, gate::Gate},
};
pub use crate::{console::Console, limits::Limits};

/// The key that Microsoft's walkthrough gives to RandomNumber.
pub const WALKTHROUGH_KEY: &str = "d0c5atM1cr0s0ft";

/// Runs the function app in a folder behind a small Functions host: builds and starts its handler,
/// checks keys, passes requests on. Ctrl-C ends both.
#[derive(Clone, Parser)]
#[command(bin_name = "cargo start --")]
pub struct Options {
    // What documents a field is the help for its option. The others are not options.
    /// The port to serve on; 0 is any free one
    #[arg(long, default_value_t = 7071)]
    pub port: u16,
    /// The address to serve on
    #[arg(long, default_value = "127.0.0.1")]
    pub address: IpAddr,
    /// The function key, for development only
    // The value of each function's key `default`; generated if none is given.
    #[arg(long = "key", value_name = "KEY", default_value = WALKTHROUGH_KEY)]
    pub function_key: Option<String>,
    // Generated if none is given.
    #[arg(skip)]
    pub master_key: Option<String>,
    /// The folder with host.json [default: the nearest from the current one upwards]
    #[arg(long, value_name = "FOLDER")]
    #[arg(default_value_os_t = nearest_app_root(), hide_default_value = true)]
    pub app_root: PathBuf,
    /// Check no key, as `func start` does
    #[arg(long = "no-auth", action = ArgAction::SetFalse)]
    pub auth: bool,
    /// Build the handler as it is published: for load tests
    #[arg(long)]
    pub release: bool,
    /// Don't build and restart the handler when a file is saved
    #[arg(long = "no-watch", action = ArgAction::SetFalse)]
    pub watch: bool,
    /// Call a handler that listens on this port of 127.0.0.1, such as one under a debugger
    // It is neither built nor started here, and calls wait for it as long as it takes.
    #[arg(long, value_name = "PORT", value_parser = value_parser!(u16).range(1..))]
    pub attach: Option<u16>,
    #[arg(skip = Console::stdout())]
    pub console: Console,
    // Stop on SIGINT and SIGTERM.
    #[arg(skip = true)]
    pub stop_on_signals: bool,
    #[arg(skip)]
    pub limits: Limits,
}

/// As Core Tools does (`ScriptHostHelpers.GetFunctionAppRootDirectory`). Without any host.json it
/// is the current folder, which the error then names.
fn nearest_app_root() -> PathBuf {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let root = here.ancestors().find(|at| at.join("host.json").is_file());
    root.unwrap_or(&here).to_owned()
}

impl Default for Options {
    /// The app in the current folder, on any free port of 127.0.0.1, with generated keys, saying
    /// nothing.
    fn default() -> Self {
        Self {
            app_root: PathBuf::from("."),
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            function_key: None,
            master_key: None,
            auth: true,
            console: Console::silent(),
            release: false,
            watch: false,
            attach: None,
            stop_on_signals: false,
            limits: Limits::default(),
        }
    }
}

/// A host whose handler answers. It stops when this is dropped.
pub struct Running {
    port: u16,
    host: Arc<Host>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

/// Reads the app, builds it if it is a Rust package, starts its handler and, when that answers,
/// serves it, on a thread of its own.
pub fn start(options: Options) -> Result<Running, String> {
    let console = options.console;
    let mut app = App::read(&options.app_root, &console)?;
    let address = SocketAddr::new(options.address, options.port);
    let bound = TcpListener::bind(address).and_then(|listener| {
        listener.set_nonblocking(true)?;
        Ok((listener.local_addr()?, listener))
    });
    let (address, listener) = bound.map_err(|error| {
        format!(
            "{address} can't be listened on ({error}): end what uses it, or give another port: \
             `cargo start -- --port 0` takes any free one"
        )
    })?;
    let why = match options.function_key.as_deref() {
        _ if !options.auth => Some("no key is checked (--no-auth)"),
        Some(WALKTHROUGH_KEY) => {
            Some("the key is the walkthrough's, which is public: give another one with --key")
        }
        _ => None,
    };
    if let Some(why) = why.filter(|_| !options.address.is_loopback()) {
        let whoever = format!("whoever reaches {}", options.address);
        console.warning(&format!("{whoever} can call each function: {why}"));
    }

    let host_name = format!("localhost:{}", address.port());
    let mut limits = options.limits;
    let mut reload = None;
    let (worker, gate) = if let Some(port) = options.attach {
        console.host(&format!(
            "calls wait for the handler that you start with FUNCTIONS_CUSTOMHANDLER_PORT={port}"
        ));
        // Who stands at a breakpoint takes his time.
        limits.inactivity = Duration::MAX;
        app.host_json.throttle.timeout = None;
        (None, Gate::attached(port))
    } else {
        // Before the build, so that nothing that is saved meanwhile is missed.
        if options.watch {
            reload = Some(Reload {
                watch: Watch::start(&app.root)?,
                release: options.release,
                host_name: host_name.clone(),
            });
        }
        let built = block_on(build(&app, options.release, Some(&console)))??;
        let launch = app.launch(built.executable, &host_name);
        let (worker, gate) = Worker::new(launch, console.clone(), limits)?;
        (Some(worker), gate)
    };
    let handler = Handler::new(gate, limits);
    let access = Access::new(!options.auth, options.master_key, options.function_key);
    access.keys().add(&app.functions);
    let host = Arc::new(Host {
        current: watch::Sender::new(Arc::new(Served { app, handler })),
        access,
        url: format!("http://{address}").replace("127.0.0.1", "localhost"),
        console,
        limits,
        start: Instant::now(),
        stopping: watch::Sender::new(false),
    });
    let (ready, is_ready) = mpsc::channel();
    let (serving, on_signals) = (Arc::clone(&host), options.stop_on_signals);
    let serve = move || block_on(run(serving, worker, reload, listener, on_signals, ready))?;
    let thread = thread::Builder::new().name("dev-host".to_owned());
    let thread = thread.spawn(serve);
    let thread = thread.map_err(|error| format!("no thread for the host: {error}"))?;
    let running = Running {
        port: address.port(),
        host,
        thread: Some(thread),
    };
    if is_ready.recv().is_err() {
        running.wait()?;
        return Err("the host was stopped before the handler answered".to_owned());
    }
    Ok(running)
}

impl Running {
    /// Without a slash at its end.
    pub fn url(&self) -> &str {
        &self.host.url
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn master_key(&self) -> String {
        self.host.access.keys().master.clone()
    }

    /// The key `default` of a function, unless there is no such function or it has lost that key.
    pub fn function_key(&self, function: &str) -> Option<String> {
        self.host.access.keys().default_of(function)
    }

    /// The function that a call is for, and the parameters of its route; none where an optional one
    /// is left out.
    pub fn route(
        &self,
        method: &str,
        path: &str,
    ) -> Option<(String, BTreeMap<String, Option<String>>)> {
        let served = self.host.served();
        let (function, parameters) = served.app.find(method, &decoded_path(path)?)?;
        let owned = |(name, value): (&str, _)| (name.to_owned(), value);
        let parameters = parameters.into_iter().map(owned).collect();
        Some((function.name.clone(), parameters))
    }

    /// What to call and with which key, for the person at the keyboard.
    pub fn greeting(&self) -> String {
        self.host.greeting()
    }

    /// Waits until the host ends by itself, and gives the reason, or is asked to by a signal.
    pub fn wait(mut self) -> Result<(), String> {
        self.join()
    }

    /// Lets requests in flight finish, then ends the handler. An error says why the host had ended
    /// already.
    pub fn stop(mut self) -> Result<(), String> {
        self.host.stopping.send_replace(true);
        self.join()
    }

    fn join(&mut self) -> Result<(), String> {
        match self.thread.take().map(JoinHandle::join) {
            Some(Ok(result)) => result,
            Some(Err(_)) => Err("the host panicked".to_owned()),
            None => Ok(()),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.host.stopping.send_replace(true);
        let _ = self.join();
    }
}

/// Runs a task and what it spawns, all on this thread.
fn block_on<T>(task: impl Future<Output = T>) -> Result<T, String> {
    let mut builder = runtime::Builder::new_current_thread();
    let runtime = builder.enable_all().build();
    let runtime = runtime.map_err(|error| format!("the host can't begin: {error}"))?;
    Ok(LocalSet::new().block_on(&runtime, task))
}
