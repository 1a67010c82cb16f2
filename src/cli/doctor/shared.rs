//! A shared store: whether it is ours, keeps what it is given, and tells the same time.

use std::sync::Arc;
use std::time::Duration;

use crate::cli::doctor::Finding;
use crate::cli::store::{address, master_key, refused};
use crate::clock::SystemClock;
use crate::config::{Config, SecretUrl};
use crate::store::redis::{Inspected, Ownership, RedisTransfer, inspect};

/// Clocks that are further apart end codes too early or too late.
const APART: Duration = Duration::from_secs(1);

/// The store at `url`.
pub(super) async fn store(config: &Config, url: &SecretUrl) -> Vec<Finding> {
    let master = match master_key(config) {
        Ok(master) => Arc::new(master),
        Err(error) => return vec![Finding::wrong(error.to_string())],
    };
    let address = match address(config, url) {
        Ok(address) => address,
        Err(error) => return vec![Finding::wrong(error.to_string())],
    };
    let unreached =
        |error: &crate::store::redis::ConnectError| vec![Finding::wrong(refused(error, config, url).to_string())];
    let link = match RedisTransfer::open(address, Arc::clone(&master)).await {
        Ok(link) => link,
        Err(error) => return unreached(&error),
    };
    let found = match inspect(&link, &master, &SystemClock::new()).await {
        Ok(found) => found,
        Err(error) => return unreached(&error),
    };
    let mut findings = vec![ownership(found.ownership, config, url)];
    for server in &found.servers {
        findings.extend(judged(server, config.store.wait_replicas));
    }
    findings.push(if found.clock_off > APART {
        let off = found.clock_off.as_millis();
        Finding::wrong(format!("clock: the store's is {off} ms off this machine's; run NTP on both (chronyc tracking)"))
    } else {
        Finding::ok("clock: the store tells the same time")
    });
    findings
}

fn ownership(ownership: Ownership, config: &Config, url: &SecretUrl) -> Finding {
    let url = url.redacted();
    match ownership {
        Ownership::Ours => Finding::ok(format!("store.url: {url} is whole; the master key is the data's")),
        Ownership::Empty if config.store.create => {
            Finding::note(format!("store.url: {url} holds nothing yet; the first start makes it"))
        }
        Ownership::Empty => Finding::note(format!(
            "store.url: {url} holds nothing; make it with otpgate store init, unless it was emptied"
        )),
        Ownership::Unfinished => {
            Finding::wrong(format!("store.url: {url}: a copy into it was not finished; run otpgate store copy again"))
        }
        Ownership::OtherKey => Finding::wrong(format!(
            "master_key_file: the master key is not the one that the data in {url} was made with; give the file that was in use then"
        )),
        Ownership::Lost(count) => Finding::wrong(format!(
            "store.url: {url} has lost {count} of its markers: it was emptied; restore it, or make it anew with otpgate store init"
        )),
    }
}

fn judged(server: &Inspected, wait: u32) -> Vec<Finding> {
    let name = &server.version;
    let mut findings = Vec::new();
    match server.eviction.as_deref() {
        Some("noeviction") => findings.push(Finding::ok(format!("{name}: nothing is evicted"))),
        Some(policy) => findings.push(Finding::wrong(format!(
            "{name}: maxmemory-policy is {policy}: a used code may be forgotten and used again; set it to noeviction"
        ))),
        None => findings.push(Finding::note(format!(
            "{name}: it does not say whether it evicts; maxmemory-policy must be noeviction"
        ))),
    }
    if server.max_memory > 0 && server.used_memory > server.max_memory / 10 * 9 {
        findings.push(Finding::wrong(format!(
            "{name}: {} of {} MB are taken; raise maxmemory, or every write is refused soon",
            server.used_memory >> 20,
            server.max_memory >> 20
        )));
    }
    findings.push(match (server.log, server.snapshots.as_deref()) {
        (true, _) => Finding::ok(format!("{name}: every write goes into its log (appendonly yes)")),
        (false, Some("")) => Finding::wrong(format!(
            "{name}: it writes nothing to disk (appendonly no, save \"\"): a restart loses every key and code; set appendonly yes"
        )),
        (false, Some(save)) => Finding::wrong(format!(
            "{name}: only snapshots are written (save {save}): a crash loses what came after the last, and used codes are \
             usable again; set appendonly yes"
        )),
        (false, None) => Finding::wrong(format!("{name}: it keeps no log; set appendonly yes")),
    });
    if server.write_failed {
        findings.push(Finding::wrong(format!("{name}: its last write to disk failed; see its log and its disk")));
    }
    findings.extend(replicas(server, wait));
    findings.extend(cut_off(server, wait));
    findings
}

/// Whether a primary that was replaced, and does not know it, goes on taking writes.
fn cut_off(server: &Inspected, wait: u32) -> Option<Finding> {
    let name = &server.version;
    let alone = wait == 0 && server.least_replicas == Some(0) && !server.replicas.is_empty();
    alone.then(|| {
        Finding::note(format!(
            "{name}: min-replicas-to-write is 0, as is store.wait_replicas: a primary that is cut off from its replicas goes on \
             taking writes, which a failover loses; set either to 1"
        ))
    })
}

fn replicas(server: &Inspected, wait: u32) -> Option<Finding> {
    let (name, count) = (&server.version, server.replicas.len());
    let lags = server
        .replicas
        .iter()
        .map(|one| format!("{} is {} bytes and {} s behind", one.address, one.behind, one.lag.as_secs()));
    let lags = lags.collect::<Vec<_>>().join(", ");
    let enough = usize::try_from(wait).is_ok_and(|wait| wait <= count);
    if wait > 0 && !enough {
        return Some(Finding::wrong(format!(
            "store.wait_replicas: {wait}, but {name} has {count}: every write is refused; start replicas, or lower it"
        )));
    }
    match (count, wait) {
        (0, _) => Some(Finding::note(format!("{name}: it has no replica: while it is away every call is refused"))),
        (_, 0) => Some(Finding::note(format!(
            "store.wait_replicas: 0: a failover loses what the replica had not yet ({lags}), so a used code may be usable again; \
             set it to 1"
        ))),
        _ => Some(Finding::ok(format!("store.wait_replicas: {wait}: no used code comes back in a failover ({lags})"))),
    }
}
