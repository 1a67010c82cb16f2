//! A Redis of a test's own: one server, or a cluster, in a directory of its own, gone with the test. Knows nothing of what is
//! kept in it.

use std::fs::File;
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::free_port;

/// One server, or the masters of a cluster.
pub(crate) struct Redis {
    nodes: Vec<Node>,
}

struct Node {
    child: Option<Child>,
    port: u16,
    options: Vec<String>,
    folder: TempDir,
}

impl Redis {
    /// A server that writes nothing to disk.
    pub(crate) fn start() -> Self {
        Self::with(&[])
    }

    /// A server with more options, such as `--appendonly yes`.
    pub(crate) fn with(options: &[&str]) -> Self {
        Self { nodes: vec![Node::start(options)] }
    }

    /// A cluster of so many masters, at least three, that holds every slot between them.
    pub(crate) fn cluster(masters: usize) -> Self {
        Self::cluster_with(masters, 0, Vec::new)
    }

    /// The same, with so many replicas of each master, which come after the masters, and more options for each node.
    pub(crate) fn cluster_with(masters: usize, replicas: usize, mut more: impl FnMut() -> Vec<String>) -> Self {
        let node = |_| {
            let bus = free_port().to_string();
            let mut wide = vec!["--cluster-enabled", "yes", "--cluster-node-timeout", "2000", "--cluster-port", &bus];
            wide.extend(["--repl-diskless-sync-delay", "0"]);
            let more = more();
            wide.extend(more.iter().map(String::as_str));
            Node::start(&wide)
        };
        let this = Self { nodes: (0..masters * (1 + replicas)).map(node).collect() };
        let hosts: Vec<_> = this.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        let replicas = replicas.to_string();
        let mut create = vec!["--cluster", "create"];
        create.extend(hosts.iter().map(String::as_str));
        create.extend(["--cluster-replicas", &replicas, "--cluster-yes"]);
        let made = this.cli(&create);
        let until_it_stands = || {
            for node in &this.nodes {
                node.until(&made, &["cluster", "info"], "cluster_state:ok");
            }
        };
        until_it_stands();
        if this.nodes.len() > masters {
            this.until_replicated();
        } else {
            // Where nobody takes over nobody has to find out soon, and no node is away because the machine stood still
            // for a moment. Not earlier: a cluster that is made waits for about as long before it serves.
            let said = this.everywhere(&["config", "set", "cluster-node-timeout", "15000"]);
            assert!(said.iter().all(|said| said == "OK"), "{said:?}");
            until_it_stands();
        }
        this
    }

    /// Waits until every master of a cluster has a replica that has what it has. A node that came back takes itself for a
    /// master until it has heard who is one.
    pub(crate) fn until_replicated(&self) {
        let stands = |node: &Node| {
            let info = node.cli(&["info", "replication"]);
            info.contains(if info.contains("role:master") { "state=online" } else { "master_link_status:up" })
        };
        for _ in 0..6_000 {
            if self.nodes.iter().all(stands) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("never replicated: {:?}", self.everywhere(&["info", "replication"]));
    }

    /// The ports of the masters that the first living node knows.
    pub(crate) fn masters(&self) -> Vec<u16> {
        let node = self.nodes.iter().find(|node| node.child.is_some()).unwrap();
        let nodes = node.cli(&["cluster", "nodes"]);
        let masters = nodes.lines().filter(|line| line.contains("master") && !line.contains("fail"));
        masters
            .map(|line| line.split(['@', ' ']).nth(1).unwrap().rsplit(':').next().unwrap().parse().unwrap())
            .collect()
    }

    /// Kills the node on this port without a warning.
    pub(crate) fn kill_node(&mut self, port: u16) {
        self.node(port).kill();
    }

    /// Starts the node on this port again.
    pub(crate) fn again_node(&mut self, port: u16) {
        self.node(port).run();
    }

    /// What `redis-cli` prints for these words, asked of the node on this port.
    pub(crate) fn cli_of(&self, port: u16, words: &[&str]) -> String {
        self.nodes.iter().find(|node| node.port == port).unwrap().cli(words)
    }

    fn node(&mut self, port: u16) -> &mut Node {
        self.nodes.iter_mut().find(|node| node.port == port).unwrap()
    }

    /// Where it is, as `--store` takes it.
    pub(crate) fn address(&self) -> String {
        let hosts: Vec<_> = self.nodes.iter().map(|node| format!("127.0.0.1:{}", node.port)).collect();
        format!("redis://{}", hosts.join(","))
    }

    /// The port of the first server.
    pub(crate) fn port(&self) -> u16 {
        self.nodes[0].port
    }

    /// What `redis-cli` prints for these words, asked of the first server.
    pub(crate) fn cli(&self, words: &[&str]) -> String {
        self.nodes[0].cli(words)
    }

    /// What `redis-cli` prints for these words, asked of each server.
    pub(crate) fn everywhere(&self, words: &[&str]) -> Vec<String> {
        self.nodes.iter().map(|node| node.cli(words)).collect()
    }

    /// Kills it without a warning.
    pub(crate) fn kill(&mut self) {
        self.nodes.iter_mut().for_each(Node::kill);
    }

    /// Starts it again after it was killed, on its ports and with what it wrote to disk.
    pub(crate) fn again(&mut self) {
        self.nodes.iter_mut().for_each(Node::run);
    }
}

impl Node {
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let options = options.iter().map(|&option| option.to_owned()).collect();
        let mut node = Self { child: None, port: free_port(), options, folder };
        node.run();
        node
    }

    /// Starts it and waits until it answers.
    fn run(&mut self) {
        let log = File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        command.args(&self.options).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut child = command.spawn().expect("redis-server, of the package redis-server");
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(child.try_wait().unwrap().is_none(), "redis-server ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.child = Some(child);
        self.until("", &["ping"], "PONG");
    }

    /// Waits until the answer to `words` holds `wanted`; for as long as the server lives.
    fn until(&self, before: &str, words: &[&str], wanted: &str) {
        for _ in 0..6_000 {
            if self.cli(words).contains(wanted) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("never {wanted}: {before} {}", self.log());
    }

    fn cli(&self, words: &[&str]) -> String {
        let output = Command::new("redis-cli").args(["-p", &self.port.to_string()]).args(words).output();
        String::from_utf8_lossy(&output.expect("redis-cli, of the package redis-tools").stdout).trim_end().to_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn a_redis_of_its_own_comes_goes_and_comes_back() {
    let mut redis = Redis::with(&["--appendonly", "yes", "--appendfsync", "always"]);
    assert_eq!(redis.cli(&["set", "name", "value"]), "OK");
    redis.kill();
    assert_eq!(redis.cli(&["get", "name"]), "");
    redis.again();
    assert_eq!(redis.cli(&["get", "name"]), "value");
    assert!(redis.address().ends_with(&redis.port().to_string()));
}

#[test]
fn a_cluster_of_its_own_holds_every_slot() {
    let cluster = Redis::cluster(3);
    for info in cluster.everywhere(&["cluster", "info"]) {
        assert!(info.contains("cluster_slots_ok:16384") && info.contains("cluster_size:3"), "{info}");
    }
}
