//! What an operator does beside the gateway, by the built binary: `otpgate doctor` before servers that are set up wrongly, and
//! `otpgate backup` and `restore`.

#![allow(clippy::disallowed_methods, reason = "a real process on a real clock")]

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::json;

use crate::support::redis::Redis;
use crate::support::{BINARY, Client, Options, Server};

const MASTER: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// Runs the binary: how it ended, what it printed, what it complained of.
fn otpgate(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(words).env_clear().stdin(Stdio::null()).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn done(words: &[&str]) -> String {
    let (code, said, errors) = otpgate(words);
    assert_eq!(code, 0, "{words:?}: {said} {errors}");
    said
}

/// A configuration that names a shared store, with its key beside it.
fn shared(folder: &Path, redis: &Redis, more: &str) -> String {
    let (file, key) = (folder.join("otpgate.toml"), folder.join("key"));
    std::fs::write(&key, MASTER).unwrap();
    let text = format!("master_key_file = {key:?}\n[store]\nurl = \"{}\"\n{more}", redis.address());
    std::fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

fn doctor(config: &str) -> (i32, String) {
    let (code, said, errors) = otpgate(&["doctor", "--config", config]);
    let wrong = said.lines().filter(|line| line.starts_with("WRONG")).count();
    let count = if wrong == 1 { "1 thing is".to_owned() } else { format!("{wrong} things are") };
    let ends = if wrong == 0 { String::new() } else { format!("otpgate: {count} wrong\n") };
    assert_eq!((code, errors), (i32::from(wrong > 0), ends), "{said}");
    assert!(
        said.lines().all(|line| ["ok    ", "note  ", "WRONG "].iter().any(|word| line.starts_with(word))),
        "{said}"
    );
    (code, said)
}

#[test]
fn a_store_that_is_set_up_well_is_well() {
    let (folder, redis) = (tempfile::tempdir().unwrap(), Redis::with(&["--appendonly", "yes"]));
    let config = shared(folder.path(), &redis, "");
    let (code, said) = doctor(&config);
    assert!(code == 0 && said.contains("holds nothing yet"), "{said}");
    assert_eq!(redis.cli(&["dbsize"]), "0", "it changes nothing");
    done(&["store", "init", "--config", &config]);
    let (code, said) = doctor(&config);
    for line in
        ["is whole; the master key is the data's", "nothing is evicted", "appendonly yes", "tells the same time"]
    {
        assert!(code == 0 && said.contains(line), "{line}: {said}");
    }
}

#[test]
fn each_thing_that_loses_codes_is_named_with_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let redis = Redis::with(&["--maxmemory", "3mb", "--maxmemory-policy", "allkeys-lru"]);
    done(&["store", "init", "--config", &shared(folder.path(), &redis, "")]);
    let config = shared(folder.path(), &redis, "wait_replicas = 1");
    redis.cli(&["eval", "for i=1,2000 do redis.call('SET','x'..i,string.rep('x',1000)) end", "0"]);
    let (_, said) = doctor(&config);
    for line in [
        "maxmemory-policy is allkeys-lru: a used code may be forgotten and used again; set it to noeviction",
        "it writes nothing to disk (appendonly no, save \"\"): a restart loses every key and code; set appendonly yes",
        "store.wait_replicas: 1, but Redis",
    ] {
        assert!(said.lines().any(|found| found.starts_with("WRONG") && found.contains(line)), "{line}: {said}");
    }
    redis.cli(&["config", "set", "save", "3600 1"]);
    assert!(doctor(&config).1.contains("only snapshots are written (save 3600 1)"));

    redis.cli(&["flushall"]);
    redis.cli(&["config", "set", "maxmemory", "0"]);
    let config = shared(folder.path(), &redis, "");
    done(&["store", "init", "--config", &config]);
    redis.cli(&["del", "og{a7}M"]);
    assert!(doctor(&config).1.contains("has lost 1 of its markers: it was emptied"));
    std::fs::write(folder.path().join("key"), MASTER.replace('0', "1")).unwrap();
    let (_, said) = doctor(&config);
    assert!(said.contains("WRONG master_key_file: the master key is not the one"), "{said}");
    drop(redis);
    let (_, said) = doctor(&config);
    assert!(said.contains("WRONG store.url: redis://127.0.0.1:"), "{said}");
    std::fs::write(&config, "[store]\nurl = 5\nbrand = 6\n").unwrap();
    assert!(doctor(&config).1.lines().count() >= 2);
}

#[test]
fn a_replica_that_nobody_waits_for_is_said_to_bound_the_loss() {
    let (folder, redis) =
        (tempfile::tempdir().unwrap(), Redis::with(&["--appendonly", "yes", "--repl-diskless-sync-delay", "0"]));
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &redis.port().to_string()]);
    for _ in 0..3_000 {
        if replica.cli(&["info", "replication"]).contains("master_link_status:up") {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let config = shared(folder.path(), &redis, "");
    done(&["store", "init", "--config", &config]);
    let (code, said) = doctor(&config);
    let line = said.lines().find(|line| line.contains("a failover loses what the replica had not yet")).unwrap();
    assert!(code == 0 && line.contains(&format!("127.0.0.1:{} is ", replica.port())), "{said}");
    assert!(
        said.lines().any(|line| line.starts_with("note ") && line.contains("min-replicas-to-write is 0")),
        "{said}"
    );
    let (code, said) = doctor(&shared(folder.path(), &redis, "wait_replicas = 1"));
    assert!(code == 0 && said.contains("no used code comes back in a failover"), "{said}");
    assert!(!said.contains("min-replicas-to-write"), "{said}");
    let (_, said) = doctor(&shared(folder.path(), &replica, ""));
    assert!(said.contains("the server is a replica"), "{said}");
}

#[test]
fn a_cluster_is_asked_server_by_server() {
    let (folder, cluster) = (tempfile::tempdir().unwrap(), Redis::cluster(3));
    let config = shared(folder.path(), &cluster, "");
    done(&["store", "init", "--config", &config]);
    let (_, said) = doctor(&config);
    assert_eq!(said.lines().filter(|line| line.contains("it writes nothing to disk")).count(), 3, "{said}");
    assert!(said.contains("is whole"), "{said}");
}

#[test]
fn the_embedded_store_and_the_certificate_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("otpgate.toml"));
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = |year| {
        let mut asked = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        asked.not_before = rcgen::date_time_ymd(2020, 1, 1);
        asked.not_after = rcgen::date_time_ymd(year, 1, 1);
        std::fs::write(folder.path().join("cert"), asked.self_signed(&key).unwrap().pem()).unwrap();
    };
    std::fs::write(folder.path().join("private"), key.serialize_pem()).unwrap();
    let (cert, private) = (folder.path().join("cert"), folder.path().join("private"));
    certificate(2090);
    let text = format!("data_dir = {data:?}\n[tls]\ncertificate = {cert:?}\nkey = {private:?}\n");
    std::fs::write(&file, text).unwrap();
    let config = file.to_str().unwrap();
    let (code, said) = doctor(config);
    let line = said.lines().find(|line| line.contains("holds no store")).unwrap();
    assert!(code == 1 && line.starts_with("WRONG data_dir: ") && !data.exists(), "{said}");
    done(&["key", "create", "--name", "n", "--config", config]);
    let (code, said) = doctor(config);
    for line in
        ["no server runs on it; the master key is the data's", "schema: version", "MB are free", "is valid for "]
    {
        assert!(code == 0 && said.contains(line), "{line}: {said}");
    }
    certificate(2021);
    assert!(doctor(config).1.contains("is over; renew it"));
    std::fs::write(&private, "x").unwrap();
    let (_, said) = doctor(config);
    assert!(said.contains("WRONG tls.key: ") && said.contains("holds no private key"), "{said}");
    std::fs::write(data.join("master.key"), MASTER).unwrap();
    assert!(doctor(config).1.contains("WRONG master_key_file: "));
}

#[test]
fn a_backup_beside_a_server_is_restored_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (live, other, file) = (path("live"), path("other"), path("backup.db"));
    let made = done(&["key", "create", "--name", "n", "--unlimited", "--json", "--data-dir", &live]);
    let key = serde_json::from_str::<serde_json::Value>(&made).unwrap()["key"].as_str().unwrap().to_owned();
    let server = Server::start(Path::new(&live), &Options::default());
    let mut client = server.client(&key);
    let sent = send(&mut client, 1);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = server.client(&key);
            for number in 100.. {
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                send(&mut client, number);
            }
        });
        std::thread::sleep(Duration::from_millis(300));
        // Without the master key: it lies elsewhere for so long.
        std::fs::rename(path("live/master.key"), path("key")).unwrap();
        let (code, said, errors) = otpgate(&["backup", "--to", &file, "--data-dir", &live]);
        assert!(
            code == 0 && said.contains("is a whole backup") && errors.contains("backup, pages: "),
            "{said} {errors}"
        );
        over.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    std::fs::copy(path("key"), path("live/master.key")).unwrap();
    let (code, _, errors) = otpgate(&["backup", "--to", &file, "--data-dir", &live]);
    assert!(code == 65 && errors.contains("it is there already"), "{errors}");
    let later = send(&mut client, 2);
    let (code, _, errors) = otpgate(&["restore", "--from", &file, "--force", "--data-dir", &live]);
    assert!(code == 75 && errors.contains("another otpgate serves from it"), "{errors}");

    let (code, _, errors) = otpgate(&["restore", "--from", &file, "--data-dir", &other]);
    assert!(code == 77 && errors.contains("there is no master key"), "{errors}");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(path("other/master.key"), MASTER).unwrap();
    let (code, _, errors) = otpgate(&["restore", "--from", &file, "--data-dir", &other]);
    assert!(code == 77 && !Path::new(&path("other/otpgate.db")).exists(), "{errors}");
    std::fs::copy(path("key"), path("other/master.key")).unwrap();
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 4_096].fill(0xa5);
    std::fs::write(path("torn.db"), bytes).unwrap();
    let (code, _, errors) = otpgate(&["restore", "--from", &path("torn.db"), "--data-dir", &other]);
    assert!(code == 74 && errors.lines().count() == 1, "{errors}");
    done(&["restore", "--from", &file, "--data-dir", &other]);
    let restored = Server::start(Path::new(&other), &Options::default());
    assert!(verified(&mut restored.client(&key), &sent, 1));
    restored.stop();

    // Over what is there: the later code goes, and the old store stays beside it.
    drop(client);
    server.stop();
    let (code, _, errors) = otpgate(&["restore", "--from", &file, "--data-dir", &live]);
    assert!(code == 65 && errors.contains("--force"), "{errors}");
    done(&["restore", "--from", &file, "--force", "--data-dir", &live]);
    assert!(Path::new(&path("live/otpgate.db.replaced")).exists());
    let again = Server::start(Path::new(&live), &Options::default());
    let mut client = again.client(&key);
    assert!(verified(&mut client, &sent, 1));
    assert_eq!(client.get(&format!("/v1/otp/{later}")).status, 404);
}

#[test]
fn a_command_in_the_wrong_directory_makes_no_store() {
    let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = outside.path().join("backup.db");
    let run = |words: &[&str]| {
        let mut command = Command::new(BINARY);
        let output = command.args(words).current_dir(&folder).env_clear().stdin(Stdio::null()).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let nothing = || std::fs::read_dir(&folder).unwrap().next().is_none();
    let words = [
        "webhooks list",
        "webhooks dead",
        "webhooks replay --all",
        "webhooks replay sub_0123456789abcdef",
        "webhooks rotate sub_0123456789abcdef",
        "webhooks delete sub_0123456789abcdef",
        "webhooks create --format oneaccess --callback https://127.0.0.1:1/ --connection con_0123456789abcdef \
         --events SENT",
        "erase --number +4915112345678",
        "application list",
        "application show default",
        "application delete 2",
        "key list",
        "key rotate con_0123456789abcdef",
        "key revoke con_0123456789abcdef",
        "provider list",
        &format!("backup --to {}", file.display()),
    ];
    for line in words {
        let (code, said) = run(&line.split(' ').collect::<Vec<_>>());
        assert!(code == 66 && said.lines().count() == 1, "{line}: {code} {said}");
        assert!(said.contains("otpgate-data holds no store; name the one of the server with --data-dir"), "{said}");
        assert!(nothing() && !file.exists(), "{line} made something");
    }
    let (code, said) = run(&["doctor"]);
    assert!(code == 1 && nothing(), "{said}");
    // Not even in a directory that is there, and where it cannot be looked for nobody says that there is none.
    assert_eq!(otpgate(&["key", "list", "--data-dir", folder.path().to_str().unwrap()]).0, 66);
    assert!(nothing());
    std::fs::write(&file, "x").unwrap();
    assert_eq!(otpgate(&["key", "list", "--data-dir", file.to_str().unwrap()]).0, 73);
    // What prepares the first start makes the store, and says so, once.
    let prepare = ["application", "edit", "default", "--expire", "60"];
    assert_eq!(run(&prepare), (0, "./otpgate-data held no store; a new one is made there\n".to_owned()));
    assert_eq!(run(&prepare), (0, String::new()));
    assert_eq!(run(&["key", "create", "--name", "n"]).0, 0);
    assert_eq!(run(&["key", "list"]).0, 0);
}

#[test]
fn a_store_that_was_replaced_is_never_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (data, file) = (path("data"), path("backup.db"));
    done(&["key", "create", "--name", "n", "--data-dir", &data]);
    done(&["backup", "--to", &file, "--data-dir", &data]);
    done(&["key", "create", "--name", "later", "--data-dir", &data]);
    // An earlier one of which only the log was left counts as well.
    std::fs::write(path("data/otpgate.db.replaced.2-wal"), "w").unwrap();
    let mut before = std::fs::read(path("data/otpgate.db")).unwrap();
    for name in ["otpgate.db.replaced", "otpgate.db.replaced.3", "otpgate.db.replaced.4"] {
        let said = done(&["restore", "--from", &file, "--force", "--data-dir", &data]);
        assert!(said.trim_end().ends_with(&format!("/{name}")), "{said}");
        assert!(std::fs::read(path(&format!("data/{name}"))).unwrap() == before, "{name}");
        before = std::fs::read(path("data/otpgate.db")).unwrap();
    }
    assert_eq!(std::fs::read(path("data/otpgate.db.replaced.2-wal")).unwrap(), b"w");
    assert!(!done(&["key", "list", "--data-dir", &data]).contains("later"));
    let first = rusqlite::Connection::open(path("data/otpgate.db.replaced")).unwrap();
    let kept: i64 = first.query_row("SELECT count(*) FROM connection", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 2, "the first one is whole, with what came after the backup");
}

#[test]
fn what_is_no_backup_is_not_restored() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("text"), "not a database, and longer than the header of one".repeat(40)).unwrap();
    std::fs::write(path("empty"), "").unwrap();
    rusqlite::Connection::open(path("foreign")).unwrap().execute_batch("CREATE TABLE a (x)").unwrap();
    for name in ["text", "empty", "foreign", "missing", "."] {
        let (code, _, errors) = otpgate(&["restore", "--from", &path(name), "--data-dir", &path("data")]);
        assert!(code == 65 && errors.contains("it is no backup"), "{name}: {code} {errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
        assert!(!Path::new(&path("data")).exists(), "{name}");
    }
}

#[test]
fn what_root_restores_is_the_owners_of_the_directory() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    if std::fs::metadata(folder.path()).unwrap().uid() != 0 {
        // Only root can give a file away.
        return;
    }
    done(&["key", "create", "--name", "n", "--data-dir", &path("data")]);
    done(&["backup", "--to", &path("backup.db"), "--data-dir", &path("data")]);
    std::fs::create_dir(path("new")).unwrap();
    std::fs::copy(path("data/master.key"), path("new/master.key")).unwrap();
    std::os::unix::fs::chown(path("new"), Some(65_534), Some(65_533)).unwrap();
    done(&["restore", "--from", &path("backup.db"), "--data-dir", &path("new")]);
    for name in ["otpgate.db", "server.lock", "open.lock"] {
        let found = std::fs::metadata(path(&format!("new/{name}"))).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o777), (65_534, 65_533, 0o600), "{name}");
    }
}

fn send(client: &mut Client, number: u32) -> String {
    let body = json!({"number": format!("+4915112{number:06}"), "otpCode": format!("{number:06}")});
    let answer = client.post_json("/v1/otp", &body);
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["otpId"].as_str().unwrap().to_owned()
}

fn verified(client: &mut Client, id: &str, number: u32) -> bool {
    let answer = client.post_json(&format!("/v1/otp/{id}/verify"), &json!({"otpCode": format!("{number:06}")}));
    answer.json()["verified"] == json!(true)
}
