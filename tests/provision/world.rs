//! What `provision.sh` sees of the world in a test: Azure, tools, a home, and the project.

use std::{
    env, fmt, fs,
    io::Write as _,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::{Arc, Mutex, MutexGuard, OnceLock},
};

use serde_json::json;
use tempfile::TempDir;
use test_support::{
    checkout, core_tools,
    process::{signal, succeeds},
    put, put_executable,
};

use crate::{
    azure::{Azure, MASTER_KEY, State, TOKEN, fixed},
    http::{Reply, Request, serve, tls},
};

/// The version of the Azure CLI that the stand-in for Azure was written for.
const AZURE_CLI: &str = "2.91.0";

/// All that the script may call, beside `az`, `func` and `bash`.
const TOOLS: &str =
    "cargo cat cc curl date dirname grep mktemp rm sed sha256sum sleep tail tr uname";

pub const APP: &str = "random-number-a042886a3c";

pub struct World {
    azure: Arc<Azure>,
    folder: TempDir,
    /// The ports of the server for metadata and tokens, of the one for func, and of the proxy.
    ports: [u16; 3],
    /// What was asked of the proxy: hosts that are not loopback.
    strangers: Arc<Mutex<Vec<String>>>,
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

    /// With this on standard error.
    #[track_caller]
    pub fn fails(self, with: &str) -> Self {
        assert_ne!(self.status, Some(0), "{self}");
        assert!(self.stderr.contains(with), "no {with:?} in: {self}");
        self
    }

    /// On standard output.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(self.stdout.contains(text), "no {text:?} in: {self}");
        self
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (status, stdout, stderr) = (self.status, &self.stdout, &self.stderr);
        let streams = format!("--- stdout\n{stdout}\n--- stderr\n{stderr}");
        write!(f, "status {status:?}\n{streams}")
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
        // As `az login --identity` leaves it.
        let profile = fixed("profile").to_string();
        put(&world.path("azure"), "azureProfile.json", profile);
        world
    }

    /// As a first run leaves it, with the default key.
    pub fn provisioned() -> Self {
        let world = Self::new();
        let parameters = fixed("parameters");
        world.state().provision("rg-random-number", parameters);
        run_package(&world.path("project"), &world.azure).unwrap();
        world
    }

    pub fn signed_out() -> Self {
        let folder = TempDir::with_prefix("provision-").unwrap();
        put(folder.path(), "ca.pem", &tls().0);
        for name in ["bin", "home", "project", "record", "tmp"] {
            fs::create_dir(folder.path().join(name)).unwrap();
        }
        // Without a note of an earlier look, az looks for a newer version of itself on a public host.
        let version = json!({"local": AZURE_CLI});
        let versions = json!({"versions": {"core": version, "azure-cli": version}}).to_string();
        put(folder.path(), "azure/versionCheck.json", versions);

        let (azure, metadata) = Azure::start();
        let for_func = Arc::clone(&azure);
        let func = serve(false, move |request| match publish(&request, &for_func) {
            Ok(()) => Reply::text(200, "Deployment completed successfully.\n"),
            Err(message) => Reply::text(500, &format!("{message}\n")),
        });
        let strangers = Arc::<Mutex<Vec<_>>>::default();
        let asked = Arc::clone(&strangers);
        let proxy = serve(false, move |request| {
            asked.lock().unwrap().push(request.path);
            Reply::status(502)
        });
        let world = Self {
            azure,
            folder,
            ports: [metadata, func, proxy],
            strangers,
        };
        world.install_tools();
        world.install_project();
        world
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A line of shell.
    pub fn shell(&self, line: &str) -> Outcome {
        self.command(line).output().unwrap().into()
    }

    /// The script with these arguments, as they are typed.
    pub fn run(&self, arguments: &str) -> Outcome {
        self.shell(&format!("project/provision.sh {arguments}"))
    }

    /// The same, which succeeds and says this.
    #[track_caller]
    pub fn says(&self, arguments: &str, text: &str) -> Outcome {
        self.run(arguments).succeeds().says(text)
    }

    /// The same, which fails with this on standard error.
    #[track_caller]
    pub fn fails(&self, arguments: &str, with: &str) -> Outcome {
        self.run(arguments).fails(with)
    }

    pub fn faults(&self, table: &str) {
        self.state().faults(table);
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.azure.state()
    }

    /// Runs the script until a call of this kind is held, and stops it as a terminal does on
    /// Ctrl-C.
    pub fn interrupt_at(&self, call: &str, arguments: &str) -> Outcome {
        self.faults(&format!("1 {call} | hold"));
        // A job in the background of a script has been told to ignore that signal, and so would bash.
        let env = find("env").display().to_string();
        let line = format!("exec {env} --default-signal=INT project/provision.sh {arguments}");
        let mut script = self.command(&line);
        script.stdout(Stdio::piped()).stderr(Stdio::piped());
        let script = script.process_group(0).spawn().unwrap();
        self.azure.await_held();
        signal(format!("-{}", script.id()), "INT");
        let outcome = Outcome::from(script.wait_with_output().unwrap());
        self.azure.release();
        assert_eq!(outcome.status, Some(130), "{outcome}");
        outcome.fails("stopped.\nprovision.sh: running it again goes on from there.\n")
    }

    /// The script with a terminal at both ends, on which this is typed.
    pub fn on_terminal(&self, arguments: &str, typed: &str) -> Outcome {
        let terminal = find("script").display().to_string();
        let script = format!("project/provision.sh {arguments}");
        let line = format!("exec {terminal} --quiet --return --command '{script}' /dev/null");
        let mut terminal = self.command(&line);
        let terminal = terminal.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut terminal = terminal.spawn().unwrap();
        // Kept open until the end: a terminal doesn't hang up after what has been typed.
        let mut keyboard = terminal.stdin.take().unwrap();
        keyboard.write_all(typed.as_bytes()).unwrap();
        let output = terminal.wait_with_output().unwrap();
        drop(keyboard);
        output.into()
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

    pub fn script(&self, from: &str, to: &str) {
        self.edit("provision.sh", from, to);
    }

    /// A line of shell, of which nothing of the environment that the tests run in gets through.
    pub fn command(&self, line: &str) -> Command {
        let [metadata, _, proxy] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
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
            .env("ARM_CLOUD_METADATA_URL", format!("{metadata}/metadata"))
            .env("IDENTITY_ENDPOINT", format!("{metadata}/token"))
            .env("IDENTITY_HEADER", "any")
            .env("REQUESTS_CA_BUNDLE", self.path("ca.pem"))
            .env("CURL_CA_BUNDLE", self.path("ca.pem"))
            // All that is not for loopback goes to this proxy, which notes it down.
            .envs(["HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy"].map(|it| (it, &proxy)))
            .envs(["NO_PROXY", "no_proxy"].map(|it| (it, "127.0.0.1,localhost")));
        command
    }

    /// Each tool is a small script that notes its arguments and its environment down and then
    /// becomes the real one. There is nothing else on the PATH.
    fn install_tools(&self) {
        for shell in ["bash", "dash", "sh"] {
            symlink(find(shell), self.path("bin").join(shell)).unwrap();
        }
        for name in TOOLS.split_whitespace() {
            self.install_tool(name, &format!("exec '{}' \"$@\"", find(name).display()));
        }
        // Waiting is all the same, only shorter.
        self.sleep("0.05");
        self.install_tool("az", &format!("exec {} \"$@\"", azure_cli().trim()));
        let curl = find("curl").display().to_string();
        let func = format!(
            "exec '{curl}' --disable --silent --fail-with-body --noproxy '*' --data-binary @- \
             --header \"folder: $PWD\" --header \"arguments: $*\" http://127.0.0.1:{}/",
            self.ports[1]
        );
        self.install_tool("func", &func);
    }

    /// Has each pause of the script last so long.
    pub fn sleep(&self, seconds: &str) {
        let sleep = find("sleep").display().to_string();
        self.install_tool("sleep", &format!("exec '{sleep}' {seconds}"));
    }

    fn install_tool(&self, name: &str, script: &str) {
        let record = self.path("record").display().to_string();
        // Numbers of processes come up again.
        let script = format!(
            "#!/bin/sh\nfile='{record}/{name}.'$$\nwhile [ -e \"$file\" ]; do file=$file+; done\n\
             {{ echo {name} $(printf '%s ' \"$@\"); export -p; }} >\"$file\"\n{script}\n"
        );
        put_executable(&self.path("bin"), name, script);
    }

    /// The files that git keeps, and a build that is done: `tests/own_function.rs` has a real one.
    fn install_project(&self) {
        let project = self.path("project");
        checkout::copy_to(&project);
        // They have the secrets in them that files are searched for.
        fs::remove_dir_all(project.join("tests/provision")).unwrap();
        fs::rename(project.join("build.sh"), project.join("real-build.sh")).unwrap();
        let build = "#!/bin/sh\n[ $# = 0 ] || exec \"${0%/*}/real-build.sh\" \"$@\"\n";
        put_executable(&project, "build.sh", build);
        // The function of the conformance suite's app, whatever those of the project are.
        for function in checkout::functions() {
            fs::remove_dir_all(project.join(function)).unwrap();
        }
        let app = project.join("crates/conformance/app");
        fs::rename(app.join("RandomNumber"), project.join("RandomNumber")).unwrap();
        put(&project, "infra/functions.sh", include_str!("functions.sh"));
        let handler = env!("CARGO_BIN_EXE_provision-handler");
        copy(handler.as_ref(), &project.join("handler"));
    }

    /// The command lines by which the script, or a test, has started this tool.
    pub fn started(&self, tool: &str) -> Vec<String> {
        let begins = format!("{tool} ");
        let mut lines: Vec<_> = self.records();
        lines.retain(|record| record.starts_with(&begins));
        lines
    }

    /// Everything that is to be seen of the children: their arguments and their environments.
    pub fn records(&self) -> Vec<String> {
        let files = fs::read_dir(self.path("record")).unwrap();
        let read = |file: fs::DirEntry| fs::read_to_string(file.path()).unwrap();
        files.map(|file| read(file.unwrap())).collect()
    }

    /// Checks what holds for every run, however it ends.
    #[track_caller]
    pub fn check(&self) {
        let strangers = self.strangers.lock().unwrap();
        assert!(strangers.is_empty(), "not on loopback: {strangers:#?}");
        let state = self.azure.state();
        assert!(state.wrong.is_empty(), "{:#?}", state.wrong);
        drop(state);
        for folder in ["home", "tmp"] {
            let left = fs::read_dir(self.path(folder)).unwrap().count();
            assert_eq!(left, 0, "something was left in {folder}");
        }
    }

    /// Checks that none of the secrets is in any output, on any command line, in any environment,
    /// or in any file.
    #[track_caller]
    pub fn check_secrets(&self, access_key: &str, outcomes: &[&Outcome]) {
        for secret in [access_key, MASTER_KEY, TOKEN] {
            for outcome in outcomes.iter().map(|it| it.to_string()) {
                assert!(!outcome.contains(secret), "{secret} in {outcome}");
            }
            let mut grep = Command::new("grep");
            grep.args(["-rFle", secret]).arg(self.folder.path());
            let found = Outcome::from(grep.output().unwrap());
            // 1: searched, and not found.
            assert_eq!(found.status, Some(1), "{secret} is in a file: {found}");
        }
    }
}

/// `func azure functionapp publish`: packs the folder, uploads the package, and has the host run it.
/// It prints the messages of the real one.
///
/// It leaves out what Core Tools asks of Resource Manager, the pause of a minute after an upload, and
/// the look at how the host starts.
fn publish(request: &Request, azure: &Azure) -> Result<(), String> {
    let arguments = request.header("arguments").unwrap_or_default();
    let words: Vec<&str> = arguments.split(' ').collect();
    let ["azure", "functionapp", "publish", app, options @ ..] = &*words else {
        return Err(format!("Not for the stand-in of func: {arguments}"));
    };
    // As `GlobalCoreToolsSettings` of Core Tools, at 18a9035.
    if !options.contains(&"--custom") {
        return Err("Worker runtime cannot be 'None'. Please set a valid runtime.".to_owned());
    }
    if !options.contains(&"--access-token-stdin") || request.body != TOKEN.as_bytes() {
        return Err("Unable to set access token from stdin.".to_owned());
    }
    azure.upload(app)?;
    let source = PathBuf::from(request.header("folder").unwrap_or_default());
    run_package(&source, azure)
}

/// Has the Functions host run what func would publish.
fn run_package(source: &Path, azure: &Azure) -> Result<(), String> {
    let target = source.with_file_name("published");
    let files = core_tools::included_files(source);
    let function = files[0].split('/').next();
    // Keys are kept in the storage account: they outlive the host.
    let function_key = match azure.state().host.take() {
        Some(host) => host.function_key(function.unwrap()),
        None => Some(dev_host::WALKTHROUGH_KEY.to_owned()),
    };
    let _ = fs::remove_dir_all(&target);
    for file in files {
        fs::create_dir_all(target.join(&file).parent().unwrap()).unwrap();
        copy(&source.join(&file), &target.join(file));
    }
    let running = dev_host::start(dev_host::Options {
        app_root: target,
        master_key: Some(MASTER_KEY.to_owned()),
        function_key,
        ..dev_host::Options::default()
    });
    let running = running.map_err(|message| format!("The host does not start: {message}"))?;
    azure.state().host = Some(running);
    Ok(())
}

/// Not in this process: a child that another thread starts meanwhile would hold the copy open for
/// writing, and a file that is can't be executed.
fn copy(from: &Path, to: &Path) {
    succeeds(Command::new("cp").args([from, to]));
}

/// The command of the pinned Azure CLI: the one on the PATH if it is that version, else one that is
/// installed into `target`, once.
fn azure_cli() -> &'static str {
    static COMMAND: OnceLock<String> = OnceLock::new();
    COMMAND.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
        let lock = fs::File::create(target.join("azure-cli.lock")).unwrap();
        lock.lock().unwrap();
        // Not even to tell its version may it touch the configuration of whoever runs the tests. It
        // is not started by its bin/az, which names the folder that it was installed in at first.
        let script = format!(
            "AZURE_CONFIG_DIR=$(mktemp -d) az version --output tsv 2>/dev/null |
                 grep -q '^{AZURE_CLI}\t' && {{ command -v az; exit; }}
             installed=$PWD/azure-cli-{AZURE_CLI}
             [ -d $installed ] || {{
                 rm -rf $installed.unfinished
                 python3 -m venv $installed.unfinished
                 $installed.unfinished/bin/python3 -m pip install --quiet \
                     --disable-pip-version-check azure-cli=={AZURE_CLI}
                 mv $installed.unfinished $installed
             }}
             echo $installed/bin/python3 -m azure.cli"
        );
        let mut install = Command::new("sh");
        succeeds(install.args(["-ec", &script]).current_dir(target))
    })
}

/// The path of a program on the PATH that the tests run with.
fn find(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
        .unwrap_or_else(|| panic!("{name} is needed on the PATH for this test"))
}
