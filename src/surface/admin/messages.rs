//! The sandbox's messages as JSON, and as the page that shows them as a phone would. Whatever callers wrote is escaped;
//! the page needs no script and nothing from elsewhere. Must not know who may see it.

use askama::Template;
use http::StatusCode;
use serde::Serialize;

use crate::delivery::sandbox::{Outcome, Sandbox, Shown, TEST_NUMBERS};
use crate::layer::{Request, Response};
use crate::otp::channel::Channel;
use crate::otp::segment::{Alphabet, Extent};
use crate::surface::answer::{empty, json};
use crate::surface::input::Input;
use crate::surface::open::html;

/// Messages on the page.
const PAGE: usize = 50;
/// Messages in one JSON answer.
const LIST: usize = 1_000;

/// A message of the sandbox.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MessageEntity {
    otp_id: String,
    number: String,
    channel: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    caller: Option<String>,
    text: String,
    /// Of a text message: what it takes.
    #[serde(flatten)]
    extent: Option<ExtentEntity>,
    code: String,
    created_at: String,
}

/// What is wrong with a request.
#[derive(Serialize)]
struct Refused {
    message: String,
}

/// What a text message takes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ExtentEntity {
    alphabet: &'static str,
    units: usize,
    segments: usize,
}

impl From<Extent> for ExtentEntity {
    fn from(Extent { alphabet, units, segments }: Extent) -> Self {
        Self { alphabet: alphabet.as_str(), units, segments }
    }
}

impl From<&Shown> for MessageEntity {
    fn from(shown: &Shown) -> Self {
        let message = &shown.message;
        Self {
            otp_id: message.id.otp.to_string(),
            number: message.number.as_str().to_owned(),
            channel: message.channel.as_str(),
            sender: message.sender.as_ref().map(|sender| sender.as_str().to_owned()),
            caller: message.caller.as_ref().map(|caller| caller.as_str().to_owned()),
            text: message.text.to_string(),
            extent: (message.channel == Channel::Sms).then(|| Extent::of(&message.text).into()),
            code: message.code.expose().to_owned(),
            created_at: shown.created.to_rfc3339(),
        }
    }
}

/// A message on the page.
struct Bubble {
    message: MessageEntity,
    is_call: bool,
    /// ISO 639-1.
    language: String,
    /// When it arrived, to the second.
    time: String,
    /// Alphabet and length in words; of a call nothing.
    size: Option<String>,
    /// What the number does with every message, where it is a test number.
    outcome: Option<&'static str>,
}

impl From<&Shown> for Bubble {
    fn from(shown: &Shown) -> Self {
        let (message, outcome) = (MessageEntity::from(shown), Outcome::of(&shown.message.number));
        let is_call = shown.message.channel == Channel::Voice;
        Self {
            time: to_the_second(&message.created_at),
            size: (!is_call).then(|| in_words(Extent::of(&message.text))),
            outcome: (outcome != Outcome::Delivered).then(|| meaning(outcome)),
            language: shown.message.language.as_str().to_owned(),
            message,
            is_call,
        }
    }
}

/// What a flow sees of messages to a test number.
const fn meaning(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Delivered => "delivered at once",
        Outcome::Undeliverable => "sent, then reported undeliverable",
        Outcome::Slow => "sent, and delivered ten seconds later",
        Outcome::Refused => "refused: undeliverable, and shown nowhere",
        Outcome::Unknown => "stays queued: the carrier did not say whether it took it",
        Outcome::Silent => "sent, and never heard of again",
    }
}

/// An instant of RFC 3339 as people write it: `2026-01-31 14:05:09 UTC`.
fn to_the_second(instant: &str) -> String {
    let seconds = instant.split_once('.').map_or(instant, |(seconds, _)| seconds);
    format!("{} UTC", seconds.replace('T', " "))
}

fn in_words(Extent { alphabet, units, segments }: Extent) -> String {
    let unit = match alphabet {
        Alphabet::Gsm7 => "septets",
        Alphabet::Ucs2 => "units",
    };
    let plural = if segments == 1 { "" } else { "s" };
    format!("{segments} segment{plural}, {units} {unit} of {}", alphabet.as_str())
}

/// The page that shows the sandbox's messages.
#[derive(Template)]
#[template(path = "sandbox.html")]
struct SandboxPage {
    bubbles: Vec<Bubble>,
    test_numbers: Vec<(&'static str, &'static str)>,
}

/// The newest messages as a page.
pub(super) fn page(sandbox: &Sandbox) -> Response {
    let bubbles = sandbox.messages(None, PAGE).iter().map(Bubble::from).collect();
    let test_numbers = TEST_NUMBERS.iter().map(|(number, outcome)| (*number, meaning(*outcome))).collect();
    match (SandboxPage { bubbles, test_numbers }).render() {
        Ok(text) => html(text),
        Err(error) => {
            tracing::error!(%error, "the sandbox page could not be written");
            empty(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// The newest messages as JSON; those to one number where the query names it. 400 for a query that cannot be read.
pub(super) fn list(sandbox: &Sandbox, request: &Request) -> Response {
    let mut input = Input::query(request.uri().query().unwrap_or_default());
    // A `+` that was not encoded arrives as a space.
    let number = input.text("number").map(|number| number.trim().to_owned());
    if let Err(faults) = input.finish() {
        let named: Vec<_> = faults.iter().map(|fault| format!("{} {}", fault.name(), fault.detail)).collect();
        return json(StatusCode::BAD_REQUEST, &Refused { message: named.join("; ") });
    }
    let number = number.map(|number| if number.starts_with('+') { number } else { format!("+{number}") });
    let shown = sandbox.messages(number.as_deref(), LIST);
    let entities: Vec<_> = shown.iter().map(MessageEntity::from).collect();
    json(StatusCode::OK, &entities)
}
