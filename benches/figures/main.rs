//! What a user can feel: the handler behind a host, beside the least that could answer the same
//! bytes (the floor) and beside the same function on other runtimes.
//!
//!     cargo bench
//!     cargo bench -- --quick
//!
//! It says how long it will take. It builds ./handler as it is published, prints two tables in Markdown, and a full run draws the
//! first one as `benches/figures.svg`. What is compared is measured in turn, round by round, and a
//! ratio is the median of the rounds' ratios: whatever else the machine does, it does to all alike.

mod chart;
mod load;
mod server;

use std::{
    array, env, fs,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use load::Load;
use server::{Server, Variant};

/// The connections from the client to the host, or to the handler itself.
const CONNECTIONS: usize = 32;

/// For each variant the values of all rounds.
type Values = Vec<Vec<f64>>;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|a| a != "--bench").collect();
    let is_quick = arguments == ["--quick"];
    assert!(
        is_quick || arguments.is_empty(),
        "{arguments:?}: give nothing or --quick"
    );
    let (rounds, start_count, time) = match is_quick {
        true => (3, 10, Duration::from_millis(1_500)),
        false => (9, 50, Duration::from_millis(2_000)),
    };

    // Each variant is measured twice, behind a host and without, with a round to warm up.
    let load = time * 2 * Variant::MOST as u32 * (rounds as u32 + 1);
    // All variants together take a quarter of a second to start.
    let all = load + Duration::from_millis(250) * start_count as u32;
    let minutes = all.as_secs_f64() / 60.0;
    println!("after the build the figures take {minutes:.1} minutes, and at most one more");
    let variants = Variant::all();
    let machine = machine();
    println!("{machine}");
    let servers = variants.iter().map(Variant::start_behind_host).collect();
    let [rate, p99, cpu, memory] = throughput(servers, rounds, time);
    let real = variants.iter().map(|it| vec![it.behind_real_host]);
    table(
        "Behind dev-host, 32 connections",
        &variants,
        &[
            ("calls/s", medians(&rate, 0)),
            ("× floor", ratios(&rate)),
            ("p99 ms", medians(&p99, 1)),
            ("CPU µs per call", medians(&cpu, 0)),
            ("MiB", medians(&memory, 1)),
            ("× floor behind the real host", medians(&real.collect(), 2)),
        ],
    );
    if !is_quick {
        let svg = chart::draw(&variants, [&rate, &cpu], &machine);
        fs::write("benches/figures.svg", svg).expect("the repository can be written to");
    }

    let starts = starts(&variants, start_count);
    let servers = variants.iter().map(Variant::start).collect();
    let [rate, p99, cpu, _] = throughput(servers, rounds, time);
    table(
        "Without a host, 32 connections",
        &variants,
        &[
            ("first answer after ms", medians(&starts, 1)),
            ("× floor", ratios(&starts)),
            ("calls/s", medians(&rate, 0)),
            ("× floor", ratios(&rate)),
            ("p99 ms", medians(&p99, 1)),
            ("CPU µs per call", medians(&cpu, 1)),
            ("× floor", ratios(&cpu)),
        ],
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
        version("uname", "-sm"),
        version("rustc", "-V"),
        version("go", "version"),
        version("node", "-v"),
        version("python3", "-V"),
    )
}

/// From the spawning of the process to its first answer, in milliseconds.
fn starts(variants: &[Variant], count: usize) -> Values {
    let mut times = vec![Vec::new(); variants.len()];
    for _ in 0..count {
        for (variant, times) in variants.iter().zip(&mut times) {
            let begin = Instant::now();
            let server = variant.start();
            Load::open(server.port, 1).run(Duration::ZERO);
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
    }
    times
}

/// Calls per second; 99 of 100 calls take no longer than so many milliseconds; CPU time of the
/// handler's process per call in microseconds; its resident memory in MiB.
fn throughput(servers: Vec<Server>, rounds: usize, time: Duration) -> [Values; 4] {
    let mut figures: [Values; 4] = array::from_fn(|_| vec![Vec::new(); servers.len()]);
    for round in 0..=rounds {
        for (index, server) in servers.iter().enumerate() {
            let mut load = Load::open(server.port, CONNECTIONS);
            let cpu = server.cpu();
            let sample = load.run(time);
            let cpu = (server.cpu() - cpu).as_secs_f64() * 1e6 / sample.answers as f64;
            // The first round warms up.
            if round > 0 {
                let round = [sample.rate, sample.p99, cpu, server.memory()];
                for (values, value) in figures.iter_mut().zip(round) {
                    values[index].push(value);
                }
            }
        }
    }
    figures
}

fn table(title: &str, variants: &[Variant], columns: &[(&str, Vec<String>)]) {
    let heads: Vec<&str> = columns.iter().map(|(head, _)| *head).collect();
    let line = "---:|".repeat(columns.len());
    println!("\n{title}\n\n| | {} |\n|---|{line}", heads.join(" | "));
    for (index, variant) in variants.iter().enumerate() {
        let cells: Vec<&str> = columns.iter().map(|(_, cells)| &*cells[index]).collect();
        println!("| {} | {} |", variant.name, cells.join(" | "));
    }
}

fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn medians(values: &Values, decimals: usize) -> Vec<String> {
    let medians = values.iter().map(|values| median(values));
    medians.map(|it| format!("{it:.decimals$}")).collect()
}

/// How many times as much as the floor, round by round.
fn ratios(values: &Values) -> Vec<String> {
    let ratios = values.iter().map(|own| {
        let rounds = own.iter().zip(&values[0]);
        rounds.map(|(own, floor)| own / floor).collect()
    });
    medians(&ratios.collect(), 2)
}
