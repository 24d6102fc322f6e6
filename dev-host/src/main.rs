//! `cargo start`: options → host.

use std::{net::IpAddr, path::PathBuf, process::ExitCode};

use clap::Parser;
use dev_host::{Console, Options, Tls, WALKTHROUGH_KEY};

/// Runs the function app in a folder behind a small Functions host: builds and starts its handler,
/// checks keys, passes requests on. Ctrl-C ends both.
#[derive(Parser)]
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
    /// The folder with host.json
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    app_root: PathBuf,
    /// Check no key, as `func start` does
    #[arg(long)]
    no_auth: bool,
    /// Serve https with this certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// The private key of the certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let options = Options {
        app_root: arguments.app_root,
        address: arguments.address,
        port: arguments.port,
        function_key: Some(arguments.key),
        auth: !arguments.no_auth,
        tls: arguments
            .tls_cert
            .zip(arguments.tls_key)
            .map(|(certificate, key)| Tls { certificate, key }),
        console: Console::stdout(),
        stop_on_signals: true,
        ..Options::default()
    };
    let ended = dev_host::start(options).and_then(|host| {
        println!("\n{}\nCtrl-C to stop\n", host.greeting());
        host.wait()
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
