//! How often a number may be sent to, and how many messages a day an account may send to a country.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::abuse::NumberRecord;
use crate::clock::UnixMillis;

const DAY_MILLIS: u64 = 24 * 60 * 60 * 1_000;

/// At most `count` sends in any `span`, written `5/10m`. Count 1 to 100; span 1 s to 7 d in `s`, `m`, `h` or `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Rate {
    count: u32,
    span: Duration,
}

/// The text is no rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a rate such as 5/10m: 1 to 100 sends per 1s to 7d")]
pub struct MalformedRate;

impl FromStr for Rate {
    type Err = MalformedRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (count, span) = text.split_once('/').ok_or(MalformedRate)?;
        let unit = span.char_indices().last().ok_or(MalformedRate)?;
        let seconds = match unit.1 {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(MalformedRate),
        };
        let (digits, _) = span.split_at(unit.0);
        let units: u32 = digits.parse().map_err(|_| MalformedRate)?;
        let span = Duration::from_secs(u64::from(units) * seconds);
        let count = count.parse().map_err(|_| MalformedRate)?;
        let legal =
            (1..=100).contains(&count) && span >= Duration::from_secs(1) && span <= Duration::from_secs(7 * 86_400);
        if legal { Ok(Self { count, span }) } else { Err(MalformedRate) }
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.span.as_secs();
        let (units, unit) = match seconds {
            _ if seconds.is_multiple_of(86_400) => (seconds / 86_400, 'd'),
            _ if seconds.is_multiple_of(3_600) => (seconds / 3_600, 'h'),
            _ if seconds.is_multiple_of(60) => (seconds / 60, 'm'),
            _ => (seconds, 's'),
        };
        write!(formatter, "{}/{units}{unit}", self.count)
    }
}

impl TryFrom<String> for Rate {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse().map_err(|error: MalformedRate| format!("{error}, not \"{text}\""))
    }
}

impl From<Rate> for String {
    fn from(rate: Rate) -> Self {
        rate.to_string()
    }
}

/// The send limits of a number; resends count. Empty: no limit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SendLimits(Vec<Rate>);

impl SendLimits {
    /// All of `rates` hold at once.
    #[must_use]
    pub const fn new(rates: Vec<Rate>) -> Self {
        Self(rates)
    }

    /// The limits where real carriers are paid: 1 in 30 s, 5 in 10 minutes, 10 in 24 hours.
    #[must_use]
    pub fn for_real_carriers() -> Self {
        let rate = |count, seconds| Rate { count, span: Duration::from_secs(seconds) };
        Self(vec![rate(1, 30), rate(5, 600), rate(10, 86_400)])
    }

    /// The rates.
    #[must_use]
    pub fn rates(&self) -> &[Rate] {
        &self.0
    }

    /// The longest span that any limit looks back.
    #[must_use]
    pub fn horizon(&self) -> Duration {
        self.0.iter().map(|rate| rate.span).max().unwrap_or_default()
    }

    /// Counts a send at `now`.
    ///
    /// # Errors
    /// The instant from which on the number may be sent to again; nothing is counted then.
    pub fn admit(&self, record: &mut NumberRecord, now: UnixMillis) -> Result<(), UnixMillis> {
        if self.0.is_empty() {
            return Ok(());
        }
        record.prune(now, self.horizon());
        let next = self.0.iter().filter_map(|rate| {
            let count = usize::try_from(rate.count).unwrap_or(usize::MAX);
            // The count-th newest send decides: when it leaves the span, there is room.
            let deciding = record.sends.len().checked_sub(count).and_then(|index| record.sends.get(index))?;
            (now.since(*deciding) < rate.span).then(|| *deciding + rate.span)
        });
        match next.max() {
            Some(next) => Err(next),
            None => {
                record.sends.push(record.sends.last().map_or(now, |last| now.max(*last)));
                Ok(())
            }
        }
    }
}

/// Messages a day per account and country, hard. None: no ceiling.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CeilingPolicy(pub Option<u32>);

impl CeilingPolicy {
    /// Counts one message on top of `spent`: the new count.
    ///
    /// # Errors
    /// The start of the next day (UTC), when the ceiling is reached.
    pub fn spend(self, spent: u32, now: UnixMillis) -> Result<u32, UnixMillis> {
        match self.0 {
            Some(ceiling) if spent >= ceiling => Err(UnixMillis((now.0 / DAY_MILLIS + 1) * DAY_MILLIS)),
            _ => Ok(spent.saturating_add(1)),
        }
    }

    /// Whether `spent` is the count at which four fifths are used up: of all sends of a day one finds it so.
    #[must_use]
    pub fn is_near(self, spent: u32) -> bool {
        self.0.is_some_and(|ceiling| u64::from(spent) == (u64::from(ceiling) * 4).div_ceil(5))
    }
}

/// What a ceiling counts: the messages of an account to a country on a day (UTC).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpendKey {
    /// The account's id.
    pub account: String,
    /// ISO 3166-1 alpha-2, or `ZZ` for numbers of no country.
    pub country: String,
    /// Days since 1970-01-01.
    pub day: u64,
}

impl SpendKey {
    /// The key of the day of `now`.
    #[must_use]
    pub fn of(account: &str, country: Option<&str>, now: UnixMillis) -> Self {
        Self { account: account.to_owned(), country: country.unwrap_or("ZZ").to_owned(), day: now.0 / DAY_MILLIS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixMillis {
        UnixMillis(seconds * 1_000)
    }

    #[test]
    fn one_send_of_a_day_finds_four_fifths_used_up() {
        for ceiling in [1_u32, 2, 3, 5, 7, 50, 1_000, u32::MAX] {
            let policy = CeilingPolicy(Some(ceiling));
            let counts = (1..=ceiling.min(1_000)).filter(|spent| policy.is_near(*spent)).collect::<Vec<_>>();
            if ceiling <= 1_000 {
                assert_eq!(counts.len(), 1, "{ceiling}");
                assert!(u64::from(counts[0]) * 5 >= u64::from(ceiling) * 4, "{ceiling}");
            }
        }
        assert!(!CeilingPolicy(None).is_near(1));
    }

    #[test]
    fn rates_read_as_they_are_written() {
        for text in ["1/30s", "5/10m", "10/1d", "7/90s", "100/7d"] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), text);
        }
        assert_eq!("10/24h".parse::<Rate>().unwrap().to_string(), "10/1d");
        for bad in ["", "5", "5/", "0/1m", "101/1m", "1/0s", "1/8d", "1/1w", "a/1m", "1/é"] {
            assert!(bad.parse::<Rate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn all_limits_hold_and_the_next_instant_is_exact() {
        let limits = SendLimits::for_real_carriers();
        let mut record = NumberRecord::default();
        assert_eq!(limits.admit(&mut record, at(0)), Ok(()));
        assert_eq!(limits.admit(&mut record, at(29)), Err(at(30)));
        for second in [30, 60, 90, 120] {
            assert_eq!(limits.admit(&mut record, at(second)), Ok(()));
        }
        assert_eq!(limits.admit(&mut record, at(150)), Err(at(600)));
        assert_eq!(limits.admit(&mut record, at(600)), Ok(()));
        for second in [1_200, 1_800, 2_400, 3_000] {
            assert_eq!(limits.admit(&mut record, at(second)), Ok(()), "{second}");
        }
        assert_eq!(limits.admit(&mut record, at(3_600)), Err(at(86_400)));
        let before = record.clone();
        assert!(limits.admit(&mut record, at(86_399)).is_err());
        assert_eq!(record, before, "a refusal counts nothing");
        assert_eq!(limits.admit(&mut record, at(86_400)), Ok(()));
    }

    #[test]
    fn a_ceiling_ends_with_the_day() {
        let policy = CeilingPolicy(Some(2));
        assert_eq!(policy.spend(1, at(10)), Ok(2));
        assert_eq!(policy.spend(2, at(10)), Err(at(86_400)));
        assert_eq!(CeilingPolicy(None).spend(u32::MAX, at(10)), Ok(u32::MAX));
        assert_ne!(SpendKey::of("a", Some("DE"), at(86_399)), SpendKey::of("a", Some("DE"), at(86_400)));
    }
}
