//! `otpgate connector export`: all files or none, and never over somebody's work.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::{EDITIONS, HOST, folder};
use crate::support::BINARY;

fn export(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(["connector", "export"]).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// Everything below a folder.
fn tree(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            found.insert(format!("{name}/"), Vec::new());
            found.extend(tree(&entry.path()).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, std::fs::read(entry.path()).unwrap());
        }
    }
    found
}

#[test]
fn connector_export_writes_the_files_that_are_checked_in_and_over_its_own_again() {
    let root = tempfile::tempdir().unwrap();
    for (index, (_, name)) in EDITIONS.into_iter().enumerate() {
        let out = root.path().join("new/deeper").join(name);
        let mut words = vec!["--host", HOST, "--out", out.to_str().unwrap()];
        if index == 1 {
            words.push("--compatible");
        }
        for _ in 0..2 {
            let (code, stdout, stderr) = export(&words);
            assert_eq!((code, stderr.as_str()), (0, ""));
            assert_eq!(stdout.lines().count(), 4);
            assert!(tree(&out) == tree(&folder(name)), "{name}: the files are others than those checked in");
        }
        // Another host, over the same.
        words[1] = "127.0.0.1:8080";
        words.extend(["--scheme", "http", "--publisher", "Contoso", "--email", "otp@contoso.example"]);
        assert_eq!(export(&words).0, 0);
        let definition: Value = serde_json::from_slice(&tree(&out)["apiDefinition.swagger.json"]).unwrap();
        assert_eq!((&definition["host"], &definition["schemes"][0]), (&"127.0.0.1:8080".into(), &"http".into()));
        assert_eq!(definition["info"]["contact"]["name"], "Contoso");
        // Nothing is left beside it.
        let beside = tree(&root.path().join("new/deeper"));
        assert!(beside.keys().all(|name| name.starts_with("connector")), "{:?}", beside.keys());
    }
}

#[test]
fn connector_export_refuses_what_is_wrong_and_leaves_everything_as_it_was() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    let text = |name: &str| at(name).to_str().unwrap().to_owned();
    std::fs::create_dir_all(at("work/inner")).unwrap();
    std::fs::write(at("work/thesis.txt"), "years").unwrap();
    std::fs::create_dir(at("readme")).unwrap();
    std::fs::write(at("readme/README.md"), "mine").unwrap();
    std::fs::write(at("file"), "a file").unwrap();
    std::fs::create_dir(at("nested")).unwrap();
    std::fs::create_dir(at("nested/icon.png")).unwrap();
    let (code, _, stderr) = export(&["--host", HOST, "--out", &text("more")]);
    assert_eq!(code, 0, "{stderr}");
    std::fs::write(at("more/notes.txt"), "notes").unwrap();
    std::fs::create_dir(at("theirs")).unwrap();
    std::fs::write(at("theirs/apiDefinition.swagger.json"), "{\"my\":\"own connector\"}").unwrap();
    let before = tree(root.path());
    for (words, code, says) in [
        (vec!["--out", &text("new")], 64, "--host"),
        (vec!["--host", "", "--out", &text("new")], 64, "a host is needed"),
        (vec!["--host", "https://otp.example.com", "--out", &text("new")], 64, "is no host"),
        (vec!["--host", "otp.example.com/gate", "--out", &text("new")], 64, "is no host"),
        (vec!["--host", "a b", "--out", &text("new")], 64, "is no host"),
        (vec!["--host", HOST, "--scheme", "ftp", "--out", &text("new")], 64, "is no scheme"),
        (vec!["--host", HOST, "--email", "nobody", "--out", &text("new")], 64, "mailbox"),
        (vec!["--host", HOST], 64, "--out"),
        (vec!["--host", HOST, "--out", &text("work")], 73, "is no file of a connector"),
        (vec!["--host", HOST, "--out", &text("readme")], 73, "other files than a connector's"),
        (vec!["--host", HOST, "--out", &text("nested")], 73, "is no file of a connector"),
        (vec!["--host", HOST, "--out", &text("more")], 73, "\"notes.txt\""),
        (vec!["--host", HOST, "--out", &text("theirs")], 73, "another connector's"),
        (vec!["--host", "1.2.3", "--out", &text("new")], 64, "is no host"),
        (vec!["--host", HOST, "--out", &text("file")], 73, "is no directory"),
        (vec!["--host", HOST, "--out", &text("file/below")], 73, "file/below"),
        (vec!["--host", HOST, "--out", "/"], 73, "/"),
    ] {
        let (found, stdout, stderr) = export(&words);
        assert_eq!((found, stdout.as_str()), (code, ""), "{words:?}: {stderr}");
        assert!(stderr.contains(says), "{words:?}: {stderr}");
        assert!(tree(root.path()) == before, "{words:?}: something was written");
    }
}

#[test]
fn connector_export_takes_an_empty_directory() {
    let root = tempfile::tempdir().unwrap();
    let (code, _, stderr) = export(&["--host", HOST, "--out", root.path().join("x/..").to_str().unwrap()]);
    assert_ne!(code, 0, "a directory without a name of its own: {stderr}");
    let empty = root.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    assert_eq!(export(&["--host", HOST, "--out", empty.to_str().unwrap()]).0, 0);
    assert_eq!(tree(&empty).len(), 4);
    // And over its own by another name of the same directory.
    let round = empty.join(".");
    assert_eq!(export(&["--host", HOST, "--out", round.to_str().unwrap()]).0, 0);
    assert_eq!(tree(&empty).len(), 4);
}
