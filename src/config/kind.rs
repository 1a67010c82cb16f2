//! What a setting's value may be: one check a kind, in words that say what would be right. Knows no setting.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use toml::Value;
use tracing_subscriber::EnvFilter;

use super::delivery::parse_channel;
use super::duration;
use super::http_carrier::HttpCarrier;
use super::keys::{Key, nearest};
use super::secret_url::SecretUrl;
use crate::abuse::Rate;
use crate::otp::phone::Country;

/// The levels of the log.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What a value may be.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Boolean,
    /// An integer of this range.
    Count(u64, u64),
    /// An integer from 1 to this, or `"none"`.
    Limit(u64),
    /// A duration of this range in seconds; zero in the range means that zero is allowed.
    Span(u64, u64),
    /// The same in whole seconds.
    Seconds(u64, u64),
    /// A text that is not empty.
    Text,
    /// A path.
    Path,
    /// A text that is never shown.
    Secret,
    /// An IP address and a port.
    Address,
    /// What absolute addresses begin with.
    PublicUrl,
    /// Networks in CIDR notation.
    Networks,
    /// Rates such as `5/10m`.
    Rates,
    /// Durations, at most so many, each up to so many seconds.
    Spans(usize, u64),
    /// ISO 3166-1 codes, or `"all"`.
    Countries,
    /// One ISO 3166-1 code.
    OneCountry,
    /// `SMS`, `VOICE` or both.
    Channels,
    /// One of these words.
    Word(&'static [&'static str]),
    /// What `tracing` calls a filter.
    Level,
    /// `sqlite` or `redis://…`.
    StoreUrl,
    /// The table of a provider of type http.
    HttpCarrier,
    /// What numbers begin with, in E.164 with `+`.
    Prefixes,
    /// Names of providers, at least one.
    Names,
    /// A list of tables with these settings, of which those must be there.
    Tables(&'static [Key], &'static [&'static str]),
    /// A table of these settings.
    Table(&'static [Key]),
    /// A text of so many characters of ASCII at most; it may be empty.
    Ascii(usize),
}

/// Where below the setting (`""`, `[1]`, `[0].type`) and what is wrong.
pub(super) type Wrong = (String, String);

impl Kind {
    /// Everything that is wrong with `value`.
    pub(super) fn check(self, value: &Value) -> Vec<Wrong> {
        match self {
            Self::Networks => each(value, "networks such as [\"10.0.0.0/8\"]", check_network),
            Self::Rates => each(value, "rates such as [\"1/30s\", \"5/10m\"]", |text| {
                text.parse::<Rate>().map(drop).map_err(|error| error.to_string())
            }),
            Self::Spans(count, most) => {
                if value.as_array().is_some_and(|spans| spans.len() > count) {
                    return vec![(String::new(), format!("too many; write at most {count}"))];
                }
                let legal = |span: &Duration| !span.is_zero() && *span <= Duration::from_secs(most);
                let right =
                    format!("a duration from 1ms to {}, such as \"5s\"", duration::write(Duration::from_secs(most)));
                each(value, "durations such as [\"5s\", \"10m\"]", |text| {
                    duration::parse(text).filter(legal).map(drop).ok_or_else(|| right.clone())
                })
            }
            Self::Countries if value.as_str() == Some("all") => Vec::new(),
            Self::Countries => each(value, "\"all\", or countries such as [\"DE\", \"AT\"]", |text| {
                text.parse::<Country>().map(drop).map_err(|error| error.to_string())
            }),
            Self::Channels => each(value, "[\"SMS\"], [\"VOICE\"] or both", |text| {
                parse_channel(text).map(drop).ok_or_else(|| "SMS or VOICE".to_owned())
            }),
            Self::HttpCarrier => HttpCarrier::check(value),
            Self::Prefixes => each(value, "prefixes such as [\"+49151\"]", |text| {
                let digits = text.strip_prefix('+').unwrap_or_default();
                let legal = (1..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
                legal.then_some(()).ok_or_else(|| "a + and 1 to 15 digits".to_owned())
            }),
            Self::Names if value.as_array().is_some_and(Vec::is_empty) => {
                vec![(String::new(), "empty; name at least one provider".to_owned())]
            }
            Self::Names => each(value, "names of providers such as [\"main\", \"backup\"]", |_| Ok(())),
            Self::Tables(keys, needed) => check_tables(value, keys, needed),
            Self::Table(keys) => match value.as_table() {
                Some(table) => check_table(table, keys),
                None => vec![(String::new(), "not a table; write it as a section of its own".to_owned())],
            },
            Self::Secret if value.as_str().is_some_and(|text| !text.is_empty()) => Vec::new(),
            Self::Secret => vec![(String::new(), "not a text, or empty; write a text in quotes".to_owned())],
            _ => match self.check_one(value) {
                Ok(()) => Vec::new(),
                Err(right) => vec![(String::new(), format!("{} does not do; write {right}", shown(value)))],
            },
        }
    }

    /// `Err`: what would be right.
    fn check_one(self, value: &Value) -> Result<(), String> {
        let text = value.as_str().unwrap_or_default();
        let whole = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let (right, legal) = match self {
            Self::Boolean => ("true or false".to_owned(), value.is_bool()),
            Self::Count(least, most) => (
                format!("an integer from {least} to {most}"),
                whole.is_some_and(|number| (least..=most).contains(&number)),
            ),
            Self::Limit(most) => {
                let legal = text == "none" || whole.is_some_and(|number| (1..=most).contains(&number));
                (format!("an integer from 1 to {most}, or \"none\""), legal)
            }
            Self::Span(least, most) | Self::Seconds(least, most) => {
                let span = whole.map(Duration::from_secs).or_else(|| duration::parse(text));
                let in_range = |span: Duration| {
                    let fine = matches!(self, Self::Span(..)) || span.subsec_nanos() == 0;
                    let positive = matches!(self, Self::Span(0, _)) || !span.is_zero();
                    let least =
                        if matches!(self, Self::Span(..)) { Duration::ZERO } else { Duration::from_secs(least) };
                    fine && positive && span >= least && span <= Duration::from_secs(most)
                };
                let ends = (
                    if matches!(self, Self::Span(1.., _)) { "1ms".to_owned() } else { format!("{least}s") },
                    duration::write(Duration::from_secs(most)),
                );
                (
                    format!("a duration from {} to {}, such as \"5s\" or \"10m\", or whole seconds", ends.0, ends.1),
                    span.is_some_and(in_range),
                )
            }
            Self::OneCountry => ("a country such as \"CN\"".to_owned(), text.parse::<Country>().is_ok()),
            Self::Address => (
                "an IP address and a port, such as 127.0.0.1:8080 or [::]:8080".to_owned(),
                text.parse::<SocketAddr>().is_ok(),
            ),
            Self::PublicUrl => (
                "an address such as https://otp.example.com, without a query or a password".to_owned(),
                is_public_url(text),
            ),
            Self::Word(words) => (format!("one of {}", words.join(", ")), words.contains(&text)),
            Self::Ascii(most) => (
                format!("a text of at most {most} characters of ASCII"),
                value.is_str() && text.len() <= most && text.bytes().all(|byte| byte.is_ascii_graphic()),
            ),
            Self::Level => {
                (format!("a level ({}), or a filter such as info,otpgate=debug", LEVELS.join(", ")), is_filter(text))
            }
            Self::StoreUrl => (
                "sqlite, or redis://host:port".to_owned(),
                text == "sqlite" || SecretUrl::parse(text).is_ok_and(|url| matches!(url.scheme(), "redis" | "rediss")),
            ),
            _ => ("a text that is not empty".to_owned(), !text.trim().is_empty()),
        };
        if legal { Ok(()) } else { Err(right) }
    }

    /// A value from an environment variable: what `text` would be in the file. Text that does not fit is left for
    /// [`Kind::check`]. `None` for an empty text, which stands for no variable, except where it is the empty list.
    pub(super) fn read_variable(self, text: &str) -> Option<Value> {
        let list = || {
            Value::Array(
                text.split(',')
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .map(|part| Value::String(part.to_owned()))
                    .collect(),
            )
        };
        match self {
            Self::Networks | Self::Rates | Self::Channels | Self::Prefixes | Self::Names | Self::Spans(..) => {
                Some(list())
            }
            _ if text.is_empty() => None,
            Self::Countries if text != "all" => Some(list()),
            Self::Boolean => Some(text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Boolean)),
            Self::Count(..) | Self::Limit(..) | Self::Span(..) | Self::Seconds(..) => {
                Some(text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer))
            }
            // Settings that are no plain values: they are written as in the file.
            Self::Tables(..) => {
                let table = toml::from_str::<toml::Table>(&format!("providers = {text}")).ok();
                Some(
                    table
                        .and_then(|mut table| table.remove("providers"))
                        .unwrap_or_else(|| Value::String("***".to_owned())),
                )
            }
            _ => Some(Value::String(text.to_owned())),
        }
    }
}

fn each(value: &Value, right: &str, check: impl Fn(&str) -> Result<(), String>) -> Vec<Wrong> {
    let Some(values) = value.as_array() else {
        return vec![(String::new(), format!("{} does not do; write {right}", shown(value)))];
    };
    let wrong = |(index, value): (usize, &Value)| {
        let problem = match value.as_str() {
            Some(text) => check(text).err()?,
            None => right.to_owned(),
        };
        Some((format!("[{index}]"), format!("{} does not do; write {problem}", shown(value))))
    };
    values.iter().enumerate().filter_map(wrong).collect()
}

fn check_tables(value: &Value, keys: &[Key], needed: &[&str]) -> Vec<Wrong> {
    let Some(tables) = value.as_array() else {
        let form = needed.iter().map(|name| format!("{name} = …")).collect::<Vec<_>>().join(", ");
        let words = format!("not a list of tables; write [[…]] sections, or [{{ {form} }}] in the variable");
        return vec![(String::new(), words)];
    };
    let mut wrong = Vec::new();
    for (index, table) in tables.iter().enumerate() {
        let Some(table) = table.as_table() else {
            wrong.push((format!("[{index}]"), "not a table; write { name = value }".to_owned()));
            continue;
        };
        let below = check_table(table, keys).into_iter();
        wrong.extend(below.map(|(below, problem)| (format!("[{index}]{below}"), problem)));
        for name in needed.iter().filter(|name| !table.contains_key(**name)) {
            wrong.push((format!("[{index}].{name}"), "missing".to_owned()));
        }
    }
    wrong
}

/// What is wrong in a table of these settings, each place with its dot.
fn check_table(table: &toml::Table, keys: &[Key]) -> Vec<Wrong> {
    let mut wrong = Vec::new();
    for (name, value) in table {
        match keys.iter().find(|key| key.path == name) {
            Some(key) => {
                let found = key.kind.check(value).into_iter();
                wrong.extend(found.map(|(below, problem)| (format!(".{name}{below}"), problem)));
            }
            None => {
                let nearest = nearest(name, keys.iter().map(|key| key.path)).unwrap_or_default();
                wrong.push((format!(".{name}"), format!("there is no such setting; did you mean {nearest}?")));
            }
        }
    }
    wrong
}

/// An address, or a network in CIDR notation without bits beyond its prefix.
fn check_network(text: &str) -> Result<(), String> {
    let right = || "a network such as 10.0.0.0/8 or 2001:db8::/32".to_owned();
    let (address, prefix) = text.split_once('/').map_or((text, None), |(address, prefix)| (address, Some(prefix)));
    let address: IpAddr = address.parse().map_err(|_| right())?;
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()) << 96, 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let prefix: u32 = prefix.map_or(Ok(width), str::parse).map_err(|_| right())?;
    if prefix > width {
        return Err(format!("a prefix length of 0 to {width}"));
    }
    match bits.checked_shl(prefix) {
        Some(beyond) if beyond != 0 => {
            Err("the network's own address, without bits beyond the prefix length".to_owned())
        }
        _ => Ok(()),
    }
}

/// Whether each part of a filter says its level. `tracing` takes a word that is no level for the name of a module; of a misspelt
/// level there is none, so that nothing would be logged.
fn is_filter(text: &str) -> bool {
    let mut parts = text.split(',').filter(|part| !part.is_empty()).peekable();
    let says_its_level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level);
        LEVELS.iter().any(|known| level.eq_ignore_ascii_case(known))
    };
    parts.peek().is_some() && parts.all(says_its_level) && EnvFilter::builder().parse(text).is_ok()
}

fn is_public_url(text: &str) -> bool {
    let Ok(uri) = text.parse::<http::Uri>() else { return false };
    let host =
        uri.authority().is_some_and(|authority| !authority.host().is_empty() && !authority.as_str().contains('@'));
    matches!(uri.scheme_str(), Some("http" | "https")) && host && uri.query().is_none() && !text.contains('#')
}

/// The value as the file would write it, cut to a line; a password in an address is not shown.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) if text.contains("://") || text.contains('@') => {
            format!("\"{}\"", SecretUrl::parse(text).map_or_else(|_| "…".to_owned(), |url| url.redacted()))
        }
        Value::String(text) if text.chars().count() > 60 => {
            format!("\"{}…\"", text.chars().take(60).collect::<String>().escape_debug())
        }
        Value::Array(_) => "a list".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        _ => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys::PROVIDER_KEYS;

    fn wrong(kind: Kind, text: &str) -> Vec<Wrong> {
        let table: toml::Table = toml::from_str(&format!("x = {text}")).unwrap();
        kind.check(&table["x"])
    }

    #[test]
    fn each_kind_takes_what_it_says() {
        use Kind::*;
        for (kind, good, bad) in [
            (Boolean, "true", "\"true\""),
            (Count(1, 10), "10", "11"),
            (Count(1, 10), "1", "-1"),
            (Count(1, 10), "1", "1.0"),
            (Limit(10), "\"none\"", "0"),
            (Span(0, 60), "\"500ms\"", "\"2m\""),
            (Span(0, 60), "0", "\"soon\""),
            (Span(1, 60), "\"1ms\"", "0"),
            (Seconds(1, 60), "\"1m\"", "\"1500ms\""),
            (Address, "\"[::1]:80\"", "\"localhost:80\""),
            (PublicUrl, "\"https://a.example/otp\"", "\"a.example\""),
            (PublicUrl, "\"http://a.example\"", "\"https://u:p@a.example\""),
            (PublicUrl, "\"http://[::1]:8080\"", "\"https://a.example/?a=b\""),
            (Networks, "[\"10.0.0.0/8\", \"::1\", \"0.0.0.0/0\"]", "[\"10.0.0.1/8\"]"),
            (Networks, "[\"2001:db8::/32\"]", "[\"10.0.0.0/33\"]"),
            (Rates, "[\"1/30s\"]", "[\"1/30\"]"),
            (Spans(2, 60), "[\"5s\", \"500ms\"]", "[\"2m\"]"),
            (Spans(2, 60), "[]", "[\"1s\", \"1s\", \"1s\"]"),
            (Countries, "\"all\"", "\"DE\""),
            (Countries, "[\"DE\", \"at\"]", "[\"XX\"]"),
            (OneCountry, "\"cn\"", "\"XX\""),
            (Channels, "[\"sms\", \"VOICE\"]", "[\"fax\"]"),
            (Prefixes, "[\"+49151\"]", "[\"49151\"]"),
            (Names, "[\"main\"]", "[]"),
            (Word(&["a"]), "\"a\"", "\"b\""),
            (Level, "\"info,otpgate=debug\"", "\"otpgate=loud\""),
            (Level, "\"WARN\"", "\"warning\""),
            (Level, "\"off,\"", "\",\""),
            (Level, "\"otpgate[send]=Trace\"", "\"otpgate\""),
            (Level, "\"otpgate[send{id=1}]=trace\"", "\"otpgate[send{id=1}]\""),
            (Level, "\"error\"", "\"info, otpgate=debug\""),
            (Level, "\"debug\"", "\"otpgate=\""),
            (Level, "\"trace\"", "\"\""),
            (StoreUrl, "\"redis://h:1\"", "\"postgres://h\""),
            (Path, "\"a\"", "\"\""),
            (Secret, "\"a\"", "5"),
        ] {
            assert_eq!(wrong(kind, good), [], "{kind:?} {good}");
            assert_eq!(wrong(kind, bad).len(), 1, "{kind:?} {bad}");
        }
    }

    #[test]
    fn what_is_wrong_says_where_and_shows_no_password() {
        assert_eq!(wrong(Kind::Count(1, 9), "0")[0].1, "0 does not do; write an integer from 1 to 9");
        assert_eq!(wrong(Kind::Rates, "[\"1/1m\", \"x\"]")[0].0, "[1]");
        let found =
            wrong(Kind::Tables(PROVIDER_KEYS, &["name", "type"]), "[{ name = \"a\", type = \"fax\", ulr = \"u\" }, 5]");
        let places: Vec<_> = found.iter().map(|(place, _)| place.as_str()).collect();
        assert_eq!(places, ["[0].type", "[0].ulr", "[1]"]);
        let shown = format!("{:?}", wrong(Kind::StoreUrl, "\"postgres://user:hunter2@host\""));
        assert!(shown.contains("postgres") && !shown.contains("hunter2"), "{shown}");
    }
}
