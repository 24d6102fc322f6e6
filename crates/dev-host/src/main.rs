//! `cargo start`: options → host.

use std::{
    env,
    io::{self, Write as _},
    net::IpAddr,
    path::PathBuf,
    process::ExitCode,
};

use clap::Parser;
use dev_host::{Console, Options, WALKTHROUGH_KEY};

/// Runs the function app in a folder behind a small Functions host: builds and starts its handler,
/// checks keys, passes requests on. Ctrl-C ends both.
#[derive(Parser)]
#[command(bin_name = "cargo start --")]
struct Arguments {
    /// The port to serve on; 0 is any free one
    #[arg(long, default_value_t = 7071)]
    port: u16,
    /// The address to serve on
    #[arg(long, default_value = "127.0.0.1")]
    address: IpAddr,
    /// The function key, for development only
    #[arg(long, default_value = WALKTHROUGH_KEY)]
    key: String,
    /// The folder with host.json [default: the nearest from the current one upwards]
    #[arg(long, value_name = "FOLDER")]
    app_root: Option<PathBuf>,
    /// Check no key, as `func start` does
    #[arg(long)]
    no_auth: bool,
    /// Build the handler as it is published: for load tests
    #[arg(long)]
    release: bool,
    /// Don't build and restart the handler when a file is saved
    #[arg(long)]
    no_watch: bool,
    /// Call a handler that listens on this port of 127.0.0.1, such as one under a debugger
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    attach: Option<u16>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        app_root: arguments.app_root.unwrap_or_else(nearest_app_root),
        address: arguments.address,
        port: arguments.port,
        function_key: Some(arguments.key),
        auth: !arguments.no_auth,
        console: Console::stdout(),
        release: arguments.release,
        watch: !arguments.no_watch,
        attach: arguments.attach,
        stop_on_signals: true,
        ..Options::default()
    };
    // A reader that is gone is no reason to end, here and below.
    let ended = dev_host::start(options).and_then(|host| {
        let _ = writeln!(io::stdout(), "\n{}\nCtrl-C to stop\n", host.greeting());
        host.wait()
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            let _ = writeln!(io::stderr(), "error: {message}");
            ExitCode::FAILURE
        }
    }
}

/// As Core Tools does (`ScriptHostHelpers.GetFunctionAppRootDirectory`). Without any host.json it
/// is the current folder, which the error then names.
fn nearest_app_root() -> PathBuf {
    let here = env::current_dir().unwrap_or_else(|_| PathBuf::from("."));
    let root = here.ancestors().find(|at| at.join("host.json").is_file());
    root.unwrap_or(&here).to_owned()
}
