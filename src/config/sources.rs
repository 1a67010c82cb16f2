//! The layers of the configuration: file, environment, flags, laid over one another with the place of every value kept.
//! Knows which keys exist, not what they mean.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::fault::{ConfigError, Fault, Place};
use super::keys::{KEYS, Key, find, is_section, nearest, variable};

/// The environment variable that names the file, where `--config` does not.
const FILE_VARIABLE: &str = "OTPGATE_CONFIG";
const PREFIX: &str = "OTPGATE_";

/// Where the configuration comes from.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file. None: the one that `OTPGATE_CONFIG` names, else none.
    pub file: Option<PathBuf>,
    /// The environment; variables that do not begin with `OTPGATE_` are ignored.
    pub environment: Vec<(OsString, OsString)>,
    /// The command line.
    pub flags: Flags,
}

/// The settings that have a flag. They win over everything.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--listen`
    pub listen: Option<String>,
    /// `--admin-listen`
    pub admin_listen: Option<String>,
    /// `--data-dir`
    pub data_dir: Option<PathBuf>,
    /// `--store`
    pub store: Option<String>,
}

fn fault(place: Place, key: &str, problem: impl Into<String>) -> Fault {
    Fault { place, key: key.to_owned(), problem: problem.into() }
}

/// All values that were given, with their places.
#[derive(Debug, Default)]
pub(super) struct Tree {
    pub(super) file: Option<PathBuf>,
    pub(super) table: Table,
    /// The process's variables, for references to them.
    pub(super) environment: Vec<(OsString, OsString)>,
    places: BTreeMap<String, Place>,
}

impl Sources {
    /// Reads all layers. Every key in what it returns exists and holds a value of its kind.
    pub(super) fn read(self) -> Result<Tree, ConfigError> {
        let mut tree = Tree::default();
        let mut faults = Vec::new();
        let mut variables: Vec<_> = self
            .environment
            .iter()
            .filter_map(|(name, value)| Some((name.to_str()?, value)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        variables.sort();
        let named = variables
            .iter()
            .find(|(name, value)| *name == FILE_VARIABLE && !value.is_empty())
            .map(|(_, value)| PathBuf::from(value));
        tree.file = self.file.or(named);
        if let Some(file) = tree.file.clone() {
            tree.read_file(&file)?;
            tree.check_keys(&mut faults);
            for key in KEYS {
                tree.check_value(key, &mut faults);
            }
        }
        for (name, value) in variables {
            if name != FILE_VARIABLE {
                tree.read_variable(name, value.to_str(), &mut faults);
            }
        }
        let data_dir = self.flags.data_dir.and_then(|path| {
            let not_utf8 =
                |_| faults.push(fault(Place::Flag("--data-dir"), "data_dir", "is not UTF-8; write another path"));
            path.into_os_string().into_string().map_err(not_utf8).ok()
        });
        for (key, flag, value) in [
            ("listen", "--listen", self.flags.listen),
            ("admin_listen", "--admin-listen", self.flags.admin_listen),
            ("data_dir", "--data-dir", data_dir),
            ("store.url", "--store", self.flags.store),
        ] {
            if let Some(value) = value {
                tree.set(key, Value::String(value), Place::Flag(flag));
                if let Some(key) = find(key) {
                    tree.check_value(key, &mut faults);
                }
            }
        }
        tree.environment = self.environment;
        if faults.is_empty() { Ok(tree) } else { Err(ConfigError { faults }) }
    }
}

impl Tree {
    /// The value of a setting, if it was given.
    pub(super) fn get(&self, path: &str) -> Option<&Value> {
        match path.split_once('.') {
            Some((section, key)) => self.table.get(section)?.as_table()?.get(key),
            None => self.table.get(path),
        }
    }

    /// Gives a setting a value.
    pub(super) fn set(&mut self, path: &str, value: Value, place: Place) {
        self.places.retain(|known, _| {
            !(known.starts_with(path) && known.get(path.len()..).is_some_and(|rest| rest.starts_with('[')))
        });
        self.places.insert(path.to_owned(), place);
        let (table, key) = match path.split_once('.') {
            Some((section, key)) => {
                let section = self.table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if !section.is_table() {
                    *section = Value::Table(Table::new());
                }
                (section.as_table_mut(), key)
            }
            None => (Some(&mut self.table), path),
        };
        if let Some(table) = table {
            table.insert(key.to_owned(), value);
        }
    }

    /// Where `path`, or the nearest thing around it, was given.
    pub(super) fn place(&self, path: &str) -> Place {
        let mut around = path;
        loop {
            if let Some(place) = self.places.get(around) {
                return place.clone();
            }
            match around.rfind(['.', '[']) {
                // A whole section is no place: the key is not in it.
                Some(end) if around.contains('[') => around = around.get(..end).unwrap_or_default(),
                _ => return self.file.clone().map_or(Place::Nowhere, Place::File),
            }
        }
    }

    /// A fault of `path`, at its place.
    pub(super) fn fault(&self, path: &str, problem: impl Into<String>) -> Fault {
        fault(self.place(path), path, problem)
    }

    fn read_file(&mut self, file: &Path) -> Result<(), ConfigError> {
        let whole = |problem: String| ConfigError::one(Place::File(file.to_owned()), "", problem);
        let bytes = std::fs::read(file).map_err(|error| {
            whole(format!("cannot be read: {error}; name a TOML file, such as a copy of otpgate.example.toml"))
        })?;
        let text = String::from_utf8(bytes).map_err(|_| whole("is not UTF-8; write a TOML file".to_owned()))?;
        let broken = |error: toml::de::Error| {
            let place = error
                .span()
                .map_or_else(|| Place::File(file.to_owned()), |span| Place::in_file(file.to_owned(), &text, &span));
            let message = error.message().trim().replace('\n', "; ");
            ConfigError::one(place, "", format!("is not TOML: {message}"))
        };
        let spans = DeTable::parse(&text).map_err(broken)?;
        self.note_places(spans.get_ref(), "", file, &text);
        self.table = toml::from_str(&text).map_err(broken)?;
        Ok(())
    }

    fn note_places(&mut self, table: &DeTable<'_>, prefix: &str, file: &Path, text: &str) {
        for (key, value) in table {
            let path = format!("{prefix}{}", key.get_ref());
            self.places.insert(path.clone(), Place::in_file(file.to_owned(), text, &key.span()));
            self.note_below(value, &path, file, text);
        }
    }

    fn note_below(&mut self, value: &Spanned<DeValue<'_>>, path: &str, file: &Path, text: &str) {
        match value.get_ref() {
            DeValue::Table(table) => self.note_places(table, &format!("{path}."), file, text),
            DeValue::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    let path = format!("{path}[{index}]");
                    self.places.insert(path.clone(), Place::in_file(file.to_owned(), text, &value.span()));
                    self.note_below(value, &path, file, text);
                }
            }
            _ => {}
        }
    }

    /// Takes out of the tree what is no setting, each with a fault.
    fn check_keys(&mut self, faults: &mut Vec<Fault>) {
        let mut unknown = Vec::new();
        for (name, value) in &self.table {
            match value {
                Value::Table(section) if is_section(name) => {
                    unknown
                        .extend(section.keys().map(|key| format!("{name}.{key}")).filter(|path| find(path).is_none()));
                }
                _ if is_section(name) => {
                    faults.push(self.fault(name, format!("is a section; write [{name}] and its settings below it")));
                }
                _ if find(name).is_none() => unknown.push(name.clone()),
                _ => {}
            }
        }
        for path in unknown {
            let meant = nearest(&path, KEYS.iter().map(|key| key.path)).unwrap_or_default();
            faults.push(self.fault(&path, format!("there is no such setting; did you mean {meant}?")));
        }
    }

    fn read_variable(&mut self, name: &str, value: Option<&str>, faults: &mut Vec<Fault>) {
        let place = Place::Variable(name.to_owned());
        let Some(key) = KEYS.iter().find(|key| variable(key.path) == name) else {
            let variables: Vec<_> = KEYS.iter().map(|key| variable(key.path)).collect();
            let meant = nearest(name, variables.iter().map(String::as_str)).unwrap_or_default();
            return faults.push(fault(place, "", format!("there is no such setting; did you mean {meant}?")));
        };
        match value {
            None => faults.push(fault(place, key.path, "is not UTF-8; write plain text")),
            Some(text) => {
                if let Some(value) = key.kind.read_variable(text) {
                    self.set(key.path, value, place);
                    self.check_value(key, faults);
                }
            }
        }
    }

    /// What is wrong with a setting's value, as far as the layers were read: before the next one is laid over it, so that a
    /// value that does not do is told also where another one takes its place.
    fn check_value(&self, key: &Key, faults: &mut Vec<Fault>) {
        let wrong = self.get(key.path).map(|value| key.kind.check(value)).unwrap_or_default();
        faults.extend(wrong.into_iter().map(|(below, problem)| self.fault(&format!("{}{below}", key.path), problem)));
    }
}
