//! Opening the embedded store: the first start, the locks, and one error for each thing that can be wrong.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use otpgate::access::store::ConnectionStore as _;
use otpgate::otp::id::AccountId;
use otpgate::otp::store::ApplicationStore as _;
use otpgate::secret::{MasterKey, Purpose, SystemEntropy};
use otpgate::store::sqlite::{Mode, OpenError, Options, SqliteStore};

use super::settings::connection;
use super::world::World;

fn open(dir: &Path, mode: Mode) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(Options::new(dir, mode))
}

fn with_key(dir: &Path, key: &Path) -> Result<SqliteStore, OpenError> {
    let mut options = Options::new(dir, Mode::Server);
    options.master_key_file = Some(key.to_owned());
    SqliteStore::open(options)
}

fn database(dir: &Path) -> std::path::PathBuf {
    dir.join("otpgate.db")
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[tokio::test]
async fn the_first_start_makes_everything_for_its_owner_alone() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    let store = open(&dir, Mode::Server).unwrap();
    assert!(store.first_start());
    let applications = store.applications(&AccountId::default_account()).await.unwrap();
    assert_eq!(applications.len(), 1);
    assert!(applications[0].is_default() && applications[0].alias == 1);
    assert_eq!(store.accounts().await.unwrap(), [AccountId::default_account()]);
    assert_eq!(mode_of(&dir), 0o700);
    for entry in fs::read_dir(&dir).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode_of(&path), 0o600, "{}", path.display());
    }
    let hash = store.keyring().hash(Purpose::Number, &[b"x"]);
    drop(store);
    let store = open(&dir, Mode::Server).unwrap();
    assert!(!store.first_start());
    assert_eq!(store.keyring().hash(Purpose::Number, &[b"x"]), hash);
    assert_eq!(store.applications(&AccountId::default_account()).await.unwrap(), applications);
}

#[tokio::test]
async fn many_first_starts_at_once_make_one_store() {
    for _ in 0..5 {
        let dir = tempfile::tempdir().unwrap();
        let start = Arc::new(std::sync::Barrier::new(8));
        let starts: Vec<_> = (0..8)
            .map(|number| {
                let (dir, start) = (dir.path().to_owned(), Arc::clone(&start));
                std::thread::spawn(move || {
                    start.wait();
                    open(&dir, if number == 0 { Mode::Server } else { Mode::Beside }).unwrap()
                })
            })
            .collect();
        let stores: Vec<_> = starts.into_iter().map(|start| start.join().unwrap()).collect();
        assert_eq!(stores.iter().filter(|store| store.first_start()).count(), 1);
        let hashes: Vec<_> = stores.iter().map(|store| store.keyring().hash(Purpose::Number, &[b"x"])).collect();
        assert!(hashes.iter().all(|hash| *hash == hashes[0]));
        for store in &stores {
            assert_eq!(store.applications(&AccountId::default_account()).await.unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn one_first_connection_is_made_whoever_else_asks_for_one() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let modes = [Mode::Server, Mode::Beside, Mode::Beside, Mode::Beside];
    let stores = modes.map(|mode| open(dir.path(), mode).unwrap());
    let asked = stores.iter().map(|store| store.put_first_connection(connection(&world, "first")));
    let made = futures_util::future::join_all(asked).await;
    assert_eq!(made.iter().filter(|made| **made == Ok(true)).count(), 1, "{made:?}");
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    let first = stores[0].connections().await.unwrap();
    assert_eq!(first.len(), 1);
    assert_eq!(stores[0].applications(&first[0].account).await.unwrap().len(), 1, "with its account's application");
    // One that is revoked has been there.
    let mut revoked = first[0].clone();
    revoked.revoked = Some(world.now());
    stores[0].put_connection(first.into_iter().next(), revoked.clone()).await.unwrap();
    assert_eq!(stores[1].put_first_connection(connection(&world, "second")).await, Ok(false));
    assert_eq!(stores[1].connections().await.unwrap(), [revoked]);
}

#[tokio::test]
async fn an_account_is_made_once_with_its_application() {
    let (world, dir) = (World::new(), tempfile::tempdir().unwrap());
    let store = world.sqlite(dir.path());
    let team: AccountId = "team".parse().unwrap();
    assert!(store.ensure_account(team.clone()).await.unwrap());
    assert!(!store.ensure_account(team.clone()).await.unwrap());
    assert_eq!(store.applications(&team).await.unwrap().len(), 1);
    assert_eq!(store.accounts().await.unwrap().len(), 2);
}

#[test]
fn one_server_holds_a_directory() {
    let dir = tempfile::tempdir().unwrap();
    let server = open(dir.path(), Mode::Server).unwrap();
    assert!(matches!(open(dir.path(), Mode::Server), Err(OpenError::InUse { .. })));
    drop(open(dir.path(), Mode::Beside).unwrap());
    drop(server);
    drop(open(dir.path(), Mode::Server).unwrap());
}

#[test]
fn a_directory_that_cannot_be_used_is_said_to_be_one() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("file");
    fs::write(&file, "").unwrap();
    for dir in [file.clone(), file.join("below")] {
        for mode in [Mode::Server, Mode::Beside] {
            assert!(matches!(open(&dir, mode), Err(OpenError::Directory { .. })), "{}", dir.display());
        }
    }
}

#[test]
fn a_newer_schema_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Mode::Server).unwrap());
    let sql = rusqlite::Connection::open(database(dir.path())).unwrap();
    sql.pragma_update(None, "user_version", 99).unwrap();
    drop(sql);
    assert!(matches!(open(dir.path(), Mode::Server), Err(OpenError::TooNew { found: 99, known: 1..99, .. })));
}

#[test]
fn each_trouble_with_the_master_key_has_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let named = dir.path().join("named.key");
    assert!(matches!(with_key(dir.path(), &named), Err(OpenError::NoMasterKey { path }) if path == named));
    fs::write(&named, "not a key").unwrap();
    assert!(matches!(with_key(dir.path(), &named), Err(OpenError::MalformedMasterKey { .. })));
    fs::write(&named, [0xff, 0xfe]).unwrap();
    assert!(matches!(with_key(dir.path(), &named), Err(OpenError::MalformedMasterKey { .. })));
    fs::write(&named, MasterKey::generate(&SystemEntropy).to_hex().as_bytes()).unwrap();
    drop(with_key(dir.path(), &named).unwrap());
    assert!(!dir.path().join("master.key").exists(), "a named key is the only one");
    // Data is there, its key is not: no new key may be made.
    assert!(matches!(open(dir.path(), Mode::Server), Err(OpenError::NoMasterKey { .. })));
    assert!(!dir.path().join("master.key").exists());
    fs::write(&named, MasterKey::generate(&SystemEntropy).to_hex().as_bytes()).unwrap();
    assert!(matches!(with_key(dir.path(), &named), Err(OpenError::WrongMasterKey { .. })));
    drop(open(&dir.path().join("other"), Mode::Server).unwrap());
}

#[test]
fn a_file_of_somebody_else_is_no_database() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(database(dir.path()), "hello, this is not SQLite at all ".repeat(200)).unwrap();
    assert!(matches!(open(dir.path(), Mode::Server), Err(OpenError::NotADatabase { .. })));
    fs::remove_file(database(dir.path())).unwrap();
    let sql = rusqlite::Connection::open(database(dir.path())).unwrap();
    sql.execute_batch("CREATE TABLE theirs (x)").unwrap();
    drop(sql);
    assert!(matches!(open(dir.path(), Mode::Server), Err(OpenError::NotADatabase { .. })));
}

#[test]
fn a_damaged_database_is_said_to_be_one() {
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path(), Mode::Server).unwrap());
    let mut bytes = fs::read(database(dir.path())).unwrap();
    assert!(bytes.len() > 8_192, "a clean end leaves everything in the database file");
    bytes[100..4_096].fill(0x5a);
    fs::write(database(dir.path()), bytes).unwrap();
    assert!(matches!(open(dir.path(), Mode::Server), Err(OpenError::Corrupt { .. })));
}

#[test]
fn an_error_is_one_line_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let _server = open(dir.path(), Mode::Server).unwrap();
    let error = open(dir.path(), Mode::Server).unwrap_err().to_string();
    assert!(error.contains(&dir.path().display().to_string()) && !error.contains('\n'), "{error}");
}
