//! What a user can feel: the handler behind a host, beside the least that could answer the same
//! bytes (the floor) and beside the same function on other runtimes.
//!
//!     cargo bench              # 6 minutes, once it is built
//!     cargo bench -- --quick   # 2 minutes
//!
//! It builds ./handler as it is published, prints two tables in Markdown, and a full run draws the
//! first one as `benches/figures.svg`. What is compared is measured in turn, round by round, and a
//! ratio is the median of the rounds' ratios: whatever else the machine does, it does to all alike.

mod chart;
mod load;
mod server;

use std::{
    env, fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use load::Load;
use server::{Server, Variant};

/// The connections from the client to the host, or to the handler itself.
const CONNECTIONS: usize = 32;

struct Run {
    rounds: usize,
    starts: usize,
    /// Of one variant in one round.
    time: Duration,
}

/// Of one variant, a value for each round.
#[derive(Clone, Default)]
pub struct Samples {
    /// Calls per second.
    pub rate: Vec<f64>,
    /// In milliseconds.
    pub p99: Vec<f64>,
    /// CPU time of the handler's process per call, in microseconds.
    pub cpu: Vec<f64>,
    /// Resident memory of the handler's process at the end, in MiB.
    pub memory: f64,
}

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let is_quick = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--quick"] => true,
        _ => panic!("{arguments:?}: give nothing or --quick"),
    };
    let run = if is_quick {
        Run {
            rounds: 3,
            starts: 10,
            time: Duration::from_millis(1_500),
        }
    } else {
        Run {
            rounds: 9,
            starts: 50,
            time: Duration::from_millis(2_000),
        }
    };

    let variants = Variant::all();
    let machine = machine();
    println!("{machine}");
    let behind_host = throughput(&variants, &run, Variant::start_behind_host);
    table(
        "Behind dev-host, 32 connections",
        "calls/s | × floor | p99 ms | CPU µs per call | MiB | × floor behind the real host",
        &variants,
        |index| {
            let samples = &behind_host[index];
            vec![
                format!("{:.0}", median(&samples.rate)),
                ratio(&samples.rate, &behind_host[0].rate),
                format!("{:.1}", median(&samples.p99)),
                format!("{:.0}", median(&samples.cpu)),
                format!("{:.1}", samples.memory),
                format!("{:.2}", variants[index].behind_real_host),
            ]
        },
    );
    if !is_quick {
        let svg = chart::draw(&variants, &behind_host, &machine);
        fs::write("benches/figures.svg", svg).expect("the repository can be written to");
    }

    let starts = starts(&variants, &run);
    let alone = throughput(&variants, &run, Variant::start);
    table(
        "Without a host, 32 connections",
        "first answer after ms | × floor | calls/s | × floor | p99 ms | CPU µs per call | × floor",
        &variants,
        |index| {
            let samples = &alone[index];
            vec![
                format!("{:.1}", median(&starts[index])),
                ratio(&starts[index], &starts[0]),
                format!("{:.0}", median(&samples.rate)),
                ratio(&samples.rate, &alone[0].rate),
                format!("{:.1}", median(&samples.p99)),
                format!("{:.1}", median(&samples.cpu)),
                ratio(&samples.cpu, &alone[0].cpu),
            ]
        },
    );
}

/// What the figures depend on, in one line.
fn machine() -> String {
    let version = |program: &str, argument: &str| {
        let mut command = Command::new(program);
        let output = command.arg(argument).stderr(Stdio::null()).output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.map_or(format!("no {program}"), |text| text.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().expect("a number");
    format!(
        "{cores} cores, shared with the load; {}; {}; {}; Node {}; {}",
        version("uname", "-srm"),
        version("rustc", "-V"),
        version("go", "version"),
        version("node", "-v"),
        version("python3", "-V"),
    )
}

/// From the spawning of the process to its first answer, in milliseconds.
fn starts(variants: &[Variant], run: &Run) -> Vec<Vec<f64>> {
    let mut times = vec![Vec::new(); variants.len()];
    for _ in 0..run.starts {
        for (variant, times) in variants.iter().zip(&mut times) {
            if variant.is_installed {
                let begin = Instant::now();
                let server = variant.start();
                Load::open(server.port, 1).run(Duration::ZERO);
                times.push(begin.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    times
}

fn throughput(variants: &[Variant], run: &Run, start: impl Fn(&Variant) -> Server) -> Vec<Samples> {
    let servers: Vec<Option<Server>> = variants
        .iter()
        .map(|variant| variant.is_installed.then(|| start(variant)))
        .collect();
    let mut samples = vec![Samples::default(); variants.len()];
    for round in 0..=run.rounds {
        for (server, samples) in servers.iter().zip(&mut samples) {
            let Some(server) = server else { continue };
            let mut load = Load::open(server.port, CONNECTIONS);
            let cpu = server.cpu();
            let sample = load.run(run.time);
            // The first round warms up.
            if round > 0 {
                let cpu = server.cpu() - cpu;
                samples.rate.push(sample.rate());
                samples.p99.push(sample.p99());
                samples
                    .cpu
                    .push(cpu.as_secs_f64() * 1e6 / sample.answers as f64);
                samples.memory = server.memory();
            }
        }
    }
    samples
}

fn table(title: &str, columns: &str, variants: &[Variant], row: impl Fn(usize) -> Vec<String>) {
    let line = "---:|".repeat(columns.split('|').count());
    println!("\n{title}\n\n| | {columns} |\n|---|{line}");
    for (index, variant) in variants.iter().enumerate() {
        if variant.is_installed {
            println!("| {} | {} |", variant.name, row(index).join(" | "));
        } else {
            println!("| {}: not installed |", variant.name);
        }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// How many times as much as the base, round by round.
fn ratio(samples: &[f64], base: &[f64]) -> String {
    let ratios: Vec<f64> = samples
        .iter()
        .zip(base)
        .map(|(own, base)| own / base)
        .collect();
    format!("{:.2}", median(&ratios))
}
