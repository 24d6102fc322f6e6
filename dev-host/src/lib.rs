//! A small Functions host for development: it starts a custom handler as the Azure Functions host
//! does, checks the access keys and passes requests on. One rule of the real host per module:
//!
//! - `app`: host.json, function.json, local.settings.json;
//! - `worker`: the handler's process;
//! - `routes`: which function a path means;
//! - `auth` and `keys`: which key opens what;
//! - `key_api`: the Key Management API;
//! - `forward`: the two ways to pass a request on;
//! - `console`: which line gets which level.
//!
//! What is said of the real host was read from its source, `Azure/azure-functions-host`, v4.1037;
//! the class that does it is named. README.md lists what is left out.

mod app;
mod auth;
mod cargo;
mod console;
mod forward;
mod key_api;
mod keys;
mod routes;
mod server;
mod tls;
mod worker;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex, mpsc},
    thread::{self, JoinHandle},
    time::Duration,
};

use actix_web::rt::System;
use tokio::sync::watch;

use crate::{
    app::{App, Function},
    auth::Level,
    keys::Keys,
    server::Host,
    worker::{Launch, Worker},
};
pub use crate::{console::Console, tls::Tls};

/// The key that Microsoft's walkthrough gives to RandomNumber.
pub const WALKTHROUGH_KEY: &str = "d0c5atM1cr0s0ft";

/// What the host is to do.
#[derive(Clone)]
pub struct Options {
    /// The folder with host.json.
    pub app_root: PathBuf,
    pub address: IpAddr,
    /// 0 stands for any free one.
    pub port: u16,
    /// The value of each function's key `default`; generated if none is given.
    pub function_key: Option<String>,
    /// Generated if none is given.
    pub master_key: Option<String>,
    /// False lets every call pass without a key, as `func start` does.
    pub auth: bool,
    pub tls: Option<Tls>,
    pub console: Console,
    /// Stop on SIGINT and SIGTERM.
    pub stop_on_signals: bool,
    pub limits: Limits,
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
            tls: None,
            console: Console::silent(),
            stop_on_signals: false,
            limits: Limits::default(),
        }
    }
}

/// How long the host waits.
#[derive(Clone, Copy)]
pub struct Limits {
    /// For the first answer of the handler, over all the starts that this takes.
    pub start: Duration,
    /// For the next byte of a proxied request, in either direction.
    pub inactivity: Duration,
    /// For requests in flight when the host is to stop, in whole seconds, and then for the handler
    /// to end.
    pub stop: Duration,
}

impl Default for Limits {
    /// The first two are the real host's; the third is as long as the handler takes at most.
    fn default() -> Self {
        Self {
            start: Duration::from_secs(30),
            inactivity: Duration::from_secs(240),
            stop: Duration::from_secs(5),
        }
    }
}

/// A host whose handler answers. It stops when this is dropped.
pub struct Running {
    url: String,
    port: u16,
    host: Arc<Host>,
    stop: watch::Sender<bool>,
    thread: Option<JoinHandle<Result<(), String>>>,
}

/// Reads the app, builds it if it is a Rust package, starts its handler and, when that answers,
/// serves it, on a thread of its own.
///
/// # Errors
///
/// One line: the app can't be read, the port can't be had, the handler can't be built or doesn't
/// answer.
pub fn start(options: Options) -> Result<Running, String> {
    let app = App::read(&options.app_root)?;
    let tls = options.tls.as_ref().map(tls::config).transpose()?;
    let address = SocketAddr::new(options.address, options.port);
    let listener = TcpListener::bind(address).map_err(|error| {
        format!(
            "{address} can't be listened on ({error}): end what uses it, or give another port: \
             `cargo start -- --port 0` takes any free one"
        )
    })?;
    let address = listener
        .local_addr()
        .map_err(|error| format!("{address} has no port: {error}"))?;
    for warning in &app.warnings {
        options.console.host(&format!("warning: {warning}"));
    }

    let name = &app.handler.default_executable_path;
    let file = app.root.join(name);
    let executable = if app.root.join("Cargo.toml").is_file() {
        options.console.host("building the handler");
        cargo::build(&app.root, name)?
    } else if file.is_file() {
        file
    } else {
        // What isn't a file here is looked for on PATH.
        PathBuf::from(name)
    };

    let keys = Keys::new(&app.functions, options.master_key, options.function_key);
    let launch = Launch {
        executable,
        arguments: app.handler.arguments,
        working_directory: app.root.join(app.handler.working_directory),
        environment: [
            app.settings,
            vec![(
                "FUNCTIONS_APP_ROOT_PATH".to_owned(),
                app.root.display().to_string(),
            )],
        ]
        .concat(),
    };
    let (worker, gate) = Worker::new(launch, options.console.clone(), options.limits)?;
    let host = Arc::new(Host {
        functions: app.functions,
        mode: app.mode,
        auth: options.auth,
        keys: Mutex::new(keys),
        gate,
        console: options.console,
        limits: options.limits,
    });
    let (stop, stopped) = watch::channel(false);
    let (ready, is_ready) = mpsc::channel();
    let serving = Arc::clone(&host);
    let stop_on_signals = options.stop_on_signals;
    let thread = thread::Builder::new()
        .name("dev-host".to_owned())
        .spawn(move || {
            System::new().block_on(server::run(
                serving,
                worker,
                listener,
                tls,
                stopped,
                stop_on_signals,
                move || {
                    let _ = ready.send(());
                },
            ))
        })
        .map_err(|error| format!("no thread for the host: {error}"))?;

    let scheme = if options.tls.is_some() {
        "https"
    } else {
        "http"
    };
    let running = Running {
        url: format!("{scheme}://{address}").replace("127.0.0.1", "localhost"),
        port: address.port(),
        host,
        stop,
        thread: Some(thread),
    };
    if is_ready.recv().is_ok() {
        Ok(running)
    } else {
        running.wait().and(Err(
            "the host was stopped before the handler answered".to_owned()
        ))
    }
}

impl Running {
    /// Without a slash at its end.
    pub fn url(&self) -> &str {
        &self.url
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn master_key(&self) -> String {
        self.host.keys().master.clone()
    }

    /// The key `default` of a function, unless there is no such function or it has lost that key.
    pub fn function_key(&self, function: &str) -> Option<String> {
        let mut keys = self.host.keys();
        let key = keys.scope(Some(function))?.get("default")?;
        Some(key.value.clone())
    }

    /// What to call and with which key, for the person at the keyboard.
    pub fn greeting(&self) -> String {
        let functions = &self.host.functions;
        let calls: String = functions.iter().map(|f| self.greet(f)).collect();
        let keys = match self.host.auth {
            true => format!(
                "Master key, for every function and the Key Management API: {}\n",
                self.master_key()
            ),
            false => "No key is checked.\n".to_owned(),
        };
        calls + &keys
    }

    fn greet(&self, function: &Function) -> String {
        let (name, methods) = (&function.name, &function.methods);
        let listed = if methods.is_empty() {
            "any method".to_owned()
        } else {
            methods.join(", ")
        };
        let url = format!("{}/{}", self.url, function.route);
        let state = if function.disabled { " (disabled)" } else { "" };
        let method = match methods.first().map(String::as_str) {
            Some(_) if methods.iter().any(|method| method == "GET") => String::new(),
            // With -X curl would wait for a body.
            Some("HEAD") => " --head".to_owned(),
            Some(method) => format!(" -X {method}"),
            None => String::new(),
        };
        let key = match function.level {
            _ if !self.host.auth => None,
            _ if function.disabled => Some(self.master_key()),
            Level::Anonymous => None,
            Level::Function => self.function_key(name),
            Level::Admin => Some(self.master_key()),
        };
        let header = match key {
            Some(key) => format!(" -H {}", quoted(&format!("x-functions-key: {key}"))),
            None => String::new(),
        };
        let address = quoted(&url);
        format!("{name}: [{listed}] {url}{state}\n  curl{method}{header} {address}\n")
    }

    /// Waits until the host ends by itself or is asked to by a signal.
    ///
    /// # Errors
    ///
    /// One line: why the host had to end.
    pub fn wait(mut self) -> Result<(), String> {
        self.join()
    }

    /// Lets requests in flight finish, then ends the handler.
    ///
    /// # Errors
    ///
    /// One line: the host had already ended, and why.
    pub fn stop(mut self) -> Result<(), String> {
        self.stop.send_replace(true);
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
        self.stop.send_replace(true);
        let _ = self.join();
    }
}

/// A word that a shell takes as it is.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
