//! How a code travels: the channel of one message, and the choice a caller leaves to the gateway.

use serde::{Deserialize, Serialize};

use crate::otp::phone::LineType;

/// The channel of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Channel {
    /// A text message.
    Sms,
    /// A call that speaks the code.
    Voice,
}

impl Channel {
    /// `SMS` or `VOICE`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sms => "SMS",
            Self::Voice => "VOICE",
        }
    }
}

/// What the caller asked for: the parameter `via`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Via {
    /// By the line type: a fixed line alone is called, everything else gets a text message (the contract's rule).
    #[default]
    Auto,
    /// A text message.
    Sms,
    /// A call.
    Voice,
}

impl Via {
    /// Reads `AUTO`, `SMS` or `VOICE`, in any case.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [("AUTO", Self::Auto), ("SMS", Self::Sms), ("VOICE", Self::Voice)]
            .into_iter()
            .find_map(|(name, via)| name.eq_ignore_ascii_case(text).then_some(via))
    }

    /// The channel for a number of this line type.
    #[must_use]
    pub const fn channel(self, line: LineType) -> Channel {
        match (self, line) {
            (Self::Voice, _) | (Self::Auto, LineType::Fixed) => Channel::Voice,
            (Self::Sms | Self::Auto, _) => Channel::Sms,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn auto_calls_fixed_lines_only() {
        assert_eq!(Via::Auto.channel(LineType::Fixed), Channel::Voice);
        for line in [LineType::Mobile, LineType::FixedOrMobile, LineType::Voip, LineType::Unallocated] {
            assert_eq!(Via::Auto.channel(line), Channel::Sms);
        }
        assert_eq!(Via::Sms.channel(LineType::Fixed), Channel::Sms);
        assert_eq!(Via::parse("voice"), Some(Via::Voice));
        assert_eq!(Via::parse("fax"), None);
    }
}
