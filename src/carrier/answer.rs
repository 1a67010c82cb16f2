//! What a carrier's answer to a submission means. Nothing of it is repeated but the carrier's own id and error code.

use std::time::Duration;

use serde_json::Value;

use crate::carrier::compile::{Carrier, Check};
use crate::carrier::description::{AnswerRule, Meaning, Submission};
use crate::delivery::provider::{Failure, Outgoing, Receipt};
use crate::delivery::receipt::CarrierId;

/// The longest wait that a carrier may ask for: the longest life of a code is two hours.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60 * 60);
/// Bytes of an error code.
const CODE_BYTES: usize = 48;
/// Digits in a row that an error code may have: a longer run may be a number or a code.
const CODE_DIGITS: usize = 6;

/// An answer.
pub struct Answer<'a> {
    /// Its status.
    pub status: u16,
    /// What `Retry-After` asks for.
    pub retry_after: Option<Duration>,
    /// Its body.
    pub body: &'a [u8],
    /// Whether the body came whole, within its bounds.
    pub whole: bool,
}

/// How answers are read.
#[derive(Debug)]
pub(super) struct Answers {
    rules: Vec<Rule>,
    id: Vec<String>,
    error: Vec<String>,
}

#[derive(Debug)]
struct Rule {
    statuses: Vec<Statuses>,
    member: Option<String>,
    values: Vec<String>,
    means: Meaning,
}

/// One status, or a hundred.
#[derive(Clone, Copy, Debug)]
enum Statuses {
    One(u16),
    Class(u16),
}

impl Statuses {
    fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_suffix("xx").unwrap_or(text);
        let number: u16 = digits.parse().ok()?;
        match (digits.len() == text.len(), number) {
            (true, 100..=599) => Some(Self::One(number)),
            (false, 1..=5) if digits.len() == 1 => Some(Self::Class(number)),
            _ => None,
        }
    }

    const fn hold(self, status: u16) -> bool {
        match self {
            Self::One(one) => status == one,
            Self::Class(class) => status / 100 == class,
        }
    }
}

impl Answers {
    pub(super) fn compile(submission: &Submission, place: &str, check: &mut Check<'_>) -> Self {
        let mut rules = Vec::new();
        for (index, written) in submission.answers.iter().enumerate() {
            let AnswerRule { status, member, values, means } = written;
            let place = format!("{place}.answers[{index}]");
            let statuses: Vec<_> = status.0.iter().filter_map(|text| Statuses::parse(text)).collect();
            if statuses.len() != status.0.len() {
                check.wrong(format!("{place}.status"), "must be a status such as \"404\", or a class such as \"2xx\"");
            }
            if let Some(member) = member {
                check.pointer(&format!("{place}.member"), member);
            } else if !values.0.is_empty() {
                check.wrong(format!("{place}.values"), "name the member that has these values");
            }
            rules.push(Rule { statuses, member: member.clone(), values: values.0.clone(), means: *means });
        }
        if rules.is_empty() {
            rules.push(Rule {
                statuses: vec![Statuses::Class(2)],
                member: None,
                values: Vec::new(),
                means: Meaning::Taken,
            });
        }
        let id = check.pointers(&format!("{place}.id"), &submission.id);
        let error = check.pointers(&format!("{place}.error"), &submission.error);
        Self { rules, id, error }
    }

    fn means(&self, status: u16, body: &Value) -> Meaning {
        let fits = |rule: &&Rule| {
            let there = rule.member.as_deref().map(|pointer| find(body, &[pointer.to_owned()]));
            (rule.statuses.is_empty() || rule.statuses.iter().any(|statuses| statuses.hold(status)))
                && match there {
                    None => true,
                    Some(None) => false,
                    Some(Some(value)) => rule.values.is_empty() || rule.values.contains(&value),
                }
        };
        self.rules.iter().find(fits).map_or_else(|| usual(status), |rule| rule.means)
    }
}

/// What a status means where nothing else is said of it. A 5xx does not promise that nothing happened.
const fn usual(status: u16) -> Meaning {
    match status {
        // Who we are, what we paid, how fast we are: the next message would fare no better.
        401 | 402 | 429 => Meaning::Retryable,
        // A time-out of theirs may have come after the message had left.
        408 => Meaning::Unknown,
        400..=499 => Meaning::Refused,
        _ => Meaning::Unknown,
    }
}

impl Carrier {
    /// What `answer` says of `message`.
    ///
    /// # Errors
    /// [`Failure`]: it did not say that it took it.
    pub fn judge(&self, message: &Outgoing, answer: &Answer<'_>) -> Result<Receipt, Failure> {
        let Some(call) = self.call(message.channel) else { return Err(Failure::Unknown) };
        let body = if answer.whole { serde_json::from_slice(answer.body).unwrap_or_default() } else { Value::Null };
        let answers = &call.answers;
        match answers.means(answer.status, &body) {
            Meaning::Taken if !answer.whole => Err(Failure::Unknown),
            Meaning::Taken => match find(&body, &answers.id).map(|id| CarrierId::parse(&id)) {
                Some(Some(id)) => Ok(Receipt::taken(Some(id))),
                None if answers.id.is_empty() => Ok(Receipt::taken(None)),
                // It says that it took it, and not in its words: whatever answered may not be the carrier.
                _ => Err(Failure::Unknown),
            },
            Meaning::Refused => {
                let code = find(&body, &answers.error).and_then(|code| error_code(&code, message));
                Err(Failure::Refused(match code {
                    Some(code) => format!("the carrier refused it: {code}"),
                    None => format!("the carrier refused it with status {}", answer.status),
                }))
            }
            // A wait of zero would be none at all.
            Meaning::Retryable => {
                let wait = answer.retry_after.map(|wait| wait.clamp(Duration::from_secs(1), LONGEST_WAIT));
                Err(Failure::Retryable(wait.unwrap_or_default()))
            }
            Meaning::Unknown => Err(Failure::Unknown),
        }
    }
}

/// The text or number that the first pointer leads to which leads to one.
pub(super) fn find(body: &Value, pointers: &[String]) -> Option<String> {
    pointers.iter().find_map(|pointer| match body.pointer(pointer)? {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// An error code that may be shown: short, plain, and nothing of the message. Of an address its last part.
fn error_code(text: &str, message: &Outgoing) -> Option<String> {
    plain_code(text).filter(|code| {
        let number = message.number.as_str().trim_start_matches('+');
        !code.contains(message.code.expose()) && !code.contains(number)
    })
}

/// As [`error_code`], where the message is not at hand: no run of digits that could be a number or a code.
pub(super) fn plain_code(text: &str) -> Option<String> {
    let code = text.rsplit('/').next().unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let longest = code.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or_default();
    let fits = (1..=CODE_BYTES).contains(&code.len()) && code.bytes().all(legal) && longest <= CODE_DIGITS;
    fits.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_code_is_short_and_plain_and_no_number() {
        for (text, shown) in [
            ("21211", Some("21211")),
            ("REJECTED_NOT_ENOUGH_CREDITS", Some("REJECTED_NOT_ENOUGH_CREDITS")),
            ("https://docs.tyntec.com/problems/DataNotParseable", Some("DataNotParseable")),
            ("105400", Some("105400")),
            ("4915112345678", None),
            ("to-4915112345678", None),
            ("invalid number", None),
            ("", None),
            ("a\nb", None),
            (&"x".repeat(CODE_BYTES + 1), None),
        ] {
            assert_eq!(plain_code(text).as_deref(), shown, "{text}");
        }
    }

    #[test]
    fn statuses_are_one_or_a_hundred() {
        let hold = |text: &str, status| Statuses::parse(text).unwrap().hold(status);
        assert!(hold("2xx", 299) && !hold("2xx", 300) && hold("404", 404) && !hold("404", 405));
        for bad in ["", "xx", "6xx", "22xx", "2x", "99", "600", "ok"] {
            assert!(Statuses::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn a_status_alone_means_what_it_usually_does() {
        for (status, means) in [
            (429, Meaning::Retryable),
            (401, Meaning::Retryable),
            (402, Meaning::Retryable),
            (400, Meaning::Refused),
            (404, Meaning::Refused),
            (408, Meaning::Unknown),
            (200, Meaning::Unknown),
            (307, Meaning::Unknown),
            (500, Meaning::Unknown),
            (503, Meaning::Unknown),
        ] {
            assert_eq!(usual(status), means, "{status}");
        }
    }
}
