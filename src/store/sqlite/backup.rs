//! A copy of the database as one file, taken beside a running server, and such a file in the place of a database.
//!
//! The copy is of one instant: the reading transaction stays open for as long as it takes, so writes beside it neither show in
//! it nor make it begin again. It is sealed as the data are: it needs no master key, and is of no use without it.

use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, lchown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::store::sqlite::inspect::check;
use crate::store::sqlite::open::{OpenError, Role, connect};
use crate::store::sqlite::{files, schema};

/// Pages that one step copies: 8 MB.
const STEP: i32 = 2_000;
/// What a database consists of: itself, its log and the log's index.
const PARTS: [&str; 3] = ["", "-wal", "-shm"];
/// The files that the locks of a data directory are: a restore makes them as well.
const LOCKS: [&str; 2] = ["server.lock", "open.lock"];
/// The pause when somebody holds a lock.
const PAUSE: Duration = Duration::from_millis(20);

/// Why there is no backup, or nothing was restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What is to be restored is no backup.
    #[error("{}: it is no backup; name a file that otpgate backup wrote", .0.display())]
    NoBackup(PathBuf),
    /// There is no store.
    #[error("{}: there is no store here", .0.display())]
    Nothing(PathBuf),
    /// The file is there.
    #[error("{}: it is there already; name another file", .0.display())]
    Exists(PathBuf),
    /// The data directory has a store.
    #[error("{}: it holds a store already; --force puts the backup in its place and keeps it beside it as otpgate.db.replaced", .0.display())]
    InPlace(PathBuf),
    /// The file is damaged.
    #[error("{}: it is damaged: {problem}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite found first.
        problem: String,
    },
    /// The store, or the file, cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file cannot be written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl Fn(io::Error) -> BackupError {
    move |source| BackupError::Io { path: path.to_owned(), source }
}

/// Backs the store in `dir` up into the file `to`, which must not be there. `watch` hears how many pages of how many are copied.
///
/// # Errors
/// [`BackupError`]; then there is no such file.
pub fn back_up(dir: &Path, to: &Path, watch: &mut dyn FnMut(u64, u64)) -> Result<(), BackupError> {
    let database = dir.join(files::DATABASE);
    if !database.exists() {
        return Err(BackupError::Nothing(dir.to_owned()));
    }
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let source = connect(&database, Role::Reader).map_err(|error| OpenError::of(error, &database))?;
    schema::version(&source, &database)?;
    let new = beside(to, ".new");
    copy(&source, &database, &new, watch)?;
    whole(&open_copy(&new)?, &new)?;
    put(&new, to)
}

/// Puts the backup `from` into `dir`, whose server is stopped: only one that is whole, of a schema that is known, and whose
/// keyring the master key opens. A store that is there is kept beside it where `force` lets it be replaced at all: the answer
/// is under which name. Where root restores into somebody's directory, that one gets what is made.
///
/// # Errors
/// [`BackupError`]; then whatever was in `dir` is still there.
pub fn restore(
    dir: &Path,
    from: &Path,
    master_key_file: Option<&Path>,
    force: bool,
    watch: &mut dyn FnMut(u64, u64),
) -> Result<Option<PathBuf>, BackupError> {
    if !from.is_file() {
        return Err(BackupError::NoBackup(from.to_owned()));
    }
    let source = open_copy(from)?;
    // An empty file is a database of version 0.
    if schema::version(&source, from).map_err(no_backup)? == 0 {
        return Err(BackupError::NoBackup(from.to_owned()));
    }
    whole(&source, from)?;
    check(&source, from, &files::master_key_path(dir, master_key_file)).map_err(no_backup)?;
    files::make_directory(dir)?;
    let _server = files::lock_server(dir)?;
    let _opening = files::lock_opening(dir)?;
    let database = dir.join(files::DATABASE);
    let there = database.exists();
    if there && !force {
        return Err(BackupError::InPlace(dir.to_owned()));
    }
    let new = beside(&database, ".new");
    copy(&source, from, &new, watch)?;
    let given = hand_over(&new, dir).and_then(|()| LOCKS.iter().try_for_each(|lock| hand_over(&dir.join(lock), dir)));
    if let Err(error) = given {
        let _gone = std::fs::remove_file(&new);
        return Err(error);
    }
    let kept = free_place(&database);
    for suffix in PARTS {
        // Its log goes with it: beside another database it would be taken for that one's.
        let old = beside(&database, suffix);
        if old.exists() {
            std::fs::rename(&old, beside(&kept, suffix)).map_err(at(&old))?;
        }
    }
    put(&new, &database)?;
    Ok(there.then_some(kept))
}

fn no_backup(error: OpenError) -> BackupError {
    match error {
        OpenError::NotADatabase { path } => BackupError::NoBackup(path),
        error => error.into(),
    }
}

/// Where a replaced store is kept: a name that no earlier one has, nor any part of one.
fn free_place(database: &Path) -> PathBuf {
    let mut place = beside(database, ".replaced");
    let mut count = 1_u32;
    while PARTS.iter().any(|suffix| beside(&place, suffix).symlink_metadata().is_ok()) {
        count += 1;
        place = beside(database, &format!(".replaced.{count}"));
    }
    place
}

/// Gives a file that root made in somebody's directory to that one: a server that runs as him could not open it. A link is not
/// followed, and a second name of some other file is left alone: what root would give away there is not ours.
fn hand_over(path: &Path, dir: &Path) -> Result<(), BackupError> {
    let owner = std::fs::metadata(dir).map_err(at(dir))?;
    let made = std::fs::symlink_metadata(path).map_err(at(path))?;
    if made.uid() != 0 || owner.uid() == 0 || made.nlink() > 1 {
        return Ok(());
    }
    lchown(path, Some(owner.uid()), Some(owner.gid())).map_err(at(path))
}

/// `path` with `suffix` behind it.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A file that nobody else writes. It has no log of its own.
fn open_copy(path: &Path) -> Result<Connection, BackupError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    Ok(Connection::open_with_flags(path, flags).map_err(|error| OpenError::of(error, path))?)
}

fn whole(sql: &Connection, path: &Path) -> Result<(), BackupError> {
    let found = sql.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0));
    match found.map_err(|error| OpenError::of(error, path))?.as_str() {
        "ok" => Ok(()),
        problem => Err(BackupError::Damaged { path: path.to_owned(), problem: problem.replace('\n', " ") }),
    }
}

/// Copies all pages into a new file, for its owner alone, and makes it durable.
fn copy(source: &Connection, path: &Path, new: &Path, watch: &mut dyn FnMut(u64, u64)) -> Result<(), BackupError> {
    let options = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(new);
    options.map_err(at(new))?;
    let copied = (|| {
        let mut target = Connection::open(new)?;
        source.execute_batch("BEGIN")?;
        source.query_row("SELECT count(*) FROM meta", [], |_| Ok(()))?;
        let backup = Backup::new(source, &mut target)?;
        loop {
            let step = backup.step(STEP)?;
            let progress = backup.progress();
            let pages = |count: i32| u64::try_from(count).unwrap_or(0);
            watch(pages(progress.pagecount - progress.remaining), pages(progress.pagecount));
            match step {
                StepResult::Done => break,
                StepResult::More => {}
                _ => std::thread::sleep(PAUSE),
            }
        }
        drop(backup);
        source.execute_batch("COMMIT")?;
        // One file, without a log: whoever opens it as a store makes one again.
        target.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
    })();
    if let Err(error) = copied {
        let _gone = std::fs::remove_file(new);
        return Err(OpenError::of(error, path).into());
    }
    std::fs::File::open(new).and_then(|file| file.sync_all()).map_err(at(new))
}

/// Gives the new file its name, durably.
fn put(new: &Path, to: &Path) -> Result<(), BackupError> {
    std::fs::rename(new, to).map_err(at(to))?;
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(at(folder))
}
