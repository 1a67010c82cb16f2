//! What a `deliver_sm` says: the fate of a message, by its optional parameters or by its text. Knows no session.
//!
//! A message that a phone sent is never read as a receipt, whatever its text says: anybody could write one.

use crate::delivery::receipt::{CarrierId, Fate};
use crate::delivery::smpp::settings::ReceiptIds;
use crate::delivery::smpp::wire::Reader;

/// Where `esm_class` says what a message is (SMPP 3.4, section 5.2.12), and what it says of receipts.
const ESM_TYPE: u8 = 0b0011_1100;
const ESM_RECEIPT: u8 = 0b0000_0100;
const ESM_INTERMEDIATE: u8 = 0b0010_0000;
/// The header of user data stands before the text.
const ESM_HEADER: u8 = 0b0100_0000;
/// Optional parameters (section 5.3.2).
const RECEIPTED_MESSAGE_ID: u16 = 0x001E;
const NETWORK_ERROR_CODE: u16 = 0x0423;
const MESSAGE_PAYLOAD: u16 = 0x0424;
const MESSAGE_STATE: u16 = 0x0427;
/// UCS-2, in which a few centres write even receipts.
const UCS2: u8 = 8;
/// Bytes of an error code that are shown: appendix B has three.
const ERROR_BYTES: usize = 8;

/// What came in a `deliver_sm`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Delivered {
    /// A receipt.
    Receipt(CarrierId, Fate),
    /// A message of a phone.
    Message,
    /// A receipt that cannot be read, or no `deliver_sm` at all.
    Unreadable,
}

/// Reads the body of a `deliver_sm` (section 4.6.1).
pub(super) fn read(body: &[u8], ids: ReceiptIds) -> Delivered {
    let Some(fields) = Fields::read(body) else { return Delivered::Unreadable };
    let kind = fields.esm_class & ESM_TYPE;
    let said = kind == ESM_RECEIPT || kind == ESM_INTERMEDIATE;
    // Some centres leave the class empty; no phone can send these parameters.
    if !said && (fields.id.is_none() || fields.state.is_none()) {
        return Delivered::Message;
    }
    let text = fields.words();
    // The parameter is the id of the answer by definition; only texts are known to write it otherwise.
    let by_parameter = fields.id.and_then(|id| name(id, radixes(ids).0));
    let id = by_parameter.or_else(|| name(find(&text, "id")?.as_bytes(), radixes(ids).1));
    let state = fields.state.map(State::of_number).or_else(|| find(&text, "stat").map(State::of_word));
    match (id, state) {
        (Some(id), Some(State::Delivered)) => Delivered::Receipt(id, Fate::Delivered),
        (Some(id), Some(State::OnItsWay)) => Delivered::Receipt(id, Fate::OnItsWay),
        (Some(id), Some(State::Ended(word))) => {
            let error = find(&text, "err").filter(|error| is_error(error)).map(str::to_owned);
            let error = error.or_else(|| fields.network_error.map(|code| code.to_string()));
            let error = error.map(|error| format!(", error {error}")).unwrap_or_default();
            Delivered::Receipt(id, Fate::Failed(format!("SMPP {word}{error}")))
        }
        _ => Delivered::Unreadable,
    }
}

/// The id that the answer to a submit gave, as receipts will name it. None where there is none that can be.
pub(super) fn name_of_answer(id: &[u8], ids: ReceiptIds) -> Option<CarrierId> {
    name(id, radixes(ids).0)
}

/// In what the answer and the text of a receipt write a number; none where they write it alike.
const fn radixes(ids: ReceiptIds) -> (Option<u32>, Option<u32>) {
    match ids {
        ReceiptIds::Same => (None, None),
        ReceiptIds::Decimal => (Some(16), Some(10)),
        ReceiptIds::Hexadecimal => (Some(10), Some(16)),
    }
}

/// One name for a message, whichever way it is written: a number in decimal where its radix is known; else the text in
/// lower case, without the zeros before it.
fn name(id: &[u8], radix: Option<u32>) -> Option<CarrierId> {
    let text = std::str::from_utf8(id).ok()?.trim();
    let number = radix.filter(|_| !text.starts_with('+')).and_then(|radix| u128::from_str_radix(text, radix).ok());
    let plain = match text.trim_start_matches('0') {
        "" if !text.is_empty() => "0",
        plain => plain,
    };
    CarrierId::parse(&number.map_or_else(|| plain.to_ascii_lowercase(), |number| number.to_string()))
}

/// How far a message got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Delivered,
    OnItsWay,
    /// It will not arrive.
    Ended(&'static str),
}

impl State {
    /// Of `message_state` (section 5.2.28). What was accepted, or is not known, may still arrive.
    const fn of_number(state: u8) -> Self {
        match state {
            2 => Self::Delivered,
            3 => Self::Ended("EXPIRED"),
            4 => Self::Ended("DELETED"),
            5 => Self::Ended("UNDELIV"),
            8 => Self::Ended("REJECTD"),
            9 => Self::Ended("SKIPPED"),
            _ => Self::OnItsWay,
        }
    }

    /// Of the word in a text (appendix B), cut or in full.
    fn of_word(word: &str) -> Self {
        let is = |begin: &str| word.get(..begin.len()).is_some_and(|word| word.eq_ignore_ascii_case(begin));
        let ended = ["EXPIRED", "DELETED", "UNDELIV", "REJECTD", "FAILED", "SKIPPED"];
        if is("DELIV") {
            Self::Delivered
        } else if is("REJECTED") {
            Self::Ended("REJECTD")
        } else {
            ended.into_iter().find(|known| is(known)).map_or(Self::OnItsWay, Self::Ended)
        }
    }
}

/// The fields of a `deliver_sm` that matter.
#[derive(Default)]
struct Fields<'a> {
    esm_class: u8,
    data_coding: u8,
    text: &'a [u8],
    id: Option<&'a [u8]>,
    state: Option<u8>,
    network_error: Option<u16>,
}

impl<'a> Fields<'a> {
    fn read(body: &'a [u8]) -> Option<Self> {
        let mut fields = Self::default();
        let mut reader = Reader(body);
        reader.text();
        for _address in ["source", "destination"] {
            reader.bytes(2)?;
            reader.text();
        }
        fields.esm_class = reader.u8()?;
        reader.bytes(2)?;
        for _time in ["schedule_delivery_time", "validity_period"] {
            reader.text();
        }
        reader.bytes(2)?;
        fields.data_coding = reader.u8()?;
        reader.u8()?;
        let length = reader.u8()?;
        fields.text = reader.bytes(length.into())?;
        // What stands behind the last whole parameter is padding, or nothing that could be read.
        while let (Some(tag), Some(length)) = (reader.u16(), reader.u16()) {
            let Some(value) = reader.bytes(length.into()) else { break };
            match tag {
                RECEIPTED_MESSAGE_ID => fields.id = Some(Reader(value).text()).filter(|id| !id.is_empty()),
                MESSAGE_STATE => fields.state = value.first().copied(),
                NETWORK_ERROR_CODE => fields.network_error = Reader(value.get(1..).unwrap_or_default()).u16(),
                MESSAGE_PAYLOAD if fields.text.is_empty() => fields.text = value,
                _ => {}
            }
        }
        Some(fields)
    }

    /// The text, in which only ASCII is looked at.
    fn words(&self) -> String {
        let header = match self.text.first() {
            Some(length) if self.esm_class & ESM_HEADER != 0 => usize::from(*length) + 1,
            _ => 0,
        };
        let text = self.text.get(header..).unwrap_or_default();
        let ascii = |byte: &u8| if byte.is_ascii() { char::from(*byte) } else { '\u{fffd}' };
        if self.data_coding == UCS2 {
            text.iter().skip(1).step_by(2).map(ascii).collect()
        } else {
            text.iter().map(ascii).collect()
        }
    }
}

/// The value of `key` in a text such as `id:123 sub:001 dlvrd:001 … stat:DELIVRD err:000 text:…` (appendix B). What
/// stands behind `text:` is the message's own, and says nothing.
fn find<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let lower = text.to_ascii_lowercase();
    let end = lower.find("text:").unwrap_or(text.len());
    let marker = format!("{key}:");
    let begins =
        |place: &usize| lower.as_bytes().get(place.wrapping_sub(1)).is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let (place, _) = lower.get(..end)?.match_indices(&marker).find(|(place, _)| begins(place))?;
    let value = text.get(place + marker.len()..end)?.trim_start();
    let value = value.split([' ', '\r', '\n', '\0', ',', ';']).next()?;
    (!value.is_empty()).then_some(value)
}

fn is_error(code: &str) -> bool {
    code.len() <= ERROR_BYTES && code.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The body of a `deliver_sm`, by hand.
    fn body(esm_class: u8, text: &[u8], parameters: &[(u16, &[u8])]) -> Vec<u8> {
        let mut body = b"\0\x01\x014915112345678\0\x05\0ACME\0".to_vec();
        body.extend_from_slice(&[esm_class, 0, 0, 0, 0, 0, 0, 0, 0, u8::try_from(text.len()).unwrap()]);
        body.extend_from_slice(text);
        for (tag, value) in parameters {
            body.extend_from_slice(&tag.to_be_bytes());
            body.extend_from_slice(&u16::try_from(value.len()).unwrap().to_be_bytes());
            body.extend_from_slice(value);
        }
        body
    }

    fn receipt(id: &str, fate: Fate) -> Delivered {
        Delivered::Receipt(CarrierId::parse(id).unwrap(), fate)
    }

    fn failed(words: &str) -> Fate {
        Fate::Failed(words.to_owned())
    }

    #[test]
    fn receipts_are_read_by_parameters_and_by_text() {
        let full = b"id:00AF12 sub:001 dlvrd:001 submit date:2611220601 done date:2611220602 stat:DELIVRD err:000 text:Your code";
        for (body, expected) in [
            (body(4, full, &[]), receipt("af12", Fate::Delivered)),
            (body(4, b"", &[(0x1E, b"77\0"), (0x427, &[2])]), receipt("77", Fate::Delivered)),
            // Without its terminator; with a text that says another id, which the parameter goes before.
            (
                body(4, b"id:5 stat:UNDELIV err:069", &[(0x1E, b"77"), (0x427, &[5])]),
                receipt("77", failed("SMPP UNDELIV, error 069")),
            ),
            (
                body(4, b"", &[(0x1E, b"77\0"), (0x427, &[3]), (0x423, &[3, 0, 27])]),
                receipt("77", failed("SMPP EXPIRED, error 27")),
            ),
            (body(4, b"ID:77 STAT:rejectd ERR:1F", &[]), receipt("77", failed("SMPP REJECTD, error 1F"))),
            (body(4, b"id: 77 stat: EXPIRED err: a/../b", &[]), receipt("77", failed("SMPP EXPIRED"))),
            (body(0x24, b"id:77 stat:ENROUTE err:000", &[]), Delivered::Message),
            (body(0x20, b"id:77 stat:ENROUTE err:000", &[]), receipt("77", Fate::OnItsWay)),
            (body(4, b"id:77 stat:ACCEPTD", &[]), receipt("77", Fate::OnItsWay)),
            (body(4, b"id:77 stat:UNKNOWN", &[]), receipt("77", Fate::OnItsWay)),
            (body(0, b"", &[(0x1E, b"77\0"), (0x427, &[2])]), receipt("77", Fate::Delivered)),
            (body(4, b"", &[(0x424, b"id:77 stat:DELIVRD")]), receipt("77", Fate::Delivered)),
            (body(0x44, b"\x05\0\x03\x01\x01\x01id:77 stat:DELIVRD", &[]), receipt("77", Fate::Delivered)),
            (body(4, b"id:77 stat:DELIVRD", &[(0x1401, b"x")]), receipt("77", Fate::Delivered)),
            (body(4, b"the customer read it", &[]), Delivered::Unreadable),
            (body(4, b"text:id:1 stat:DELIVRD", &[]), Delivered::Unreadable),
            (body(4, b"id:1 sub:001", &[]), Delivered::Unreadable),
            // What a phone wrote is no receipt.
            (body(0, b"id:77 stat:DELIVRD err:000", &[]), Delivered::Message),
            (body(0, b"STOP", &[]), Delivered::Message),
            (Vec::new(), Delivered::Unreadable),
        ] {
            assert_eq!(read(&body, ReceiptIds::Same), expected, "{}", String::from_utf8_lossy(&body));
        }
        let mut wide = body(4, &b"id:77 stat:DELIVRD".iter().flat_map(|byte| [0, *byte]).collect::<Vec<_>>(), &[]);
        let place = wide.iter().position(|byte| *byte == 4).unwrap();
        wide[place + 7] = UCS2;
        assert_eq!(read(&wide, ReceiptIds::Same), receipt("77", Fate::Delivered));
    }

    #[test]
    fn an_id_is_the_same_however_it_is_written() {
        let text = |id: &str, ids| {
            let Delivered::Receipt(id, _) = read(&body(4, format!("id:{id} stat:DELIVRD").as_bytes(), &[]), ids) else {
                panic!()
            };
            id
        };
        for (ids, answer, written) in [
            (ReceiptIds::Same, "00A7", "a7"),
            (ReceiptIds::Same, "0", "000"),
            (ReceiptIds::Same, "c2e4-0001-Ff", "C2E4-0001-ff"),
            (ReceiptIds::Decimal, "1A2B", "0000006699"),
            (ReceiptIds::Decimal, "0x", "0X"),
            (ReceiptIds::Hexadecimal, "6699", "00001a2b"),
        ] {
            assert_eq!(name_of_answer(answer.as_bytes(), ids), Some(text(written, ids)), "{ids:?} {answer}");
        }
        // The parameter is written as the answer was.
        let by_parameter = read(&body(4, b"id:6699", &[(0x1E, b"1a2b\0"), (0x427, &[2])]), ReceiptIds::Decimal);
        assert_eq!(by_parameter, receipt("6699", Fate::Delivered));
        assert_eq!(name_of_answer(b"", ReceiptIds::Same), None);
        assert_eq!(name_of_answer("ä".as_bytes(), ReceiptIds::Same), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn anything_can_be_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            read(&bytes, ReceiptIds::Decimal);
        }

        #[test]
        fn any_text_can_be_read(
            esm_class: u8,
            text in "(id|stat|err|text|sub|:| |[0-9a-fA-F]{1,40}|DELIVRD|UNDELIV|é|\u{0}){0,12}",
            parameters in proptest::collection::vec((prop_oneof![Just(0x1E_u16), Just(0x427), Just(0x423), Just(0x424), any::<u16>()], proptest::collection::vec(any::<u8>(), 0..70)), 0..5),
        ) {
            let text: Vec<u8> = text.bytes().take(255).collect();
            let parameters: Vec<_> = parameters.iter().map(|(tag, value)| (*tag, value.as_slice())).collect();
            let whole = body(esm_class, &text, &parameters);
            for ids in [ReceiptIds::Same, ReceiptIds::Decimal, ReceiptIds::Hexadecimal] {
                if let Delivered::Receipt(_, Fate::Failed(words)) = read(&whole, ids) {
                    prop_assert!(words.len() <= 32 && words.is_ascii(), "{words}");
                }
            }
            for end in 0..whole.len() {
                read(&whole[..end], ReceiptIds::Same);
            }
        }
    }
}
