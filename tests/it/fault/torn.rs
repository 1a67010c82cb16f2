//! Damaged files: the end of the log or of the database is cut off or overwritten. It never shows what never was, never
//! panics, never hangs. With a damaged log of which nothing was copied into the database yet, the server shows the state
//! after some operation of the past, or refuses to go on. Where the log was copied, what is left of it covers newer pages
//! of the database with older ones: each record is then as it once was, not all of them at the same moment. (So it is
//! in every SQLite database whose log loses what was synced; no crash does that, only a disk that lies.) With a damaged
//! database file it may also lack records, or say of single ones that they cannot be read.
//!
//! `OTPGATE_TORN_VARIANTS` says how many damages (90), `OTPGATE_TORN_SEED` repeats a run's choices.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::fault::crash::{start, unlimited_key};
use crate::fault::history::{Op, State};
use crate::fault::model::{Place, apply};
use crate::fault::random::Random;
use crate::support::{Client, Options, Server, command};

const DATABASE: &str = "otpgate.db";
const LOG: &str = "otpgate.db-wal";
/// The end of a file, where most damages are.
const END: u64 = 64 * 1024;
/// Long enough for an idle server to copy its log into the database.
const REST: Duration = Duration::from_secs(2);
/// So soon after a write the server is not idle: it takes itself to be after 250 ms, and then copies its log.
const BUSY: Duration = Duration::from_millis(200);
/// Operations of each half of the history.
const OPERATIONS: usize = 100;

/// One client's history: where each OTP was after each operation.
struct History {
    /// The first entry is before the first operation.
    places: BTreeMap<String, Vec<Place>>,
    ids: Vec<String>,
    length: usize,
}

impl History {
    const fn new() -> Self {
        Self { places: BTreeMap::new(), ids: Vec::new(), length: 1 }
    }

    /// Does operations one after the other, and remembers what they did. When the last one that wrote anything began.
    fn go_on(&mut self, client: &mut Client, random: &mut Random) -> Instant {
        let mut wrote = Instant::now();
        for _ in 0..OPERATIONS {
            let began = Instant::now();
            let (id, place) = if self.ids.is_empty() || random.below(3) == 0 {
                let body = json!({"number": format!("+49151{:08}", self.length), "otpCode": "123456", "via": "SMS"});
                let otp = client.post_json("/v1/otp", &body).expect(200).json();
                let id = otp["otpId"].as_str().unwrap().to_owned();
                self.places.insert(id.clone(), vec![None; self.length]);
                self.ids.push(id.clone());
                (id, Some(State::of(&otp)))
            } else {
                let id = self.ids[random.index(self.ids.len())].clone();
                let path = format!("/v1/otp/{id}");
                let op = [Op::Wrong, Op::Wrong, Op::Right, Op::Resend, Op::Delete][random.index(5)];
                match op {
                    Op::Wrong => client.post_json(&(path + "/verify"), &json!({"otpCode": "000000"})),
                    Op::Right => client.post_json(&(path + "/verify"), &json!({"otpCode": "123456"})),
                    Op::Resend => client.post_json(&(path + "/resend"), &json!({"via": "VOICE"})),
                    Op::Delete | Op::Read => client.delete(&path),
                };
                let before = *self.places[&id].last().unwrap();
                (id, apply(before, op).0)
            };
            self.length += 1;
            for (known, places) in &mut self.places {
                places.push(if *known == id { place } else { *places.last().unwrap() });
            }
            if self.places[&id][self.length - 2] != place {
                wrote = began;
            }
        }
        wrote
    }

    /// The operations after which everything was as it is `seen`.
    fn moments(&self, seen: &BTreeMap<String, Option<Place>>) -> Vec<usize> {
        let fits = |moment: &usize| {
            let known = seen.iter().filter_map(|(id, place)| Some((id, (*place)?)));
            known.clone().all(|(id, place)| self.places[id][*moment] == place)
        };
        (0..self.length).filter(fits).collect()
    }
}

/// One damage.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// The file ends here.
    Cut(u64),
    /// One bit is another one.
    Flip(u64, u8),
    /// So many bytes from here are something else.
    Overwrite(u64, usize, u64),
}

impl Damage {
    fn choose(length: u64, random: &mut Random) -> Self {
        let part = if random.below(3) == 0 { length } else { length.min(END) };
        let at = length - 1 - random.below(part);
        match random.below(4) {
            0 => Self::Cut(at),
            1 => Self::Overwrite(at, 512, random.next()),
            _ => Self::Flip(at, 1 << random.below(8)),
        }
    }

    fn inflict(self, file: &Path) {
        let file = OpenOptions::new().read(true).write(true).open(file).unwrap();
        match self {
            Self::Cut(at) => file.set_len(at).unwrap(),
            Self::Flip(at, mask) => {
                let mut byte = [0];
                file.read_exact_at(&mut byte, at).unwrap();
                file.write_all_at(&[byte[0] ^ mask], at).unwrap();
            }
            Self::Overwrite(at, length, seed) => {
                let mut random = Random::new(seed);
                let bytes: Vec<_> = (0..length).map(|_| random.next().to_le_bytes()[0]).collect();
                let room = file.metadata().unwrap().len() - at;
                let length = bytes.len().min(usize::try_from(room).unwrap());
                file.write_all_at(&bytes[..length], at).unwrap();
            }
        }
    }
}

/// How a server met its damaged files.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Met {
    /// It did not start, or ended, with an exit code and a line.
    Refused,
    /// Everything is as it was after the last operation.
    Whole,
    /// Everything is as it was after an earlier operation: the end of the log is lost.
    Earlier,
    /// Some records cannot be read, which is said; the others are as they were after the last operation.
    Unreadable,
    /// Some OTPs are not found; the others are as they were after the last operation.
    Missing,
    /// Some OTPs are as they once were: older pages in what is left of the log cover newer ones. Or: pages of the
    /// database file carry no checksum: a damaged pointer between them may lead to a page that was given up. About one
    /// damage in some thousands does that.
    Older,
}

/// Makes a store in `data` and leaves it in this state, with its key and its history. None where a server that was to
/// be busy may have been idle in the end.
fn make(data: &Path, state: &str, random: &mut Random) -> Option<(String, History)> {
    let key = unlimited_key(data);
    // However long the damages take, no code's life ends meanwhile: that would be a state which it never was in.
    let (code, _, stderr) = command(data, &["application", "edit", "default", "--expire", "7200"]);
    assert_eq!(code, 0, "{stderr}");
    let mut server = start(data, &Options::default());
    let mut history = History::new();
    history.go_on(&mut server.client(&key), random);
    server.stop();
    server = start(data, &Options::default());
    let wrote = history.go_on(&mut server.client(&key), random);
    match state {
        "busy" => {
            server.kill();
            if wrote.elapsed() > BUSY {
                return None;
            }
        }
        "idle" => {
            std::thread::sleep(REST);
            server.kill();
        }
        _ => {
            server.stop();
            start(data, &Options::default()).kill();
        }
    }
    Some((key, history))
}

/// Starts a server on damaged files and looks at everything.
fn meet(data: &Path, key: &str, history: &History, one_moment: bool) -> Result<Met, String> {
    let refused = |code: Option<i32>, log: &str| {
        let said = matches!(code, Some(73 | 74 | 76 | 77)) && log.contains("otpgate: ") && !log.contains("panicked");
        if said { Ok(Met::Refused) } else { Err(format!("ended with {code:?}: {log}")) }
    };
    let mut server = loop {
        match Server::try_start(data, &Options::default()) {
            Ok(server) => break server,
            // Somebody else took the port that the harness picked.
            Err((status, _)) if status.code() == Some(69) => {}
            Err((status, log)) => return refused(status.code(), &log),
        }
    };
    let mut client = server.client(key);
    let mut seen = BTreeMap::new();
    for id in history.places.keys() {
        let place = match client.try_once("GET", &format!("/v1/otp/{id}"), &[], "") {
            Ok(answer) if answer.status == 200 => Some(Some(State::of(&answer.json()))),
            Ok(answer) if answer.status == 404 => Some(None),
            Ok(answer) if answer.status == 503 => None,
            // The key itself is lost or cannot be read.
            Ok(answer) if answer.status == 401 => return Ok(Met::Refused),
            Ok(answer) => return Err(format!("{answer:?}")),
            Err(_) => {
                let status = server.wait_within(Duration::from_secs(60)).ok_or("no answer, and no end")?;
                return refused(status.code(), &server.log());
            }
        };
        seen.insert(id.clone(), place);
    }
    let log = server.log();
    server.kill();
    if log.contains("panicked") {
        return Err(log);
    }
    for (id, place) in &seen {
        let places = &history.places[id];
        if place.is_some_and(|place| !places.contains(&place)) {
            return Err(format!("OTP {id} is {place:?}, which it never was: {places:?}"));
        }
    }
    let (moment, last) = (history.moments(&seen).pop(), history.length - 1);
    let unreadable = seen.values().any(Option::is_none);
    match moment {
        Some(moment) if moment == last => Ok(if unreadable { Met::Unreadable } else { Met::Whole }),
        Some(_) if one_moment => Ok(Met::Earlier),
        _ if one_moment => Err(format!("no moment of the past fits {seen:?}")),
        _ => {
            let now = |id: &String| Some(history.places[id][last]);
            let mut other = seen.iter().filter(|(id, place)| place.is_some() && **place != now(id));
            Ok(if other.all(|(_, place)| *place == Some(None)) { Met::Missing } else { Met::Older })
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

#[test]
fn damaged_files_show_the_past_or_nothing() {
    let seed = Random::seed("OTPGATE_TORN_SEED");
    let variants = std::env::var_os("OTPGATE_TORN_VARIANTS").map_or(90, |text| text.to_str().unwrap().parse().unwrap());
    eprintln!("OTPGATE_TORN_SEED={seed} OTPGATE_TORN_VARIANTS={variants}");
    let mut random = Random::new(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut lies = Vec::new();
    let mut tally = BTreeMap::<(&str, &str, Met), u32>::new();
    for state in ["busy", "idle", "copied"] {
        let data = folder.path().join(state);
        let mut tries = 1;
        let (key, history) = loop {
            if let Some(made) = make(&data, state, &mut random) {
                break made;
            }
            assert!(tries < 20, "never killed before it was idle");
            tries += 1;
            fs::remove_dir_all(&data).unwrap();
        };
        for variant in 0..variants / 3 {
            let files: &[_] = if state == "copied" { &[DATABASE] } else { &[LOG, DATABASE] };
            let name = files[variant % files.len()];
            let damage = Damage::choose(fs::metadata(data.join(name)).unwrap().len(), &mut random);
            let torn = folder.path().join("torn");
            copy(&data, &torn);
            damage.inflict(&torn.join(name));
            match meet(&torn, &key, &history, name == LOG && state == "busy") {
                Ok(met) => *tally.entry((state, name, met)).or_default() += 1,
                Err(lie) => lies.push(format!("{state}, {name}, {damage:?}: {lie}")),
            }
            fs::remove_dir_all(&torn).unwrap();
        }
    }
    for ((state, name, met), count) in tally {
        eprintln!("{state:6} {name:14} {met:10} {count}", met = format!("{met:?}"));
    }
    assert!(lies.is_empty(), "seed {seed}: {} lies\n{}", lies.len(), lies.join("\n"));
}
