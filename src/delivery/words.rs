//! What a carrier's words may show in histories, events and logs: neither the code nor the number of the message that they are
//! about. A carrier was told both, and an error code may be made of anything. Knows nothing of who said them.

use zeroize::Zeroizing;

use crate::delivery::receipt::Fate;
use crate::otp::code::Code;
use crate::otp::phone::E164;
use crate::otp::record::{Otp, SealedContent};
use crate::secret::Keyring;

/// Digits of a number in a row that are not shown.
const DIGITS: usize = 6;
/// What is said instead.
const UNSHOWN: &str = "the carrier says that it failed";

/// Whether `words` hold the code, or a good part of the number; however they are spaced.
#[must_use]
pub fn tell(words: &str, code: &Code, number: &E164) -> bool {
    let (said, code) = (letters(words), letters(code.expose()));
    let (figures, number) = (digits(words), digits(number.as_str()));
    let mut runs = number.as_bytes().windows(DIGITS.min(number.len()).max(1));
    said.contains(code.as_str())
        || figures.contains(code.as_str())
        || runs.any(|run| std::str::from_utf8(run).is_ok_and(|run| figures.contains(run)))
}

/// What is reported of a message of `otp`, in words that may be shown.
#[must_use]
pub fn shown(fate: Fate, otp: &Otp, keyring: &Keyring) -> Fate {
    let Fate::Failed(words) = &fate else { return fate };
    let opened = otp.sealed.as_ref().and_then(|sealed| SealedContent::open(keyring, otp.id, sealed).ok());
    let is_told = match (&opened, otp.number()) {
        (Some(content), Some(number)) => tell(words, &content.code, number),
        // A code that is over cannot be compared with any more, nor a number that is gone: as many digits may be either.
        _ => digits(words).len() >= DIGITS,
    };
    if is_told { Fate::Failed(UNSHOWN.to_owned()) } else { fate }
}

/// Letters and digits alone, in lower case.
fn letters(text: &str) -> Zeroizing<String> {
    let mut letters = Zeroizing::new(String::with_capacity(text.len()));
    letters.extend(text.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()));
    letters
}

/// Digits alone.
fn digits(text: &str) -> Zeroizing<String> {
    let mut digits = Zeroizing::new(String::with_capacity(text.len()));
    digits.extend(text.chars().filter(char::is_ascii_digit));
    digits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::phone::Phone;

    #[test]
    fn words_that_tell_the_code_or_the_number_are_known_however_they_are_written() {
        let number = Phone::parse("+4915112345678", None).unwrap().number;
        for (words, code, told) in [
            ("the carrier says: failed, 519786", "519786", true),
            ("the carrier says: failed, 519.786", "519786", true),
            ("the carrier says: failed, code-519786.49151", "519786", true),
            ("the carrier says: failed, 0x519786ff", "519786", true),
            ("the carrier says: failed, E-aB3x-K9", "ab3xk9", true),
            ("the carrier says: failed, AB3XK9", "aB3xK9", true),
            ("the carrier says: failed, 1123-45", "519786", true),
            ("the carrier says: failed, 015112", "519786", false),
            ("the carrier says: failed, 0151123", "519786", true),
            ("the carrier says: failed, 51978", "519786", false),
            ("the carrier says: undelivered, 30003", "519786", false),
            ("SMPP UNDELIV, error 069", "0690", false),
            ("SMPP UNDELIV, error 0690", "0690", true),
            ("the carrier says: REJECTED, EC_ABSENT_SUBSCRIBER", "absent1", false),
        ] {
            let code = Code::parse_own(code).unwrap();
            assert_eq!(tell(words, &code, &number), told, "{words}");
        }
    }
}
