//! What a gateway remembers of the stores that it has served from, in its data directory: a store that it knew and that is empty
//! now was lost, and is no place for a first start. Where there is no directory that it may write to, it remembers nothing.
//!
//! The file has a line for each: the marker that stood there last, a colon and a beat that must not be gone, a space, and the
//! address without anything secret. Earlier releases wrote no beat.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::PathBuf;

/// The file's name in the data directory.
const NAME: &str = "known-stores";
/// Stores that are remembered; the one that was not seen for longest is forgotten first.
const MOST: usize = 32;

/// What is remembered of a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remembered {
    /// What stood under its markers.
    pub(super) marker: String,
    /// A beat that was there, in its milliseconds; 0 for none.
    pub(super) beat: u64,
}

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

    /// The store at this address, where it is known.
    pub(super) fn of(&self, address: &str) -> Option<Remembered> {
        let (found, _) = self.lines().into_iter().find(|(_, known)| known == address)?;
        let (marker, beat) = found.split_once(':').unwrap_or((found.as_str(), ""));
        Some(Remembered { marker: marker.to_owned(), beat: beat.parse().unwrap_or_default() })
    }

    /// The store at this address bears this marker, and this beat is in it. Whether that is remembered.
    pub(super) fn remember(&self, address: &str, marker: &[u8], beat: u64) -> bool {
        let found = format!("{}:{beat}", String::from_utf8_lossy(marker));
        let mut lines = self.lines();
        if lines.first().is_some_and(|(first, known)| known == address && *first == found) {
            return true;
        }
        lines.retain(|(_, known)| known != address);
        lines.insert(0, (found, address.to_owned()));
        lines.truncate(MOST);
        let text: String = lines.into_iter().map(|(found, address)| format!("{found} {address}\n")).collect();
        let written = self.write(&text);
        if let Err(error) = &written {
            let directory = self.directory.display();
            tracing::info!(%error, %directory, "which store this is cannot be remembered: an empty one would be taken for a new one");
        }
        written.is_ok()
    }

    /// What cannot be read is not remembered.
    fn lines(&self) -> Vec<(String, String)> {
        let text = fs::read_to_string(self.directory.join(NAME)).unwrap_or_default();
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        pairs.map(|(found, address)| (found.to_owned(), address.to_owned())).collect()
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
        let remembered = |marker: &str, beat| Some(Remembered { marker: marker.to_owned(), beat });
        assert_eq!(known.of("a:1/0"), None);
        assert!(known.remember("a:1/0", b"one", 1));
        assert!(known.remember("b:2/0", b"two", 2));
        assert!(known.remember("a:1/0", b"three", 3));
        let again = Known::new(folder.path().join("not/there"));
        assert_eq!((again.of("a:1/0"), again.of("b:2/0")), (remembered("three", 3), remembered("two", 2)));
        assert_eq!(again.of("a:1/1"), None);
        assert!(known.remember("a:1/0", b"three", 4));
        assert_eq!(again.of("a:1/0"), remembered("three", 4));
        for number in 0..MOST {
            assert!(known.remember(&format!("c:{number}/0"), b"many", 0));
        }
        assert_eq!((known.of("a:1/0"), known.lines().len()), (None, MOST));
        // As an earlier release wrote it.
        fs::write(folder.path().join("not/there").join(NAME), "five a:1/0\n").unwrap();
        assert_eq!(known.of("a:1/0"), remembered("five", 0));
    }

    #[test]
    fn where_nothing_can_be_written_nothing_is_remembered() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        let known = Known::new(file);
        assert!(!known.remember("a:1/0", b"one", 1));
        assert_eq!(known.of("a:1/0"), None);
    }
}
