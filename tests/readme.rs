//! README.md and docs/: the commands that a newcomer types first do what is said, and what is named
//! is there.

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use regex::Regex;
use tempfile::TempDir;
use test_support::{PATIENCE, checkout, project};

#[test]
fn try_it() {
    let readme = read("README.md");
    let [start, header, query, wrong] = &*commands(&readme, "Try it") else {
        panic!("four commands")
    };
    let host = Host::start(start);
    for call in [header, query] {
        let output = succeeds(&mut host.shell(call));
        let number = output.strip_prefix("{\"value\":");
        let number = number.and_then(|rest| rest.strip_suffix('}')?.parse().ok());
        assert!(
            number.is_some_and(|number: u32| (1..=999).contains(&number)),
            "{call}: {output}"
        );
    }
    let refusal = succeeds(&mut host.shell(wrong));
    let (first, _) = refusal.split_once("\r\n").unwrap();
    assert!(readme.contains(&format!("the third `{first}`")), "{first}");
    host.end_by_ctrl_c();
}

/// The file has the form that the real host was seen to write, with a byte order mark. The call
/// goes to dev-host.
#[test]
fn the_key_of_func_start() {
    let folder = TempDir::new().unwrap();
    let secrets = folder.path().join("secrets/functions/secrets");
    fs::create_dir_all(&secrets).unwrap();
    let app = test_support::app::app(env!("CARGO_BIN_EXE_handler"), |_| {});
    let host = dev_host::start(dev_host::Options {
        app_root: app.path().to_owned(),
        function_key: Some("key-of-the-file==".to_owned()),
        ..Default::default()
    });
    let host = host.unwrap();
    let text = read("docs/core-tools.md");
    let [_, print, call] = &*commands(&text, "Its key") else {
        panic!("three commands")
    };
    for file in [
        "{\"keys\":[{\"name\":\"default\",\"value\":\"key-of-the-file==\",\"encrypted\":false}]}",
        "{\n  \"keys\": [\n    {\n      \"name\": \"default\",\n      \
         \"value\": \"key-of-the-file==\",\n      \"encrypted\": false\n    }\n  ]\n}",
    ] {
        fs::write(secrets.join("randomnumber.json"), format!("\u{feff}{file}")).unwrap();
        let output = succeeds(shell(print).env("TMPDIR", folder.path()));
        assert_eq!(output, "key-of-the-file==\n");
        let call = call.replace("localhost:7071", &format!("localhost:{}", host.port()));
        let output = succeeds(shell(&call).env("TMPDIR", folder.path()));
        assert!(output.starts_with("{\"value\":"), "{output}");
    }
}

#[test]
fn ci_installs_what_the_tests_need() {
    let ci = read(".ci/run");
    for command in commands(&read("README.md"), "Tests") {
        for package in command
            .split(' ')
            .skip(2)
            .filter(|_| command.starts_with("apt-get"))
        {
            let mut words =
                ci.split(|letter: char| letter.is_whitespace() || "()".contains(letter));
            assert!(words.any(|word| word == package), "no {package}");
        }
    }
}

/// Relative links, what looks like a path in code, and the scripts that are to be run.
#[test]
fn what_is_named_is_there() {
    let link = Regex::new(r"\]\(([^)]*)\)").unwrap();
    let block = Regex::new(r"(?ms)^ *```.*?^ *```$").unwrap();
    let path = Regex::new(r"`([A-Za-z0-9_./-]*(?:/[A-Za-z0-9_.-]*|\.[a-z]+))`").unwrap();
    let script = Regex::new(r"(?m)^(\./[^ \n]+)").unwrap();
    // What a reader of the README may write, and what git does not keep.
    let others = read(".gitignore") + "/src/greeting.rs\n/Greeting/function.json\n";
    let files = checkout::files();
    let texts = files.iter().filter(|file| file.ends_with(".md"));
    // What the recordings name lies on the machine where they were made.
    for file in texts.filter(|file| !file.starts_with("conformance/recorded/")) {
        let text = read(file);
        for link in link.captures_iter(&text) {
            // Without the heading that it may name.
            let path = link[1].split('#').next().unwrap();
            let target = project().join(file).with_file_name(path);
            let is_there = link[1].starts_with("https://") || target.exists();
            assert!(is_there, "{file}: nothing at {}", &link[0]);
        }
        for script in script.captures_iter(&text) {
            assert!(
                project().join(&script[1]).exists(),
                "{file}: {}",
                &script[1]
            );
        }
        for path in path.captures_iter(&block.replace_all(&text, "")) {
            // What begins with a slash is a path of a URL.
            let name = path[1].trim_start_matches("./").trim_end_matches('/');
            let is_there = name.starts_with('/')
                || others.lines().any(|line| line == format!("/{name}"))
                || files.iter().any(|file| {
                    let file = format!("/{file}/");
                    file.starts_with(&format!("/{name}/")) || file.ends_with(&format!("/{name}/"))
                });
            assert!(is_there, "{file}: no {}", &path[0]);
        }
    }
}

/// What `cargo start` has started.
struct Host {
    process: Child,
    address: String,
}

impl Host {
    /// With `-- --port 0`, for 7071 may be in use.
    fn start(command: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let [stdout, stderr] = ["stdout", "stderr"].map(|name| folder.path().join(name));
        let process = shell(&format!("exec {command} -- --port 0"))
            .process_group(0)
            .stdout(fs::File::create(&stdout).unwrap())
            .stderr(fs::File::create(&stderr).unwrap())
            .spawn()
            .unwrap();
        let mut host = Self {
            process,
            address: String::new(),
        };
        // It may build everything.
        eventually(Duration::from_secs(1800), "the host is started", || {
            let ended = host.process.try_wait().unwrap();
            assert!(ended.is_none(), "{}", fs::read_to_string(&stderr).unwrap());
            let printed = fs::read_to_string(&stdout).unwrap();
            let greeting = printed.split_once("Ctrl-C to stop\n");
            if let Some((_, rest)) =
                greeting.and_then(|(said, _)| said.split_once("http://localhost:"))
            {
                host.address = format!("localhost:{}", rest.split_once('/').unwrap().0);
            }
            greeting.is_some()
        });
        host
    }

    /// With the port that the host has in the place of 7071.
    fn shell(&self, command: &str) -> Command {
        shell(&command.replace("localhost:7071", &self.address))
    }

    /// Both processes end, and nothing of it is an error.
    fn end_by_ctrl_c(mut self) {
        let id = self.process.id();
        // A thread may end between the two looks.
        let children = format!("cat /proc/{id}/task/*/children 2>/dev/null || true");
        let children = succeeds(&mut shell(&children));
        let children: Vec<PathBuf> = children
            .split_whitespace()
            .map(|child| Path::new("/proc").join(child))
            .collect();
        let is_handler = |child: &PathBuf| {
            let executable = fs::read_link(child.join("exe"));
            executable.is_ok_and(|file| file.file_name() == Some("handler".as_ref()))
        };
        assert!(children.iter().any(is_handler), "{children:?}");
        self.signal("INT");
        eventually(PATIENCE, "the host has ended", || {
            self.process.try_wait().unwrap().is_some()
        });
        assert!(self.process.wait().unwrap().success());
        eventually(PATIENCE, "the handler has ended", || {
            !children.iter().any(|child| child.exists())
        });
    }

    /// To all of the process group, as a terminal does.
    fn signal(&self, name: &str) {
        let _ = Command::new("bash")
            .args(["-c", &format!("kill -{name} -- -{}", self.process.id())])
            .status();
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            self.signal("KILL");
            let _ = self.process.wait();
        }
    }
}

/// What a test is built for is in its environment, and would have Cargo build again what looks at
/// that. Cargo's folder is the one of this test, wherever it is told to build.
fn shell(line: &str) -> Command {
    let mut command = Command::new("sh");
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            command.env_remove(&*name);
        }
    }
    command
        .args(["-c", line])
        .current_dir(project())
        .stdin(Stdio::null())
        .env(
            "CARGO_TARGET_DIR",
            Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap(),
        );
    command
}

/// Its standard output.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn eventually(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        let waited = begin.elapsed();
        assert!(waited < patience, "{what}: not within {patience:?}");
        thread::sleep(Duration::from_millis(10));
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(project().join(file)).unwrap()
}

/// The commands of a section.
fn commands(text: &str, heading: &str) -> Vec<String> {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap();
    let section = section.split("\n## ").next().unwrap();
    let blocks = section.split("\n```sh\n").skip(1);
    blocks
        .flat_map(|block| block.split("\n```").next().unwrap().lines())
        .map(str::to_owned)
        .collect()
}
