//! What a gateway remembers of the stores that it has served from, in its data directory: a store that it knew and that is empty
//! now was lost, and is no place for a first start. Where there is no directory that it may write to, it remembers nothing.
//!
//! The file has a line for each: the marker that stood there last, a space, and the address without anything secret.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// The file's name in the data directory.
const NAME: &str = "known-stores";
/// Stores that are remembered; the one that was not seen for longest is forgotten first.
const MOST: usize = 32;

/// A memory, in a directory.
#[derive(Clone, Debug)]
pub struct Known {
    directory: PathBuf,
}

impl Known {
    /// In this directory, which need not be there.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// The marker of the store at this address, where it is known.
    pub(super) fn marker(&self, address: &str) -> Option<String> {
        self.lines().into_iter().find(|(_, known)| known == address).map(|(marker, _)| marker)
    }

    /// The store at this address bears this marker.
    pub(super) fn remember(&self, address: &str, marker: &[u8]) {
        let marker = String::from_utf8_lossy(marker).into_owned();
        let mut lines = self.lines();
        if lines.first().is_some_and(|(found, known)| known == address && *found == marker) {
            return;
        }
        lines.retain(|(_, known)| known != address);
        lines.insert(0, (marker, address.to_owned()));
        lines.truncate(MOST);
        let text: String = lines.into_iter().map(|(marker, address)| format!("{marker} {address}\n")).collect();
        if let Err(error) = self.write(&text) {
            let directory = self.directory.display();
            tracing::info!(%error, %directory, "which store this is cannot be remembered: an empty one would be taken for a new one");
        }
    }

    /// What cannot be read is not remembered.
    fn lines(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.directory.join(NAME)).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(marker, address)| (marker.to_owned(), address.to_owned())).collect()
    }

    /// The whole file at once: a crash leaves the old one or the new one.
    fn write(&self, text: &str) -> io::Result<()> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.directory)?;
        let (file, fresh) = (self.directory.join(NAME), self.directory.join(format!("{NAME}.new")));
        let mut written = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&fresh)?;
        written.write_all(text.as_bytes())?;
        written.sync_all()?;
        fs::rename(&fresh, &file)?;
        fs::File::open(&self.directory)?.sync_all()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_known_by_its_address_and_the_newest_marker_counts() {
        let folder = tempfile::tempdir().unwrap();
        let known = Known::new(folder.path().join("not/there"));
        assert_eq!(known.marker("a:1/0"), None);
        known.remember("a:1/0", b"one");
        known.remember("b:2/0", b"two");
        known.remember("a:1/0", b"three");
        let again = Known::new(folder.path().join("not/there"));
        assert_eq!((again.marker("a:1/0").as_deref(), again.marker("b:2/0").as_deref()), (Some("three"), Some("two")));
        assert_eq!(again.marker("a:1/1"), None);
        for number in 0..MOST {
            known.remember(&format!("c:{number}/0"), b"many");
        }
        assert_eq!((known.marker("a:1/0"), known.lines().len()), (None, MOST));
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let known = Known::new(file);
        known.remember("a:1/0", b"one");
        assert_eq!(known.marker("a:1/0"), None);
    }
}
