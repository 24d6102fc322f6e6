//! What `provision.sh` sees of the world in a test: Azure, tools, a home, and the project.

use std::{
    collections::HashMap,
    env, fs,
    io::Write as _,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use serde_json::{Value, json};
use tempfile::TempDir;
use test_support::{
    checkout, core_tools,
    process::{signal, succeeds},
    put, put_executable,
};

use crate::{
    KEY,
    azure::{Azure, CONNECTION_STRING, MASTER_KEY, STORAGE_KEY, TOKEN},
    http::{Reply, Request, Server, tls},
};

/// The version of the Azure CLI that the stand-in for Azure was written for.
const AZURE_CLI: &str = "2.91.0";

/// All that the script may call, beside `az`, `func` and `bash`.
const TOOLS: &str = "cargo cat cc curl date dirname grep head mktemp od rm sed sha256sum sleep tail tr \
    true uname";

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
    /// What publishing fails with.
    failure: Option<&'static str>,
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

    /// On standard output.
    #[track_caller]
    pub fn says(&self, text: &str) {
        assert!(self.stdout.contains(text), "no {text:?} in: {self}");
    }

    #[track_caller]
    pub fn is_a_line_and_status_2(&self) {
        assert_eq!(self.status, Some(2), "{self}");
        assert_eq!(self.stderr.lines().count(), 1, "{self}");
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
            put(&world.path("azure"), file, content);
        }
        world
    }

    /// As a first run leaves it, with the default key.
    pub fn provisioned() -> Self {
        static DONE: OnceLock<Arc<Azure>> = OnceLock::new();
        let done = DONE.get_or_init(|| {
            let world = Self::new();
            world.run("").succeeds();
            Arc::clone(&world.azure)
        });
        let world = Self::new();
        world.azure.state().copy(&done.state());
        let mut hosts = world.hosts.lock().unwrap();
        let (project, published) = (world.path("project"), world.path("published"));
        run_package(&project, &world.azure, &mut hosts, &published).unwrap();
        drop(hosts);
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
            move |request| match publish(&request, &azure, &mut hosts.lock().unwrap(), &folder) {
                Ok(()) => Reply::text(200, "Deployment completed successfully.\n"),
                Err(message) => Reply::text(500, &format!("{message}\n")),
            }
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

    /// A line of shell.
    pub fn shell(&self, line: &str) -> Outcome {
        self.command(line).output().unwrap().into()
    }

    /// The script with these arguments, as they are typed.
    pub fn run(&self, arguments: &str) -> Outcome {
        self.shell(&format!("project/provision.sh {arguments}"))
    }

    /// The same, with the access key of the tests.
    pub fn run_with_key(&self, arguments: &str) -> Outcome {
        self.shell(&format!(
            "PROVISION_KEY_VALUE={KEY} project/provision.sh {arguments}"
        ))
    }

    /// Runs the script until a call of this kind is held, and stops it as a terminal does on
    /// Ctrl-C.
    pub fn interrupt_at(&self, call: &'static str, arguments: &str) -> Outcome {
        self.azure.hold(call);
        // A job in the background of a script has been told to ignore that signal, and so would bash.
        let env = find("env").display().to_string();
        let line = format!("exec {env} --default-signal=INT project/provision.sh {arguments}");
        let script = self
            .command(&line)
            .process_group(0)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        self.azure.await_held(Duration::from_secs(120));
        signal(format!("-{}", script.id()), "INT");
        let outcome = script.wait_with_output().unwrap().into();
        self.azure.release();
        outcome
    }

    /// The script with a terminal at both ends, on which this is typed.
    pub fn on_terminal(&self, arguments: &str, typed: &str) -> Outcome {
        let terminal = find("script").display().to_string();
        let script = format!("project/provision.sh {arguments}");
        let line = format!("exec {terminal} --quiet --return --command '{script}' /dev/null");
        let mut terminal = self
            .command(&line)
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

    /// Puts another function in the place of RandomNumber, which takes POST alone.
    pub fn replace_function(&self, name: &str, handler: &str) {
        let project = self.path("project");
        fs::rename(project.join("RandomNumber"), project.join(name)).unwrap();
        self.edit(
            &format!("{name}/function.json"),
            r#"["get", "post"]"#,
            r#"["post"]"#,
        );
        put_executable(&project, "handler", handler);
    }

    pub fn write(&self, file: &str, content: &str) {
        put(&self.path("project"), file, content);
    }

    /// Puts something else in the place of what a file of the project has once.
    #[track_caller]
    pub fn edit(&self, file: &str, from: &str, to: &str) {
        let file = self.path("project").join(file);
        let content = fs::read_to_string(&file).unwrap();
        assert_eq!(content.matches(from).count(), 1, "{from:?} in {file:?}");
        fs::write(file, content.replace(from, to)).unwrap();
    }

    /// A line of shell, of which nothing of the environment that the tests run in gets through.
    pub fn command(&self, line: &str) -> Command {
        let proxy = format!("http://127.0.0.1:{}", self.proxy.port());
        let mut command = Command::new("sh");
        command
            .args(["-c", line])
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
        command
    }

    /// Each tool is a small script that notes its arguments and its environment down and then
    /// becomes the real one. There is nothing else on the PATH.
    fn install_tools(&self) {
        for shell in ["bash", "dash", "sh"] {
            symlink(find(shell), self.path("bin").join(shell)).unwrap();
        }
        for name in TOOLS.split_whitespace() {
            let real = match name {
                // Waiting is all the same, only shorter; but not between two signs of life.
                "sleep" => {
                    let real = find(name).display().to_string();
                    format!("[ \"$1\" = 1 ] || set 0.05\nexec '{real}' \"$@\"")
                }
                _ => format!("exec '{}' \"$@\"", find(name).display()),
            };
            self.install_tool(name, &real);
        }
        self.install_tool("az", &format!("exec {} \"$@\"", azure_cli()));
        self.install_tool(
            "func",
            &format!(
                "if [ \"$*\" = --version ]; then echo A notice first; echo 4.14.0; exit; fi\n\
                 exec '{}' --silent --fail-with-body --noproxy '*' --data-binary @- \
                 --header \"folder: $PWD\" --header \"runtime: $FUNCTIONS_WORKER_RUNTIME\" \
                 --header \"arguments: $*\" http://127.0.0.1:{}/",
                find("curl").display(),
                self.func.port()
            ),
        );
    }

    pub fn sleep_for_real(&self) {
        self.install_tool(
            "sleep",
            &format!("exec '{}' \"$@\"", find("sleep").display()),
        );
    }

    pub fn install_tool(&self, name: &str, script: &str) {
        let record = self.path("record");
        let script = format!(
            "#!/bin/sh\nfile='{}/{name}.'$$\n\
             # Numbers of processes come up again.\n\
             while [ -e \"$file\" ]; do file=$file+; done\n\
             {{ printf '%s ' {name} \"$@\"; echo; export -p; }} >\"$file\"\n{script}\n",
            record.display(),
        );
        put_executable(&self.path("bin"), name, script);
    }

    /// The files that git keeps, and a build that is done: `tests/own_function.rs` has a real one.
    fn install_project(&self) {
        let project = self.path("project");
        checkout::copy_to(&project);
        // They have the secrets in them that files are searched for.
        fs::remove_dir_all(project.join("tests/provision")).unwrap();
        put_executable(&project, "handler", stripped_handler());
        put_executable(&project, "build.sh", "#!/bin/sh\necho built\n");
    }

    /// `func azure functionapp publish` fails with this message.
    pub fn fail_publishing(&self, message: &'static str) {
        self.hosts.lock().unwrap().failure = Some(message);
    }

    pub fn times_published(&self) -> usize {
        self.hosts.lock().unwrap().published
    }

    /// The command lines by which the script, or a test, has started this tool.
    pub fn started(&self, tool: &str) -> Vec<String> {
        let begins = format!("{tool} ");
        let records = self.records().into_values();
        let lines = records.filter(|record| record.starts_with(&begins));
        lines
            .map(|record| record.lines().next().unwrap().to_owned())
            .collect()
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
        assert!(state.wrong.is_empty(), "{:#?}", state.wrong);
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
        let secrets = [
            access_key,
            MASTER_KEY,
            STORAGE_KEY,
            CONNECTION_STRING,
            TOKEN,
        ];
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

/// `func azure functionapp publish`: finds the app, packs the folder, uploads the package, and has
/// the host run it. It asks what the real one was seen to ask for that, and prints its messages.
///
/// It leaves out what Core Tools does on the side: the check of the app's settings, the pause of a
/// minute after an upload, the look at how the deployment goes.
fn publish(
    request: &Request,
    azure: &Azure,
    hosts: &mut Hosts,
    folder: &Path,
) -> Result<(), String> {
    let arguments = request.header("arguments").unwrap_or_default();
    let names = arguments.strip_prefix("azure functionapp publish ");
    let names = names.and_then(|names| names.strip_suffix(" --access-token-stdin"));
    let Some((app, subscription)) = names.and_then(|it| it.split_once(" --subscription ")) else {
        return Err(format!("Not for the stand-in of func: {arguments}"));
    };
    let source = PathBuf::from(request.header("folder").unwrap_or_default());
    if request.header("runtime") != Some("custom") && !source.join("local.settings.json").exists() {
        return Err(
            "Your worker runtime is not set. As of now, you may set up worker runtime by \
             FUNCTIONS_WORKER_RUNTIME."
                .to_owned(),
        );
    }
    let token = String::from_utf8_lossy(&request.body);
    if token.is_empty() {
        return Err("Unable to set access token from stdin.".to_owned());
    }
    if let Some(message) = hosts.failure {
        return Err(message.to_owned());
    }
    let ask = |method: &str, path: &str, body: Value| Request {
        method: method.to_owned(),
        path: path.to_owned(),
        query: "api-version=2015-08-01".to_owned(),
        headers: vec![("authorization".to_owned(), format!("Bearer {token}"))],
        body: body.to_string().into_bytes(),
    };
    let answer = |method, path: &str, body| match azure.answer(&ask(method, path, body)) {
        Reply::Answer {
            status: 200, body, ..
        } => Ok(serde_json::from_slice::<Value>(&body).unwrap()),
        _ => Err("Error calling Azure Resource Manager.".to_owned()),
    };

    let query = format!("where type =~ 'Microsoft.Web/sites' and name =~ '{app}' | project id");
    let query = json!({"subscriptions": [subscription], "query": query});
    let graph = "/providers/Microsoft.ResourceGraph/resources";
    let found = answer("POST", graph, query)?;
    let Some(id) = found["data"]["rows"][0][0].as_str() else {
        return Err(format!("Can't find app with name \"{app}\""));
    };
    let site = answer("GET", id, Value::Null)?;
    if site["properties"]["sku"] == "FlexConsumption" {
        let upload = azure.upload(&ask("POST", "/api/publish", Value::Null));
        if !matches!(upload, Reply::Answer { status: 202, .. }) {
            return Err(
                "Error [2026-11-24T12:00:00.000Z] Uploading archive... (ServiceUnavailable).\n\
                 Server Response: The service is unavailable."
                    .to_owned(),
            );
        }
    } else {
        // The package is a blob, which a setting names.
        let settings = format!("{id}/config/AppSettings");
        let mut all = answer("POST", &format!("{settings}/list"), Value::Null)?;
        all["properties"]["WEBSITE_RUN_FROM_PACKAGE"] = json!("https://blob");
        answer("PUT", &settings, all)?;
    }
    run_package(&source, azure, hosts, folder)
}

/// Has the Functions host run what func would publish.
fn run_package(
    source: &Path,
    azure: &Azure,
    hosts: &mut Hosts,
    folder: &Path,
) -> Result<(), String> {
    hosts.published += 1;
    let target = folder.join(hosts.published.to_string());
    let zip = folder.join(format!("{}.zip", hosts.published));
    fs::write(&zip, core_tools::zip(source)).unwrap();
    // Not in this process: a child that another thread starts meanwhile would hold the handler open
    // for writing, and a file that is can't be executed.
    let mut unzip = Command::new("unzip");
    succeeds(unzip.arg("-q").arg(&zip).arg("-d").arg(&target));

    // Keys are kept in the storage account: they outlive the host.
    azure.state().host_port = None;
    let function = core_tools::included_files(source);
    let function = function
        .iter()
        .find_map(|file| file.strip_suffix("/function.json"))
        .unwrap();
    let function_key = match hosts.running.take() {
        Some(host) => host.function_key(function),
        None => Some(dev_host::WALKTHROUGH_KEY.to_owned()),
    };
    let host = dev_host::start(dev_host::Options {
        app_root: target,
        master_key: Some(MASTER_KEY.to_owned()),
        function_key,
        ..dev_host::Options::default()
    });
    let host = host.map_err(|message| format!("The host does not start: {message}"))?;
    azure.state().host_port = Some(host.port());
    hosts.running = Some(host);
    Ok(())
}

/// The files of a configuration of the Azure CLI that is signed in, made once.
fn signed_in() -> &'static [(String, Vec<u8>)] {
    static SIGNED_IN: OnceLock<Vec<(String, Vec<u8>)>> = OnceLock::new();
    SIGNED_IN.get_or_init(|| {
        let world = World::signed_out();
        world.shell("az login --identity").succeeds();
        world.check();
        // Where Azure is found differs from world to world.
        fs::remove_file(world.path("azure/cloudEndpoints.json")).unwrap();
        read_all(&world.path("azure"), "")
    })
}

/// All files below a folder, by their paths in it.
fn read_all(folder: &Path, below: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder.join(below)).unwrap();
    let files = entries.map(|entry| entry.unwrap()).flat_map(|entry| {
        let name = format!("{below}/{}", entry.file_name().to_str().unwrap());
        let name = name.trim_start_matches('/').to_owned();
        if entry.path().is_dir() {
            return read_all(folder, &name);
        }
        vec![(name, fs::read(entry.path()).unwrap())]
    });
    files.collect()
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
        // Of the C toolchain that Rust links with.
        let mut strip = Command::new("strip");
        strip.arg(env!("CARGO_BIN_EXE_handler"));
        succeeds(strip.arg("-o").arg(&stripped));
        fs::read(stripped).unwrap()
    })
}
