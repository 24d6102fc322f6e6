//! README.md and the two beside it: the commands in them do what they say, what they name is there,
//! and their tables of options are complete.

use std::{
    collections::BTreeSet,
    env, fs,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use regex::Regex;
use tempfile::TempDir;
use test_support::checkout;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const README: &str = "README.md";
const DEV_HOST: &str = "dev-host/README.md";
const BENCHES: &str = "benches/README.md";

/// What becomes of a command.
enum How {
    /// This function runs it; what it puts in the place of what, its comment says.
    Run(fn(&mut Walk, &str)),
    /// This test in this file runs it.
    Elsewhere(&'static str, &'static str),
    /// It is not run, for this reason.
    Not(&'static str),
}
use How::{Elsewhere, Not, Run};

const PACKAGING: How = Elsewhere(
    "tests/packaging.rs",
    "the_executable_is_static_reproducible_silent_on_its_machine_and_runs_out_of_the_zip",
);

/// Every command of the three files, in their order: file, heading, command.
#[rustfmt::skip]
const COMMANDS: &[(&str, &str, &str, How)] = &[
    (README, "Try it", "cargo start", Run(start)),
    (README, "Try it", "curl -H 'x-functions-key: d0c5atM1cr0s0ft' http://localhost:7071/api/RandomNumber", Run(prints_a_number)),
    (README, "Try it", "curl 'http://localhost:7071/api/RandomNumber?code=d0c5atM1cr0s0ft'", Run(prints_a_number)),
    (README, "Try it", "curl -i -H 'x-functions-key: wrong' http://localhost:7071/api/RandomNumber", Run(prints_401)),
    (README, "Build what is published", "./build.sh", PACKAGING),
    (README, "Build what is published", "wc -c handler", PACKAGING),
    (README, "Build what is published", "zip -q - handler host.json RandomNumber/function.json | wc -c", PACKAGING),
    (README, "Build what is published", "cargo install cargo-bloat", Not("it installs a program for the user")),
    (README, "Build what is published", "cargo bloat --release --package random-number-function --bin handler --crates -n 10", Not("it needs cargo-bloat")),
    (README, "`func start`", "./build.sh", PACKAGING),
    (README, "`func start`", "cp local.settings.json.example local.settings.json", Run(in_the_copy)),
    (README, "`func start`", "func start --enableAuth", Not("it needs Core Tools")),
    (README, "`func start`", "cargo build --release --package random-number-function", Run(in_the_repository)),
    (README, "`func start`", "cp target/release/handler handler", Run(the_copy_answers)),
    (README, "To Azure", "az login", Not("it needs an account in Azure")),
    (README, "To Azure", "./provision.sh", Elsewhere("tests/provision/main.rs", "from_nothing_to_a_verified_endpoint")),
    (README, "Deleting it", "./provision.sh --delete", Elsewhere("tests/provision/main.rs", "delete_removes_what_was_made")),
    (README, "Tests", "cargo test", Not("it runs this test")),
    (README, "Tests", "apt-get install build-essential curl git python3-venv unzip zip", Run(ci_installs_the_same)),
    (README, "Figures", "cargo bench", Not("it takes minutes")),
    (DEV_HOST, "dev-host", "cargo start", Run(has_printed_the_same)),
    (DEV_HOST, "Is it like the real host?", "read -rs FUNCTIONS_MASTER_KEY && export FUNCTIONS_MASTER_KEY", Run(put_off)),
    (DEV_HOST, "Is it like the real host?", "cargo run --package conformance -- https://NAME.azurewebsites.net", Run(finds_no_difference)),
    (BENCHES, "Figures and what was tried", "cargo bench              # some 8 minutes, once it is built", Not("it takes minutes")),
    (BENCHES, "Figures and what was tried", "cargo bench -- --quick   # less than 3", Not("it takes minutes")),
    (BENCHES, "Figures and what was tried", "cargo bench -- --long    # endurance, some 8 minutes", Not("it takes minutes")),
];

#[test]
fn every_command_is_dealt_with() {
    let found: Vec<_> = [README, DEV_HOST, BENCHES]
        .into_iter()
        .flat_map(commands)
        .collect();
    let known: Vec<_> = COMMANDS
        .iter()
        .map(|(file, heading, command, _)| format!("{file}, {heading}: {command}"))
        .collect();
    for command in &found {
        assert!(
            known.contains(command),
            "a command that tests/readme.rs does not know: {command}"
        );
    }
    for command in &known {
        assert!(
            found.contains(command),
            "a command of tests/readme.rs that is no longer there: {command}"
        );
    }
    assert_eq!(found, known, "another order");

    for (.., how) in COMMANDS {
        match how {
            Elsewhere(file, test) => assert!(
                read(file).contains(&format!("#[test]\nfn {test}() {{")),
                "{file} has no test {test}"
            ),
            Not(reason) => assert!(!reason.is_empty()),
            Run(_) => {}
        }
    }
}

/// One after the other, as somebody does who reads the files from their beginning.
#[test]
fn the_commands_do_what_they_say() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy");
    checkout::copy_to(&copy);
    symlink(target(), copy.join("target")).unwrap();
    let mut walk = Walk {
        folder,
        copy,
        host: None,
        put_off: String::new(),
    };
    for (.., command, how) in COMMANDS {
        if let Run(function) = how {
            function(&mut walk, command);
        }
    }
    walk.host.take().expect("started").end_by_ctrl_c();
}

/// What the commands have left behind so far.
struct Walk {
    folder: TempDir,
    /// A copy of the project, for what is written into its folder; its `target` is a link, so that
    /// what is built is built once.
    copy: PathBuf,
    host: Option<Host>,
    /// A command for the shell that runs the next one.
    put_off: String,
}

/// What `cargo start` has started.
struct Host {
    process: Child,
    /// What it prints up to "Ctrl-C to stop".
    greeting: String,
}

/// With `-- --port 0`, for 7071 may be in use.
fn start(walk: &mut Walk, command: &str) {
    let [stdout, stderr] = ["stdout", "stderr"].map(|name| walk.folder.path().join(name));
    let process = shell("sh", ROOT, &format!("exec {command} -- --port 0"))
        .process_group(0)
        .stdout(fs::File::create(&stdout).unwrap())
        .stderr(fs::File::create(&stderr).unwrap())
        .spawn()
        .unwrap();
    let host = walk.host.insert(Host {
        process,
        greeting: String::new(),
    });
    // It may build everything.
    eventually(Duration::from_secs(3600), "the host is started", || {
        let ended = host.process.try_wait().unwrap();
        assert!(ended.is_none(), "{}", fs::read_to_string(&stderr).unwrap());
        let printed = fs::read_to_string(&stdout).unwrap();
        let end = printed.find("Ctrl-C to stop\n");
        end.inspect(|end| host.greeting = printed[..*end].to_owned())
            .is_some()
    });
}

fn prints_a_number(walk: &mut Walk, command: &str) {
    let output = walk.call(command);
    let number = output.strip_prefix("{\"value\":");
    let number = number.and_then(|rest| rest.strip_suffix('}'));
    let number = number.and_then(|number| number.parse().ok());
    assert!(
        number.is_some_and(|number: u32| (1..=999).contains(&number)),
        "{command}: {output}"
    );
}

fn prints_401(walk: &mut Walk, command: &str) {
    let output = walk.call(command);
    let (first, _) = output.split_once("\r\n").unwrap();
    assert_eq!(first, "HTTP/1.1 401 Unauthorized", "{command}");
    assert!(read(README).contains(&format!("the third `{first}`")));
}

fn in_the_copy(walk: &mut Walk, command: &str) {
    succeeds(&mut shell("sh", &walk.copy, command));
}

/// Only for what writes nowhere but into `target`.
fn in_the_repository(_: &mut Walk, command: &str) {
    succeeds(&mut shell("sh", ROOT, command));
}

/// In the place of Core Tools dev-host starts `./handler`, as it does where there is no Cargo.toml.
fn the_copy_answers(walk: &mut Walk, command: &str) {
    in_the_copy(walk, command);
    assert!(walk.copy.join("local.settings.json").exists());
    fs::remove_file(walk.copy.join("Cargo.toml")).unwrap();
    let host = dev_host::start(dev_host::Options {
        app_root: walk.copy.clone(),
        auth: false,
        ..Default::default()
    });
    let host = host.unwrap();
    let answer = ureq::get(format!("{}/api/RandomNumber", host.url())).call();
    assert_eq!(answer.unwrap().status(), 200);
    host.stop().unwrap();
}

/// It would change the machine; what can be seen is that `.ci/run` knows each package.
fn ci_installs_the_same(_: &mut Walk, command: &str) {
    let ci = read(".ci/run");
    for package in command.strip_prefix("apt-get install ").unwrap().split(' ') {
        let mut words = ci.split(|letter: char| letter.is_whitespace() || "()".contains(letter));
        assert!(words.any(|word| word == package), ".ci/run: no {package}");
    }
}

/// As README.md has the same command, this is about what `start` has read, but for the ports and
/// the master key.
fn has_printed_the_same(walk: &mut Walk, command: &str) {
    let text = read(DEV_HOST);
    let (_, said) = text.split_once(&format!("$ {command}\n")).unwrap();
    let (said, _) = said.split_once("Ctrl-C to stop\n```").unwrap();
    let said = said
        .trim_start()
        .replace("localhost:7071", &walk.address())
        .replace("43513", &walk.printed("the handler on 127.0.0.1:", ","))
        .replace("85f2…", &walk.master_key());
    assert_eq!(walk.host.as_ref().unwrap().greeting, said);
}

/// It is about the shell that runs the next command.
fn put_off(walk: &mut Walk, command: &str) {
    walk.put_off = command.to_owned();
}

/// With the URL of dev-host in the place of the app's in Azure.
fn finds_no_difference(walk: &mut Walk, command: &str) {
    let url = format!("http://{}", walk.address());
    let command = command.replace("https://NAME.azurewebsites.net", &url);
    let typed = walk.folder.path().join("typed");
    fs::write(&typed, format!("{}\n", walk.master_key())).unwrap();
    let mut shell = shell("bash", ROOT, &format!("{}\n{command}", walk.put_off));
    let output = succeeds(shell.stdin(fs::File::open(typed).unwrap()));
    assert!(output.contains(", 0 different,"), "{command}: {output}");
}

impl Walk {
    /// With the port that the host has in the place of 7071.
    fn call(&self, command: &str) -> String {
        let command = command.replace("localhost:7071", &self.address());
        assert!(!command.contains("7071"), "{command}");
        succeeds(&mut shell("sh", ROOT, &command))
    }

    fn address(&self) -> String {
        format!("localhost:{}", self.printed("http://localhost:", "/"))
    }

    fn master_key(&self) -> String {
        self.printed("Key Management API: ", "\n")
    }

    /// What stands between these in the greeting.
    fn printed(&self, before: &str, after: &str) -> String {
        let greeting = &self.host.as_ref().unwrap().greeting;
        let (_, rest) = greeting.split_once(before).unwrap();
        rest.split_once(after).unwrap().0.to_owned()
    }
}

impl Host {
    /// Both processes end, and nothing of it is an error.
    fn end_by_ctrl_c(mut self) {
        let id = self.process.id();
        // A thread may end between the two looks.
        let children = format!("cat /proc/{id}/task/*/children 2>/dev/null || true");
        let handler = succeeds(&mut shell("sh", ROOT, &children));
        let handler = Path::new("/proc").join(handler.trim());
        let executable = fs::read_link(handler.join("exe")).unwrap();
        assert_eq!(executable.file_name(), Some("handler".as_ref()));
        signal("INT", id);
        eventually(Duration::from_secs(60), "the host has ended", || {
            self.process.try_wait().unwrap().is_some()
        });
        assert!(self.process.wait().unwrap().success());
        eventually(Duration::from_secs(60), "the handler has ended", || {
            !handler.exists()
        });
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if matches!(self.process.try_wait(), Ok(None)) {
            signal("KILL", self.process.id());
            let _ = self.process.wait();
        }
    }
}

/// To all of a process group, as a terminal does.
fn signal(name: &str, group: u32) {
    let _ = Command::new("bash")
        .args(["-c", &format!("kill -{name} -- -{group}")])
        .status();
}

/// A line for a shell. What a test is built for is in its environment, and would have Cargo build
/// again what looks at that. Cargo's folder is the one of this test, wherever it is told to build.
fn shell(name: &str, folder: impl AsRef<Path>, line: &str) -> Command {
    let mut command = Command::new(name);
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_MANIFEST_") || name.starts_with("CARGO_PKG_") {
            command.env_remove(&*name);
        }
    }
    command
        .args(["-c", line])
        .current_dir(folder)
        .stdin(Stdio::null())
        .env("CARGO_TARGET_DIR", target());
    command
}

fn target() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap()
}

/// Its standard output.
fn succeeds(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let line = command.get_args().last();
    assert!(output.status.success(), "{line:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn eventually(patience: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !condition() {
        assert!(
            begin.elapsed() < patience,
            "{what}: not within {patience:?}"
        );
        thread::sleep(Duration::from_millis(10));
    }
}

/// A file of the project.
fn read(file: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(file)).unwrap()
}

/// All lines of the `sh` blocks of a file, and those of the `console` blocks behind a `$`, as
/// "file, heading: command".
fn commands(file: &str) -> Vec<String> {
    let part = Regex::new(r"(?ms)^#+ ([^\n]*)$|^```([^\n]*)\n(.*?)^```$").unwrap();
    let (mut heading, mut found) = (String::new(), Vec::new());
    for part in part.captures_iter(&read(file)) {
        if let Some(text) = part.get(1) {
            heading = text.as_str().to_owned();
            continue;
        }
        for line in part[3].lines() {
            let command = match &part[2] {
                "sh" => Some(line),
                "console" => line.strip_prefix("$ "),
                "mermaid" | "rust" | "" => None,
                other => panic!("{file}: can a block of {other} be run?"),
            };
            found.extend(command.map(|command| format!("{file}, {heading}: {command}")));
        }
    }
    found
}

/// Relative links, and what looks like a path in code.
#[test]
fn what_they_name_is_there() {
    let link = Regex::new(r"\]\(([^)]*)\)").unwrap();
    let block = Regex::new(r"(?ms)^```.*?^```$").unwrap();
    let path = Regex::new(r"`([A-Za-z0-9_./-]*(?:/[A-Za-z0-9_.-]*|\.[a-z]+))`").unwrap();
    let files = checkout::files();
    let products = read(".gitignore");
    for file in [README, DEV_HOST, BENCHES] {
        let text = read(file);
        for link in link.captures_iter(&text) {
            let target = Path::new(ROOT).join(file).with_file_name(&link[1]);
            let is_there = link[1].starts_with("https://") || target.exists();
            assert!(is_there, "{file}: nothing at {}", &link[0]);
        }
        for path in path.captures_iter(&block.replace_all(&text, "")) {
            // What begins with a slash is a path of a URL, and the function that a reader may write
            // is not there yet.
            let name = path[1].trim_start_matches("./").trim_end_matches('/');
            let is_there = name.starts_with('/')
                || name == "src/greeting.rs"
                || products.lines().any(|line| line == format!("/{name}"))
                || files.iter().any(|file| {
                    let file = format!("/{file}/");
                    file.starts_with(&format!("/{name}/")) || file.ends_with(&format!("/{name}/"))
                });
            assert!(is_there, "{file}: no {}", &path[0]);
        }
    }
}

#[test]
fn the_options_of_provision_sh() {
    let help = succeeds(&mut shell("sh", ROOT, "./provision.sh --help"));
    let readme = read(README);
    let (_, section) = readme.split_once("\n## To Azure\n").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();

    let option = Regex::new(r"--[a-z][a-z-]*").unwrap();
    let options = |text| -> BTreeSet<_> { option.find_iter(text).map(|o| o.as_str()).collect() };
    let mut expected = options(&help);
    expected.remove("--help");
    assert_eq!(options(section), expected);

    // Those with a value, which goes by a variable and a default, and the one that is no option.
    let row = Regex::new(r"(?m)^  (--.*?)  [^(]*\(([A-Z_]+); (.*)\)$").unwrap();
    let variable = Regex::new(r"()(PROVISION_[A-Z_]+) is [^(]*\((.*)\)").unwrap();
    let expected: Vec<[String; 3]> = row
        .captures_iter(&help)
        .chain(variable.captures_iter(&help))
        .map(|row| [1, 2, 3].map(|index| row[index].to_owned()))
        .collect();
    let code = Regex::new("`(.*?)`").unwrap();
    let name = |cell: &str| {
        code.captures(cell)
            .map_or(String::new(), |c| c[1].to_owned())
    };
    let rows: Vec<_> = table(section)
        .map(|[option, variable, default]| {
            let (default, _) = default.split_once(", ").unwrap_or((default, ""));
            [name(option), name(variable), default.replace('`', "")]
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn the_options_of_dev_host() {
    let help = succeeds(&mut shell("sh", ROOT, "cargo start -- --help"));
    let option = Regex::new(r"(?m)^ +(--[a-z-]+).*?(?:\[default: (.*)\])?$").unwrap();
    let expected: Vec<_> = option
        .captures_iter(&help)
        .map(|option| {
            let default = option.get(2).map_or("", |default| match default.as_str() {
                dev_host::WALKTHROUGH_KEY => "the walkthrough's",
                other => other,
            });
            (option[1].to_owned(), default.to_owned())
        })
        .collect();
    let readme = read(DEV_HOST);
    let name = Regex::new("`(.*?)`").unwrap();
    let rows: Vec<_> = table(&readme)
        .flat_map(|[options, _, default]| {
            let options = name.captures_iter(options);
            options.map(|option| (option[1].to_owned(), default.to_owned()))
        })
        .collect();
    assert_eq!(rows, expected);
}

/// The rows of the table of options.
fn table(text: &str) -> impl Iterator<Item = [&str; 3]> {
    let (_, rows) = text.split_once("\n| option |").expect("a table of options");
    let rows = rows
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().expect("three cells")
    })
}
