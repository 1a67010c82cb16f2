//! The built binary as a user has it: started on free ports with a data directory of its own, called over real sockets.

pub(crate) mod carrier;
pub(crate) mod centre;
pub(crate) mod client;
pub(crate) mod fleet;
pub(crate) mod oaep;
pub(crate) mod proxy;
pub(crate) mod receiver;
pub(crate) mod redis;
pub(crate) mod schema;
pub(crate) mod signer;
pub(crate) mod steps;

use std::collections::VecDeque;
use std::fs::{File, Permissions, TryLockError};
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub(crate) use client::{Answer, Client};
use serde_json::Value;
use tempfile::TempDir;

/// The binary under test.
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_otpgate");

/// Reservations that a process holds: far more than a test needs, and fewer than the files that it may have open, since
/// a long run draws thousands of ports.
const RESERVATIONS: usize = 256;

/// A port that was free a moment ago, below those that the system gives to outgoing connections. No other draw yields
/// it, in whatever process, until this one ends or has drawn [`RESERVATIONS`] more: whoever is to listen on it may take
/// it late, or be killed and come back.
pub(crate) fn free_port() -> u16 {
    static HELD: Mutex<VecDeque<File>> = Mutex::new(VecDeque::new());
    loop {
        let drawn = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), std::process::id());
        let port = 10_000 + u16::try_from(drawn % 20_000).unwrap();
        let Some(reservation) = reserve(port) else { continue };
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            let mut held = HELD.lock().unwrap();
            held.push_back(reservation);
            if held.len() > RESERVATIONS {
                held.pop_front();
            }
            return port;
        }
    }
}

/// Reserves a port among the tests of this machine, until the file is closed, as it is when the process ends. None
/// where it is reserved.
fn reserve(port: u16) -> Option<File> {
    let folder = std::env::temp_dir().join("otpgate-test-ports");
    if std::fs::create_dir(&folder).is_ok() {
        // Some tests need root: whoever runs the others must not find it closed.
        std::fs::set_permissions(&folder, Permissions::from_mode(0o777)).unwrap();
    }
    let path = folder.join(port.to_string());
    let file = File::open(&path).or_else(|_| File::create(&path));
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    match file.try_lock() {
        Ok(()) => Some(file),
        Err(TryLockError::WouldBlock) => None,
        Err(TryLockError::Error(error)) => panic!("{}: {error}", path.display()),
    }
}

/// Tells the threads of a test to end when the test does, also where it fails.
pub(crate) struct Ends<'t>(pub &'t std::sync::atomic::AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, std::sync::atomic::Ordering::SeqCst);
    }
}

/// What a server is started with.
#[derive(Default)]
pub(crate) struct Options {
    /// The text of its configuration file.
    pub config: String,
    /// What stands before the binary, such as a tracer.
    pub wrapper: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
    /// Its port; a free one where it is zero.
    pub port: u16,
    /// Whether it is started without a configuration file, as for a first look.
    pub unconfigured: bool,
}

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub public: SocketAddr,
    pub admin: SocketAddr,
    /// What it printed before it accepted calls.
    pub banner: String,
    log: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server on `data` and waits until it accepts calls.
    pub(crate) fn start(data: &Path, options: &Options) -> Self {
        Self::try_start(data, options).unwrap_or_else(|(status, log)| panic!("the server ended with {status}: {log}"))
    }

    /// As [`Server::start`]; how it ended and what it wrote when it did not come up.
    pub(crate) fn try_start(data: &Path, options: &Options) -> Result<Self, (ExitStatus, String)> {
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut words = options.wrapper.clone();
        words.push(BINARY.to_owned());
        let mut command = undisturbed(&words[0]);
        command.args(&words[1..]).arg("serve").arg("--data-dir").arg(data);
        if !options.unconfigured {
            let config = data.with_extension("toml");
            std::fs::write(&config, &options.config).unwrap();
            command.arg("--config").arg(&config);
        }
        command.args(["--listen", &format!("127.0.0.1:{}", options.port), "--admin-listen", &admin.to_string()]);
        command.envs(options.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let mut stderr = child.stderr.take().unwrap();
        let kept = Arc::clone(&log);
        let reader = std::thread::spawn(move || {
            let mut bytes = [0; 8192];
            while let Ok(length @ 1..) = stderr.read(&mut bytes) {
                kept.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..length]));
            }
        });
        let mut banner = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let public = loop {
            let mut line = String::new();
            if stdout.read_line(&mut line).unwrap() == 0 {
                let status = child.wait().unwrap();
                reader.join().unwrap();
                let text = log.lock().unwrap().clone();
                return Err((status, text));
            }
            banner.push_str(&line);
            if let Some(address) = line.trim().strip_prefix("listening on ") {
                let address = address.split("://").nth(1).unwrap();
                break address.parse().unwrap();
            }
        };
        // Whatever is printed later must not block it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        Ok(Self { child, public, admin, banner, log, reader: Some(reader) })
    }

    /// A client of the public listener that sends `key`.
    pub(crate) fn client(&self, key: &str) -> Client {
        Client::new(self.public, Some(key))
    }

    /// A client of the admin listener.
    pub(crate) fn admin_client(&self) -> Client {
        Client::new(self.admin, None)
    }

    /// The process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Everything it has written to stderr.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Sends a signal by its name, such as `TERM`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let status = self.child.wait().unwrap();
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status
    }

    /// Waits for its end, for at most `patience`; none when it still runs then.
    pub(crate) fn wait_within(&mut self, patience: std::time::Duration) -> Option<ExitStatus> {
        let began = tokio::time::Instant::now();
        while began.elapsed() < patience {
            if self.child.try_wait().unwrap().is_some() {
                return Some(self.wait());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        None
    }

    /// Drains it; it must exit with 0.
    pub(crate) fn stop(mut self) -> String {
        self.signal("TERM");
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{}", self.log());
        self.log()
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.wait();
    }

    /// The newest code that the sandbox delivered to `number`; waits for it to arrive.
    pub(crate) fn code(&self, number: &str) -> String {
        self.message(number, |_| true)["code"].as_str().unwrap().to_owned()
    }

    /// The newest message to `number` that `fits`; waits for it to arrive.
    pub(crate) fn message(&self, number: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut client = self.admin_client();
        let path = format!("/sandbox/messages?number={}", number.replace('+', "%2B"));
        for _ in 0..6_000 {
            let messages = client.get(&path).json();
            if let Some(message) = messages.as_array().unwrap().iter().find(|message| fits(message)) {
                return message.clone();
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        panic!("no such message reached {number}: {}", self.log());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A data directory and a server on it.
pub(crate) struct Gateway {
    folder: TempDir,
    pub server: Server,
    /// The key that the first start printed, or one that was made.
    pub key: String,
}

impl Gateway {
    /// A server on a fresh data directory, with the sandbox and defaults.
    pub(crate) fn start() -> Self {
        Self::with("")
    }

    /// A server with this configuration file.
    pub(crate) fn with(config: &str) -> Self {
        Self::with_options(&Options { config: config.to_owned(), ..Options::default() })
    }

    /// A server with these options.
    pub(crate) fn with_options(options: &Options) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let server = Server::start(&data, options);
        let key = create_key(&data, &["--unlimited", "--scopes", "send,status,verify,delete,webhooks,admin"]);
        Self { key: key["key"].as_str().unwrap().to_owned(), folder, server }
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// A client with the gateway's key.
    pub(crate) fn client(&self) -> Client {
        self.server.client(&self.key)
    }

    /// Makes one more key.
    pub(crate) fn create_key(&self, flags: &[&str]) -> Value {
        create_key(&self.data(), flags)
    }

    /// Drains the server; what happens `then` has its data directory and its configuration.
    pub(crate) fn stop_then(self, then: impl FnOnce(&Path, &str)) {
        let (data, config) = (self.data(), self.config());
        self.server.stop();
        then(&data, &config);
    }

    /// Kills the server; what happens `then` has its data directory and its configuration.
    pub(crate) fn kill_then(mut self, then: impl FnOnce(&Path, &str)) {
        let (data, config) = (self.data(), self.config());
        self.server.kill();
        then(&data, &config);
    }

    fn config(&self) -> String {
        std::fs::read_to_string(self.data().with_extension("toml")).unwrap()
    }

    /// Runs a command of the binary on the data directory: exit code, stdout, stderr.
    pub(crate) fn command(&self, words: &[&str]) -> (i32, String, String) {
        command(&self.data(), words)
    }
}

/// A command without the caller's settings: those of the tests begin as those of the gateway, which refuses what it does
/// not know.
fn undisturbed(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OTPGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command of the binary on a data directory: exit code, stdout, stderr.
pub(crate) fn command(data: &Path, words: &[&str]) -> (i32, String, String) {
    let output = undisturbed(BINARY).args(words).arg("--data-dir").arg(data).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

fn create_key(data: &Path, flags: &[&str]) -> Value {
    let mut words = vec!["key", "create", "--name", "test", "--json"];
    words.extend(flags);
    let (code, stdout, stderr) = command(data, &words);
    assert_eq!(code, 0, "{stderr}");
    serde_json::from_str(&stdout).unwrap()
}
