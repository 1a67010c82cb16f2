//! Which messages go to which providers, and what happens where one does not arrive. Knows no provider.

use serde::{Deserialize, Serialize};

use super::delivery::Countries;
use crate::otp::channel::Channel;

/// What to do where a carrier does not say whether it took a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnknown {
    /// Wait for a receipt; without one, try the second channel or repeat once.
    Wait,
    /// Repeat at once, once.
    Repeat,
}

/// One of `[[delivery.routes]]`: the first that fits a message is the one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// On this channel; on both by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<Channel>,
    /// To these countries; to all by default.
    #[serde(default)]
    pub countries: Countries,
    /// To numbers that begin so; to all by default.
    #[serde(default)]
    pub prefixes: Vec<String>,
    /// The names of the providers, in the order in which they are tried.
    pub providers: Vec<String>,
}

/// A channel, or `"none"`. For `#[serde(with)]`.
pub(super) mod second {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::config::delivery::parse_channel;
    use crate::otp::channel::Channel;

    #[expect(clippy::ref_option, reason = "serde's with passes a reference")]
    pub(crate) fn serialize<S: Serializer>(channel: &Option<Channel>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(channel.map_or("none", Channel::as_str))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Channel>, D::Error> {
        let word = String::deserialize(deserializer)?;
        if word == "none" {
            return Ok(None);
        }
        parse_channel(&word).map(Some).ok_or_else(|| D::Error::custom("none, SMS or VOICE"))
    }
}
