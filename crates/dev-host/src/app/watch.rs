//! Which files of a function app change.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _, event::ModifyKind,
    recommended_watcher,
};
use tokio::{
    sync::mpsc,
    time::{Instant, timeout_at},
};

/// An editor may write a file in several steps. A change is told when nothing has followed it for
/// this long, or at last after the second time.
const SETTLED: Duration = Duration::from_millis(100);
const AT_LAST: Duration = Duration::from_secs(2);

/// The files in the app root that the host or Cargo reads.
const IN_ROOT: &str = "Cargo.lock Cargo.toml build.rs host.json local.settings.json";

pub struct Watch {
    root: PathBuf,
    watcher: RecommendedWatcher,
    /// In the app root: each can be a function's or become one.
    folders: BTreeSet<PathBuf>,
    /// Files that count, and folders in the app root.
    paths: mpsc::UnboundedReceiver<PathBuf>,
}

impl Watch {
    /// Watches the app root, the folders in it, and all that is in `src`. Not `target`: a build
    /// writes thousands of files there.
    pub fn start(root: &Path) -> Result<Self, String> {
        let (sender, paths) = mpsc::unbounded_channel();
        let folder = root.to_owned();
        let watcher = recommended_watcher(move |event: notify::Result<Event>| {
            for path in event.map(|event| told(&folder, event)).unwrap_or_default() {
                let _ = sender.send(path);
            }
        });
        let mut watch = Self {
            root: root.to_owned(),
            watcher: watcher.map_err(|error| refused(root, &error))?,
            folders: BTreeSet::new(),
            paths,
        };
        let watched = watch.watcher.watch(root, RecursiveMode::NonRecursive);
        watched.map_err(|error| refused(root, &error))?;
        for path in entries(root) {
            watch.look_at(&path)?;
        }
        Ok(watch)
    }

    /// Waits for the next change; gives what has changed, relative to the app root.
    pub async fn changed(&mut self) -> Result<BTreeSet<PathBuf>, String> {
        let mut changed = BTreeSet::new();
        while changed.is_empty() {
            let mut paths = BTreeSet::from_iter(self.paths.recv().await);
            let at_last = Instant::now() + AT_LAST;
            let settled = || at_last.min(Instant::now() + SETTLED);
            while let Ok(Some(path)) = timeout_at(settled(), self.paths.recv()).await {
                paths.insert(path);
            }
            for path in paths {
                // Only now, for in a storm of changes folders come and go.
                if counts(&self.root, &path) || self.look_at(&path)? {
                    let path = path.strip_prefix(&self.root).unwrap_or(&path);
                    changed.insert(path.to_owned());
                }
            }
        }
        Ok(changed)
    }

    /// Watches a folder in the app root that has come, or has come back: what was watched under its
    /// name before may be another one. Says if it counts, or did.
    fn look_at(&mut self, path: &Path) -> Result<bool, String> {
        let name = path.file_name().unwrap_or_default();
        let was_watched = self.folders.remove(path);
        if was_watched {
            let _ = self.watcher.unwatch(path);
        }
        if name == "target" || name.to_string_lossy().starts_with('.') || !path.is_dir() {
            return Ok(was_watched);
        }
        let mode = match name == "src" {
            true => RecursiveMode::Recursive,
            false => RecursiveMode::NonRecursive,
        };
        match self.watcher.watch(path, mode) {
            // It has gone again.
            Err(_) if !path.is_dir() => return Ok(was_watched),
            Err(error) => return Err(refused(path, &error)),
            Ok(()) => self.folders.insert(path.to_owned()),
        };
        Ok(name == "src" || path.join("function.json").is_file())
    }
}

fn entries(root: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(root).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// What of an event is of interest.
fn told(root: &Path, event: Event) -> Vec<PathBuf> {
    let is_metadata = matches!(event.kind, EventKind::Modify(ModifyKind::Metadata(_)));
    // That a folder is there, or no more.
    let is_folder = |path: &PathBuf| path.parent() == Some(root) && !path.is_file() && !is_metadata;
    if event.need_rescan() {
        // Some events were lost.
        return entries(root);
    }
    let mut paths = event.paths;
    // Cargo reads the sources, which is no change.
    let is_change = !event.kind.is_access();
    paths.retain(|path| is_change && (counts(root, path) || is_folder(path)));
    paths
}

/// Whether a change of this file can change what is served.
fn counts(root: &Path, path: &Path) -> bool {
    let path = path.strip_prefix(root).unwrap_or(path);
    let parts: Vec<_> = path.iter().filter_map(OsStr::to_str).collect();
    match parts[..] {
        [file] => IN_ROOT.split(' ').any(|known| file == known),
        // In a folder that has come there may be files of which nothing else is told.
        ["src", ..] => path.extension().is_none_or(|ending| ending == "rs"),
        [_, file] => file == "function.json",
        _ => false,
    }
}

fn refused(path: &Path, error: &notify::Error) -> String {
    let path = path.display();
    format!("{path} can't be watched ({error}): `cargo start -- --no-watch` does without")
}
