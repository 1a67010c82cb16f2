//! From a text to the bytes of `short_message`: its alphabet, its parts, the header that joins them. Knows no PDU.
//!
//! The default alphabet of GSM goes one septet a byte, unpacked, as SMPP has it (the message centre packs them); what is
//! not in it goes in UCS-2, big-endian. A long message is cut where neither an escape and its character nor a surrogate
//! pair is torn, and not within the code, where the code has room in a part: some phones show parts on their own.

use zeroize::Zeroizing;

use crate::otp::segment::{Alphabet, DEFAULT, EXTENSION};

/// The escape to the extension table (3GPP TS 23.038, section 6.2.1).
const ESCAPE: u8 = 0x1B;
/// The septets of the extension table's characters, in the order of [`EXTENSION`] (section 6.2.1.1).
const EXTENSION_SEPTETS: [u8; 10] = [0x0A, 0x14, 0x28, 0x29, 0x2F, 0x3C, 0x3D, 0x3E, 0x40, 0x65];
/// Parts of a message: their count is one byte.
const PARTS: usize = 255;

/// Names the whole that parts belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reference {
    /// In one byte.
    Eight(u8),
    /// In two.
    Sixteen(u16),
}

impl Reference {
    /// The user data header of part `number` of `count` (3GPP TS 23.040, sections 9.2.3.24.1 and 9.2.3.24.8).
    fn header(self, count: u8, number: u8) -> Vec<u8> {
        match self {
            Self::Eight(reference) => vec![5, 0x00, 3, reference, count, number],
            Self::Sixteen(reference) => {
                let [high, low] = reference.to_be_bytes();
                vec![6, 0x08, 4, high, low, count, number]
            }
        }
    }

    /// Units of the alphabet that a part with this header carries: what 140 bytes leave, in whole septets or units.
    const fn room(self, alphabet: Alphabet) -> usize {
        match (self, alphabet) {
            (Self::Eight(_), _) => alphabet.chained(),
            // Seven bytes of header: 133 bytes are 152 septets, or 66 units.
            (Self::Sixteen(_), Alphabet::Gsm7) => 152,
            (Self::Sixteen(_), Alphabet::Ucs2) => 66,
        }
    }
}

/// A text as it goes over the wire.
pub(super) struct Encoded {
    /// What it is written in.
    pub(super) alphabet: Alphabet,
    /// The bytes of each `short_message`, in order; with a header where there are several.
    pub(super) parts: Vec<Zeroizing<Vec<u8>>>,
}

/// The text takes more parts than a message can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// Encodes `text`, in which `code` is kept in one piece where it can be.
pub(super) fn encode(text: &str, code: &str, reference: Reference) -> Result<Encoded, TooLong> {
    let alphabet = Alphabet::of(text);
    let whole = bytes(alphabet, text);
    let units = whole.len() / width(alphabet);
    if units <= alphabet.alone() {
        return Ok(Encoded { alphabet, parts: vec![whole] });
    }
    let cut = split(text, code, alphabet, reference.room(alphabet));
    let count = u8::try_from(cut.len().min(PARTS + 1)).map_err(|_| TooLong)?;
    let part = |(number, text): (u8, &str)| {
        let mut part = Zeroizing::new(reference.header(count, number));
        // In one go: a growing vector would leave copies of the code behind.
        let body = bytes(alphabet, text);
        part.reserve_exact(body.len());
        part.extend_from_slice(&body);
        part
    };
    Ok(Encoded { alphabet, parts: (1..=count).zip(cut).map(part).collect() })
}

/// Bytes of a unit on the wire.
const fn width(alphabet: Alphabet) -> usize {
    match alphabet {
        Alphabet::Gsm7 => 1,
        Alphabet::Ucs2 => 2,
    }
}

fn split<'a>(text: &'a str, code: &str, alphabet: Alphabet, room: usize) -> Vec<&'a str> {
    let codes: Vec<_> = match code {
        "" => Vec::new(),
        code => text.match_indices(code).map(|(start, code)| (start, start + code.len())).collect(),
    };
    let mut parts = Vec::new();
    let (mut start, mut units) = (0, 0);
    for (index, character) in text.char_indices() {
        let more = character_units(alphabet, character);
        if units + more > room {
            let torn = codes.iter().find(|(from, to)| *from < index && index < *to && *from > start);
            let end = torn.map_or(index, |(from, _)| *from);
            parts.extend(text.get(start..end));
            units = text.get(end..index).unwrap_or_default().chars().map(|one| character_units(alphabet, one)).sum();
            start = end;
        }
        units += more;
    }
    parts.extend(text.get(start..));
    parts
}

fn character_units(alphabet: Alphabet, character: char) -> usize {
    match alphabet {
        Alphabet::Gsm7 if EXTENSION.contains(character) => 2,
        Alphabet::Gsm7 => 1,
        Alphabet::Ucs2 => character.len_utf16(),
    }
}

/// The bytes of `text`, all of whose characters are in `alphabet`.
fn bytes(alphabet: Alphabet, text: &str) -> Zeroizing<Vec<u8>> {
    let units: usize = text.chars().map(|character| character_units(alphabet, character)).sum();
    let mut bytes = Zeroizing::new(Vec::with_capacity(units * width(alphabet)));
    match alphabet {
        Alphabet::Gsm7 => {
            for character in text.chars() {
                match EXTENSION.chars().zip(EXTENSION_SEPTETS).find(|(known, _)| *known == character) {
                    Some((_, septet)) => bytes.extend_from_slice(&[ESCAPE, septet]),
                    None => bytes.push(septet(character)),
                }
            }
        }
        Alphabet::Ucs2 => bytes.extend(text.encode_utf16().flat_map(u16::to_be_bytes)),
    }
    bytes
}

/// The septet of a character of the default alphabet. Digits and letters stand where ASCII has them.
fn septet(character: char) -> u8 {
    if character.is_ascii_alphanumeric() || character == ' ' {
        return u8::try_from(character).unwrap_or(b'?');
    }
    let place = DEFAULT.chars().position(|known| known == character).and_then(|place| u8::try_from(place).ok());
    match place {
        Some(place) if place < ESCAPE => place,
        // The table leaves the escape out.
        Some(place) => place + 1,
        // Not reached: the alphabet is that of the text.
        None => b'?',
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(text: &str, code: &str) -> Vec<Vec<u8>> {
        encode(text, code, Reference::Eight(0x2A)).unwrap().parts.iter().map(|part| part.to_vec()).collect()
    }

    /// The tables of 3GPP TS 23.038 section 6.2.1, written out anew: row by row, 16 septets a row.
    const ROWS: [&str; 8] = [
        "@£$¥èéùìòÇ\nØø\rÅå",
        "Δ_ΦΓΛΩΠΨΣΘΞ\u{1b}ÆæßÉ",
        " !\"#¤%&'()*+,-./",
        "0123456789:;<=>?",
        "¡ABCDEFGHIJKLMNO",
        "PQRSTUVWXYZÄÖÑÜ§",
        "¿abcdefghijklmno",
        "pqrstuvwxyzäöñüà",
    ];

    fn decode_septets(bytes: &[u8]) -> String {
        let mut text = String::new();
        let mut bytes = bytes.iter();
        while let Some(byte) = bytes.next() {
            text.push(match byte {
                0x1B => match bytes.next().unwrap() {
                    0x0A => '\u{c}',
                    0x14 => '^',
                    0x28 => '{',
                    0x29 => '}',
                    0x2F => '\\',
                    0x3C => '[',
                    0x3D => '~',
                    0x3E => ']',
                    0x40 => '|',
                    0x65 => '€',
                    other => panic!("no extension {other:#x}"),
                },
                byte => ROWS[usize::from(byte >> 4)].chars().nth(usize::from(byte & 15)).unwrap(),
            });
        }
        text
    }

    fn decode(alphabet: Alphabet, bytes: &[u8]) -> String {
        match alphabet {
            Alphabet::Gsm7 => decode_septets(bytes),
            Alphabet::Ucs2 => {
                let units: Vec<_> = bytes.chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect();
                String::from_utf16(&units).expect("no pair is torn")
            }
        }
    }

    #[test]
    fn the_whole_alphabet_is_the_standard_s() {
        let all: String = ROWS.concat().replace('\u{1b}', "");
        assert_eq!(all, DEFAULT);
        for text in [&all[..all.len() / 2], "@£$¥ Ü§¿ñà", "^{}\\[~]|€\u{c}"] {
            assert_eq!(decode_septets(&encoded(text, "")[0]), text);
        }
        assert_eq!(encoded("@è\r_Δ É!A¡ü", ""), [[0x00, 0x04, 0x0D, 0x11, 0x10, 0x20, 0x1F, 0x21, 0x41, 0x40, 0x7E]]);
        assert_eq!(encoded("5€[", ""), [[0x35, 0x1B, 0x65, 0x1B, 0x3C]]);
        assert_eq!(encoded("я😀", ""), [[0x04, 0x4F, 0xD8, 0x3D, 0xDE, 0x00]]);
    }

    #[test]
    fn parts_carry_the_header_of_the_standard() {
        let parts = encoded(&"a".repeat(161), "");
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [159, 6 + 8]);
        assert_eq!(parts[0][..7], [5, 0, 3, 0x2A, 2, 1, b'a']);
        assert_eq!(parts[1][..7], [5, 0, 3, 0x2A, 2, 2, b'a']);
        let wide = encode(&"я".repeat(71), "", Reference::Sixteen(0x1234)).unwrap();
        assert_eq!(wide.parts[0][..9], [6, 8, 4, 0x12, 0x34, 2, 1, 0x04, 0x4F]);
        assert_eq!((wide.parts[0].len(), wide.parts[1].len()), (7 + 132, 7 + 10));
    }

    #[test]
    fn the_code_is_not_cut_in_two() {
        let text = format!("{}123456 is your code", "a".repeat(150));
        let parts = encoded(&text, "123456");
        assert_eq!(parts[0].len(), 6 + 150);
        assert!(parts[1][6..].starts_with(b"123456"));
        // One that has no room in a part is cut all the same.
        assert_eq!(encoded(&"1".repeat(200), &"1".repeat(200)).len(), 2);
    }

    #[test]
    fn what_no_message_can_hold_is_refused() {
        assert!(encode(&"a".repeat(255 * 153), "", Reference::Eight(0)).is_ok());
        assert!(encode(&"a".repeat(255 * 153 + 1), "", Reference::Eight(0)).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_encoded_reads_back_and_every_part_fits(
            before in prop_oneof!["[a-zàé€~\\[\\]{}^|\n]{0,400}", "[a-zя😀€𝄞]{0,200}", ".{0,300}"],
            code in "[0-9]{4,10}",
            after in prop_oneof!["[a-z€]{0,200}", "[я😀]{0,100}"],
            wide: bool,
        ) {
            let text = format!("{before}{code}{after}");
            let reference = if wide { Reference::Sixteen(0xBEEF) } else { Reference::Eight(0xBE) };
            let encoded = encode(&text, &code, reference).unwrap();
            let count = encoded.parts.len();
            let header = match (count, wide) { (1, _) => 0, (_, false) => 6, (_, true) => 7 };
            let mut read = String::new();
            let mut whole = false;
            for (index, part) in encoded.parts.iter().enumerate() {
                let (head, body) = part.split_at(header);
                if header > 0 {
                    prop_assert_eq!(usize::from(head[0]) + 1, header);
                    prop_assert_eq!(&head[header - 2..], [u8::try_from(count).unwrap(), u8::try_from(index + 1).unwrap()]);
                }
                // 140 bytes on the air, septets packed behind the header's own septets.
                let fits = match encoded.alphabet {
                    Alphabet::Gsm7 => (header * 8).div_ceil(7) + body.len() <= 160,
                    Alphabet::Ucs2 => header + body.len() <= 140,
                };
                prop_assert!(fits, "{} bytes", part.len());
                let text = decode(encoded.alphabet, body);
                whole |= text.contains(&code);
                read.push_str(&text);
            }
            prop_assert_eq!(read, text);
            prop_assert!(whole, "the code is in one part");
        }
    }
}
