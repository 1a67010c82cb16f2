//! What a code is given for: a payment's amount, currency and payee. It is shown in the message, bound to the code, and
//! demanded again when the code is checked (dynamic linking, PSD2 RTS article 5).
//!
//! Must not know how it is asked for, nor which texts show it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::otp::application::worded;
use crate::secret::equal;

worded!(
    /// Who is paid: 1 to 64 characters, no control characters.
    Payee, MalformedPayee, "1 to 64 characters, no control characters",
    |text| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
);

/// An amount: 1 to 12 digits and up to 4 decimal places, after a point. It is shown as it was written; `12.5` and `12.50`
/// are the same amount.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(Box<str>);

/// The text is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount such as 12.50: 1 to 12 digits, and up to 4 behind a point")]
pub struct MalformedAmount;

impl Amount {
    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without zeros that say nothing.
    fn plain(&self) -> &str {
        let text = self.0.trim_start_matches('0');
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.plain() == other.plain()
    }
}

impl Eq for Amount {}

impl FromStr for Amount {
    type Err = MalformedAmount;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (whole, places) = text.split_once('.').map_or((text, None), |(whole, places)| (whole, Some(places)));
        let digits =
            |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        let legal = digits(whole, 12) && places.is_none_or(|places| digits(places, 4));
        if legal { Ok(Self(Box::from(text))) } else { Err(MalformedAmount) }
    }
}

impl TryFrom<String> for Amount {
    type Error = MalformedAmount;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Amount> for String {
    fn from(amount: Amount) -> Self {
        amount.0.into_string()
    }
}

/// An ISO 4217 currency code, such as `EUR`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Currency([u8; 3]);

/// The text is no currency code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ISO 4217 currency code such as EUR")]
pub struct MalformedCurrency;

impl Currency {
    /// Three capital letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl FromStr for Currency {
    type Err = MalformedCurrency;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let letters: [u8; 3] = text.as_bytes().try_into().map_err(|_| MalformedCurrency)?;
        if !letters.iter().all(u8::is_ascii_alphabetic) {
            return Err(MalformedCurrency);
        }
        Ok(Self(letters.map(|letter| letter.to_ascii_uppercase())))
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What a code is given for. In a record it is its line ([`Context::to_line`]); the record is sealed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Context {
    /// How much.
    pub amount: Amount,
    /// Of what.
    pub currency: Currency,
    /// To whom.
    pub payee: Payee,
}

impl fmt::Debug for Context {
    /// Without what it says: who pays whom is nobody's business.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Context(***)")
    }
}

/// The line is no context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an amount, a currency and a payee")]
pub struct MalformedContext;

impl TryFrom<String> for Context {
    type Error = MalformedContext;

    fn try_from(line: String) -> Result<Self, Self::Error> {
        Self::from_line(&line).ok_or(MalformedContext)
    }
}

impl From<Context> for String {
    fn from(context: Context) -> Self {
        context.to_line().as_str().to_owned()
    }
}

impl Context {
    /// `12.50 EUR`.
    #[must_use]
    pub fn money(&self) -> String {
        format!("{} {}", self.amount.as_str(), self.currency.as_str())
    }

    /// Whether `other` is the same transaction. In constant time for texts of one length.
    #[must_use]
    pub fn is(&self, other: &Self) -> bool {
        equal(self.same().as_bytes(), other.same().as_bytes())
    }

    fn same(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{}\n{}\n{}", self.amount.plain(), self.currency.as_str(), self.payee.as_str()))
    }

    /// As it is sealed: three lines.
    #[must_use]
    pub fn to_line(&self) -> Zeroizing<String> {
        let (amount, currency, payee) = (self.amount.as_str(), self.currency.as_str(), self.payee.as_str());
        Zeroizing::new(format!("{amount}\t{currency}\t{payee}"))
    }

    /// What [`Context::to_line`] gave.
    #[must_use]
    pub fn from_line(line: &str) -> Option<Self> {
        let mut parts = line.splitn(3, '\t');
        let (amount, currency, payee) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self { amount: amount.parse().ok()?, currency: currency.parse().ok()?, payee: Payee::parse(payee).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(super) fn context(amount: &str, currency: &str, payee: &str) -> Context {
        let payee = Payee::parse(payee).unwrap();
        Context { amount: amount.parse().unwrap(), currency: currency.parse().unwrap(), payee }
    }

    #[test]
    fn the_same_transaction_may_be_written_with_other_zeros() {
        let one = context("12.50", "EUR", "Shop GmbH");
        for same in [context("12.5", "eur", "Shop GmbH"), context("0012.5000", "EUR", "Shop GmbH")] {
            assert!(one.is(&same) && one == same);
        }
        for other in [
            context("12.51", "EUR", "Shop GmbH"),
            context("125", "EUR", "Shop GmbH"),
            context("12.50", "USD", "Shop GmbH"),
            context("12.50", "EUR", "Shop  GmbH"),
        ] {
            assert!(!one.is(&other), "{}", other.money());
        }
        assert!(context("100", "EUR", "a").is(&context("100.0", "EUR", "a")));
        assert!(!context("100", "EUR", "a").is(&context("1", "EUR", "a")));
        assert!(context("0", "EUR", "a").is(&context("0.00", "EUR", "a")));
        assert_eq!(format!("{one:?}"), "Context(***)");
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in ["", ".5", "5.", "1,50", "-1", "+1", "1e3", "1234567890123", "1.23456", "1.2.3", " 1", "\u{663}"] {
            assert_eq!(bad.parse::<Amount>(), Err(MalformedAmount), "{bad}");
        }
        for bad in ["", "EU", "EURO", "E1R", "€UR"] {
            assert_eq!(bad.parse::<Currency>(), Err(MalformedCurrency), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_context_is_sealed_and_opened_as_it_was(amount in "[0-9]{1,12}(\\.[0-9]{1,4})?", payee in "[^\\p{C}\\s][^\\p{C}]{0,60}[^\\p{C}\\s]") {
            let before = context(&amount, "chf", &payee);
            let after = Context::from_line(&before.to_line()).unwrap();
            prop_assert_eq!(after.amount.as_str(), amount);
            prop_assert!(after.is(&before));
        }
    }
}
