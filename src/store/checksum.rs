//! Text and bytes that carry a checksum. SQLite checks the pages of its log, not those of the database file: a bit that the disk
//! turned over in there would make one count of attempts another one, and nobody would know.
//!
//! It finds damage, not malice: whoever can write the file can write the checksum.

use std::fmt::Write as _;

/// Between the text and its checksum.
const MARK: char = '~';
/// Digits of a checksum.
const DIGITS: usize = 16;

/// `text` with its checksum.
pub(super) fn sealed(mut text: String) -> String {
    let sum = sum(text.as_bytes());
    // Writing to a string cannot fail.
    let _written = write!(text, "{MARK}{sum:016x}");
    text
}

/// The text that was sealed; none when a byte of it or of its checksum is another.
pub(super) fn opened(sealed: &str) -> Option<&str> {
    let (text, digits) = sealed.rsplit_once(MARK)?;
    let whole = digits.len() == DIGITS && digits == format!("{:016x}", sum(text.as_bytes()));
    whole.then_some(text)
}

/// Puts the checksum of `bytes` behind them.
pub(super) fn append(bytes: &mut Vec<u8>) {
    let sum = sum(bytes);
    bytes.extend_from_slice(&sum.to_le_bytes());
}

/// The bytes before the checksum; none when one of them or of the checksum is another.
pub(super) fn checked(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, found) = bytes.split_last_chunk()?;
    (u64::from_le_bytes(*found) == sum(bytes)).then_some(bytes)
}

/// Eight bytes a step, and each step can be undone: a difference within one step always shows in the end.
fn sum(bytes: &[u8]) -> u64 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    for (to, from) in last.iter_mut().zip(rest) {
        *to = *from;
    }
    for word in words.iter().chain([&last]) {
        sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(32);
    }
    sum ^ u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bit_counts() {
        for text in ["", "{}", r#"{"attempts":1,"status":"ACTIVE"}"#, "seven b", "eight by", "nine byte"] {
            let whole = sealed(text.to_owned());
            assert_eq!(opened(&whole), Some(text));
            for at in 0..whole.len() * 8 {
                let mut bytes = whole.clone().into_bytes();
                bytes[at / 8] ^= 1 << (at % 8);
                let other = String::from_utf8(bytes);
                assert!(other.is_err() || other.is_ok_and(|other| opened(&other).is_none()), "bit {at} of {whole}");
            }
            let mut bytes = text.as_bytes().to_vec();
            append(&mut bytes);
            assert_eq!(checked(&bytes), Some(text.as_bytes()));
            for at in 0..bytes.len() * 8 {
                let mut other = bytes.clone();
                other[at / 8] ^= 1 << (at % 8);
                assert_eq!(checked(&other), None, "bit {at} of {bytes:?}");
            }
            for end in 0..whole.len() {
                assert_eq!(opened(&whole[..end]), None);
            }
        }
    }
}
