//! The connector's files: what is checked in and served is what the handlers and the wording say, others' models of Swagger 2.0
//! agree with it, and no change breaks a maker's flow unseen.

mod breaches;
mod changes;
mod export;
mod lint;
mod package;
mod rules;
mod wording;

use std::path::{Path, PathBuf};

use otpgate::openapi::connector::{Edition, Place, Publisher, definition};
use serde_json::Value;

/// The host of the files that are checked in.
const HOST: &str = "otp.example.com";
/// Both editions and the folders of their files.
const EDITIONS: [(Edition, &str); 2] = [(Edition::Native, "connector"), (Edition::Compatible, "connector-compatible")];

fn place() -> Place {
    Place::new("https", HOST).unwrap()
}

fn publisher() -> Publisher {
    Publisher::new(&place(), None, None, None).unwrap()
}

fn made(edition: Edition) -> Value {
    definition(edition, &place(), &publisher()).unwrap()
}

/// A folder of checked-in files.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi").join(name)
}

/// The operations of a definition: path, method, operation.
fn operations(definition: &Value) -> Vec<(String, String, &Value)> {
    let paths = definition["paths"].as_object().unwrap();
    let all = paths.iter().flat_map(|(path, item)| {
        item.as_object().unwrap().iter().map(move |(method, operation)| (path.clone(), method.clone(), operation))
    });
    all.filter(|(_, method, _)| !method.starts_with("x-")).collect()
}
