//! Copies of the project.

use std::{fs, path::Path, process::Command};

use crate::{process::succeeds, project};

/// The files that git has or would add, as they lie in the work tree, by their paths in it.
pub fn files() -> Vec<String> {
    let list = [
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ];
    let files = succeeds(Command::new("git").args(list).current_dir(project()));
    files
        .split_terminator('\0')
        .map(str::to_owned)
        // What is deleted but not committed yet is listed too.
        .filter(|file| project().join(file).exists())
        .collect()
}

/// The project's functions: the folders with a function.json at the top.
pub fn functions() -> Vec<String> {
    let files = files().into_iter();
    let functions = files.filter_map(|file| Some(file.strip_suffix("/function.json")?.to_owned()));
    functions.filter(|name| !name.contains('/')).collect()
}

/// Copies those files, modes included, into a folder.
pub fn copy_to(folder: &Path) {
    for file in files() {
        let target = folder.join(&file);
        fs::create_dir_all(target.parent().unwrap()).unwrap();
        fs::copy(project().join(file), target).unwrap();
    }
}

/// As `copy_to`, for a folder that is the same at each run: nothing of an earlier copy stays but
/// what Cargo has built, which is used again.
pub fn renew(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_file() {
            fs::remove_file(path).unwrap();
        } else if !path.ends_with("target") {
            fs::remove_dir_all(path).unwrap();
        }
    }
    copy_to(folder);
}
