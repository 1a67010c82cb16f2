//! Every setting there is: its path in the file and what its value may be. The environment variables, the hints at
//! misspelt keys and the ranges all come from these two tables; the defaults are in the structs.

use super::kind::Kind::{
    self, Address, Boolean, Count, Countries, Level, Limit, Names, Networks, OneCountry, Path, Prefixes, PublicUrl,
    Rates, Seconds, Secret, Span, Spans, StoreUrl, Tables, Text, Word,
};

/// One setting.
#[derive(Debug)]
pub(super) struct Key {
    /// Its path in the file.
    pub(super) path: &'static str,
    /// What its value may be.
    pub(super) kind: Kind,
}

const fn key(path: &'static str, kind: Kind) -> Key {
    Key { path, kind }
}

const DAY: u64 = 86_400;

/// All settings, in the order of the example file.
pub(super) const KEYS: &[Key] = &[
    key("public_url", PublicUrl),
    key("listen", Address),
    key("admin_listen", Address),
    key("admin_token", Secret),
    key("admin_token_file", Path),
    key("trusted_proxies", Networks),
    key("data_dir", Path),
    key("master_key_file", Path),
    key("tls.certificate", Path),
    key("tls.key", Path),
    key("tls.reload", Seconds(1, DAY)),
    key("server.first_byte", Span(1, 600)),
    key("server.handshake", Span(1, 600)),
    key("server.headers", Span(1, 600)),
    key("server.body", Span(1, 600)),
    key("server.idle", Span(1, 3_600)),
    key("server.write", Span(1, 600)),
    key("server.threads", Count(0, 1_024)),
    key("server.max_connections", Count(1, 1_000_000)),
    key("server.header_bytes", Count(4_096, 1_048_576)),
    key("server.drain_delay", Span(0, 600)),
    key("server.drain_timeout", Span(0, 3_600)),
    key("store.url", StoreUrl),
    key("store.cached_otps", Count(0, 100_000_000)),
    key("store.retention_days", Count(1, 3_650)),
    key("store.create", Boolean),
    key("store.ca_file", Path),
    key("store.timeout", Span(0, 10)),
    key("store.wait_replicas", Count(0, 16)),
    key("quota.calls", Count(1, 10_000)),
    key("quota.period", Seconds(1, 3_600)),
    key("guard.failures", Count(1, 1_000_000)),
    key("guard.refill", Span(0, 3_600)),
    key("guard.keys", Count(1_000, 10_000_000)),
    key("limits.sends_per_number", Rates),
    key("delivery.countries", Countries),
    key("delivery.messages_per_day", Limit(1_000_000_000)),
    key("delivery.on_unknown", Word(&["wait", "repeat"])),
    key("delivery.receipt_within", Span(1, 3_600)),
    key("delivery.second_channel", Word(&["none", "SMS", "VOICE"])),
    key("delivery.providers", Tables(PROVIDER_KEYS, &["name", "type"])),
    key("delivery.routes", Tables(ROUTE_KEYS, &["providers"])),
    key("oneaccess.country", OneCountry),
    key("events.allow_private_callbacks", Boolean),
    key("events.retries", Spans(20, 7 * DAY)),
    key("log.format", Word(&["fmt", "json"])),
    key("log.level", Level),
];

/// What a `[[delivery.providers]]` may say.
pub(super) const PROVIDER_KEYS: &[Key] = &[
    key("name", Text),
    key("type", Word(&["sandbox", "http", "smpp"])),
    key("channels", Kind::Channels),
    key("url", Secret),
    key("preset", Text),
    key("smpp", Kind::Table(SMPP_KEYS)),
    key("http", Kind::HttpCarrier),
    key("concurrency", Count(1, 1_000)),
];

/// What its `[delivery.providers.smpp]` may say.
pub(super) const SMPP_KEYS: &[Key] = &[
    key("mode", Word(&["transceiver", "pair"])),
    key("connections", Count(1, 16)),
    key("window", Count(1, 1_000)),
    key("per_second", Limit(10_000)),
    key("bind", Span(1, 60)),
    key("submit", Span(1, 60)),
    key("enquire_link", Span(1, 3_600)),
    key("enquire_link_answer", Span(1, 60)),
    key("system_type", Kind::Ascii(12)),
    key("service_type", Kind::Ascii(5)),
    key("source_ton", Count(0, 6)),
    key("source_npi", Count(0, 18)),
    key("data_coding", Count(0, 255)),
    key("wide_reference", Boolean),
    key("validity_period", Boolean),
    key("receipt_ids", Word(&["same", "decimal", "hexadecimal"])),
    key("ca_file", Path),
];

/// What a `[[delivery.routes]]` may say.
pub(super) const ROUTE_KEYS: &[Key] = &[
    key("channel", Word(&["SMS", "VOICE"])),
    key("countries", Countries),
    key("prefixes", Prefixes),
    key("providers", Names),
];

/// The setting of this path.
pub(super) fn find(path: &str) -> Option<&'static Key> {
    KEYS.iter().find(|key| key.path == path)
}

/// Whether `name` is a section of the file, such as `quota`.
pub(super) fn is_section(name: &str) -> bool {
    KEYS.iter().any(|key| key.path.split_once('.').is_some_and(|(section, _)| section == name))
}

/// The environment variable of a setting.
pub(super) fn variable(path: &str) -> String {
    format!("OTPGATE_{}", path.replace('.', "_").to_ascii_uppercase())
}

/// The one of `candidates` that looks most like `text`.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // The same last part in another section is the likeliest slip.
    let last = |path: &str| path.rsplit('.').next().unwrap_or_default().to_owned();
    candidates.min_by_key(|candidate| (last(candidate) != last(text), distance(text, candidate)))
}

/// Levenshtein's distance.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, from) in left.chars().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(index + 1);
        for ((to, above), diagonal) in right.iter().zip(row.iter().skip(1)).zip(&row) {
            let before = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(from != *to)).min(above + 1).min(before + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_variable_names_one_setting() {
        let mut variables: Vec<_> = KEYS.iter().map(|key| variable(key.path)).collect();
        variables.sort();
        let all = variables.len();
        variables.dedup();
        assert_eq!(variables.len(), all);
        assert_eq!(variable("events.allow_private_callbacks"), "OTPGATE_EVENTS_ALLOW_PRIVATE_CALLBACKS");
    }

    #[test]
    fn the_nearest_key_is_the_one_that_was_meant() {
        let meant = |text| nearest(text, KEYS.iter().map(|key| key.path)).unwrap();
        assert_eq!(meant("quota.cals"), "quota.calls");
        assert_eq!(meant("calls"), "quota.calls");
        assert_eq!(meant("publicurl"), "public_url");
        assert_eq!(meant("store.master_key_file"), "master_key_file");
        assert_eq!((distance("kitten", "sitting"), distance("", "ab"), distance("a", "a")), (3, 2, 0));
    }
}
