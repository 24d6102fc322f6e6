//! Which files of a function app change.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use notify_debouncer_full::{
    DebounceEventResult, Debouncer, NoCache, new_debouncer_opt,
    notify::{self, Config, RecommendedWatcher, RecursiveMode},
};
use tokio::sync::mpsc;

/// An editor may write a file in several steps. A change is told when nothing has followed it for
/// this long.
const SETTLED: Duration = Duration::from_millis(100);

/// The files in the app root that the host or Cargo reads.
const IN_ROOT: [&str; 5] = [
    "Cargo.lock",
    "Cargo.toml",
    "build.rs",
    "host.json",
    "local.settings.json",
];

pub struct Watch {
    root: PathBuf,
    debouncer: Debouncer<RecommendedWatcher, NoCache>,
    /// In the app root: each can be a function's or become one.
    folders: BTreeSet<PathBuf>,
    changes: mpsc::UnboundedReceiver<Vec<PathBuf>>,
}

impl Watch {
    /// Watches the app root, the folders in it, and all that is in `src`. Not `target`: a build
    /// writes thousands of files there.
    ///
    /// # Errors
    ///
    /// One line: the system doesn't let the files be watched.
    pub fn start(root: &Path) -> Result<Self, String> {
        let (sender, changes) = mpsc::unbounded_channel();
        let tell = move |result: DebounceEventResult| {
            let paths = result
                .into_iter()
                .flatten()
                // Cargo reads the sources, which is no change.
                .filter(|event| !event.kind.is_access())
                .flat_map(|event| event.event.paths)
                .collect::<Vec<_>>();
            let _ = sender.send(paths);
        };
        let config = Config::default();
        let debouncer = new_debouncer_opt(SETTLED, None, tell, NoCache, config);
        let mut watch = Self {
            root: root.to_owned(),
            debouncer: debouncer.map_err(|error| refused(root, &error))?,
            folders: BTreeSet::new(),
            changes,
        };
        watch.add(root, RecursiveMode::NonRecursive)?;
        watch.add_folders()?;
        Ok(watch)
    }

    /// Waits for the next change; gives the changed files, relative to the app root.
    pub async fn changed(&mut self) -> Result<BTreeSet<PathBuf>, String> {
        loop {
            let Some(mut paths) = self.changes.recv().await else {
                return std::future::pending().await;
            };
            while let Ok(more) = self.changes.try_recv() {
                paths.extend(more);
            }
            paths.extend(self.add_folders()?);
            let changed: BTreeSet<PathBuf> = paths
                .iter()
                .filter_map(|path| path.strip_prefix(&self.root).ok())
                .filter(|path| counts(path))
                .map(Path::to_owned)
                .collect();
            if !changed.is_empty() {
                return Ok(changed);
            }
        }
    }

    /// Watches the folders that have come, and gives the files that were in them before that.
    fn add_folders(&mut self) -> Result<Vec<PathBuf>, String> {
        let entries = fs::read_dir(&self.root).into_iter().flatten().flatten();
        let found: BTreeSet<PathBuf> = entries
            .filter(|entry| {
                let name = entry.file_name();
                name != "target" && !name.to_string_lossy().starts_with('.')
            })
            .map(|entry| entry.path())
            .filter(|path| path.is_dir())
            .collect();
        let mut files = Vec::new();
        for folder in found.difference(&self.folders.clone()) {
            let mode = match folder.ends_with("src") {
                true => RecursiveMode::Recursive,
                false => RecursiveMode::NonRecursive,
            };
            self.add(folder, mode)?;
            let file = folder.join("function.json");
            files.extend(file.is_file().then_some(file));
        }
        self.folders = found;
        Ok(files)
    }

    fn add(&mut self, path: &Path, mode: RecursiveMode) -> Result<(), String> {
        let watched = self.debouncer.watch(path, mode);
        watched.map_err(|error| refused(path, &error))
    }
}

/// Whether a change of this file can change what is served.
fn counts(path: &Path) -> bool {
    let mut parts = path.iter();
    match (parts.next(), parts.next(), parts.next()) {
        (Some(name), None, _) => IN_ROOT.iter().any(|file| name == *file),
        (Some(folder), _, _) if folder == "src" => path.extension() == Some(OsStr::new("rs")),
        (_, Some(file), None) => file == "function.json",
        _ => false,
    }
}

fn refused(path: &Path, error: &notify::Error) -> String {
    format!(
        "{} can't be watched ({error}): `cargo start -- --no-watch` does without",
        path.display()
    )
}
