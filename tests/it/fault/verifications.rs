//! Steps of flows that wait, while the gateway is killed at random moments: every step comes back, a call back is repeated only
//! over a kill that came between the answer and its record, and a step that the platform tries again opens nothing new.
//!
//! What of this is watched, and what cannot be, says `support::steps`. With one gateway the store can be asked at each kill, so the
//! test also knows which calls have to be repeated: those that were answered and are not recorded.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use crate::support::steps::{CONFIG, Extent, Kill, each_step_is_one, judge, run};
use crate::support::{Gateway, Options, Server};

/// What is told goes from "the next try" to "the end of the retention", which is weeks away.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);
const ALL: Extent = Extent { flows: 6, kills: 20, pause: Duration::from_millis(250) };

/// The verifications that nobody has to be told of any more.
fn recorded(data: &Path) -> BTreeSet<String> {
    let sql = rusqlite::Connection::open(data.join("otpgate.db")).unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let far = i64::try_from((now + FAR).as_millis()).unwrap();
    let mut statement = sql.prepare("SELECT id FROM verification WHERE due > ?1").unwrap();
    let ids = statement.query_map([far], |row| row.get(0).map(uuid::Uuid::from_bytes)).unwrap();
    ids.map(|id| id.unwrap().to_string()).collect()
}

/// The same of a process that is gone. A copy of its files is asked, so that the next process finds what this one left.
fn left_recorded(data: &Path) -> BTreeSet<String> {
    let copy = tempfile::tempdir().unwrap();
    for name in ["otpgate.db", "otpgate.db-wal"] {
        if data.join(name).exists() {
            std::fs::copy(data.join(name), copy.path().join(name)).unwrap();
        }
    }
    recorded(copy.path())
}

#[test]
fn steps_that_wait_come_back_over_kills() {
    let mut gateway = Gateway::with(CONFIG);
    let (data, key) = (gateway.data(), gateway.key.clone());
    let addresses = Arc::new(RwLock::new(vec![gateway.server.public]));
    let run = run(ALL, &key, &addresses, |_, receiver| {
        let at = Instant::now();
        gateway.server.kill();
        let recorded = left_recorded(&data);
        receiver.drained();
        let gone = Instant::now();
        gateway.server = Server::start(&data, &Options { config: CONFIG.to_owned(), ..Options::default() });
        *addresses.write().unwrap() = vec![gateway.server.public];
        Kill { at, gone, recorded }
    });

    each_step_is_one(&run, |_| gateway.server.client(&key));
    // What was answered is recorded, once the last of it is.
    while recorded(&data).len() < run.steps.len() {
        std::thread::sleep(Duration::from_millis(20));
    }
    gateway.server.stop();
    judge(&run);
    // Where there is one gateway, what was answered and is not recorded when it dies is told again.
    for kill in &run.kills {
        for taken in run.steps.values().filter(|taken| !kill.recorded.contains(&taken.id)) {
            let calls: Vec<_> = run.receiver.seen().into_iter().filter(|call| call.id() == taken.id).collect();
            let before = calls.iter().any(|call| call.answered.get().is_some_and(|(_, at)| *at <= kill.at));
            assert!(!before || calls.iter().any(|call| call.came > kill.at), "{} was forgotten", taken.id);
        }
    }
    assert_eq!(recorded(&data), run.steps.values().map(|step| step.id.clone()).collect(), "one verification a step");
}
