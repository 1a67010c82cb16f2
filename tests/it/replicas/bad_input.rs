//! A shared store that cannot be had: one clear line, an exit code of its own, and no port bound.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use crate::support::fleet::{Fleet, config};
use crate::support::redis::Redis;
use crate::support::{command, free_port};

/// Starts a gateway that must not come up: its exit code and its one line.
fn refused(folder: &Path, store: &str) -> (i32, String) {
    let file = folder.join("gateway.toml");
    std::fs::write(&file, config(folder, store, "timeout = \"2s\"", "")).unwrap();
    // The ports are taken: whoever binds before it has looked at the store says so in place of what is wrong with it.
    let taken: Vec<_> = (0..2).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let address = |index: usize| taken[index].local_addr().unwrap().to_string();
    let (listen, admin) = (address(0), address(1));
    let words = ["serve", "--listen", &listen, "--admin-listen", &admin, "--config", file.to_str().unwrap()];
    let (code, stdout, stderr) = command(&folder.join("data"), &words);
    assert_eq!((stdout.as_str(), stderr.lines().count()), ("", 1), "{stderr}");
    assert!(stderr.starts_with("otpgate: ") && !stderr.contains("hunter2"), "{stderr}");
    let (desk, _, said) = command(&folder.join("data"), &["key", "list", "--config", file.to_str().unwrap()]);
    assert_eq!((desk, said.lines().count()), (code, 1), "a command says the same: {said}");
    (code, stderr)
}

/// Something that is no Redis, and says so.
fn web_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut asked = [0; 4_096];
                let _ = socket.read(&mut asked);
                let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n");
                // It is closed by whoever asked: what was written arrives.
                while socket.read(&mut asked).is_ok_and(|count| count > 0) {}
            });
        }
    });
    address
}

/// A server that speaks as much of the protocol as a release of 2018 would.
fn old_server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            std::thread::spawn(move || answer(socket));
        }
    });
    address
}

fn answer(socket: TcpStream) -> std::io::Result<()> {
    let mut socket = BufReader::new(socket);
    loop {
        let mut words = Vec::new();
        let mut line = String::new();
        if socket.read_line(&mut line)? == 0 {
            return Ok(());
        }
        for _ in 0..line.trim().trim_start_matches('*').parse::<usize>().unwrap() {
            let (mut length, mut word) = (String::new(), String::new());
            socket.read_line(&mut length)?;
            socket.read_line(&mut word)?;
            words.push(word.trim().to_ascii_uppercase());
        }
        let info = "# Server\r\nredis_version:5.0.14\r\nredis_mode:standalone\r\n";
        let said = match words[0].as_str() {
            "INFO" => format!("${}\r\n{info}\r\n", info.len()),
            "HELLO" => format!("-ERR unknown command `{}`\r\n", words[0]),
            _ => "+OK\r\n".to_owned(),
        };
        socket.get_mut().write_all(said.as_bytes())?;
    }
}

#[test]
fn each_trouble_with_the_store_has_a_line_and_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    for (malformed, names) in [
        ("redis://127.0.0.1:x", "store"),
        ("redis://", "store"),
        ("redis://127.0.0.1:0", "store"),
        ("memcached://127.0.0.1", "store"),
        ("redis://u:hunter2@127.0.0.1:6379?x=1", "store"),
    ] {
        let (code, line) = refused(folder, malformed);
        assert_eq!((code, line.contains(names)), (78, true), "{malformed}: {line}");
    }
    let (code, line) = refused(folder, &format!("redis://u:hunter2@127.0.0.1:{}", free_port()));
    assert_eq!((code, line.contains("127.0.0.1")), (68, true), "{line}");
    let (code, line) = refused(folder, "redis://no-such-host.invalid");
    assert_eq!((code, line.contains("no-such-host.invalid")), (68, true), "{line}");
    let (code, line) = refused(folder, &format!("redis://{}", old_server()));
    assert_eq!((code, line.contains("5.0.14") && line.contains("6.2")), (72, true), "{line}");
    let closed = Redis::start();
    assert_eq!(closed.cli(&["config", "set", "requirepass", "swordfish"]), "OK");
    for wrong in ["", "default:hunter2@", "nobody:hunter2@"] {
        let (code, line) = refused(folder, &format!("redis://{wrong}127.0.0.1:{}", closed.port()));
        assert_eq!((code, line.contains("password")), (67, true), "{wrong}: {line}");
        assert_eq!(line.contains("was given none (NOAUTH)"), wrong.is_empty(), "{line}");
    }
    let (code, line) = refused(folder, &format!("redis://{}", web_server()));
    assert_eq!((code, line.contains("something else than a Redis")), (68, true), "{line}");
}

#[test]
fn a_database_that_is_not_there_is_a_wrong_address() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let (code, line) = refused(folder.path(), &format!("{}/99", redis.address()));
    assert_eq!((code, line.contains("no database 99")), (68, true), "{line}");
    let (code, line) = refused(folder.path(), &format!("{}/-1", redis.address()));
    assert_eq!(code, 78, "{line}");
    let cluster = Redis::cluster(3);
    let (code, line) = refused(folder.path(), &format!("{}/3", cluster.address()));
    assert_eq!((code, line.contains("a cluster has the database 0 alone")), (68, true), "{line}");
}

#[test]
fn a_user_who_lacks_a_right_is_told_which() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let store = |user: &str| format!("redis://{user}:hunter2@127.0.0.1:{}", redis.port());
    let may = |user: &str, rights: &[&str]| {
        let words = [&["acl", "setuser", user, "on", ">hunter2", "~*"][..], rights].concat();
        assert_eq!(redis.cli(&words), "OK");
    };
    may("reader", &["+@read", "+info", "+role"]);
    let (code, line) = refused(folder.path(), &store("reader"));
    assert_eq!((code, line.contains("lacks a right"), line.contains("' command")), (67, true, true), "{line}");
    may("plain", &["+@all", "-@dangerous", "-@admin"]);
    let (code, line) = refused(folder.path(), &store("plain"));
    assert_eq!((code, line.contains("'info' command")), (67, true), "{line}");
}

#[test]
fn a_store_without_memory_is_named_and_not_a_directory() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let file = folder.path().join("gateway.toml");
    std::fs::write(&file, config(folder.path(), &redis.address(), "", "")).unwrap();
    let run =
        |words: &[&str]| command(&folder.path().join("data"), &[words, &["--config", file.to_str().unwrap()]].concat());
    assert_eq!(run(&["store", "init"]).0, 0);
    assert_eq!(redis.cli(&["config", "set", "maxmemory", "1mb"]), "OK");
    let (code, _, line) = run(&["key", "create", "--name", "x"]);
    assert_eq!((code, line.lines().count()), (74, 1), "{line}");
    assert!(line.contains(&redis.address()) && line.contains("raise its maxmemory"), "{line}");
    assert!(!line.contains("disk") && !line.contains(folder.path().to_str().unwrap()), "{line}");
}

#[test]
fn a_replica_is_no_store() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let other = Redis::start();
    redis.cli(&["replicaof", "127.0.0.1", &other.port().to_string()]);
    let (code, line) = refused(folder.path(), &redis.address());
    assert_eq!((code, line.contains("replica")), (68, true), "{line}");
}

#[test]
fn a_cluster_that_is_down_is_no_store() {
    let (redis, folder) = (Redis::cluster(3), tempfile::tempdir().unwrap());
    // A slot that nobody holds.
    let found = redis.everywhere(&["cluster", "delslots", "77"]);
    assert!(found.iter().any(|said| said == "OK"), "{found:?}");
    while redis.everywhere(&["cluster", "info"]).iter().all(|info| info.contains("cluster_state:ok")) {}
    let (code, line) = refused(folder.path(), &redis.address());
    assert_eq!((code, line.contains("cluster")), (71, true), "{line}");
    // Nobody has made a cluster of it yet.
    let alone = Redis::with(&["--cluster-enabled", "yes", "--cluster-port", &free_port().to_string()]);
    let (code, line) = refused(folder.path(), &alone.address());
    assert_eq!((code, line.contains("0 of its 16384 slots are assigned")), (71, true), "{line}");
}

#[test]
fn a_master_key_that_does_not_fit_and_a_store_that_was_emptied_are_refused() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let fleet = Fleet::start(1, &redis.address());
    std::fs::write(folder.path().join("master.key"), "cd".repeat(32)).unwrap();
    Command::new("chmod").arg("600").arg(folder.path().join("master.key")).status().unwrap();
    let (code, line) = refused(folder.path(), &redis.address());
    assert_eq!((code, line.contains("master key")), (77, true), "{line}");
    fleet.client(0).get("/v1/connection").expect(200);
    drop(fleet);
    let folder = tempfile::tempdir().unwrap();
    redis.cli(&["EVAL", "for _,key in ipairs(redis.call('KEYS','og{??}*')) do redis.call('DEL',key) end", "0"]);
    let (code, line) = refused(folder.path(), &redis.address());
    assert_eq!((code, line.contains("otpgate store init")), (66, true), "{line}");
}
