//! Placeholders: how a message's text is taken apart into words and places. Knows nothing of what stands in them.
//!
//! `{{OTP}}` stands for the code and `{{SEC}}` for its lifetime in seconds (both from the contract), `{{MIN}}` for that in
//! whole minutes, at least one, `{{BRAND}}` for who sends it, `{{AMOUNT}}` and `{{PAYEE}}` for what it is for, `{{LINK}}` for the
//! page of the verification that it was sent for.

/// What a placeholder stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Placeholder {
    Code,
    Seconds,
    Minutes,
    Brand,
    Amount,
    Payee,
    Link,
}

impl Placeholder {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "OTP" => Self::Code,
            "SEC" => Self::Seconds,
            "MIN" => Self::Minutes,
            "BRAND" => Self::Brand,
            "AMOUNT" => Self::Amount,
            "PAYEE" => Self::Payee,
            "LINK" => Self::Link,
            _ => return None,
        })
    }
}

/// Why a text cannot be taken apart. Places count characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misplaced {
    /// A placeholder that does not exist.
    #[error(
        "a text whose placeholders are {{{{OTP}}}}, {{{{SEC}}}}, {{{{MIN}}}}, {{{{BRAND}}}}, {{{{AMOUNT}}}}, {{{{PAYEE}}}} and {{{{LINK}}}}; the one at character {0} is another"
    )]
    Unknown(usize),
    /// A placeholder that does not end.
    #[error("a text that closes its placeholders; the {{{{ at character {0} has no }}}}")]
    Unclosed(usize),
    /// A placeholder that does not begin.
    #[error("a text that opens its placeholders; the }}}} at character {0} has no {{{{")]
    Unopened(usize),
}

/// A piece of a template.
pub(super) enum Piece<'a> {
    Text(&'a str),
    Place(Placeholder),
}

/// Takes a text apart, up to its end or to what is wrong with it; then the rest, as it is written, is the last piece.
pub(super) fn walk<'a>(text: &'a str, mut piece: impl FnMut(Piece<'a>)) -> Result<(), Misplaced> {
    let mut rest = text;
    // Of the part of the text from `tail` on: which character it begins with.
    let place = |tail: &str| text.chars().count() - tail.chars().count() + 1;
    let error = loop {
        let (before, after) = rest.split_once("{{").map_or((rest, None), |(before, after)| (before, Some(after)));
        if let Some(index) = before.find("}}") {
            break Misplaced::Unopened(place(rest.get(index..).unwrap_or_default()));
        }
        let Some(after) = after else {
            piece(Piece::Text(rest));
            return Ok(());
        };
        let opened = place(after) - 2;
        let Some((name, behind)) = after.split_once("}}").filter(|(name, _)| !name.contains("{{")) else {
            break Misplaced::Unclosed(opened);
        };
        let Some(placeholder) = Placeholder::named(name) else { break Misplaced::Unknown(opened) };
        piece(Piece::Text(before));
        piece(Piece::Place(placeholder));
        rest = behind;
    };
    piece(Piece::Text(rest));
    Err(error)
}

/// What stands where the address of a page belongs.
const LINK: &str = "{{LINK}}";

/// A text without the places of an address that there is not. Of the white space on both sides of one, one side stays, that with
/// the line end; at an end of the text none does.
pub(super) fn without_link(text: &str) -> String {
    let mut parts = text.split(LINK);
    let mut whole = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (end, after) = (whole.trim_end().len(), part.trim_start());
        let left = whole.get(end..).unwrap_or_default();
        let right = part.get(..part.len() - after.len()).unwrap_or_default();
        let between = match (end, after.is_empty()) {
            (0, _) | (_, true) => "",
            _ if left.contains('\n') || right.is_empty() => left,
            _ => right,
        }
        .to_owned();
        whole.truncate(end);
        whole.push_str(&between);
        whole.push_str(after);
    }
    whole
}
