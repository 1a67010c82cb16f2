//! What a form of the page sends: which button was pressed, and the code as a person types it. Must not know what a step does.

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

/// The largest form in bytes. The largest that the page itself sends has some 250.
pub(super) const FORM_BYTES: usize = 2 * 1024;

/// The button that was pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Check the code.
    Enter,
    /// Send the first code.
    Begin,
    /// Send a text message more.
    Again,
    /// Read the code out by a call, as the first message or a further one.
    Voice,
    /// The number is somebody else's.
    NotMe,
}

impl Action {
    /// All of them.
    const ALL: [Self; 5] = [Self::Enter, Self::Begin, Self::Again, Self::Voice, Self::NotMe];

    /// The button's value.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::Begin => "begin",
            Self::Again => "again",
            Self::Voice => "voice",
            Self::NotMe => "not_me",
        }
    }
}

/// A form.
pub(super) struct Form {
    /// Which button.
    pub(super) action: Action,
    /// The code, without spaces and dashes, its digits those of ASCII; empty where none was typed.
    pub(super) code: Zeroizing<String>,
    /// How many tries were left when the page was made.
    pub(super) turn: String,
}

impl Form {
    /// Reads `application/x-www-form-urlencoded`. None where no known button was pressed.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut action, mut code, mut turn) = (None, Zeroizing::default(), String::new());
        for pair in text.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let spaced = Zeroizing::new(value.replace('+', " "));
            let value = Zeroizing::new(percent_decode_str(&spaced).decode_utf8().ok()?.into_owned());
            match name {
                "action" => action = Action::ALL.into_iter().find(|known| known.as_str() == value.as_str()),
                "code" => code = plain(&value),
                "turn" => turn = value.as_str().to_owned(),
                _ => {}
            }
        }
        Some(Self { action: action?, code, turn })
    }
}

/// The zeros of the digits that keyboards write: Arabic, Persian and Urdu, those of India, Thai, Lao, Burmese, Khmer, and full
/// width.
const ZEROS: [char; 17] = ['٠', '۰', '०', '০', '੦', '૦', '୦', '௦', '౦', '೦', '൦', '๐', '໐', '၀', '០', '෦', '０'];

/// The code that a person means: spaces, dashes and dots are how it was shown, and digits are digits in every script.
fn plain(typed: &str) -> Zeroizing<String> {
    let mut code = Zeroizing::new(String::with_capacity(typed.len()));
    for letter in typed.chars() {
        let beside = letter.is_whitespace()
            || letter.is_control()
            || matches!(letter, '-' | '.' | '\u{2010}'..='\u{2015}' | '\u{200b}'..='\u{200f}' | '\u{2066}'..='\u{2069}');
        if beside {
            continue;
        }
        let digit = ZEROS.iter().find_map(|zero| {
            let digit = u32::from(letter).checked_sub(u32::from(*zero)).filter(|digit| *digit < 10)?;
            char::from_digit(digit, 10)
        });
        code.push(digit.unwrap_or(letter));
    }
    code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_as_it_is_meant() {
        for (typed, meant) in [
            ("012345", "012345"),
            (" 012 345 ", "012345"),
            ("012-345", "012345"),
            ("012–345", "012345"),
            ("٠١٢٣٤٥", "012345"),
            ("۰۱۲۳۴۵", "012345"),
            ("०१२३४५", "012345"),
            ("０１２３４５", "012345"),
            ("\u{2066}012345\u{2069}", "012345"),
            ("ab12c", "ab12c"),
            ("", ""),
        ] {
            assert_eq!(*plain(typed), *meant, "{typed}");
        }
        for zero in ZEROS {
            assert!(zero.is_numeric() && *plain(&zero.to_string()) == *"0", "{zero}");
        }
    }

    #[test]
    fn a_form_names_a_button() {
        let form = Form::parse(b"turn=3&code=01+23%2045&action=enter").unwrap();
        assert_eq!((form.action, form.code.as_str(), form.turn.as_str()), (Action::Enter, "012345", "3"));
        assert!(Form::parse(b"action=enter&by=script").is_some(), "a field that is not known does not matter");
        for action in Action::ALL {
            assert_eq!(Form::parse(format!("action={}", action.as_str()).as_bytes()).unwrap().action, action);
        }
        for bad in [&b""[..], b"code=1", b"action=", b"action=ENTER", b"action=enter&code=%ff", b"\xff"] {
            assert!(Form::parse(bad).is_none(), "{bad:?}");
        }
    }
}
