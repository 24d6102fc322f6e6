//! Checks a host against `conformance.json`: options → suite.

use std::{env, process::ExitCode, time::Duration};

use clap::Parser;
use conformance::{Target, run};

/// The variable with the master key, which has no place on a command line.
const MASTER_KEY: &str = "FUNCTIONS_MASTER_KEY";

/// Checks that the Functions host at a URL, with RandomNumber behind it, answers as described.
/// The environment variable FUNCTIONS_MASTER_KEY has to hold its master key.
#[derive(Parser)]
struct Arguments {
    /// The base URL, such as http://localhost:7071
    url: String,
    /// Include the cases that hold for dev-host alone
    #[arg(long)]
    dev_host: bool,
    /// How many seconds, in all, to try again when a call differs: it takes a while until all
    /// instances know a new key
    #[arg(long, default_value_t = 90)]
    patience: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let summary = env::var(MASTER_KEY)
        .map_err(|_| format!("{MASTER_KEY} has to hold the host's master key"))
        .and_then(|master_key| {
            let target = Target {
                url: arguments.url.trim_end_matches('/').to_owned(),
                master_key,
                is_dev_host: arguments.dev_host,
                patience: Duration::from_secs(arguments.patience),
            };
            run(&target, |difference| println!("{difference}"))
        });
    match summary {
        Ok(summary) => {
            println!(
                "{} as described, {} different, {} left out (for dev-host alone)",
                summary.passed, summary.differing, summary.skipped
            );
            if summary.differing == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
