//! Who a message comes from and goes to, as SMPP writes it: type of number, numbering plan, address. Knows no session.

use crate::otp::application::Sender;
use crate::otp::phone::E164;

/// Type of number (SMPP 3.4, section 5.2.5).
mod ton {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const INTERNATIONAL: u8 = 1;
    pub(super) const NETWORK: u8 = 3;
    pub(super) const ALPHANUMERIC: u8 = 5;
}

/// Numbering plan (section 5.2.6).
mod npi {
    pub(super) const UNKNOWN: u8 = 0;
    pub(super) const ISDN: u8 = 1;
}

/// Digits of a number that only one network knows: no number of a country has so few with its country code.
const SHORT_CODE_DIGITS: usize = 8;

/// An address with its kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// Its type of number.
    pub(super) ton: u8,
    /// Its numbering plan.
    pub(super) npi: u8,
    /// Its digits, or its letters: at most 20 bytes of ASCII.
    pub(super) text: String,
}

impl Address {
    /// A phone: international, in the telephone numbering plan, without the plus.
    pub(super) fn of_number(number: &E164) -> Self {
        let text = number.as_str().trim_start_matches('+').to_owned();
        Self { ton: ton::INTERNATIONAL, npi: npi::ISDN, text }
    }

    /// A sender; without one the centre's own default. What the settings say of its kind goes before what it looks like.
    pub(super) fn of_sender(sender: Option<&Sender>, settled_ton: Option<u8>, settled_npi: Option<u8>) -> Self {
        let text = sender.map_or("", Sender::as_str);
        let digits = text.trim_start_matches('+');
        let (kind, text) = if text.is_empty() {
            ((ton::UNKNOWN, npi::UNKNOWN), text)
        } else if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            ((ton::ALPHANUMERIC, npi::UNKNOWN), text)
        } else if digits.len() <= SHORT_CODE_DIGITS && digits.len() == text.len() {
            ((ton::NETWORK, npi::UNKNOWN), text)
        } else {
            ((ton::INTERNATIONAL, npi::ISDN), digits)
        };
        Self { ton: settled_ton.unwrap_or(kind.0), npi: settled_npi.unwrap_or(kind.1), text: text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_has_the_kind_that_it_looks_like() {
        for (sender, expected) in [
            ("ACME", (5, 0, "ACME")),
            ("A 1", (5, 0, "A 1")),
            ("12345", (3, 0, "12345")),
            ("4915112345678", (1, 1, "4915112345678")),
            ("+4915112345678", (1, 1, "4915112345678")),
            ("+12345", (1, 1, "12345")),
        ] {
            let address = Address::of_sender(Some(&Sender::parse(sender).unwrap()), None, None);
            assert_eq!((address.ton, address.npi, address.text.as_str()), expected, "{sender}");
        }
        let none = Address::of_sender(None, None, None);
        assert_eq!((none.ton, none.npi, none.text.as_str()), (0, 0, ""));
        let settled = Address::of_sender(Some(&Sender::parse("12345").unwrap()), Some(6), Some(8));
        assert_eq!((settled.ton, settled.npi), (6, 8));
        let number = Address::of_number(&E164::try_from("+4915112345678".to_owned()).unwrap());
        assert_eq!((number.ton, number.npi, number.text.as_str()), (1, 1, "4915112345678"));
    }
}
