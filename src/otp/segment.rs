//! How many text messages a text takes: its alphabet, and where it is cut. Knows no template and no carrier.
//!
//! A text goes in the default alphabet of 3GPP TS 23.038 (section 6.2.1, septets) when every character is in it or in its
//! extension table (two septets: an escape and a character), else in UCS-2 (16-bit units). A message carries 140 bytes;
//! in a chain of messages six of them are the header that joins the parts (3GPP TS 23.040 section 9.2.3.24).

use std::iter::FusedIterator;

/// The characters of the default alphabet in the order of their septets, without the escape (0x1B).
pub const DEFAULT: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// The characters of its extension table in the order of their septets, each written behind an escape.
pub const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// What the characters of a message are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alphabet {
    /// Septets: 160 in one message, 153 in each of a chain.
    Gsm7,
    /// 16-bit units: 70 in one message, 67 in each of a chain.
    Ucs2,
}

impl Alphabet {
    /// The one that `text` needs.
    #[must_use]
    pub fn of(text: &str) -> Self {
        if text.chars().all(|character| septets(character).is_some()) { Self::Gsm7 } else { Self::Ucs2 }
    }

    /// Its usual name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gsm7 => "GSM-7",
            Self::Ucs2 => "UCS-2",
        }
    }

    /// Units that one message carries alone.
    #[must_use]
    pub const fn alone(self) -> usize {
        match self {
            Self::Gsm7 => 160,
            Self::Ucs2 => 70,
        }
    }

    /// Units that each message of a chain carries.
    #[must_use]
    pub const fn chained(self) -> usize {
        match self {
            Self::Gsm7 => 153,
            Self::Ucs2 => 67,
        }
    }

    fn units(self, character: char) -> usize {
        match self {
            // A character that is in no table is not asked for: the alphabet is that of the text.
            Self::Gsm7 => septets(character).unwrap_or(1),
            Self::Ucs2 => character.len_utf16(),
        }
    }
}

/// How much a text takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What it is written in.
    pub alphabet: Alphabet,
    /// Septets or 16-bit units, without the headers of a chain.
    pub units: usize,
    /// Messages, at least 1.
    pub segments: usize,
}

impl Extent {
    /// That of `text`.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let parts = split(text);
        let alphabet = parts.alphabet;
        let units = text.chars().map(|character| alphabet.units(character)).sum();
        Self { alphabet, units, segments: parts.count().max(1) }
    }
}

/// The parts that a text is sent in, in order. Neither an escaped character nor a surrogate pair is cut in two.
#[must_use]
pub fn split(text: &str) -> Parts<'_> {
    let alphabet = Alphabet::of(text);
    let units: usize = text.chars().map(|character| alphabet.units(character)).sum();
    let room = if units <= alphabet.alone() { alphabet.alone() } else { alphabet.chained() };
    Parts { rest: text, alphabet, room }
}

/// The parts of a text.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    rest: &'a str,
    alphabet: Alphabet,
    room: usize,
}

impl<'a> Iterator for Parts<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<Self::Item> {
        let mut units = 0;
        let end = self.rest.char_indices().find_map(|(index, character)| {
            units += self.alphabet.units(character);
            (units > self.room).then_some(index)
        });
        let (part, rest) = self.rest.split_at_checked(end.unwrap_or(self.rest.len()))?;
        self.rest = rest;
        (!part.is_empty()).then_some(part)
    }
}

impl FusedIterator for Parts<'_> {}

/// The septets of a character; none when it is not in the default alphabet.
fn septets(character: char) -> Option<usize> {
    match character {
        // Most of what is asked, without the search: letters, digits and what stands between them.
        'a'..='z' | 'A'..='Z' | ' '..='#' | '%'..='?' => Some(1),
        _ if DEFAULT.contains(character) => Some(1),
        _ if EXTENSION.contains(character) => Some(2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn extent(text: &str) -> (&'static str, usize, usize) {
        let extent = Extent::of(text);
        (extent.alphabet.as_str(), extent.units, extent.segments)
    }

    #[test]
    fn the_tables_are_the_standards() {
        // 128 places, of which one is the escape; ten characters behind it.
        assert_eq!((DEFAULT.chars().count(), EXTENSION.chars().count()), (127, 10));
        for character in DEFAULT.chars() {
            assert_eq!(septets(character), Some(1), "{character:?}");
        }
        // Near misses: lower-case ç, capital È, the accents of Spanish and Polish, the typographic apostrophe.
        for character in ['ç', 'È', 'á', 'í', 'ó', 'ú', 'ł', '’', '`', '\t', 'α', '\u{a0}'] {
            assert_eq!(septets(character), None, "{character:?}");
        }
    }

    #[test]
    fn segments_at_their_limits() {
        assert_eq!(extent(""), ("GSM-7", 0, 1));
        assert_eq!(extent(&"a".repeat(160)), ("GSM-7", 160, 1));
        assert_eq!(extent(&"a".repeat(161)), ("GSM-7", 161, 2));
        assert_eq!(extent(&"a".repeat(306)), ("GSM-7", 306, 2));
        assert_eq!(extent(&"a".repeat(307)), ("GSM-7", 307, 3));
        assert_eq!(extent(&"€".repeat(80)), ("GSM-7", 160, 1));
        // 153 is odd: an escaped character that does not fit moves on, so a part holds 76 of them.
        assert_eq!(extent(&"€".repeat(81)), ("GSM-7", 162, 2));
        assert_eq!(extent(&"€".repeat(153)), ("GSM-7", 306, 3));
        assert_eq!(extent(&"я".repeat(70)), ("UCS-2", 70, 1));
        assert_eq!(extent(&"я".repeat(71)), ("UCS-2", 71, 2));
        assert_eq!(extent(&"я".repeat(135)), ("UCS-2", 135, 3));
        assert_eq!(extent(&"😀".repeat(35)), ("UCS-2", 70, 1));
        // 67 is odd too: 33 pairs a part.
        assert_eq!(extent(&"😀".repeat(67)), ("UCS-2", 134, 3));
    }

    /// The standard's rule by hand: units put one after the other, a character never on two parts.
    fn naive(text: &str) -> Vec<usize> {
        let in_table = |character: char| DEFAULT.contains(character) || EXTENSION.contains(character);
        let (gsm, alone, chained) = if text.chars().all(in_table) { (true, 160, 153) } else { (false, 70, 67) };
        let width = |character: char| match gsm {
            true if EXTENSION.contains(character) => 2,
            true => 1,
            false => character.encode_utf16(&mut [0; 2]).len(),
        };
        let all: usize = text.chars().map(width).sum();
        if all <= alone {
            return vec![all];
        }
        let mut parts = vec![0];
        for character in text.chars() {
            if parts[parts.len() - 1] + width(character) > chained {
                parts.push(0);
            }
            let last = parts.len() - 1;
            parts[last] += width(character);
        }
        parts
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn segments_lose_nothing_and_agree_with_a_naive_count(
            text in prop_oneof!["[a-zàé€~\\[\\]{}^|\n]{0,500}", "[a-zя😀€𝄞]{0,300}", ".{0,400}"],
        ) {
            let parts: Vec<_> = split(&text).collect();
            prop_assert_eq!(parts.concat(), text.clone());
            let expected = naive(&text);
            let extent = Extent::of(&text);
            prop_assert_eq!(extent.segments, expected.len());
            prop_assert_eq!(extent.units, expected.iter().sum::<usize>());
            let room = if parts.len() > 1 { extent.alphabet.chained() } else { extent.alphabet.alone() };
            for (part, units) in parts.iter().zip(expected) {
                let here: usize = part.chars().map(|character| extent.alphabet.units(character)).sum();
                prop_assert!(here == units && here <= room);
            }
        }
    }
}
