//! What a carrier's answer to a submission means. Nothing of it is repeated but the carrier's own id and error code.

use std::time::Duration;

use serde_json::Value;

use crate::carrier::compile::{Carrier, Check};
use crate::carrier::description::{AnswerRule, Meaning, Submission};
use crate::delivery::provider::{Failure, Outgoing, PAUSE_AT_MOST, Receipt};
use crate::delivery::receipt::CarrierId;
use crate::delivery::words;

/// Bytes of an error code.
const CODE_BYTES: usize = 48;
/// Digits in a row that an error code may have: a longer run may be a number.
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
                let wait = answer.retry_after.map(|wait| wait.clamp(Duration::from_secs(1), PAUSE_AT_MOST));
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
    plain_code(text).filter(|code| !words::tell(code, &message.code, &message.number))
}

/// As [`error_code`], where the message is not at hand: no run of digits that could be a number. Whoever files the report
/// compares it with the code.
pub(super) fn plain_code(text: &str) -> Option<String> {
    let code = text.rsplit('/').next().unwrap_or_default();
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let longest = code.split(|letter: char| !letter.is_ascii_digit()).map(str::len).max().unwrap_or_default();
    let fits = (1..=CODE_BYTES).contains(&code.len()) && code.bytes().all(legal) && longest <= CODE_DIGITS;
    fits.then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;
    use crate::carrier::compile::{Given, compile};
    use crate::delivery::receipt::Ticket;
    use crate::otp::channel::Channel;
    use crate::otp::code::Code;
    use crate::otp::id::OtpId;
    use crate::otp::outbox::MessageId;
    use crate::otp::phone::Phone;
    use crate::secret::{Keyring, Secret, SystemEntropy};

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

    fn message() -> Outgoing {
        let keyring = Keyring::generate(&SystemEntropy);
        let id = MessageId { otp: OtpId::from_bytes([7; 16]), number: 1 };
        Outgoing {
            id,
            ticket: Ticket::new(&keyring, id, 1),
            number: Phone::parse("+4915112345678", None).unwrap().number,
            channel: Channel::Sms,
            sender: None,
            caller: None,
            language: "en".parse().unwrap(),
            text: Zeroizing::new("519786".to_owned()),
            code: Code::parse_own("519786").unwrap(),
            life: Duration::from_secs(300),
        }
    }

    fn carrier() -> Carrier {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let credentials = std::iter::once(("secret".to_owned(), secret)).collect();
        compile(Given { preset: Some("webhook"), url: Some("https://h/"), credentials, ..Given::default() }).unwrap()
    }

    #[test]
    fn a_carrier_is_left_alone_as_long_as_it_asks_within_bounds() {
        let (carrier, message) = (carrier(), message());
        for (asked, waits) in
            [(None, Duration::ZERO), (Some(0), Duration::from_secs(1)), (Some(45), Duration::from_secs(45))]
        {
            let answer = Answer { status: 429, retry_after: asked.map(Duration::from_secs), body: b"", whole: true };
            assert_eq!(carrier.judge(&message, &answer), Err(Failure::Retryable(waits)));
        }
        let answer = Answer { status: 429, retry_after: Some(Duration::from_secs(3_600)), body: b"", whole: true };
        assert_eq!(carrier.judge(&message, &answer), Err(Failure::Retryable(PAUSE_AT_MOST)));
    }

    #[test]
    fn an_error_code_made_of_the_code_or_the_number_is_not_repeated() {
        let (carrier, message) = (carrier(), message());
        for (code, shown) in [
            ("E-17", "the carrier refused it: E-17"),
            ("519786", "the carrier refused it with status 400"),
            ("x-519.786", "the carrier refused it with status 400"),
            ("to-49151-1234", "the carrier refused it with status 400"),
        ] {
            let body = serde_json::json!({ "code": code }).to_string();
            let answer = Answer { status: 400, retry_after: None, body: body.as_bytes(), whole: true };
            assert_eq!(carrier.judge(&message, &answer), Err(Failure::Refused(shown.to_owned())), "{code}");
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
