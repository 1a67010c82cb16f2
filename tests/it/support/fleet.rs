//! Several replicas of the built binary on one store, as an operator runs them: the same master key, the same configuration,
//! each with ports of its own. Knows nothing of what they are asked.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use serde_json::Value;
use tempfile::TempDir;

use super::{Client, Options, Server, command};

/// The replicas, and what they were started with.
pub(crate) struct Fleet {
    folder: TempDir,
    config: String,
    /// Where the replicas are, when they come back where they were.
    ports: Vec<u16>,
    pub replicas: Vec<Server>,
    /// The key of a connection without a quota.
    pub key: String,
}

/// A configuration: where the store is, more lines of `[store]`, and more tables.
pub(crate) fn config(folder: &Path, store: &str, lines: &str, tables: &str) -> String {
    let file = folder.join("master.key");
    if !file.exists() {
        std::fs::write(&file, "ab".repeat(32)).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
    format!(
        "public_url = \"https://otp.example.com\"\nmaster_key_file = {file:?}\n[store]\nurl = {store:?}\n{lines}\n{tables}"
    )
}

/// Waits for a store as long as a busy machine may take: what is tested is what is answered, not how late.
pub(crate) const PATIENT: &str = "timeout = \"10s\"";

impl Fleet {
    /// So many replicas on the store at this address.
    pub(crate) fn start(count: usize, store: &str) -> Self {
        Self::with(count, store, PATIENT, "")
    }

    /// So many replicas; `lines` go to `[store]`, `tables` behind it.
    pub(crate) fn with(count: usize, store: &str, lines: &str, tables: &str) -> Self {
        Self::at(vec![0; count], store, lines, tables)
    }

    /// A replica on each of these ports, and back on it when it is started again.
    pub(crate) fn at(ports: Vec<u16>, store: &str, lines: &str, tables: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (config, count) = (config(folder.path(), store, lines, tables), ports.len());
        let mut this = Self { folder, config, ports, replicas: Vec::new(), key: String::new() };
        this.replicas = (0..count).map(|index| this.launch(index)).collect();
        this.key = this.unlimited();
        this
    }

    /// Makes a key of a connection without a quota.
    pub(crate) fn unlimited(&self) -> String {
        let made = self.create_key(&["--unlimited", "--scopes", "send,status,verify,delete,webhooks,admin"]);
        made["key"].as_str().unwrap().to_owned()
    }

    fn data(&self, index: usize) -> PathBuf {
        self.folder.path().join(format!("replica{index}"))
    }

    fn launch(&self, index: usize) -> Server {
        // A store that is slow for a moment, on a busy machine, is not reached: who runs it starts it again.
        for _ in 0..10 {
            match self.try_launch(index) {
                Ok(replica) => return replica,
                Err((status, _)) if matches!(status.code(), Some(68 | 71)) => {}
                Err((status, log)) => panic!("the replica ended with {status}: {log}"),
            }
        }
        panic!("the store is never reached");
    }

    /// Starts one more process in the place of a replica; how it ended when it did not come up.
    pub(crate) fn try_launch(&self, index: usize) -> Result<Server, (ExitStatus, String)> {
        Server::try_start(
            &self.data(index),
            &Options { config: self.config.clone(), port: self.ports[index], ..Options::default() },
        )
    }

    /// Kills a replica without a warning and starts it again, on other ports.
    pub(crate) fn replace(&mut self, index: usize) {
        self.replicas[index].kill();
        self.replicas[index] = self.launch(index);
    }

    /// Waits for the end of a replica that drains, which must be 0, and starts it again.
    pub(crate) fn renew_drained(&mut self, index: usize) {
        let status = self.replicas[index].wait();
        assert_eq!(status.code(), Some(0), "{}", self.replicas[index].log());
        self.replicas[index] = self.launch(index);
    }

    /// A client of one replica, with the fleet's key.
    pub(crate) fn client(&self, index: usize) -> Client {
        self.replicas[index % self.replicas.len()].client(&self.key)
    }

    /// Where the replicas listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.replicas.iter().map(|replica| replica.public).collect()
    }

    /// Runs a command of the binary with the replicas' configuration: exit code, stdout, stderr.
    pub(crate) fn command(&self, words: &[&str]) -> (i32, String, String) {
        let file = self.folder.path().join("command.toml");
        std::fs::write(&file, &self.config).unwrap();
        let mut all = words.to_vec();
        all.extend(["--config", file.to_str().unwrap()]);
        command(&self.folder.path().join("command"), &all)
    }

    /// Makes one more key.
    pub(crate) fn create_key(&self, flags: &[&str]) -> Value {
        let mut words = vec!["key", "create", "--name", "test", "--json"];
        words.extend(flags);
        let (code, stdout, stderr) = self.command(&words);
        assert_eq!(code, 0, "{stderr}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// Every message that the replicas' sandboxes hold, by replica.
    pub(crate) fn messages(&self) -> Vec<Vec<Value>> {
        let all = |replica: &Server| {
            let answer = replica.admin_client().get("/sandbox/messages").expect(200).json();
            answer.as_array().unwrap().clone()
        };
        self.replicas.iter().map(all).collect()
    }

    /// The statuses of `/health/ready`, by replica.
    pub(crate) fn ready(&self) -> Vec<u16> {
        self.addresses().into_iter().map(|address| Client::new(address, None).get("/health/ready").status).collect()
    }

    /// Waits until every replica's readiness is `status`; for at most a minute.
    pub(crate) fn until_ready_is(&self, status: u16) {
        let began = std::time::Instant::now();
        while !self.ready().iter().all(|found| *found == status) {
            assert!(began.elapsed().as_secs() < 60, "never {status}: {:?}: {}", self.ready(), self.logs());
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// What the replicas wrote to stderr.
    pub(crate) fn logs(&self) -> String {
        self.replicas.iter().map(Server::log).collect::<Vec<_>>().join("----\n")
    }
}
