//! One-time codes: how they are made, given by a caller, and compared. Knows nothing of storage or messages.

use rand::RngExt as _;
use zeroize::Zeroizing;

use crate::otp::context::Context;
use crate::secret::{Entropy, EntropyRng, equal};

/// Characters of an alphanumeric code: lower-case letters and digits (the contract's "alphanumeric").
const ALPHANUMERIC: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const DIGITS: &[u8; 10] = b"0123456789";

/// How a generated code looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodePolicy {
    /// Digits only, or lower-case letters too.
    pub alphanumeric: bool,
    /// Characters, 4 to 10.
    pub length: PinLength,
}

/// The length of a generated code, 4 to 10 characters; 6 by default (NIST SP 800-63B-4 section 3.1.3 asks for six digits).
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct PinLength(u8);

/// The length is not 4 to 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("4 to 10")]
pub struct PinLengthOutOfRange;

impl PinLength {
    /// # Errors
    /// [`PinLengthOutOfRange`] for anything but 4 to 10.
    pub fn new(length: u64) -> Result<Self, PinLengthOutOfRange> {
        match u8::try_from(length) {
            Ok(length @ 4..=10) => Ok(Self(length)),
            _ => Err(PinLengthOutOfRange),
        }
    }

    /// Characters.
    #[must_use]
    pub const fn get(self) -> u8 {
        self.0
    }
}

impl Default for PinLength {
    fn default() -> Self {
        Self(6)
    }
}

impl TryFrom<u64> for PinLength {
    type Error = PinLengthOutOfRange;

    fn try_from(length: u64) -> Result<Self, Self::Error> {
        Self::new(length)
    }
}

impl From<PinLength> for u64 {
    fn from(length: PinLength) -> Self {
        length.0.into()
    }
}

/// A one-time code: 1 to 11 letters or digits. Redacts and wipes itself; leading zeros are part of it.
#[derive(Clone)]
pub struct Code(Zeroizing<String>);

impl std::fmt::Debug for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Code(***)")
    }
}

/// The text is no code of a caller's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("4 to 11 letters or digits")]
pub struct MalformedCode;

impl Code {
    /// Draws a code; each one that the policy allows is equally likely.
    #[must_use]
    pub fn generate(policy: CodePolicy, entropy: &dyn Entropy) -> Self {
        let alphabet: &[u8] = if policy.alphanumeric { ALPHANUMERIC } else { DIGITS };
        let mut rng = EntropyRng(entropy);
        let mut code = Zeroizing::new(String::with_capacity(11));
        for _ in 0..policy.length.get() {
            // rand rejects the uneven rest of the range, so no character is favoured.
            let index = rng.random_range(0..alphabet.len());
            code.push(alphabet.get(index).map_or('0', |character| char::from(*character)));
        }
        Self(code)
    }

    /// A caller's own code: 4 to 11 ASCII letters or digits (the contract's send parameter `otpCode`).
    ///
    /// # Errors
    /// [`MalformedCode`] for anything else.
    pub fn parse_own(text: &str) -> Result<Self, MalformedCode> {
        if (4..=11).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            Ok(Self(Zeroizing::new(text.to_owned())))
        } else {
            Err(MalformedCode)
        }
    }

    /// Zeros of this length: nobody's code, for measuring a text.
    #[must_use]
    pub fn zeros(length: PinLength) -> Self {
        Self(Zeroizing::new("0".repeat(length.get().into())))
    }

    /// From the bytes that were sealed.
    #[must_use]
    pub fn from_sealed(bytes: &[u8]) -> Self {
        Self(Zeroizing::new(String::from_utf8_lossy(bytes).into_owned()))
    }

    /// The characters, for the message that carries them and for sealing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `entered` is this code, in constant time for its length.
    #[must_use]
    pub fn matches(&self, entered: &EnteredCode) -> bool {
        let entered = entered.text.as_str();
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        // A client that types the code as a number has lost its leading zeros (the certified connector does).
        if entered.len() < self.0.len() && !entered.is_empty() && digits(&self.0) && digits(entered) {
            let padded = Zeroizing::new(format!("{entered:0>width$}", width = self.0.len()));
            return equal(self.0.as_bytes(), padded.as_bytes());
        }
        equal(self.0.as_bytes(), entered.as_bytes())
    }
}

/// What a person typed. Anything may be typed; white space around it is dropped, and 64 bytes are kept.
pub struct EnteredCode {
    text: Zeroizing<String>,
    /// What it is entered for.
    pub(super) context: Option<Context>,
    /// Whether nothing was typed: then there is nothing to compare.
    pub(super) is_missing: bool,
}

impl EnteredCode {
    /// Takes what was typed.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = text.trim();
        let end = text.char_indices().map(|(index, _)| index).find(|index| *index >= 64).unwrap_or(text.len());
        let text = Zeroizing::new(text.get(..end).unwrap_or_default().to_owned());
        Self { text, context: None, is_missing: false }
    }

    /// No code at all: for a caller who may leave it out where it is not looked at.
    #[must_use]
    pub fn missing() -> Self {
        Self { text: Zeroizing::default(), context: None, is_missing: true }
    }

    /// The same, entered for this.
    #[must_use]
    pub fn given_for(self, context: Option<Context>) -> Self {
        Self { context, ..self }
    }
}

impl std::fmt::Debug for EnteredCode {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("EnteredCode(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::SystemEntropy;

    fn code(text: &str) -> Code {
        Code::parse_own(text).unwrap()
    }

    #[test]
    fn codes_follow_their_policy_and_keep_leading_zeros() {
        for length in 4..=10 {
            for alphanumeric in [false, true] {
                let policy = CodePolicy { alphanumeric, length: PinLength::new(length).unwrap() };
                let mut leading_zero = false;
                for _ in 0..2_000 {
                    let code = Code::generate(policy, &SystemEntropy);
                    assert_eq!(code.expose().len(), usize::try_from(length).unwrap());
                    assert!(
                        code.expose()
                            .bytes()
                            .all(|byte| byte.is_ascii_digit() || alphanumeric && byte.is_ascii_lowercase())
                    );
                    leading_zero |= code.expose().starts_with('0');
                }
                assert!(leading_zero);
            }
        }
        assert!(PinLength::new(3).is_err() && PinLength::new(11).is_err());
    }

    #[test]
    fn every_digit_is_equally_likely() {
        let policy = CodePolicy { alphanumeric: false, length: PinLength::new(10).unwrap() };
        let mut counts = [0_f64; 10];
        for _ in 0..20_000 {
            for byte in Code::generate(policy, &SystemEntropy).expose().bytes() {
                counts[usize::from(byte - b'0')] += 1.0;
            }
        }
        let expected = 20_000.0;
        let chi_square: f64 = counts.iter().map(|count| (count - expected).powi(2) / expected).sum();
        // 9 degrees of freedom: above 41.6 once in 260,000 runs.
        assert!(chi_square < 41.6, "chi square {chi_square}, counts {counts:?}");
    }

    #[test]
    fn a_number_that_lost_its_leading_zeros_still_matches() {
        assert!(code("012345").matches(&EnteredCode::new("12345")));
        assert!(code("000001").matches(&EnteredCode::new("1")));
        assert!(code("012345").matches(&EnteredCode::new(" 012345 ")));
        for wrong in ["112345", "0012345", "", "12346", "01234a", "2345"] {
            assert!(!code("012345").matches(&EnteredCode::new(wrong)), "{wrong}");
        }
        assert!(!code("0abc1").matches(&EnteredCode::new("abc1")), "only digits are padded");
        assert!(!code("0000").matches(&EnteredCode::missing()));
    }

    #[test]
    fn own_codes_are_checked() {
        for bad in ["123", "123456789012", "12 34", "12-34", "１２３４"] {
            assert!(Code::parse_own(bad).is_err(), "{bad}");
        }
        assert_eq!(format!("{:?}", code("1234")), "Code(***)");
        assert_eq!(EnteredCode::new(&"é".repeat(100)).text.len(), 64);
    }
}
