//! Which figures of the running parts the metrics show, and how they are called there.

use std::sync::Arc;

use crate::access::authenticator::Authenticator;
use crate::app::Backing;
use crate::delivery::smpp::Smpp;
use crate::layer::guard::Guard;
use crate::quota::LocalQuota;
use crate::server::Server;
use crate::store::Store;
use crate::store::redis::RedisStore;
use crate::store::sqlite::StoreStats;
use crate::surface::open::Readiness;
use crate::telemetry::{Metrics, SourceKind};

/// Lets the metrics read the state of the links to message centres.
pub(super) fn smpp_sources(metrics: &Metrics, providers: &[Arc<Smpp>]) {
    let links: Vec<_> = providers.to_vec();
    metrics.add_source("smpp_links", "SMPP sessions that are bound", SourceKind::Gauge, move || {
        links.iter().map(|provider| provider.bound()).sum()
    });
    let links: Vec<_> = providers.to_vec();
    metrics.add_source("smpp_open_submits", "Places in use in the windows of SMPP", SourceKind::Gauge, move || {
        links.iter().map(|provider| provider.open_submits()).sum()
    });
}

/// Lets the metrics read whether callers are sent here: who watches may not be let onto the public listener.
pub(super) fn readiness_source(metrics: &Metrics, readiness: &Readiness) {
    let readiness = readiness.clone();
    metrics.add_source("ready", "1 while the gateway can do its work", SourceKind::Gauge, move || {
        u64::from(readiness.get())
    });
}

/// Lets the metrics read what the parts count themselves.
pub(super) fn sources(
    metrics: &Metrics,
    store: &Arc<dyn Store>,
    server: &Server,
    guard: &Guard,
    authenticator: &Arc<Authenticator>,
) {
    let outbox = Arc::clone(store);
    metrics.add_source("outbox_backlog", "Messages that are not settled", SourceKind::Gauge, move || {
        u64::try_from(outbox.backlog()).unwrap_or(u64::MAX)
    });
    let events = Arc::clone(store);
    metrics.add_source("webhook_backlog", "Events that are not told yet", SourceKind::Gauge, move || {
        u64::try_from(events.queued_events()).unwrap_or(u64::MAX)
    });
    let events = Arc::clone(store);
    metrics
        .add_source("webhook_lost", "Events lost to a full queue", SourceKind::Counter, move || events.lost_events());
    let guard = guard.clone();
    metrics.add_source("guard_addresses", "Addresses with failed authentications", SourceKind::Gauge, move || {
        u64::try_from(guard.addresses()).unwrap_or(u64::MAX)
    });
    let keys = Arc::clone(authenticator);
    metrics.add_source("remembered_keys", "Keys in the cache", SourceKind::Gauge, move || keys.remembered().0);
    let keys = Arc::clone(authenticator);
    metrics
        .add_source("remembered_misses", "Unknown keys in the cache", SourceKind::Gauge, move || keys.remembered().1);
    let stats = server.stats();
    metrics.add_source("accepted_sockets", "Connections accepted", SourceKind::Counter, move || stats.accepted.get());
    let stats = server.stats();
    metrics.add_source("open_sockets", "Connections open", SourceKind::Gauge, move || stats.open.get());
}

/// Lets the metrics read the quota that this process counts itself.
pub(super) fn quota_sources(metrics: &Metrics, quota: &Arc<LocalQuota>) {
    let quota = Arc::clone(quota);
    metrics.add_source(
        "quota_active_connections",
        "Connections with a call in their window",
        SourceKind::Gauge,
        move || u64::try_from(quota.active()).unwrap_or(u64::MAX),
    );
}

/// Lets the metrics read what a store counts.
pub(super) fn store_sources(metrics: &Metrics, backing: &Backing) {
    let store = match backing {
        Backing::Sqlite(store) => store,
        Backing::Redis(store) => return redis_sources(metrics, store),
    };
    type StoreFigure = (&'static str, &'static str, SourceKind, fn(&StoreStats) -> u64);
    let figures: [StoreFigure; 5] = [
        ("store_commits", "Durable commits", SourceKind::Counter, |stats| stats.commits),
        ("store_changes", "Changes in them", SourceKind::Counter, |stats| stats.jobs),
        ("store_queued", "Changes that wait for the writer", SourceKind::Gauge, |stats| stats.queued),
        ("store_refused_full", "Changes refused because the disk is full", SourceKind::Counter, |stats| {
            stats.refused_full
        }),
        ("store_last_commit_microseconds", "Duration of the last commit", SourceKind::Gauge, |stats| {
            u64::try_from(stats.last_commit.as_micros()).unwrap_or(u64::MAX)
        }),
    ];
    for (name, help, kind, read) in figures {
        let store = Arc::clone(store);
        metrics.add_source(name, help, kind, move || read(&store.stats()));
    }
}

fn redis_sources(metrics: &Metrics, store: &Arc<RedisStore>) {
    let calls = Arc::clone(store);
    metrics.add_source("store_calls", "Calls to the store", SourceKind::Counter, move || calls.calls().0);
    let calls = Arc::clone(store);
    metrics.add_source("store_failed_calls", "Calls to the store that failed", SourceKind::Counter, move || {
        calls.calls().1
    });
    let reachable = store.reachable();
    metrics.add_source("store_reachable", "Whether the store is reached", SourceKind::Gauge, move || {
        u64::from(*reachable.borrow())
    });
}
