//! The one loop: kind after kind, batch after batch, from where the target says that it was interrupted; then everything is read
//! once more on both sides, counted and summed, and only what is the same is let be served from.
//!
//! Must not know which stores stand at its ends, nor how progress is shown.

use std::collections::HashSet;

use aws_lc_rs::digest::{Context, SHA256};

use crate::secret::to_hex;
use crate::store::transfer::{Kind, Progress, Standing, Transfer, TransferError};

/// Rows of one batch: what a crash makes the next run write again.
const BATCH: usize = 2_000;

/// Why a copy was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CopyError {
    /// There is nothing to copy.
    #[error("{0}: there is no store here")]
    NoSource(String),
    /// The source is itself the target of a copy that was not finished.
    #[error("{0}: a copy into this store was not finished: finish it first")]
    SourceUnfinished(String),
    /// The target has data of its own.
    #[error("{0}: it holds data already; give an empty one")]
    TargetInUse(String),
    /// A copy from somewhere else into it was not finished.
    #[error("{target}: a copy from {source_name} into it was not finished: run that one again, or give an empty one")]
    OtherCopy {
        /// The target.
        target: String,
        /// Where the rows in it come from.
        source_name: String,
    },
    /// Both ends do not hold the same.
    #[error(
        "{target}: its {kind} are not those of the source ({found} against {wanted}): somebody wrote to the source meanwhile; \
         stop every gateway, empty the target and copy again"
    )]
    Differs {
        /// The target.
        target: String,
        /// Of what.
        kind: &'static str,
        /// Rows of the source.
        wanted: u64,
        /// Rows of the target.
        found: u64,
    },
    /// A store did not do a step. What was copied stays: the same command goes on from there.
    #[error("{store}: {error}; run the same command again and it goes on from there")]
    Store {
        /// Which.
        store: String,
        /// Why.
        error: TransferError,
    },
}

/// Where a copy stands, for whoever watches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// So many rows of so many of a kind are copied, as far as this run knows.
    Copied(Kind, u64, u64),
    /// So many are compared.
    Compared(Kind, u64, u64),
}

/// What was copied of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// The kind.
    pub kind: Kind,
    /// Rows, the same on both sides.
    pub rows: u64,
    /// The sum over them, the same on both sides: 32 hexadecimal digits.
    pub sum: String,
}

/// The rows of a kind: how many, and a sum that does not depend on their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    rows: u64,
    sum: u128,
}

/// Copies everything from `source` to `target`, or the rest of it.
///
/// # Errors
/// [`CopyError`]; the target is not served from until a copy into it was finished.
pub async fn copy(
    source: &dyn Transfer,
    target: &dyn Transfer,
    watch: &mut (dyn FnMut(Step) + Send),
) -> Result<Vec<Copied>, CopyError> {
    let at = |store: &dyn Transfer| {
        let store = store.name();
        move |error| CopyError::Store { store: store.clone(), error }
    };
    let (from, to) = (at(source), at(target));
    let keyring = match source.standing().await.map_err(&from)? {
        Standing::Made { keyring } => keyring,
        Standing::Empty => return Err(CopyError::NoSource(source.name())),
        Standing::Unfinished { .. } => return Err(CopyError::SourceUnfinished(source.name())),
    };
    let begin = Progress { source: source.name(), kind: Kind::Application, next: None };
    let mut progress = match target.standing().await.map_err(&to)? {
        Standing::Unfinished { keyring: begun, progress } if begun == keyring && progress.source == begin.source => {
            progress
        }
        Standing::Unfinished { progress, .. } => {
            return Err(CopyError::OtherCopy { target: target.name(), source_name: progress.source });
        }
        standing => {
            if standing != Standing::Empty && !fresh(target).await.map_err(&to)? {
                return Err(CopyError::TargetInUse(target.name()));
            }
            target.begin(&keyring, &begin).await.map_err(&to)?;
            begin
        }
    };
    let first = progress.kind;
    for kind in Kind::ALL.into_iter().filter(|kind| *kind >= first) {
        let of = source.count(kind).await.map_err(&from)?;
        let mut copied = 0;
        let mut after = progress.next.take();
        progress.kind = kind;
        watch(Step::Copied(kind, copied, of));
        loop {
            let page = source.read(kind, after, BATCH).await.map_err(&from)?;
            copied += u64::try_from(page.rows.len()).unwrap_or(u64::MAX);
            progress.next.clone_from(&page.next);
            if !page.rows.is_empty() {
                target.write(kind, page.rows, &progress).await.map_err(&to)?;
            }
            watch(Step::Copied(kind, copied, of));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let mut done = Vec::new();
    for kind in Kind::ALL {
        let wanted = summed(source, kind, watch).await.map_err(&from)?;
        let found = summed(target, kind, &mut |_| {}).await.map_err(&to)?;
        if wanted != found {
            let (wanted, found) = (wanted.rows, found.rows);
            return Err(CopyError::Differs { target: target.name(), kind: kind.name(), wanted, found });
        }
        done.push(Copied { kind, rows: wanted.rows, sum: to_hex(&wanted.sum.to_be_bytes()) });
    }
    target.finish().await.map_err(&to)?;
    Ok(done)
}

/// Whether there is nothing in it but what a first start makes.
async fn fresh(target: &dyn Transfer) -> Result<bool, TransferError> {
    for kind in Kind::ALL {
        if target.count(kind).await? > u64::from(kind == Kind::Application) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads a whole kind. Rows that come twice count once: 16 bytes of each are remembered meanwhile.
async fn summed(store: &dyn Transfer, kind: Kind, watch: &mut (dyn FnMut(Step) + Send)) -> Result<Sum, TransferError> {
    let of = store.count(kind).await?;
    let (mut seen, mut sum, mut after) = (HashSet::new(), 0_u128, None);
    loop {
        let page = store.read(kind, after, BATCH).await?;
        for row in &page.rows {
            let mut context = Context::new(&SHA256);
            context.update(&u64::try_from(row.key.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(&row.key);
            context.update(&row.value);
            let digest = context.finish();
            let mut half = [0; 16];
            for (to, from) in half.iter_mut().zip(digest.as_ref()) {
                *to = *from;
            }
            let half = u128::from_be_bytes(half);
            if seen.insert(half) {
                sum = sum.wrapping_add(half);
            }
        }
        let rows = u64::try_from(seen.len()).unwrap_or(u64::MAX);
        watch(Step::Compared(kind, rows, of));
        after = page.next;
        if after.is_none() {
            return Ok(Sum { rows, sum });
        }
    }
}
