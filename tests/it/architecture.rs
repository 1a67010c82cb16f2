//! The import directions of ARCHITECTURE.md, and the crates that may not be built in: both are read from the sources.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Who may import whom. A module that is not named here may import nothing of the crate.
const DIRECTIONS: &[(&str, &[&str])] = &[
    ("clock", &[]),
    ("deadline", &[]),
    // The configuration and the listener judge a certificate by the same rules, and may not know each other.
    ("certificate", &[]),
    ("secret", &[]),
    ("footprint", &[]),
    ("quota", &["clock"]),
    ("abuse", &["clock"]),
    ("idempotency", &["clock", "secret"]),
    ("otp", &["clock", "secret", "abuse", "idempotency"]),
    ("access", &["clock", "secret", "quota", "otp"]),
    ("identity", &["clock", "secret", "otp", "access"]),
    ("events", &["clock", "secret", "otp", "access"]),
    ("verification", &["clock", "secret", "otp", "access", "idempotency", "events"]),
    ("outbound", &["clock", "events", "otp", "secret", "delivery", "carrier"]),
    ("server", &["certificate", "clock"]),
    ("layer", &["clock", "secret", "access", "quota", "idempotency", "server"]),
    (
        "store",
        &[
            "clock",
            "deadline",
            "secret",
            "otp",
            "access",
            "quota",
            "abuse",
            "events",
            "idempotency",
            "identity",
            "verification",
        ],
    ),
    ("delivery", &["clock", "secret", "otp", "abuse", "idempotency"]),
    ("carrier", &["clock", "secret", "otp", "delivery"]),
    (
        "surface",
        &[
            "carrier",
            "clock",
            "secret",
            "otp",
            "access",
            "quota",
            "idempotency",
            "identity",
            "layer",
            "server",
            "delivery",
            "events",
            "verification",
        ],
    ),
    ("stack", &["clock", "deadline", "secret", "access", "quota", "idempotency", "layer"]),
    ("openapi", &["surface"]),
    ("config", &["carrier", "certificate", "secret", "otp", "access", "abuse", "quota"]),
    ("telemetry", &["clock", "access", "otp", "layer", "delivery", "events", "verification"]),
    (
        "app",
        &[
            "abuse",
            "access",
            "carrier",
            "clock",
            "config",
            "delivery",
            "events",
            "footprint",
            "identity",
            "layer",
            "openapi",
            "otp",
            "outbound",
            "quota",
            "secret",
            "server",
            "stack",
            "store",
            "surface",
            "telemetry",
            "verification",
        ],
    ),
    (
        "cli",
        &[
            "abuse",
            "access",
            "app",
            "carrier",
            "certificate",
            "clock",
            "config",
            "events",
            "openapi",
            "otp",
            "quota",
            "secret",
            "server",
            "store",
            "telemetry",
            "verification",
        ],
    ),
    ("main", &["cli"]),
    ("lib", &[]),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The module of the crate that a file belongs to: the first folder below `src`, or the file's own name.
fn module(path: &Path) -> String {
    let relative = path.strip_prefix(root().join("src")).unwrap();
    let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

/// The modules that a source names after `crate::` (in the binary: `otpgate::`), outside of comments.
fn imports(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
        for marker in ["crate::", "otpgate::"] {
            for (index, _) in line.match_indices(marker) {
                let rest = &line[index + marker.len()..];
                let name: String =
                    rest.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect();
                if !name.is_empty() {
                    found.push(name);
                }
            }
        }
    }
    found
}

fn violations(files: &[(String, String)]) -> Vec<String> {
    let directions: BTreeMap<_, _> = DIRECTIONS.iter().copied().collect();
    let mut found = Vec::new();
    for (module, text) in files {
        for import in imports(text) {
            let allowed = directions.get(module.as_str()).copied().unwrap_or_default();
            if import != *module && directions.contains_key(import.as_str()) && !allowed.contains(&import.as_str()) {
                found.push(format!("{module} imports {import}"));
            }
        }
    }
    found
}

#[test]
fn imports_go_one_way() {
    let mut paths = Vec::new();
    sources(&root().join("src"), &mut paths);
    let files: Vec<_> = paths.iter().map(|path| (module(path), std::fs::read_to_string(path).unwrap())).collect();
    assert!(files.len() > 40, "the sources were found");
    for (module, _) in &files {
        assert!(DIRECTIONS.iter().any(|(known, _)| known == module), "{module} has no place in the directions");
    }
    assert_eq!(violations(&files), Vec::<String>::new());
}

#[test]
fn a_wrong_import_is_seen() {
    let file = |text: &str| vec![("otp".to_owned(), text.to_owned())];
    assert_eq!(violations(&file("use crate::store::sqlite::Store;")), ["otp imports store"]);
    assert_eq!(violations(&file("    let x = crate::server::Peer::new();")), ["otp imports server"]);
    assert_eq!(violations(&file("// crate::server is not known here\nuse crate::clock::Clock;")), Vec::<String>::new());
}

#[test]
fn the_domain_knows_no_transport_and_no_storage() {
    for folder in ["otp", "access", "quota", "abuse", "idempotency", "identity", "events", "verification"] {
        let mut paths = Vec::new();
        sources(&root().join("src").join(folder), &mut paths);
        for path in paths {
            let text = std::fs::read_to_string(&path).unwrap();
            for foreign in ["rusqlite", "redis", "hyper", "axum", "http::", "tower"] {
                let named = text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains(foreign));
                assert!(!named, "{} names {foreign}", path.display());
            }
        }
    }
}

#[test]
fn every_file_says_what_it_is_and_stays_readable() {
    let mut paths = Vec::new();
    sources(&root().join("src"), &mut paths);
    for path in paths {
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("//!"), "{} does not open with //!", path.display());
        let code = text.find("#[cfg(test)]").map_or(text.as_str(), |tests| &text[..tests]);
        let lines = code.lines().count();
        assert!(lines <= 450, "{} has {lines} lines before its tests", path.display());
    }
}

#[test]
fn nothing_that_is_banned_is_built() {
    // The lock file also names optional crates that no feature asks for: the tree is what is built.
    let words = ["tree", "--locked", "--offline", "--prefix", "none", "--edges", "normal,build,dev"];
    let output = std::process::Command::new(env!("CARGO")).args(words).current_dir(root()).output().unwrap();
    let tree = String::from_utf8(output.stdout).unwrap();
    assert!(tree.contains("aws-lc-rs v"), "{}", String::from_utf8_lossy(&output.stderr));
    let policy = std::fs::read_to_string(root().join("deny.toml")).unwrap();
    let policy: toml::Value = toml::from_str(&policy).unwrap();
    let banned: Vec<_> =
        policy["bans"]["deny"].as_array().unwrap().iter().map(|ban| ban["crate"].as_str().unwrap()).collect();
    assert!(banned.contains(&"ring"));
    for name in banned {
        assert!(
            !tree.lines().any(|line| line.starts_with(&format!("{name} v"))),
            "{name} is banned by deny.toml and built"
        );
    }
}
