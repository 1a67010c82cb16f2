//! The built binary, started on a data directory of its own.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::disk::Disk;
use super::load::{Call, run};

const BINARY: &str = env!("CARGO_BIN_EXE_otpgate");
/// The configuration file beside the data directory, where there is one.
const CONFIG: &str = "otpgate.toml";

/// A mobile number of each of thirty countries.
pub(crate) const THIRTY_COUNTRIES: [&str; 30] = [
    "+4915112345678",
    "+12025550123",
    "+447400123456",
    "+33612345678",
    "+34612345678",
    "+393123456789",
    "+31612345678",
    "+32470123456",
    "+41791234567",
    "+436641234567",
    "+48512345678",
    "+420601123456",
    "+46701234567",
    "+4740612345",
    "+4532123456",
    "+358412345678",
    "+353850123456",
    "+351912345678",
    "+306912345678",
    "+905012345678",
    "+972502345678",
    "+971501234567",
    "+918123456789",
    "+8613123456789",
    "+819012345678",
    "+821020001234",
    "+61412345678",
    "+64211234567",
    "+5511961234567",
    "+525512345678",
];

pub(crate) struct Gateway {
    folder: tempfile::TempDir,
    disk: Disk,
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Gateway {
    pub(crate) fn start() -> Self {
        Self::on(Disk::Own)
    }

    pub(crate) fn on(disk: Disk) -> Self {
        Self::with(disk, "")
    }

    /// With this configuration file.
    pub(crate) fn configured(config: &str) -> Self {
        Self::with(Disk::Own, config)
    }

    fn with(disk: Disk, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        if !config.is_empty() {
            std::fs::write(folder.path().join(CONFIG), config).unwrap();
        }
        let (child, address) = spawn(folder.path(), &disk);
        Self { folder, disk, child, address }
    }

    /// Sends it a signal by its name, such as `STOP`.
    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Ends it and starts it again on the same data: from the start of the process to the first accepted call.
    pub(crate) fn restart(&mut self) -> Duration {
        let term = Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        assert!(term.success() && self.child.wait().unwrap().success());
        let began = Instant::now();
        (self.child, self.address) = spawn(self.folder.path(), &self.disk);
        began.elapsed()
    }

    /// Makes a key.
    pub(crate) fn key(&self, flags: &[&str]) -> String {
        let mut command = Command::new(BINARY);
        command.args(["key", "create", "--name", "bench", "--json", "--data-dir"]).arg(self.folder.path().join("data"));
        let config = self.folder.path().join(CONFIG);
        if config.exists() {
            command.arg("--config").arg(config);
        }
        let output = command.args(flags).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        made["key"].as_str().unwrap().to_owned()
    }

    /// Sends one code; its id.
    pub(crate) fn send(&self, key: &str, number: &str, code: &str) -> String {
        let sent = run(self.address, 1, 1, &|_| Call::send(key, number, code));
        assert_eq!(sent.failed, 0, "{number}");
        sent.captured[0].clone()
    }
}

fn spawn(folder: &std::path::Path, disk: &Disk) -> (Child, SocketAddr) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut command = Command::new(BINARY);
    command.args(["serve", "--listen", "127.0.0.1:0", "--admin-listen", &format!("127.0.0.1:{port}"), "--data-dir"]);
    command.arg(folder.join("data")).stdout(Stdio::piped()).stderr(Stdio::null());
    let config = folder.join(CONFIG);
    if config.exists() {
        command.arg("--config").arg(config);
    }
    disk.under(&mut command);
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let address =
        lines.find_map(|line| line.unwrap().strip_prefix("listening on http://").map(|text| text.parse().unwrap()));
    (child, address.expect("it listens"))
}

/// Resident memory of a process in kB.
pub(crate) fn resident_kb(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
