//! Proves that `otpgate.example.toml` lists every setting once, with its default.

use toml::{Table, Value};

use super::Config;
use super::keys::{KEYS, PROVIDER_KEYS, ROUTE_KEYS, SMPP_KEYS};
use super::smpp::Smpp;
use super::sources::Tree;

const EXAMPLE: &str = include_str!("../../otpgate.example.toml");

/// The settings without the comment signs: prose has a space after its sign.
fn uncommented() -> String {
    let is_setting = |line: &&str| !line.starts_with("# ") && *line != "#";
    EXAMPLE.lines().filter(is_setting).map(|line| format!("{}\n", line.strip_prefix('#').unwrap_or(line))).collect()
}

fn paths(table: &Table) -> Vec<String> {
    let mut paths = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(section) => paths.extend(section.keys().map(|key| format!("{name}.{key}"))),
            _ => paths.push(name.clone()),
        }
    }
    paths.sort();
    paths
}

#[test]
fn the_example_lists_every_setting_and_nothing_else() {
    let table: Table = toml::from_str(&uncommented()).unwrap();
    let mut keys: Vec<_> = KEYS.iter().map(|key| key.path.to_owned()).collect();
    keys.sort();
    assert_eq!(paths(&table), keys);
    for (list, keys) in [("providers", PROVIDER_KEYS), ("routes", ROUTE_KEYS)] {
        let one = table["delivery"][list][0].as_table().unwrap();
        let mut keys: Vec<_> = keys.iter().map(|key| key.path).collect();
        keys.sort_unstable();
        assert_eq!(one.keys().map(String::as_str).collect::<Vec<_>>(), keys);
    }
    let smpp = table["delivery"]["providers"][0]["smpp"].as_table().unwrap();
    let mut keys: Vec<_> = SMPP_KEYS.iter().map(|key| key.path).collect();
    keys.sort_unstable();
    assert_eq!(smpp.keys().map(String::as_str).collect::<Vec<_>>(), keys);
}

#[test]
fn the_example_shows_the_defaults_and_values_that_do() {
    let mut table: Table = toml::from_str(&uncommented()).unwrap();
    let mut tree = Tree::default();
    tree.table.clone_from(&table);
    for key in KEYS {
        assert_eq!(key.kind.check(tree.get(key.path).unwrap()), [], "{}", key.path);
    }
    let config: Config = toml::from_str(&uncommented()).unwrap();
    assert!(config.public_url.is_some() && config.tls.files().is_some());
    // What has no default stands there as an example.
    for key in ["public_url", "admin_token", "admin_token_file", "master_key_file"] {
        table.remove(key).unwrap();
    }
    for key in ["certificate", "key"] {
        table["tls"].as_table_mut().unwrap().remove(key).unwrap();
    }
    table["store"].as_table_mut().unwrap().remove("ca_file").unwrap();
    let mut smpp = table["delivery"]["providers"][0]["smpp"].as_table().unwrap().clone();
    for key in ["source_ton", "source_npi", "ca_file"] {
        smpp.remove(key).unwrap();
    }
    let smpp: Table = toml::from_str(&smpp.to_string()).unwrap();
    let written: Table = toml::from_str(&toml::to_string(&Smpp::default()).unwrap()).unwrap();
    assert_eq!(smpp, written);
    for key in ["url", "preset", "http", "smpp"] {
        table["delivery"]["providers"][0].as_table_mut().unwrap().remove(key).unwrap();
    }
    table["delivery"]["routes"] = Value::Array(Vec::new());
    let written: Table = toml::from_str(&Config::default().effective_redacted()).unwrap();
    assert_eq!(table, written);
}

#[test]
fn as_it_stands_the_example_changes_nothing() {
    assert_eq!(toml::from_str::<Config>(EXAMPLE).unwrap(), Config::default());
}

#[test]
fn the_table_of_keys_is_that_of_the_structs() {
    let written: Table = toml::from_str(&Config::default().effective_redacted()).unwrap();
    let known = paths(&written);
    assert!(known.iter().all(|path| super::keys::find(path).is_some()), "{known:?}");
}
