//! The handler of the tests: sends back each request as it came in, byte for byte, or does what
//! the header `x-do` tells it. The arguments say how it starts:
//!
//! - none: at once;
//! - `wait-for FILE`: when there is such a file in the working directory;
//! - `never`: runs and doesn't listen;
//! - `exit CODE TIMES`: ends with the code, so many times, having written five lines to stderr.
//!
//! Each start appends a line with the process's id to the file `starts` in the working directory.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::exit,
    thread::{park, sleep, spawn},
    time::Duration,
};

fn main() {
    let mut starts = File::options()
        .create(true)
        .append(true)
        .open("starts")
        .unwrap();
    writeln!(starts, "{}", std::process::id()).unwrap();
    let arguments: Vec<String> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => {}
        ["wait-for", file] => {
            while !Path::new(file).exists() {
                sleep(Duration::from_millis(10));
            }
        }
        ["never"] => loop {
            park();
        },
        ["exit", code, times] => {
            let count = fs::read_to_string("starts").unwrap().lines().count();
            if count <= times.parse().unwrap() {
                for line in 1..=5 {
                    eprintln!("line {line} of start {count}");
                }
                exit(code.parse().unwrap());
            }
        }
        // For the order `environment` to tell.
        _ => {}
    }
    let port = env::var("FUNCTIONS_CUSTOMHANDLER_PORT").unwrap();
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        let stream = stream.unwrap();
        spawn(move || while answer(&stream).is_some() {});
    }
}

/// None when the connection is to be closed.
fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let order = header(&head, "x-do").unwrap_or_default().to_owned();
    match order.split(' ').collect::<Vec<_>>()[..] {
        ["exit", code] => exit(code.parse().unwrap()),
        ["print", stream, ref words @ ..] => match stream {
            "stdout" => println!("{}", words.join(" ")),
            _ => eprintln!("{}", words.join(" ")),
        },
        ["wait", milliseconds] => {
            println!("waiting");
            sleep(Duration::from_millis(milliseconds.parse().unwrap()));
        }
        ["until", file] => {
            println!("waiting");
            while !Path::new(file).exists() {
                sleep(Duration::from_millis(10));
            }
        }
        ["never"] => loop {
            park();
        },
        ["first-chunk"] => {
            let start = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n";
            stream.write_all(start.as_bytes()).ok()?;
            // Until the host closes the connection.
            return reader
                .read_line(&mut head)
                .ok()
                .filter(|count| *count > 0)
                .map(drop);
        }
        ["without-end"] => {
            let mut bytes = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
            loop {
                stream.write_all(&bytes).ok()?;
                bytes = vec![b'x'; 100_000];
            }
        }
        ["long-line", count] => {
            print!("{}", "x".repeat(count.parse().unwrap()));
            std::io::stdout().flush().unwrap();
        }
        ["tell-bytes"] => {
            // Only to show that the body begins to arrive before the client has sent all of it.
            reader.fill_buf().ok()?;
            println!("the body begins");
        }
        ["environment"] => {
            let mut variables: Vec<String> = env::vars()
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            let arguments: Vec<String> = env::args().skip(1).collect();
            variables.push(format!("arguments={}", arguments.join("|")));
            variables.push(format!("cwd={}", env::current_dir().unwrap().display()));
            let body = variables.join("\n");
            let length = body.len();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n{body}");
            return stream.write_all(answer.as_bytes()).ok();
        }
        _ => {}
    }

    let body = body(&mut reader, &head)?;
    // What the test wants for an answer's head, with a bar for a line break.
    let answer = header(&head, "x-answer")
        .unwrap_or("HTTP/1.1 200 OK")
        .replace('|', "\r\n");
    // Written at once: of two pieces, the system would keep the second back for 40 ms.
    let length = head.len() + body.len();
    let mut answer = format!("{answer}\r\ncontent-length: {length}\r\n\r\n").into_bytes();
    if !head.starts_with("HEAD ") {
        answer.extend(head.as_bytes());
        answer.extend(body);
    }
    stream.write_all(&answer).ok()
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(found, _)| found.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

/// The body with its framing, if it is chunked.
fn body(reader: &mut impl BufRead, head: &str) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    if let Some(length) = header(head, "content-length") {
        reader
            .take(length.parse().ok()?)
            .read_to_end(&mut body)
            .ok()?;
    } else if header(head, "transfer-encoding").is_some() {
        while !body.ends_with(b"0\r\n\r\n") {
            if reader.read_until(b'\n', &mut body).ok()? == 0 {
                return None;
            }
        }
    }
    Some(body)
}
