//! What the tests share, one noun per module.

pub mod app;
pub mod checkout;
pub mod client;
pub mod core_tools;
pub mod handler;
pub mod process;

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

/// For what should take no time at all; only a hang needs more on however slow a machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

/// The text of a file of the project.
pub fn read(file: &str) -> String {
    fs::read_to_string(project().join(file)).expect(file)
}

/// Writes a file in a folder.
pub fn put(folder: &Path, file: &str, content: impl AsRef<[u8]>) {
    let path = folder.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// As `put`, for a file that can be run.
pub fn put_executable(folder: &Path, file: &str, content: impl AsRef<[u8]>) {
    put(folder, file, content);
    fs::set_permissions(folder.join(file), fs::Permissions::from_mode(0o755)).unwrap();
}

/// A port of loopback that is free. It stays so unless somebody else takes it.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}
