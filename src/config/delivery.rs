//! How messages leave: the countries, the ceiling, the providers. Knows no carrier's protocol.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use super::route::{OnUnknown, Route, second};
use super::secret_url::SecretUrl;
use super::smpp::Smpp;
use super::{duration, limit};
use crate::otp::channel::Channel;
use crate::otp::phone::Country;

/// `[delivery]`: how messages leave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Delivery {
    /// The countries that are sent to. Every country by default; with a real provider it must be named.
    pub countries: Countries,
    /// Messages a day per account and country, 1 to 1,000,000,000; none: no ceiling. None by default; 1,000 with a real
    /// provider.
    #[serde(with = "limit")]
    pub messages_per_day: Option<u32>,
    /// What to do where a carrier does not say whether it took a message: `wait` by default.
    pub on_unknown: OnUnknown,
    /// How long a receipt is waited for, 1 ms to 1 h; 45 s by default.
    #[serde(with = "duration")]
    pub receipt_within: Duration,
    /// The channel that is tried when a message on the other one does not arrive; none by default.
    #[serde(with = "second")]
    pub second_channel: Option<Channel>,
    /// The providers, in the order in which they are tried: at least one, by default a sandbox alone.
    pub providers: Vec<Provider>,
    /// Which providers are tried for which messages; without any, all of them.
    pub routes: Vec<Route>,
}

impl Default for Delivery {
    fn default() -> Self {
        let sandbox = Provider {
            name: "sandbox".to_owned(),
            kind: ProviderKind::Sandbox,
            channels: both_channels(),
            url: None,
            preset: None,
            smpp: None,
            concurrency: places(),
        };
        Self {
            countries: Countries::All,
            messages_per_day: None,
            on_unknown: OnUnknown::Wait,
            receipt_within: Duration::from_secs(45),
            second_channel: None,
            providers: vec![sandbox],
            routes: Vec::new(),
        }
    }
}

impl Delivery {
    /// Whether a provider reaches real phones.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.providers.iter().any(|provider| provider.kind != ProviderKind::Sandbox)
    }

    /// Whether a provider is the sandbox.
    #[must_use]
    pub fn has_sandbox(&self) -> bool {
        self.providers.iter().any(|provider| provider.kind == ProviderKind::Sandbox)
    }
}

/// The countries that are sent to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Countries {
    /// Every country: `"all"`.
    #[default]
    All,
    /// These: `["DE", "AT"]`.
    These(Vec<Country>),
}

impl Countries {
    /// Whether a number of `country` is sent to; a number of no country only where all are.
    #[must_use]
    pub fn allow(&self, country: Option<Country>) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => country.is_some_and(|country| these.contains(&country)),
        }
    }
}

impl Serialize for Countries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::All => serializer.serialize_str("all"),
            Self::These(these) => these.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Countries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            These(Vec<Country>),
            Word(String),
        }
        match Written::deserialize(deserializer)? {
            Written::These(these) => Ok(Self::These(these)),
            Written::Word(word) if word == "all" => Ok(Self::All),
            Written::Word(_) => Err(D::Error::custom("\"all\", or countries such as [\"DE\", \"AT\"]")),
        }
    }
}

/// One of `[[delivery.providers]]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provider {
    /// What logs, metrics and the console call it: 1 to 32 letters, digits, `-` or `_`; unique.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub kind: ProviderKind,
    /// The channels it serves, both by default.
    #[serde(default = "both_channels", deserialize_with = "read_channels")]
    pub channels: Vec<Channel>,
    /// Where it is: `smpp://user:password@host:port`, `smpps://…` with TLS, or `https://…`. None for the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<SecretUrl>,
    /// Whose interface an `http` provider speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// How an `smpp` provider works, where not by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smpp: Option<Smpp>,
    /// Messages that it is given at once, 1 to 1,000; 64 by default.
    #[serde(default = "places")]
    pub concurrency: u32,
}

const fn places() -> u32 {
    64
}

/// What a provider is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProviderKind {
    /// Keeps messages where the admin listener shows them, and sends nothing.
    Sandbox,
    /// A carrier's HTTP interface.
    Http,
    /// A carrier's SMPP interface.
    Smpp,
}

impl ProviderKind {
    /// Its name in the file.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Http => "http",
            Self::Smpp => "smpp",
        }
    }

    /// Whether this version has it.
    #[must_use]
    pub const fn is_available(self) -> bool {
        matches!(self, Self::Sandbox | Self::Smpp)
    }
}

fn both_channels() -> Vec<Channel> {
    vec![Channel::Sms, Channel::Voice]
}

/// Reads `SMS` or `VOICE`, in any case.
pub(super) fn parse_channel(text: &str) -> Option<Channel> {
    both_channels().into_iter().find(|channel| channel.as_str().eq_ignore_ascii_case(text))
}

fn read_channels<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Channel>, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().map(|name| parse_channel(name).ok_or_else(|| D::Error::custom("SMS or VOICE"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn countries_are_all_or_these() {
        let germany = "DE".parse().unwrap();
        assert!(Countries::All.allow(None) && Countries::All.allow(Some(germany)));
        let these = Countries::These(vec![germany]);
        assert!(these.allow(Some(germany)) && !these.allow(None) && !these.allow("AT".parse().ok()));
    }

    #[test]
    fn a_provider_serves_both_channels_unless_told() {
        let provider: Provider = toml::from_str("name = \"a\"\ntype = \"smpp\"\nurl = \"smpp://u:p@h:1\"").unwrap();
        assert_eq!(provider.channels, both_channels());
        let provider: Provider = toml::from_str("name = \"a\"\ntype = \"sandbox\"\nchannels = [\"voice\"]").unwrap();
        assert_eq!(provider.channels, [Channel::Voice]);
    }
}
