//! How a start fails: one clear line and an exit code of its own for each cause, and no port bound by a broken configuration.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Gateway, Options, Server, command};

fn failure(data: &Path, config: &str) -> (i32, String) {
    let options = Options { config: config.to_owned(), ..Options::default() };
    match Server::try_start(data, &options) {
        Err((status, log)) => (status.code().unwrap_or(-1), log),
        Ok(server) => panic!("it started: {}", server.banner),
    }
}

#[test]
fn a_broken_configuration_names_file_line_and_key_and_exits_78() {
    let folder = tempfile::tempdir().unwrap();
    for (config, names) in [
        ("trusted_proxies = 7\n", "trusted_proxies"),
        ("\n[quota]\ncals = 3\n", "cals"),
        ("[quota]\ncalls = 0\n", "calls"),
        ("[limits]\nsends_per_number = [\"x\"]\n", "sends_per_number"),
        ("[delivery]\ncountries = [\"XX\"]\n", "countries"),
        ("[[", "1"),
    ] {
        let (code, log) = failure(&folder.path().join("data"), config);
        assert_eq!(code, 78, "{config}: {log}");
        assert!(log.contains("data.toml:") && log.contains(names), "{config}: {log}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
}

#[test]
fn each_trouble_has_a_line_and_a_code() {
    let gateway = Gateway::start();
    let data = gateway.data();
    // A second server on the same directory.
    let (code, log) = failure(&data, "");
    assert_eq!((code, log.lines().count()), (75, 1), "{log}");
    // A port in use.
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let output = Command::new(crate::support::BINARY)
        .args(["serve", "--listen", &taken.local_addr().unwrap().to_string(), "--data-dir"])
        .arg(folder.path().join("a"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(69), "{}", String::from_utf8_lossy(&output.stderr));
    // A data directory that is a file.
    std::fs::write(folder.path().join("b"), "x").unwrap();
    let (code, log) = failure(&folder.path().join("b"), "");
    assert_eq!((code, log.lines().count()), (73, 1), "{log}");
    // Another master key, and a newer schema.
    gateway.server.stop();
    let other = folder.path().join("other.key");
    std::fs::write(&other, "ab".repeat(32)).unwrap();
    std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
    let (code, log) = failure(&data, &format!("master_key_file = {:?}\n", other.to_str().unwrap()));
    assert_eq!((code, log.lines().count()), (77, 1), "{log}");
    let file = std::fs::read_dir(&data).unwrap().map(|entry| entry.unwrap().path());
    let database = file.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "db")).unwrap();
    let schema = rusqlite::Connection::open(&database).unwrap();
    schema.pragma_update(None, "user_version", 9_999).unwrap();
    drop(schema);
    let (code, log) = failure(&data, "");
    assert_eq!((code, log.lines().count()), (76, 1), "{log}");
    let (code, _, stderr) = command(&data, &["key", "list"]);
    assert_eq!(code, 76, "{stderr}");
}

/// Starts without a configuration file and stops again: what was printed before calls were taken.
fn started(data: &Path) -> String {
    let server = Server::start(data, &Options { unconfigured: true, ..Options::default() });
    let banner = server.banner.clone();
    server.stop();
    banner
}

/// The key in what a start printed, and that it opens.
fn working_key(data: &Path) -> String {
    let server = Server::start(data, &Options { unconfigured: true, ..Options::default() });
    let line = server.banner.lines().find_map(|line| line.trim().strip_prefix("KEY="));
    let key = line.unwrap_or_else(|| panic!("no key: {}", server.banner)).to_owned();
    server.client(&key).get("/v1/connection").expect(200);
    server.stop();
    key
}

#[test]
fn a_start_that_failed_loses_no_first_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = |name: &str| folder.path().join(name);
    // What came before the first start that succeeds: a port that was taken, a command of the desk, a standard output that is
    // full, one that nobody reads.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let (port, free) = (taken.local_addr().unwrap().port(), "127.0.0.1:0");
    let serve = |name: &str, listen: &str, stdout: Stdio| {
        let mut command = Command::new(crate::support::BINARY);
        command.args(["serve", "--listen", listen, "--admin-listen", free, "--data-dir"]).arg(data(name));
        let output = command.env_clear().stdin(Stdio::null()).stdout(stdout).output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
    };
    let (code, said) = serve("a", &format!("127.0.0.1:{port}"), Stdio::null());
    assert_eq!(code, 69, "{said}");
    assert_eq!(command(&data("b"), &["application", "create", "--name", "n"]).0, 0);
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let (reader, nobody) = std::io::pipe().unwrap();
    drop(reader);
    for (name, stdout) in [("c", Stdio::from(full)), ("d", Stdio::from(nobody))] {
        let (code, said) = serve(name, free, stdout);
        assert!(code == 70 && said.contains("the first connection, which was not made"), "{code} {said}");
        let (_, said, _) = command(&data(name), &["key", "list"]);
        assert!(said.contains("There is no connection yet"), "{said}");
    }
    for name in ["a", "b", "c", "d"] {
        let key = working_key(&data(name));
        // Once: the next start makes none, and no key is shown again.
        let later = started(&data(name));
        assert!(!later.contains("otpg_") && later.contains("listening on "), "{later}");
        let (_, said, _) = command(&data(name), &["key", "list", "--json"]);
        let list: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert!(key.contains(list[0]["keys"][0]["name"].as_str().unwrap()));
    }
}

#[test]
fn who_has_had_a_connection_is_given_no_key() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (code, made, errors) = command(&data, &["key", "create", "--name", "mine", "--json"]);
    assert_eq!(code, 0, "{errors}");
    assert!(!started(&data).contains("otpg_"));
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    assert_eq!(command(&data, &["key", "revoke", made["id"].as_str().unwrap()]).0, 0);
    assert!(!started(&data).contains("otpg_"), "who revoked every key wants no new one");
}

#[test]
fn a_reader_who_has_seen_enough_ends_a_command_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let unread = |words: &[&str]| {
        let (reader, nobody) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = Command::new(crate::support::BINARY);
        command.args(words).env_clear().env("OTPGATE_DATA_DIR", &data).stdin(Stdio::null()).stdout(nobody);
        let output = command.output().unwrap();
        (output.status.code().unwrap_or(-1), String::from_utf8(output.stderr).unwrap())
    };
    // What lists needs a store.
    assert_eq!(command(&data, &["application", "create", "--name", "n"]).0, 0);
    for words in [&["openapi"][..], &["key", "list"], &["application", "list"], &["webhooks", "list"]] {
        assert_eq!(unread(words), (0, String::new()), "{words:?}");
    }
    // What is shown once is not lost without a word, and a verdict is one whoever reads it.
    let (code, said) = unread(&["key", "create", "--name", "n"]);
    assert!(code == 70 && said.contains("with a key that nobody saw; revoke it"), "{code} {said}");
    let (code, said) = unread(&["key", "rotate", "n"]);
    assert!(code == 70 && said.contains("rotate it once more"), "{code} {said}");
    let broken = folder.path().join("broken.toml");
    std::fs::write(&broken, "[quota]\ncalls = 0\n").unwrap();
    assert_eq!(unread(&["doctor", "--config", broken.to_str().unwrap()]).0, 1);
}

#[test]
fn with_a_configuration_the_operator_makes_the_keys() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::try_start(&data, &Options::default()).unwrap_or_else(|(status, log)| panic!("{status} {log}"));
    // With --config no key is made: the operator makes his own.
    assert!(!server.banner.contains("otpg_"), "{}", server.banner);
    server.stop();
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else may read the data");
}
