//! What is wrong with a configuration, and where: each fault names its file, line and column, or its variable, or its
//! flag, the key, and what would be right. Knows no setting.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// Where a value was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the file, from line and column 1 on.
    Line {
        /// The file.
        file: PathBuf,
        /// The line.
        line: usize,
        /// The column, in characters.
        column: usize,
    },
    /// In the file as a whole: something is missing from it.
    File(PathBuf),
    /// In an environment variable.
    Variable(String),
    /// In a flag of the command line, written with its dashes.
    Flag(&'static str),
    /// Nowhere: no file was given, and the default does not do.
    Nowhere,
}

impl Place {
    /// The place in `file` of the first byte of `span`.
    pub(super) fn in_file(file: PathBuf, text: &str, span: &Range<usize>) -> Self {
        let before = text.get(..span.start.min(text.len())).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |end| end + 1);
        let line = 1 + before.bytes().filter(|byte| *byte == b'\n').count();
        let column = 1 + before.get(line_start..).unwrap_or_default().chars().count();
        Self::Line { file, line, column }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line { file, line, column } => write!(formatter, "{}:{line}:{column}", file.display()),
            Self::File(file) => write!(formatter, "{}", file.display()),
            Self::Variable(name) => formatter.write_str(name),
            Self::Flag(name) => formatter.write_str(name),
            Self::Nowhere => formatter.write_str("configuration"),
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it was given.
    pub place: Place,
    /// The setting's path, such as `quota.calls`; empty when the fault is not one setting's.
    pub key: String,
    /// What is wrong, and what would be right. Never holds a secret.
    pub problem: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: ", self.place)?;
        if !self.key.is_empty() {
            write!(formatter, "{}: ", self.key)?;
        }
        formatter.write_str(&self.problem)
    }
}

/// Everything that is wrong with a configuration, at least one fault: one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The faults, in the order in which they were found.
    pub faults: Vec<Fault>,
}

impl ConfigError {
    pub(super) fn one(place: Place, key: &str, problem: impl Into<String>) -> Self {
        Self { faults: vec![Fault { place, key: key.to_owned(), problem: problem.into() }] }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            if index > 0 {
                formatter.write_str("\n")?;
            }
            fault.fmt(formatter)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_lines_and_characters_from_one() {
        let place = |start| Place::in_file("a.toml".into(), "é = 1\nab = 2\n", &(start..start + 1)).to_string();
        assert_eq!(place(0), "a.toml:1:1");
        assert_eq!(place(3), "a.toml:1:3");
        assert_eq!(place(7), "a.toml:2:1");
        assert_eq!(place(999), "a.toml:3:1");
    }
}
