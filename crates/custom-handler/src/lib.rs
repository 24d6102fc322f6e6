//! A runtime for [Azure Functions custom
//! handlers](https://learn.microsoft.com/azure/azure-functions/functions-custom-handlers).
//!
//! A custom handler is a web server that the Functions host starts. The host takes each call,
//! checks the key, and passes the call on. With this crate a function is one of [actix-web's
//! handlers](https://actix.rs/docs/handlers/), and the program registers it under the name of the
//! folder that has its function.json:
//!
//! ```no_run
//! use std::process::ExitCode;
//!
//! use actix_web::web::Path;
//!
//! /// Greeting/function.json has the route `greeting/{name}`.
//! async fn greeting(name: Path<String>) -> String {
//!     log::info!("greets {name}");
//!     format!("Hello, {name}!")
//! }
//!
//! #[actix_web::main]
//! async fn main() -> ExitCode {
//!     custom_handler::run(&[env!("CARGO_CRATE_NAME")], |functions| {
//!         functions.add("Greeting", greeting);
//!     })
//!     .await
//! }
//! ```
//!
//! # Which function a call is for
//!
//! Methods, routes and levels stand in function.json alone. The host chooses the function of a call
//! by them and checks that function's key, but does not tell the handler its choice. So the handler
//! has to find the function by the path, and it starts only if no call fits two functions. See
//! [`run`] for other refusals. The program's option `--check` does all of this, lists the
//! functions, and exits.
//!
//! A [`Path`](https://docs.rs/actix-web/4/actix_web/web/struct.Path.html) has the parameters of the
//! route: one value, a tuple, or a struct, with an `Option` for a parameter that may be left out.
//! They are decoded as the host decodes them: `%2F`, and what is not UTF-8, stay encoded.
//!
//! host.json has to have `"enableProxyingHttpRequest": true` under `customHandler`. Hosts can do
//! that from version 4.1041 on, Core Tools from 4.2.0. A forwarded request is answered with 501,
//! for its path is not the one that the host has matched.
//!
//! # State and middleware
//!
//! State that all functions share is actix-web's
//! [`Data`](https://docs.rs/actix-web/4/actix_web/web/struct.Data.html). What takes time to make,
//! such as a database pool, is made before [`run`]:
//!
//! ```no_run
//! use std::{process::ExitCode, sync::atomic::{AtomicU64, Ordering}};
//!
//! use actix_web::{
//!     Error, body::MessageBody, dev::{ServiceRequest, ServiceResponse},
//!     middleware::{DefaultHeaders, Next, from_fn}, web::{self, Data},
//! };
//!
//! async fn count(counter: Data<AtomicU64>) -> String {
//!     counter.fetch_add(1, Ordering::Relaxed).to_string()
//! }
//!
//! async fn noted(
//!     request: ServiceRequest,
//!     next: Next<impl MessageBody>,
//! ) -> Result<ServiceResponse<impl MessageBody>, Error> {
//!     log::info!("{} bytes of query", request.query_string().len());
//!     next.call(request).await
//! }
//!
//! #[actix_web::main]
//! async fn main() -> ExitCode {
//!     let counter = Data::new(AtomicU64::new(0));
//!     custom_handler::run(&[env!("CARGO_CRATE_NAME")], move |functions| {
//!         functions.app_data(counter.clone());
//!         // For all functions.
//!         functions.wrap(DefaultHeaders::new().add(("Cache-Control", "no-store")));
//!         // For this one.
//!         functions.route("Count", web::to(count).wrap(from_fn(noted)));
//!     })
//!     .await
//! }
//! ```
//!
//! All functions share one thread: hand what blocks or computes for long to
//! [`web::block`](https://docs.rs/actix-web/4/actix_web/web/fn.block.html).
//!
//! # Log
//!
//! Each line that is logged with the crate `log` begins with its level, then the invocation id of
//! the call that is being served, or a dash outside of calls. The request in Application Insights
//! has the same id. It is kept in what the function awaits, in the message of a panic, and while
//! the answer's body is streamed. Lines from `spawn` or `web::block` have a dash. Warnings and
//! errors go to stderr, all else to stdout, because the host takes each line of stderr for an
//! error.
//!
//! `RUST_LOG` holds one level: off, error, warn, info (the default), debug or trace. Of crates that
//! are not named to [`run`] only warnings and errors are logged: below, they log parts of requests,
//! and so keys.
//!
//! # Bodies
//!
//! A request's body is read to its end even if the function does not read it, for otherwise the
//! caller would get a 500 from the host. A request that asks for another protocol (`Upgrade:
//! websocket`, `CONNECT`) is answered like any other, and its body is given as empty. So there are
//! no WebSockets.

mod app;
mod body;
mod functions;
mod invocation;
mod logging;
mod server;

use std::{env, process::ExitCode};

use crate::app::FunctionApp;
pub use crate::functions::Functions;

/// Serves the functions that `register` registers, on the port in `FUNCTIONS_CUSTOMHANDLER_PORT` (0
/// is any free one), until SIGTERM or SIGINT. `register` is called twice: to learn the names, and
/// for the server. `crates` are the names of the program's own crates, for the log.
///
/// The app root is the folder in `FUNCTIONS_APP_ROOT_PATH`, or else the working directory. With the
/// program's first argument `--check` the functions are listed, one a line: name, methods (`*` for
/// all), route and level, with tabs between them.
///
/// # Errors
///
/// The exit code is 1, after one line in the log that says how to mend it, if:
/// - host.json or a function.json can't be read, has what the host might read differently, or does
///   not set `enableProxyingHttpRequest` alone;
/// - a function has other bindings than an HTTP trigger and an HTTP answer;
/// - a folder has a function.json, but its name is not registered, or a name is registered twice;
/// - a call could mean two functions;
/// - the port is invalid, or can't be listened on.
///
/// The host restarts a program that exits with 1. It does not restart one that exits with 0,
/// because it takes that for a wish to stop.
pub async fn run(
    crates: &[&str],
    register: impl Fn(&mut Functions) + Clone + Send + 'static,
) -> ExitCode {
    logging::init(crates);
    let mut names = Vec::new();
    // This App is thrown away: what is registered can be seen only while one is configured.
    actix_web::App::new().configure(|config| names = Functions::configure(config, &register));
    let outcome = match FunctionApp::read(&names) {
        Ok(app) if env::args_os().nth(1).is_some_and(|it| it == "--check") => {
            print!("{}", app.routes);
            Ok(())
        }
        Ok(app) => server::serve(app, register).await,
        Err(problem) => Err(problem),
    };
    let Err(problem) = outcome else {
        return ExitCode::SUCCESS;
    };
    log::error!("{problem}");
    ExitCode::FAILURE
}
