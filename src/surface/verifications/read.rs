//! Reads what somebody wants verified, and words why it was not opened.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::access::authenticator::Caller;
use crate::layer::Response;
use crate::layer::idempotency::NotKept;
use crate::otp::application::{ApplicationRef, Reference, Sender};
use crate::otp::channel::Via;
use crate::otp::command::SendRefusal;
use crate::otp::language::Language;
use crate::otp::page::ReturnUrl;
use crate::otp::phone::{Country, Phone};
use crate::surface::extract::Call;
use crate::surface::fault::{Fault, Place};
use crate::surface::input::Input;
use crate::surface::otp::{ContextBody, invalid, read_context, refused, unavailable};
use crate::surface::vocabulary;
use crate::verification::record::{Expiry, FirstSend, Sends};
use crate::verification::service::{OpenError, Wish};

/// What to verify, and how. `null` and `""` mean that an optional member is absent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; `read_wish` reads it, to name every fault at once")]
pub(super) struct NewVerification {
    /// Whose number to verify: E.164 with `+`, with `00` or bare; or a national number together with `country`.
    #[schema(min_length = 1, example = "+4915112345678")]
    number: String,
    /// ISO 3166-1 alpha-2 code of the number's country.
    #[schema(nullable = false, max_length = 2, example = "DE")]
    country: Option<String>,
    /// The channel.
    #[schema(schema_with = vocabulary::via)]
    via: Option<String>,
    /// The application's id, its number, or `default`.
    #[schema(nullable = false, max_length = 36)]
    application_id: Option<String>,
    /// ISO 639-1, of the messages and the page; else the language of the number's country, else English.
    #[schema(nullable = false, example = "en")]
    language: Option<String>,
    /// Who the text message comes from: 1 to 11 letters, digits, spaces or `. _ - & +`, or a number of 3 to 15 digits.
    #[schema(nullable = false, max_length = 16)]
    sender: Option<String>,
    /// The caller's own reference, without control characters.
    #[schema(nullable = false, max_length = 256)]
    reference_id: Option<String>,
    /// What the code is for. The message and the page show it.
    #[schema(nullable = false)]
    context: Option<ContextBody>,
    /// Where the page leads to in the end: an https address that the application allows.
    #[schema(
        nullable = false,
        format = "uri",
        max_length = 2048,
        example = "https://www.example.com/verified?order=7"
    )]
    return_url: Option<String>,
    /// How long it is open, in seconds; else ten minutes, or as long as the application's codes live, if that is longer.
    #[schema(nullable = false, minimum = 60, maximum = 86400)]
    expiry: Option<u32>,
    /// Messages that may be sent, the first one and further ones; 3 when left out.
    #[schema(nullable = false, minimum = 1, maximum = 5)]
    sends: Option<u8>,
    /// When the first message leaves.
    #[schema(schema_with = vocabulary::first_send)]
    send: Option<String>,
}

/// Reads it. None when there is a fault; the input knows it.
pub(super) fn read_wish(input: &mut Input, caller: &Caller) -> Option<Wish> {
    let country = input.optional("country", str::parse::<Country>);
    let phone = input.required("number", |text| Phone::parse(text, country));
    let via = input.optional("via", |text| Via::parse(text).ok_or("AUTO, SMS or VOICE")).unwrap_or_default();
    let application = input.optional("applicationId", ApplicationRef::parse).unwrap_or_default();
    let language = input.optional("language", str::parse::<Language>);
    let sender = input.optional("sender", Sender::parse);
    let reference = input.optional("referenceId", Reference::parse);
    let context = read_context(input);
    let return_url = input.optional("returnUrl", ReturnUrl::parse);
    let expiry = input.optional_number("expiry", Expiry::new);
    let sends = input.optional_number("sends", Sends::new).unwrap_or_default();
    let first = input.optional("send", |text| FirstSend::parse(text).ok_or("now or on_open")).unwrap_or_default();
    Some(Wish {
        account: caller.account.clone(),
        connection: caller.connection,
        phone: phone?,
        application,
        via,
        language,
        sender,
        reference,
        context,
        return_url,
        expiry,
        sends,
        first,
        callback: None,
    })
}

/// Why it was not opened. `under` is where in the body it was described.
pub(super) fn not_opened(call: &Call, error: OpenError, under: &str, now: crate::clock::UnixMillis) -> Response {
    let fault = |member: &str, detail: &str| {
        let at = Place::Pointer(format!("{under}/{member}"));
        invalid(call, vec![Fault { at, detail: detail.to_owned() }])
    };
    match error {
        // The next repetition may find that it leaves: nothing is kept of this one.
        OpenError::Waits(refusal) => {
            let mut answer = not_opened(call, OpenError::Refused(refusal), under, now);
            answer.extensions_mut().insert(NotKept);
            answer
        }
        OpenError::Answered => call.answered(),
        OpenError::ReturnUrlNotAllowed => fault(
            "returnUrl",
            "must lie below one of the application's return addresses (verification.returnUrls), and not lead out of it",
        ),
        OpenError::Refused(SendRefusal::ContextNeeded) => {
            fault("context", "is required: the text names {{AMOUNT}} or {{PAYEE}}")
        }
        OpenError::Refused(refusal) => refused(call, &refusal, now),
        OpenError::Store(error) => unavailable(call, error),
    }
}
