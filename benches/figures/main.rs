//! The figures: the handler beside the least that could answer the same bytes, and beside the
//! same function on other runtimes.
//!
//!     cargo bench              # 8 minutes
//!     cargo bench -- --quick   # less than 3
//!     cargo bench -- --long    # endurance, in place of the figures
//!
//! It builds what is published (`build.sh`) and prints tables in Markdown. Whatever is compared
//! is measured in turn, round by round, and a ratio is the median of the rounds' ratios: what
//! else the machine does passes over all alike.

mod load;
mod server;

use std::{
    env,
    os::unix::process::CommandExt,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use load::{Load, Sample};
use server::{AFTERWARDS, LOGGING, Variant};
use test_support::client::Connection;

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
    raise_the_limit_of_descriptors();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match *arguments {
        [] => figures(&FULL),
        ["--quick"] => figures(&QUICK),
        ["--long"] => endurance(),
        _ => panic!("{arguments:?}: give nothing, --quick or --long"),
    }
}

/// 10,000 connections take more than a process has by default; the limit is inherited.
fn raise_the_limit_of_descriptors() {
    const RAISED: &str = "FIGURES_LIMIT_IS_RAISED";
    if env::var_os(RAISED).is_none() {
        let error = Command::new("sh")
            .args(["-c", "ulimit -n $(ulimit -Hn) && exec \"$0\" \"$@\""])
            .args(env::args_os())
            .env(RAISED, "1")
            .exec();
        panic!("sh: {error}");
    }
}

fn figures(mode: &Mode) {
    let variants = Variant::all();
    machine();
    cold_start(&variants, mode);
    for connections in [1, 32, 1_000] {
        throughput(&variants, mode, connections);
    }
    // Its app names one executable without arguments, so the interpreters are left out.
    through_host(&variants[..3], mode);
    // But Python: 10,000 threads stop the machine first.
    memory(&variants[..variants.len() - 1], mode);
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
                let requests = vec![get.clone().into_bytes()];
                let mut load = Load::mixed(host.port(), connections, requests, u64::MAX);
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
    let rows: Vec<Vec<String>> = variants
        .iter()
        .map(|variant| {
            if !variant.installed {
                return Vec::new();
            }
            let server = variant.start();
            server.ready();
            let open = server.descriptors();
            let mut row = vec![server.resident()];
            for requests in mode.requests {
                Load::open(server.port, 32).run(requests, Duration::MAX);
                row.push(server.resident());
            }
            for connections in [1_000, 10_000, 10_000] {
                let mut idle = Load::open(server.port, connections);
                idle.run(connections as u64, Duration::MAX);
                row.push(server.resident());
                drop(idle);
                server.recover(open);
                row.push(server.resident());
            }
            row.iter()
                .map(|kib| format!("{:.1}", kib / 1024.0))
                .collect()
        })
        .collect();
    let [few, many] = mode.requests;
    table(
        "Resident memory in MiB",
        &format!(
            "at start | after {few} requests | after {many} | 1,000 idle connections | {after} s \
             later | 10,000 idle | {after} s later | 10,000 again | {after} s later",
            after = AFTERWARDS.as_secs()
        ),
        variants,
        |index| rows[index].clone(),
    );
}

/// What takes too long for the tests. It ends with an error at the first answer that is not the
/// expected one.
fn endurance() {
    let variants = Variant::all();
    let logging = variants
        .iter()
        .find(|variant| variant.name == LOGGING)
        .expect("a variant");
    machine();
    beside_others(logging);

    println!("\nKeep-alive and new connections, with and without bodies, logging at info\n");
    println!("| requests | MiB resident | open descriptors |\n|---:|---:|---:|");
    let server = logging.start();
    server.ready();
    let requests = [
        load::GET.to_vec(),
        b"POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello".to_vec(),
        [
            &b"POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\nContent-Length: 5000\r\n\r\n"[..],
            &[b'x'; 5_000],
        ]
        .concat(),
        b"POST /api/RandomNumber HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n\
          5\r\nhello\r\n0\r\n\r\n"
            .to_vec(),
    ];
    let mut load = Load::mixed(server.port, 32, requests.into(), 100);
    let mut answers = 0;
    for until in [100_000, 1_000_000, 10_000_000] {
        answers += load.run(until - answers, Duration::MAX).answers;
        let (resident, descriptors) = (server.resident() / 1024.0, server.descriptors());
        println!("| {answers} | {resident:.1} | {descriptors} |");
    }
    println!("\n{answers} answers, {} lines.", server.invocations() - 1);
}

/// One client's latency, alone and beside many that are slow.
fn beside_others(variant: &Variant) {
    const HALF_OPEN: usize = 5_000;
    const SLOW: usize = 500;
    const TIME: Duration = Duration::from_secs(5);

    println!(
        "\nOne client, alone and beside others\n\n\
         | beside | p50 µs | p99 µs | MiB resident | open descriptors |\n|---|---:|---:|---:|---:|"
    );
    let server = variant.start();
    server.ready();
    let mut client = Load::open(server.port, 1);
    client.run(10_000, Duration::MAX);
    let open = server.descriptors();
    let mut row = |title: &str| {
        let sample = client.run(u64::MAX, TIME);
        println!(
            "| {title} | {:.0} | {:.0} | {:.1} | {} |",
            sample.percentile(50.0),
            sample.percentile(99.0),
            server.resident() / 1024.0,
            server.descriptors(),
        );
    };
    let connect = |count: usize| -> Vec<_> {
        let crowd = (0..count).map(|_| Connection::to(server.port)).collect();
        server.settle(|descriptors| descriptors >= open + count);
        crowd
    };
    row("nobody");

    let mut half_open = connect(HALF_OPEN);
    for connection in &mut half_open {
        connection.send(&load::GET[..load::GET.len() / 2]);
    }
    row(&format!("{HALF_OPEN} in the middle of a head"));
    for connection in &mut half_open {
        connection.send(&load::GET[load::GET.len() / 2..]);
        assert!(connection.answer().value() > 0);
    }
    drop(half_open);
    server.recover(open);
    row("nobody, after these");

    let post = b"POST /api/RandomNumber HTTP/1.1\r\nHost: handler\r\nContent-Length: 1000\r\n\r\n\
        the beginning of a body";
    let mut slow = connect(SLOW);
    thread::scope(|scope| {
        scope.spawn(|| {
            // Every second one is in its head, every other in its body.
            let sent = |index: usize| [10, post.len() - 15][index % 2];
            for (index, connection) in slow.iter_mut().enumerate() {
                connection.send(&post[..sent(index)]);
            }
            for second in 0..TIME.as_secs() as usize {
                for (index, connection) in slow.iter_mut().enumerate() {
                    connection.send([post[sent(index) + second]]);
                }
                thread::sleep(Duration::from_secs(1));
            }
        });
        row(&format!("{SLOW} that send a byte a second"));
    });
    drop(slow);
    server.recover(open);
    row("nobody, after these, which vanished");
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
