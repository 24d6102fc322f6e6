//! The figures: the handler beside the least that could answer the same bytes, and beside the
//! same function on other runtimes.
//!
//!     cargo bench              # some 6 minutes
//!     cargo bench -- --quick   # less than 2
//!
//! It builds what is published (`build.sh`) and prints tables in Markdown. Whatever is compared
//! is measured in turn, round by round, and a ratio is the median of the rounds' ratios: what
//! else the machine does passes over all alike.

mod load;
mod server;

use std::{
    env,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use load::{Load, Sample};
use server::{LOGGING, Variant};

/// How thorough.
struct Mode {
    starts: usize,
    rounds: usize,
    time: Duration,
    requests: [u64; 2],
}

const QUICK: Mode = Mode {
    starts: 20,
    rounds: 3,
    time: Duration::from_millis(500),
    requests: [10_000, 100_000],
};

const FULL: Mode = Mode {
    starts: 50,
    rounds: 9,
    time: Duration::from_millis(1_000),
    requests: [100_000, 1_000_000],
};

fn main() {
    let arguments: Vec<String> = env::args()
        .skip(1)
        .filter(|argument| argument != "--bench") // cargo's
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => figures(&FULL),
        ["--quick"] => figures(&QUICK),
        _ => panic!("{arguments:?}: give --quick, or nothing"),
    }
}

fn figures(mode: &Mode) {
    let variants = Variant::all();
    machine();
    cold_start(&variants, mode);
    for connections in [1, 32] {
        throughput(&variants, mode, connections);
    }
    // Its app names one executable without arguments, so the interpreters are left out.
    through_host(&variants[..3], mode);
    memory(&variants, mode);
}

/// What the figures depend on, in one line.
fn machine() {
    let version = |program: &str, argument: &str| {
        let output = Command::new(program)
            .arg(argument)
            .stderr(Stdio::null())
            .output();
        let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        text.map_or(format!("no {program}"), |text| text.trim().to_owned())
    };
    let cores = std::thread::available_parallelism().expect("Linux");
    println!(
        "{cores} cores, shared with the load; {}; {}; {}; Node {}; {}",
        version("uname", "-srm"),
        version("rustc", "-V"),
        version("go", "version"),
        version("node", "-v"),
        version("python3", "-V"),
    );
}

fn cold_start(variants: &[Variant], mode: &Mode) {
    let mut times = vec![Vec::new(); variants.len()];
    for _ in 0..mode.starts {
        for (variant, times) in installed(variants, &mut times) {
            let begin = Instant::now();
            let server = variant.start();
            server.ready();
            times.push(begin.elapsed().as_nanos() as f64 / 1e6);
        }
    }
    let go = variants
        .iter()
        .position(|variant| variant.name.starts_with("Go"));
    let go = go.expect("a variant");
    table(
        &format!(
            "Cold start: from its spawning to the first 200, {} times",
            mode.starts
        ),
        "median ms | worst ms | × floor | × Go",
        variants,
        |index| {
            let worst = times[index].iter().copied().fold(0.0, f64::max);
            vec![
                format!("{:.2}", median(&times[index])),
                format!("{worst:.2}"),
                ratio(&times[index], &times[0]),
                ratio(&times[index], &times[go]),
            ]
        },
    );
}

/// Of one variant, round by round.
#[derive(Clone, Default)]
struct Samples {
    rate: Vec<f64>,
    p50: Vec<f64>,
    p99: Vec<f64>,
    p999: Vec<f64>,
    cpu: Vec<f64>,
}

impl Samples {
    fn add(&mut self, sample: &Sample) {
        self.rate.push(sample.rate());
        self.p50.push(sample.percentile(50.0));
        self.p99.push(sample.percentile(99.0));
        self.p999.push(sample.percentile(99.9));
    }
}

fn throughput(variants: &[Variant], mode: &Mode, connections: usize) {
    let mut samples = vec![Samples::default(); variants.len()];
    let servers: Vec<_> = variants
        .iter()
        .map(|variant| variant.installed.then(|| variant.start()))
        .collect();
    let mut answers = vec![0; variants.len()];
    for round in 0..=mode.rounds {
        for (index, server) in servers.iter().enumerate() {
            let Some(server) = server else { continue };
            if round == 0 {
                server.ready();
                answers[index] += 1;
            }
            let mut load = Load::open(server.port, connections);
            let cpu = server.cpu();
            let sample = load.run(u64::MAX, mode.time);
            let cpu = server.cpu() - cpu;
            answers[index] += sample.answers;
            if round > 0 {
                samples[index].add(&sample);
                let cpu = cpu.as_nanos() as f64 / 1e3 / sample.answers as f64;
                samples[index].cpu.push(cpu);
            }
        }
    }
    table(
        &format!("Connections: {connections}"),
        "requests/s | × floor | p50 µs | p99 µs | p99.9 µs | CPU µs per request | × floor",
        variants,
        |index| {
            let (own, floor) = (&samples[index], &samples[0]);
            vec![
                format!("{:.0}", median(&own.rate)),
                ratio(&own.rate, &floor.rate),
                format!("{:.0}", median(&own.p50)),
                format!("{:.0}", median(&own.p99)),
                format!("{:.0}", median(&own.p999)),
                format!("{:.2}", median(&own.cpu)),
                ratio(&own.cpu, &floor.cpu),
            ]
        },
    );
    for (index, server) in servers.into_iter().enumerate() {
        if let Some(server) = server
            && variants[index].name == LOGGING
        {
            let (answers, lines) = (answers[index], server.invocations());
            println!("\nWith logging: {answers} answers, {lines} lines.");
        }
    }
}

/// What a handler adds to a request is the difference to the floor behind the same host.
fn through_host(variants: &[Variant], mode: &Mode) {
    let get = str::from_utf8(load::GET).expect("ASCII");
    let get = get.replacen("\r\n", "\r\nx-functions-key: key\r\n", 1);
    let hosts: Vec<_> = variants.iter().map(Variant::start_behind_host).collect();
    for connections in [1, 32] {
        let mut samples = vec![Samples::default(); variants.len()];
        for round in 0..=mode.rounds {
            for ((_, host), samples) in hosts.iter().zip(&mut samples) {
                let request = get.clone().into_bytes();
                let mut load = Load::sending(host.port(), connections, request);
                let sample = load.run(u64::MAX, mode.time);
                if round > 0 {
                    samples.add(&sample);
                }
            }
        }
        table(
            &format!("Through dev-host, connections: {connections}"),
            "requests/s | × floor | p50 µs | × floor | p99 µs | p99.9 µs",
            variants,
            |index| {
                let (own, floor) = (&samples[index], &samples[0]);
                vec![
                    format!("{:.0}", median(&own.rate)),
                    ratio(&own.rate, &floor.rate),
                    format!("{:.0}", median(&own.p50)),
                    ratio(&own.p50, &floor.p50),
                    format!("{:.0}", median(&own.p99)),
                    format!("{:.0}", median(&own.p999)),
                ]
            },
        );
    }
}

fn memory(variants: &[Variant], mode: &Mode) {
    const IDLE: usize = 500;

    let rows: Vec<Vec<String>> = variants
        .iter()
        .map(|variant| {
            if !variant.installed {
                return Vec::new();
            }
            let server = variant.start();
            server.ready();
            let mut row = vec![server.resident()];
            for requests in mode.requests {
                Load::open(server.port, 32).run(requests, Duration::MAX);
                row.push(server.resident());
            }
            let mut idle = Load::open(server.port, IDLE);
            idle.run(IDLE as u64, Duration::MAX);
            row.push(server.resident());
            row.iter()
                .map(|kib| format!("{:.1}", kib / 1024.0))
                .collect()
        })
        .collect();
    let [few, many] = mode.requests;
    table(
        "Resident memory in MiB",
        &format!("at start | after {few} requests | after {many} | with {IDLE} idle connections"),
        variants,
        |index| rows[index].clone(),
    );
}

/// The variants that can be started, each with its samples.
fn installed<'a, T>(
    variants: &'a [Variant],
    samples: &'a mut [T],
) -> impl Iterator<Item = (&'a Variant, &'a mut T)> {
    variants
        .iter()
        .zip(samples)
        .filter(|(variant, _)| variant.installed)
}

fn table(title: &str, columns: &str, variants: &[Variant], row: impl Fn(usize) -> Vec<String>) {
    println!("\n{title}\n\n| | {columns} |");
    println!("|---|{}", "---:|".repeat(columns.split('|').count()));
    for (index, variant) in variants.iter().enumerate() {
        if variant.installed {
            println!("| {} | {} |", variant.name, row(index).join(" | "));
        } else {
            println!("| {} | not installed |", variant.name);
        }
    }
}

fn median(samples: &[f64]) -> f64 {
    let mut samples = samples.to_vec();
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

/// How many times as much, round by round.
fn ratio(samples: &[f64], base: &[f64]) -> String {
    if base.is_empty() {
        return String::new();
    }
    let ratios: Vec<f64> = samples
        .iter()
        .zip(base)
        .map(|(sample, base)| sample / base)
        .collect();
    format!("{:.2}", median(&ratios))
}
