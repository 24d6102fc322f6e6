//! Copies of the project.

use std::{fs, path::Path, process::Command};

use crate::project;

/// The files that git has or would add, as they lie in the work tree, by their paths in it.
pub fn files() -> Vec<String> {
    let files = Command::new("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ])
        .current_dir(project())
        .output()
        .expect("git is there");
    assert!(files.status.success(), "{files:?}");
    let files = String::from_utf8(files.stdout).expect("UTF-8");
    files
        .split_terminator('\0')
        .map(str::to_owned)
        // What is deleted but not committed yet is listed too.
        .filter(|file| project().join(file).exists())
        .collect()
}

/// Copies those files, modes included, into a folder.
pub fn copy_to(folder: &Path) {
    for file in files() {
        let target = folder.join(&file);
        fs::create_dir_all(target.parent().expect("a folder")).expect("ours");
        fs::copy(project().join(file), target).expect("a file");
    }
}
