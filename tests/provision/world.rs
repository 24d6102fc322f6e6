//! What `provision.sh` sees of the world in a test: Azure, tools, a home, and the project.

use std::{
    collections::HashMap,
    env, fs,
    io::Write as _,
    os::unix::{
        fs::{PermissionsExt, symlink},
        process::CommandExt as _,
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use tempfile::TempDir;
use test_support::{checkout, core_tools};

use crate::{
    azure::{Azure, MASTER_KEY, STORAGE_KEY},
    http::{Reply, Request, Server, tls},
};

/// The version of the Azure CLI that the stand-in for Azure was written for.
const AZURE_CLI: &str = "2.91.0";

/// All that the script may call, beside `az` and `func`.
const TOOLS: [&str; 16] = [
    "cargo",
    "cat",
    "curl",
    "dirname",
    "env",
    "grep",
    "mktemp",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "tr",
    "true",
    "uname",
];

pub struct World {
    pub azure: Arc<Azure>,
    folder: TempDir,
    func: Server,
    proxy: Server,
    /// What was asked of the proxy: hosts that are not loopback.
    strangers: Arc<Mutex<Vec<String>>>,
    hosts: Arc<Mutex<Hosts>>,
}

/// What is published, and how publishing is to go.
#[derive(Default)]
struct Hosts {
    running: Option<dev_host::Running>,
    failures: usize,
    published: usize,
}

pub struct Outcome {
    pub status: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.status, Some(0), "{self}");
        self
    }

    #[track_caller]
    pub fn fails(self, with: &str) -> Self {
        assert!(self.status.is_some_and(|status| status != 0), "{self}");
        assert!(self.stderr.contains(with), "no {with:?} in: {self}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            status,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "status {status:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}"
        )
    }
}

impl From<Output> for Outcome {
    fn from(output: Output) -> Self {
        Self {
            status: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl World {
    /// Signed in to Azure, with all tools there, and with a build that is done already.
    pub fn new() -> Self {
        let world = Self::signed_out();
        for (file, content) in signed_in() {
            let file = world.path("azure").join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, content).unwrap();
        }
        world
    }

    pub fn signed_out() -> Self {
        let folder = tempfile::Builder::new()
            .prefix("provision-")
            .tempdir()
            .unwrap();
        fs::write(folder.path().join("ca.pem"), &tls().certificate).unwrap();
        for name in [
            "azure",
            "bin",
            "home",
            "project",
            "record",
            "tmp",
            "published",
        ] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }

        // Without a note of an earlier look, az looks for a newer version of itself on a public host.
        let versions = format!(
            r#"{{"versions": {{"core": {{"local": "{AZURE_CLI}"}}, "azure-cli": {{"local": "{AZURE_CLI}"}}}}}}"#
        );
        fs::write(folder.path().join("azure/versionCheck.json"), versions).unwrap();

        let azure = Arc::new(Azure::start());
        let hosts = Arc::<Mutex<Hosts>>::default();
        let func = Server::start(None, {
            let (azure, hosts) = (Arc::clone(&azure), Arc::clone(&hosts));
            let folder = folder.path().join("published");
            move |request| publish(&request, &azure, &mut hosts.lock().unwrap(), &folder)
        });
        let strangers = Arc::<Mutex<Vec<_>>>::default();
        let proxy = Server::start(None, {
            let strangers = Arc::clone(&strangers);
            move |request| {
                let mut strangers = strangers.lock().unwrap();
                strangers.push(format!("{} {}", request.method, request.path));
                Reply::status(502)
            }
        });
        let world = Self {
            azure,
            folder,
            func,
            proxy,
            strangers,
            hosts,
        };
        world.install_tools();
        world.install_project();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn remove_tool(&self, name: &str) {
        fs::remove_file(self.path("bin").join(name)).unwrap();
    }

    /// The script with these arguments, ready to be run.
    pub fn provision(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("project/provision.sh"));
        command.args(arguments);
        self.in_this_world(&mut command);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Outcome {
        self.provision(arguments).output().unwrap().into()
    }

    /// The same, with this for the value of the access key.
    pub fn run_with_key(&self, key: &str, arguments: &[&str]) -> Outcome {
        let mut command = self.provision(arguments);
        command.env("PROVISION_KEY_VALUE", key);
        command.output().unwrap().into()
    }

    /// Runs the script until a call of this kind is held, and stops it as a terminal does on
    /// Ctrl-C.
    pub fn interrupt_at(
        &self,
        method: &'static str,
        path: &'static str,
        arguments: &[&str],
    ) -> Outcome {
        self.stop_at(method, path, arguments, |script| {
            format!("-INT -- -{script}")
        })
    }

    /// Runs the script until a call of this kind is held, and then ends the `az` that makes it.
    pub fn kill_az_at(
        &self,
        method: &'static str,
        path: &'static str,
        arguments: &[&str],
    ) -> Outcome {
        self.stop_at(method, path, arguments, |script| {
            format!("-KILL $(< /proc/{script}/task/{script}/children)")
        })
    }

    fn stop_at(
        &self,
        method: &'static str,
        path: &'static str,
        arguments: &[&str],
        signal: impl Fn(u32) -> String,
    ) -> Outcome {
        self.azure.hold(method, path);
        let script = self
            .provision(arguments)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.azure.await_held(Duration::from_secs(120));
        let kill = format!("kill {}", signal(script.id()));
        let kill = Command::new("bash").args(["-c", &kill]).status();
        assert!(kill.unwrap().success());
        let outcome = script.wait_with_output().unwrap().into();
        self.azure.release();
        outcome
    }

    /// Puts another function in the place of RandomNumber, which takes POST alone.
    pub fn replace_function(&self, name: &str, handler: &str) {
        let project = self.path("project");
        fs::rename(project.join("RandomNumber"), project.join(name)).unwrap();
        self.edit(
            &format!("{name}/function.json"),
            r#"["get", "post"]"#,
            r#"["post"]"#,
        );
        write_executable(&project.join("handler"), handler.as_bytes());
    }

    /// Puts something else in the place of what a file of the project has once.
    #[track_caller]
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let file = self.path("project").join(file);
        let content = fs::read_to_string(&file).unwrap();
        assert_eq!(content.matches(from).count(), 1, "{from:?} in {file:?}");
        fs::write(file, content.replace(from, to)).unwrap();
    }

    /// A line of shell.
    pub fn shell(&self, line: &str) -> Outcome {
        let mut command = Command::new("sh");
        self.in_this_world(&mut command);
        command.args(["-c", line]).output().unwrap().into()
    }

    /// The script with a terminal at both ends, on which this is typed.
    pub fn on_terminal(&self, arguments: &[&str], typed: &str) -> Outcome {
        let line = format!("project/provision.sh {}", arguments.join(" "));
        let mut command = Command::new(find("script"));
        self.in_this_world(&mut command);
        let mut terminal = command
            .args(["--quiet", "--return", "--command", &line, "/dev/null"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Kept open until the end: a terminal doesn't hang up after what has been typed.
        let mut keyboard = terminal.stdin.take().unwrap();
        keyboard.write_all(typed.as_bytes()).unwrap();
        let output = terminal.wait_with_output().unwrap();
        drop(keyboard);
        output.into()
    }

    /// Nothing of the environment that the tests run in gets through.
    pub fn in_this_world(&self, command: &mut Command) {
        let proxy = format!("http://127.0.0.1:{}", self.proxy.port());
        command
            .env_clear()
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("LANG", "C.UTF-8")
            .env("AZURE_CONFIG_DIR", self.path("azure"))
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .env("AZURE_CORE_INSTANCE_DISCOVERY", "false")
            .env("ARM_CLOUD_METADATA_URL", self.azure.metadata_url())
            .env("IDENTITY_ENDPOINT", self.azure.token_url())
            .env("IDENTITY_HEADER", "any")
            .env("REQUESTS_CA_BUNDLE", self.path("ca.pem"))
            .env("CURL_CA_BUNDLE", self.path("ca.pem"))
            // All that is not for loopback goes to this proxy, which notes it down.
            .env("HTTPS_PROXY", &proxy)
            .env("HTTP_PROXY", &proxy)
            .env("https_proxy", &proxy)
            .env("http_proxy", &proxy)
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost");
    }

    /// Each tool is a small script that notes its arguments and its environment down and then
    /// becomes the real one. There is nothing else on the PATH.
    fn install_tools(&self) {
        for shell in ["bash", "dash", "sh"] {
            symlink(find(shell), self.path("bin").join(shell)).unwrap();
        }
        for name in TOOLS {
            let real = match name {
                // Waiting is all the same, only shorter.
                "sleep" => format!("exec '{}' 0.05", find(name).display()),
                _ => format!("exec '{}' \"$@\"", find(name).display()),
            };
            self.install_tool(name, &real);
        }
        self.install_tool("az", &format!("exec {} \"$@\"", azure_cli()));
        self.install_tool(
            "func",
            &format!(
                "if [ \"$*\" = --version ]; then echo 4.2.2; exit; fi\n\
                 exec '{}' --silent --show-error --fail-with-body --noproxy '*' --request POST \
                 --header \"folder: $PWD\" --header \"runtime: $FUNCTIONS_WORKER_RUNTIME\" \
                 --header \"arguments: $*\" http://127.0.0.1:{}/",
                find("curl").display(),
                self.func.port()
            ),
        );
    }

    pub fn install_tool(&self, name: &str, script: &str) {
        let record = self.path("record");
        let env = find("env");
        let script = format!(
            "#!/bin/sh\n{{ printf '%s\\n' {name} \"$@\"; '{}'; }} >>'{}/{name}.'$$\n{script}\n",
            env.display(),
            record.display(),
        );
        write_executable(&self.path("bin").join(name), script.as_bytes());
    }

    /// The files that git keeps, and a build that is done.
    fn install_project(&self) {
        let project = self.path("project");
        checkout::copy_to(&project);
        // They have the secrets in them that files are searched for.
        fs::remove_dir_all(project.join("tests/provision")).unwrap();
        write_executable(&project.join("handler"), stripped_handler());
        write_executable(&project.join("build.sh"), b"#!/bin/sh\necho built\n");
    }

    /// Puts the real build in the place of the one that is done already, and lets the script have
    /// all that it may take.
    pub fn build_for_real(&self, command: &mut Command) {
        let project = self.path("project");
        fs::remove_file(project.join("handler")).unwrap();
        fs::copy(
            Path::new(env!("CARGO_MANIFEST_DIR")).join("build.sh"),
            project.join("build.sh"),
        )
        .unwrap();
        let mut path = self.path("bin").into_os_string();
        path.push(":");
        path.push(env::var_os("PATH").unwrap_or_default());
        command.env("PATH", path).env("CARGO_NET_OFFLINE", "true");
        let home = env::home_dir().expect("a home, for Rust to be in");
        for (name, folder) in [("CARGO_HOME", ".cargo"), ("RUSTUP_HOME", ".rustup")] {
            command.env(
                name,
                env::var_os(name).unwrap_or_else(|| home.join(folder).into()),
            );
        }
    }

    /// So many times does `func azure functionapp publish` fail.
    pub fn fail_publishing(&self, times: usize) {
        self.hosts.lock().unwrap().failures = times;
    }

    pub fn times_published(&self) -> usize {
        self.hosts.lock().unwrap().published
    }

    /// Everything that is to be seen of the children: their arguments and their environments, by
    /// name and process.
    pub fn records(&self) -> HashMap<String, String> {
        let files = fs::read_dir(self.path("record")).unwrap();
        let files = files.map(|file| file.unwrap());
        files
            .map(|file| {
                let name = file.file_name().into_string().unwrap();
                (name, fs::read_to_string(file.path()).unwrap())
            })
            .collect()
    }

    /// Checks what holds for every run, however it ends.
    #[track_caller]
    pub fn check(&self) {
        let strangers = self.strangers.lock().unwrap();
        assert!(strangers.is_empty(), "not on loopback: {strangers:#?}");
        let state = self.azure.state();
        assert!(state.unknown.is_empty(), "not known: {:#?}", state.unknown);
        drop(state);
        let home = fs::read_dir(self.path("home")).unwrap().count();
        assert_eq!(home, 0, "something was put into HOME");
        let left = fs::read_dir(self.path("tmp")).unwrap().count();
        assert_eq!(left, 0, "a temporary file was left behind");
    }

    /// Checks that none of the secrets is in any output, on any command line, in any environment,
    /// or in any file.
    #[track_caller]
    pub fn check_secrets(&self, access_key: &str, outcomes: &[&Outcome]) {
        let secrets = [access_key, MASTER_KEY, STORAGE_KEY];
        for outcome in outcomes {
            for secret in secrets {
                assert!(
                    !outcome.to_string().contains(secret),
                    "{secret} in {outcome}"
                );
            }
        }
        for secret in secrets {
            let found = Command::new("grep")
                .args([
                    "--recursive",
                    "--fixed-strings",
                    "--files-with-matches",
                    "-e",
                    secret,
                ])
                .arg(self.folder.path())
                .output()
                .unwrap();
            let found = Outcome::from(found);
            // 1: searched, and not found.
            assert_eq!(found.status, Some(1), "{secret} is in a file: {found}");
        }
    }
}

/// `func azure functionapp publish`: packs the folder, and has the host run what was packed.
///
/// It leaves out what Core Tools does on the side: its own calls of Resource Manager, the check of
/// the app's settings, the build on the server.
fn publish(request: &Request, azure: &Azure, hosts: &mut Hosts, folder: &Path) -> Reply {
    let arguments = request.header("arguments").unwrap_or_default();
    let app = arguments.strip_prefix("azure functionapp publish ");
    let app = app
        .and_then(|rest| rest.split(' ').next())
        .unwrap_or_default();
    let source = PathBuf::from(request.header("folder").unwrap_or_default());

    if request.header("runtime") != Some("custom") && !source.join("local.settings.json").exists() {
        return Reply::text(
            400,
            "Your worker runtime is not set. As of now, you may set up worker runtime by \
             FUNCTIONS_WORKER_RUNTIME.\n",
        );
    }
    if !azure
        .state()
        .names("Microsoft.Web/sites")
        .contains(&app.to_owned())
    {
        return Reply::text(400, &format!("Can't find app with name \"{app}\"\n"));
    }
    if hosts.failures > 0 {
        hosts.failures -= 1;
        return Reply::text(500, "Error uploading the package: Service Unavailable\n");
    }

    hosts.published += 1;
    let target = folder.join(hosts.published.to_string());
    let zip = folder.join(format!("{}.zip", hosts.published));
    fs::write(&zip, core_tools::zip(&source)).unwrap();
    // Not in this process: a child that another thread starts meanwhile would hold the handler open
    // for writing, and a file that is can't be executed.
    let unzip = Command::new("unzip")
        .args(["-q".as_ref(), zip.as_os_str(), "-d".as_ref()])
        .arg(&target)
        .status()
        .expect("unzip is needed for this test");
    assert!(unzip.success());

    // Keys are kept in the storage account: they outlive the host.
    azure.state().host_port = None;
    let function_key = hosts
        .running
        .take()
        .and_then(|host| host.function_key("RandomNumber"));
    let host = dev_host::start(dev_host::Options {
        app_root: target,
        master_key: Some(MASTER_KEY.to_owned()),
        function_key,
        ..dev_host::Options::default()
    });
    match host {
        Ok(host) => {
            azure.state().host_port = Some(host.port());
            hosts.running = Some(host);
            Reply::text(200, "Deployment completed successfully.\n")
        }
        Err(message) => Reply::text(500, &format!("The host does not start: {message}\n")),
    }
}

/// The files of a configuration of the Azure CLI that is signed in, made once.
fn signed_in() -> &'static [(PathBuf, Vec<u8>)] {
    static SIGNED_IN: OnceLock<Vec<(PathBuf, Vec<u8>)>> = OnceLock::new();
    SIGNED_IN.get_or_init(|| {
        let world = World::signed_out();
        let mut login = Command::new(world.path("bin/az"));
        world.in_this_world(&mut login);
        let login = Outcome::from(login.args(["login", "--identity"]).output().unwrap());
        login.succeeds();
        world.check();
        // Where Azure is found differs from world to world.
        fs::remove_file(world.path("azure/cloudEndpoints.json")).unwrap();
        let mut files = Vec::new();
        read_all(&world.path("azure"), Path::new(""), &mut files);
        files
    })
}

/// All files below a folder, by their paths in it.
fn read_all(folder: &Path, below: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder.join(below)).unwrap() {
        let entry = entry.unwrap();
        let name = below.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read_all(folder, &name, files);
        } else {
            files.push((name, fs::read(entry.path()).unwrap()));
        }
    }
}

/// The command of the pinned Azure CLI: the one on the PATH if it is that version, else one that is
/// installed into `target`, once.
fn azure_cli() -> &'static str {
    static COMMAND: OnceLock<String> = OnceLock::new();
    COMMAND.get_or_init(|| {
        // Not even to tell its version may it touch the configuration of whoever runs the tests.
        let configuration = TempDir::new().unwrap();
        let on_path = Command::new("az")
            .args(["version", "--output", "tsv"])
            .env("AZURE_CONFIG_DIR", configuration.path())
            .env("AZURE_CORE_COLLECT_TELEMETRY", "false")
            .output();
        if on_path.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout)
                .split_whitespace()
                .next()
                == Some(AZURE_CLI)
        }) {
            return format!("'{}'", find("az").display());
        }
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let installed = target.join(format!("azure-cli-{AZURE_CLI}"));
        let lock = fs::File::create(target.join("azure-cli.lock")).unwrap();
        lock.lock().unwrap();
        if !installed.exists() {
            install_azure_cli(&installed);
        }
        // Not bin/az, which names the folder that it was installed in at first.
        format!("'{}' -m azure.cli", installed.join("bin/python3").display())
    })
}

fn install_azure_cli(folder: &Path) {
    let unfinished = folder.with_extension("unfinished");
    let _ = fs::remove_dir_all(&unfinished);
    let run = |command: &mut Command| {
        let status = command.stdout(Stdio::null()).status();
        assert!(
            status.as_ref().is_ok_and(|status| status.success()),
            "python3 with its module venv is needed to install the Azure CLI for this test, and \
             access to the Python package index. {command:?}: {status:?}"
        );
    };
    run(Command::new("python3")
        .args(["-m", "venv"])
        .arg(&unfinished));
    run(Command::new(unfinished.join("bin/python3"))
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .arg(format!("azure-cli=={AZURE_CLI}")));
    fs::rename(unfinished, folder).unwrap();
}

/// The path of a program on the PATH that the tests run with.
fn find(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is needed on the PATH for this test"))
}

/// The handler that Cargo has built for the tests, without what makes it ten times as long and
/// zipping it slow. Made once.
fn stripped_handler() -> &'static [u8] {
    static HANDLER: OnceLock<Vec<u8>> = OnceLock::new();
    HANDLER.get_or_init(|| {
        let folder = TempDir::new().unwrap();
        let stripped = folder.path().join("handler");
        let status = Command::new("strip")
            .arg(env!("CARGO_BIN_EXE_handler"))
            .arg("-o")
            .arg(&stripped)
            .status()
            .expect("strip, of the C toolchain that Rust links with");
        assert!(status.success());
        fs::read(stripped).unwrap()
    })
}

fn write_executable(path: &Path, content: &[u8]) {
    let mut file = fs::File::create(path).unwrap();
    file.write_all(content).unwrap();
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .unwrap();
}
