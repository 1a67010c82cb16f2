//! What a shared store says of itself, for whoever wants to know whether it keeps what it is given. Judges nothing, changes
//! nothing.

use std::collections::HashMap;
use std::time::Duration;

use redis::Value;

use crate::clock::{Clock, UnixMillis};
use crate::secret::{Keyring, MasterKey};
use crate::store::redis::connect::{ConnectError, meta};
use crate::store::redis::open::server_time;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::transfer::{RedisTransfer, command};

/// A replica of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Where it is.
    pub address: String,
    /// Bytes that it has not confirmed.
    pub behind: u64,
    /// Since it last confirmed any.
    pub lag: Duration,
}

/// One server that takes writes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspected {
    /// Its version.
    pub version: String,
    /// What it does when its memory is full; none where it does not say.
    pub eviction: Option<String>,
    /// The most memory it takes, in bytes; 0 for no bound.
    pub max_memory: u64,
    /// What it takes now.
    pub used_memory: u64,
    /// Whether every write goes into a log.
    pub log: bool,
    /// When snapshots are made: empty for never, none where it may not be asked.
    pub snapshots: Option<String>,
    /// Whether the last write of the log or of a snapshot failed.
    pub write_failed: bool,
    /// Its replicas.
    pub replicas: Vec<Replica>,
    /// With fewer of them it takes no writes; none where it may not be asked.
    pub least_replicas: Option<u32>,
}

/// Whose store it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// There is nothing in it.
    Empty,
    /// A copy into it was not finished.
    Unfinished,
    /// The master key does not open its keyring.
    OtherKey,
    /// So many of its markers are missing.
    Lost(usize),
    /// It is whole.
    Ours,
}

/// The store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Each server that takes writes.
    pub servers: Vec<Inspected>,
    /// Whose it is.
    pub ownership: Ownership,
    /// How far its clock is from this machine's at least: what the call took is taken off.
    pub clock_off: Duration,
}

/// Asks the store behind `link`.
///
/// # Errors
/// [`ConnectError`].
pub async fn inspect(link: &RedisTransfer, master: &MasterKey, clock: &dyn Clock) -> Result<Inspection, ConnectError> {
    let before = clock.now();
    let theirs = server_time(&mut link.connection()).await?;
    let clock_off = off(before, clock.now(), UnixMillis(theirs));
    let ownership = match meta(&mut link.connection()).await? {
        None => Ownership::Empty,
        Some(meta) if meta.copying.is_some() => Ownership::Unfinished,
        Some(meta) if Keyring::unwrap(master, &meta.keyring).is_err() => Ownership::OtherKey,
        Some(meta) => {
            let mut missing = usize::from(!meta.whole);
            let places = Place::shards().chain([Place::Settings]);
            let looks = places.map(|place| (place, command(&[b"GET", &place.key(Kind::Marker, b"")])));
            let found = link.all(looks.collect()).await.map_err(ConnectError::unexpected)?;
            missing += found.iter().filter(|found| **found != Value::BulkString(meta.marker.clone())).count();
            if missing == 0 { Ownership::Ours } else { Ownership::Lost(missing) }
        }
    };
    let mut servers = Vec::new();
    for slot in link.servers().await.map_err(ConnectError::unexpected)? {
        let info = text(&link.on(slot, command(&[b"INFO"])).await.map_err(ConnectError::unexpected)?);
        // An operator's own user may not be allowed to ask.
        let save = link.on(slot, command(&[b"CONFIG", b"GET", b"save"])).await.ok().and_then(setting);
        let least = link.on(slot, command(&[b"CONFIG", b"GET", b"min-replicas-to-write"])).await.ok().and_then(setting);
        servers.push(Inspected { least_replicas: least.and_then(|least| least.parse().ok()), ..read(&info, save) });
    }
    Ok(Inspection { servers, ownership, clock_off })
}

/// How far apart two clocks are at least, where one was read between two readings of the other.
fn off(before: UnixMillis, after: UnixMillis, theirs: UnixMillis) -> Duration {
    if theirs < before { before.since(theirs) } else { theirs.since(after) }
}

fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}

/// The value of the only setting that was asked for.
fn setting(value: Value) -> Option<String> {
    match value {
        Value::Array(parts) => parts.get(1).map(text),
        Value::Map(pairs) => pairs.first().map(|(_, value)| text(value)),
        _ => None,
    }
}

fn read(info: &str, snapshots: Option<String>) -> Inspected {
    let pairs: HashMap<&str, &str> = info.lines().filter_map(|line| line.trim().split_once(':')).collect();
    let number = |name: &str| pairs.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let offset = number("master_repl_offset");
    let replicas = (0..number("connected_slaves")).filter_map(|at| {
        let line = pairs.get(format!("slave{at}").as_str())?;
        let parts: HashMap<&str, &str> = line.split(',').filter_map(|part| part.split_once('=')).collect();
        let number = |name: &str| parts.get(name).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        Some(Replica {
            address: format!("{}:{}", parts.get("ip")?, parts.get("port")?),
            behind: offset.saturating_sub(number("offset")),
            lag: Duration::from_secs(number("lag")),
        })
    });
    let failed = |name: &str| pairs.get(name).is_some_and(|status| *status != "ok");
    let version = pairs.get("valkey_version").map_or_else(
        || format!("Redis {}", pairs.get("redis_version").copied().unwrap_or_default()),
        |version| format!("Valkey {version}"),
    );
    Inspected {
        version,
        eviction: pairs.get("maxmemory_policy").map(|&policy| policy.to_owned()),
        max_memory: number("maxmemory"),
        used_memory: number("used_memory"),
        log: number("aof_enabled") == 1,
        snapshots,
        write_failed: failed("rdb_last_bgsave_status") || failed("aof_last_write_status"),
        replicas: replicas.collect(),
        least_replicas: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clocks_differ_by_more_than_the_call_took() {
        let at = |millis| UnixMillis(millis);
        for (theirs, apart) in [(1_000, 0), (1_050, 0), (1_100, 0), (400, 600), (3_100, 2_000)] {
            assert_eq!(off(at(1_000), at(1_100), at(theirs)), Duration::from_millis(apart), "{theirs}");
        }
    }

    #[test]
    fn a_servers_own_words_are_read() {
        let info = "# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.0.1\r\nmaxmemory:100\r\nmaxmemory_policy:allkeys-lru\r\n\
                    aof_enabled:1\r\nrdb_last_bgsave_status:err\r\nmaster_repl_offset:500\r\nconnected_slaves:1\r\n\
                    slave0:ip=10.0.0.2,port=6379,state=online,offset=420,lag=3\r\n";
        let read = read(info, Some(String::new()));
        assert_eq!((read.version.as_str(), read.max_memory, read.log), ("Valkey 8.0.1", 100, true));
        assert_eq!((read.eviction.as_deref(), read.write_failed), (Some("allkeys-lru"), true));
        let replica = Replica { address: "10.0.0.2:6379".to_owned(), behind: 80, lag: Duration::from_secs(3) };
        assert_eq!(read.replicas, [replica]);
    }
}
