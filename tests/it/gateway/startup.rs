//! How a start fails: one clear line and an exit code of its own for each cause, and no port bound by a broken configuration.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;

use crate::support::{Gateway, Options, Server, command};

fn failure(data: &std::path::Path, config: &str) -> (i32, String) {
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
    let output = std::process::Command::new(crate::support::BINARY)
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

#[test]
fn the_first_start_prints_a_key_that_works_and_later_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::try_start(&data, &Options::default()).unwrap_or_else(|(status, log)| panic!("{status} {log}"));
    // With --config no key is made: the operator makes his own.
    assert!(!server.banner.contains("otpg_"), "{}", server.banner);
    server.stop();
    let mode = std::fs::metadata(&data).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "nobody else may read the data");
}
