//! What `func azure functionapp publish` makes of a folder: a stand-in for Azure Functions Core
//! Tools, by the rules of its source (`Azure/azure-functions-core-tools`, August 2026:
//! `PublishFunctionAppAction`, `ZipHelper`, `FileSystemHelpers`, `GitIgnoreParser`).
//!
//! Left out: the upload, everything that depends on another worker runtime, and the check of the
//! runtime itself, which is that of whoever calls this.

use std::{
    fs,
    io::{Cursor, Write},
    path::Path,
};

use regex::RegexSet;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

const NEVER_SENT: [&str; 4] = [
    ".funcignore",
    ".gitignore",
    "local.settings.json",
    "project.lock.json",
];

/// The files of the zip, relative to the folder and in order.
pub fn included_files(folder: &Path) -> Vec<String> {
    let ignore = fs::read_to_string(folder.join(".funcignore")).unwrap_or_default();
    let ignore = FuncIgnore::parse(&ignore);
    let mut files = Vec::new();
    collect(folder, "", &mut files);
    files.retain(|file| !ignore.denies(file));
    files.sort();
    files
}

/// The zip itself. Of its files only the custom handler's executable has the executable bits.
pub fn zip(folder: &Path) -> Vec<u8> {
    let host = fs::read_to_string(folder.join("host.json")).expect("func refuses a folder without");
    let host: serde_json::Value = serde_json::from_str(&host).unwrap();
    let executable = &host["customHandler"]["description"]["defaultExecutablePath"];

    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for file in included_files(folder) {
        let mode = if *executable == *file { 0o777 } else { 0o666 };
        let options = SimpleFileOptions::default()
            .compression_method(CompressionMethod::Deflated)
            .unix_permissions(mode);
        zip.start_file(&file, options).unwrap();
        zip.write_all(&fs::read(folder.join(&file)).unwrap())
            .unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// All files below a folder, less those that Core Tools never sends.
fn collect(folder: &Path, prefix: &str, files: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let path = format!("{prefix}{name}");
        if entry.file_type().unwrap().is_dir() {
            if ![".git", ".vscode"].contains(&&*name) {
                collect(&entry.path(), &format!("{path}/"), files);
            }
        } else if !NEVER_SENT.contains(&&*name) {
            files.push(path);
        }
    }
}

/// A `.funcignore`.
struct FuncIgnore {
    denied: RegexSet,
    allowed: RegexSet,
}

impl FuncIgnore {
    fn parse(text: &str) -> Self {
        let lines = text.split('\n').map(str::trim);
        let patterns = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let (allowed, denied): (Vec<&str>, Vec<&str>) =
            patterns.partition(|pattern| pattern.starts_with('!'));
        Self {
            denied: RegexSet::new(denied.into_iter().map(expression)).unwrap(),
            allowed: RegexSet::new(allowed.iter().map(|line| expression(&line[1..]))).unwrap(),
        }
    }

    fn denies(&self, path: &str) -> bool {
        self.denied.is_match(path) && !self.allowed.is_match(path)
    }
}

/// A pattern matches the beginning of a path, up to where an ASCII word begins or ends. (Versions
/// before the sources moved to `src/Cli` lack that condition, so what this lets through they let
/// through, too.)
fn expression(pattern: &str) -> String {
    let pattern = regex::escape(pattern.strip_prefix('/').unwrap_or(pattern));
    let pattern = pattern.replace(r"\*\*", "(.+)").replace(r"\*", "([^/]+)");
    format!(r"^({pattern})(?-u:\b)")
}

/// The rules where they differ from git's, so that a test that relies on this module relies on
/// something.
#[test]
fn funcignore_is_not_gitignore() {
    for (ignore, path, is_denied) in [
        // A prefix, up to a word boundary.
        ("src", "src/main.rs", true),
        ("/src", "src-old/x", true),
        ("src", "srcs/x", false),
        ("src", "lib/src", false),
        // Nothing but stars is special.
        ("a.b", "a.b/c", true),
        ("a.b", "axb", false),
        ("[ab]", "a", false),
        // At least one character each; ** crosses folders.
        ("ab*", "ab", false),
        ("a/*/c", "a/b/c", true),
        ("a/*/d", "a/b/c/d", false),
        ("a/**/d", "a/b/c/d", true),
        // "!" always wins, wherever it stands.
        ("!a\n**", "a", false),
        ("!a\n**", "a-old", false),
        ("!a\n**", "ab", true),
        ("# a\n\n  #a", "a", false),
        // Only ASCII letters, digits and the underscore make words.
        ("**", "---", false),
        ("**", "é", false),
        ("**", "-/x", true),
    ] {
        let denies = FuncIgnore::parse(ignore).denies(path);
        assert_eq!(denies, is_denied, "{ignore:?}, {path}");
    }
}
