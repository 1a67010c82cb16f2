//! Moving everything that one store keeps into another: what is moved, in which form, and the port that an adapter has for it.
//!
//! - `copy`: the one loop, whichever stores stand at its ends
//! - `form`: the rows as bytes, the same whichever store they come from
//!
//! Quotas are not moved: behind a copy every one of them begins fully charged, because a quota that began empty could admit
//! twice what it may. Must not know where an adapter keeps a row, nor who asked for the copy.
//!
//! A further kind is one entry in [`Kind::ALL`], its form, and an arm for it in each adapter.

pub mod copy;
pub(super) mod form;

use crate::otp::store::Later;

/// What is moved, in this order: settings first, so that what belongs to somebody comes after him.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Applications, with their accounts.
    Application,
    /// Connections, with the names that they are found by.
    Connection,
    /// Subscriptions.
    Subscription,
    /// OTPs.
    Otp,
    /// What is remembered of numbers.
    Number,
    /// Daily counts.
    Spend,
    /// Messages that are not settled.
    Message,
    /// Kept answers and slips.
    Answer,
    /// Events that wait, and dead letters.
    Event,
    /// Nonces that were spent.
    Nonce,
    /// Connections' pairs of keys.
    Pair,
    /// Puzzles that were tried.
    Puzzle,
    /// Sessions.
    Session,
    /// Verifications.
    Verification,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Application,
        Self::Connection,
        Self::Subscription,
        Self::Otp,
        Self::Number,
        Self::Spend,
        Self::Message,
        Self::Answer,
        Self::Event,
        Self::Nonce,
        Self::Pair,
        Self::Puzzle,
        Self::Session,
        Self::Verification,
    ];

    /// What it is called: to the operator, and in the target's progress.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Application => "applications",
            Self::Connection => "connections",
            Self::Subscription => "subscriptions",
            Self::Otp => "codes",
            Self::Number => "numbers",
            Self::Spend => "daily-counts",
            Self::Message => "messages",
            Self::Answer => "answers",
            Self::Event => "events",
            Self::Nonce => "nonces",
            Self::Pair => "key-pairs",
            Self::Puzzle => "puzzles",
            Self::Session => "sessions",
            Self::Verification => "verifications",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// One row: what it is found by, and everything else, both in the kind's form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    /// What it is found by.
    pub key: Vec<u8>,
    /// Everything else.
    pub value: Vec<u8>,
}

/// Where reading goes on; only the store that gave it can read it. It holds as long as nobody writes to that store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// Some rows. A row may come twice where the source cannot help it.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The rows; none does not mean that there are no more.
    pub rows: Vec<Row>,
    /// Where reading goes on; none at the end.
    pub next: Option<Cursor>,
}

/// How far a copy has come. It lies in the target, and is written with or after the rows that it tells of, never before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Where the rows come from.
    pub source: String,
    /// Every kind before this one is done.
    pub kind: Kind,
    /// Where to go on within it.
    pub next: Option<Cursor>,
}

impl Progress {
    /// As text, for a target to keep.
    #[must_use]
    pub fn text(&self) -> String {
        let next = self.next.as_ref().map(|next| crate::secret::to_hex(&next.0)).unwrap_or_default();
        format!("{} {next} {}", self.kind.name(), self.source)
    }

    /// From that text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ' ');
        let (kind, next, source) = (Kind::of_name(parts.next()?)?, parts.next()?, parts.next()?.to_owned());
        let mut bytes = vec![0; next.len() / 2];
        crate::secret::from_hex(next, &mut bytes)?;
        Some(Self { source, kind, next: (!bytes.is_empty()).then_some(Cursor(bytes)) })
    }
}

/// What a store is, to a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nobody has made it.
    Empty,
    /// A copy into it was begun and not finished.
    Unfinished {
        /// The keyring, wrapped.
        keyring: String,
        /// How far it came.
        progress: Progress,
    },
    /// It was made.
    Made {
        /// The keyring, wrapped.
        keyring: String,
    },
}

/// Why a step of a copy was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// The store did not do it.
    #[error("{0}")]
    Store(String),
    /// It has no room left.
    #[error("it has no room left")]
    Full,
    /// A row cannot be read.
    #[error("a row of its {} is damaged: restore it from a backup", .0.name())]
    Damaged(Kind),
}

/// A store at one end of a copy. Nobody else writes to it meanwhile.
pub trait Transfer: Send + Sync {
    /// What it is called, without anything secret.
    fn name(&self) -> String;

    /// What it is.
    fn standing(&self) -> Later<'_, Result<Standing, TransferError>>;

    /// Makes it the target of a copy that has come as far as `progress` says, with this wrapped keyring. What its first start
    /// made is dropped. It cannot be served from until [`Transfer::finish`].
    fn begin<'a>(&'a self, keyring: &'a str, progress: &'a Progress) -> Later<'a, Result<(), TransferError>>;

    /// About `limit` rows of a kind, from `after` on, or from the beginning.
    fn read(&self, kind: Kind, after: Option<Cursor>, limit: usize) -> Later<'_, Result<Page, TransferError>>;

    /// How many rows of a kind there are.
    fn count(&self, kind: Kind) -> Later<'_, Result<u64, TransferError>>;

    /// Writes rows, in the place of those with the same keys, and then how far the copy has come.
    fn write<'a>(&'a self, kind: Kind, rows: Vec<Row>, progress: &'a Progress) -> Later<'a, Result<(), TransferError>>;

    /// It is whole, and may be served from. Every quota begins fully charged.
    fn finish(&self) -> Later<'_, Result<(), TransferError>>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_it_was_written() {
        for kind in Kind::ALL {
            for next in [None, Some(Cursor(vec![0, 255, 7]))] {
                let progress = Progress { source: "sqlite:/a dir/with spaces".to_owned(), kind, next };
                assert_eq!(Progress::parse(&progress.text()), Some(progress));
            }
        }
        for wrong in ["", "codes", "codes 0", "codes  ", "nothing 00 here"] {
            assert_ne!(Progress::parse(wrong).map(|progress| progress.kind), Some(Kind::Application), "{wrong}");
        }
        assert_eq!(Progress::parse("nothing 00 here"), None);
    }
}
