//! A send, from input to command: shared by every dialect that takes the contract's parameters.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::otp::application::{ApplicationRef, Caller, Reference, Sender};
use crate::otp::channel::Via;
use crate::otp::code::{Code, PinLength};
use crate::otp::command::{Resend, Send, Terms};
use crate::otp::id::AccountId;
use crate::otp::language::Language;
use crate::otp::phone::{Country, Phone};
use crate::otp::template::Template;
use crate::surface::input::Input;
use crate::surface::otp::context::ContextBody;
use crate::surface::vocabulary;

/// What to send. `null` and `""` mean that an optional member is absent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; `read_send` reads it, to name every fault at once")]
pub(super) struct SendBody {
    /// Whom to send to: E.164 with `+`, with `00` or bare; or a national number together with `country`.
    #[schema(min_length = 1, example = "+4915112345678")]
    number: String,
    /// Replaces the template; holds `{{OTP}}` unless `otpCode` is given. `{{SEC}}` is the lifetime in seconds, `{{MIN}}` in
    /// whole minutes (1 where it is less), `{{BRAND}}` the application's brand.
    #[schema(nullable = false, max_length = 1000)]
    text: Option<String>,
    /// Length of the generated code; else the application's.
    #[schema(nullable = false, minimum = 4, maximum = 10)]
    pin_length: Option<u8>,
    /// The channel.
    #[schema(schema_with = vocabulary::via)]
    via: Option<String>,
    /// The application's id, its number, or `default`.
    #[schema(nullable = false, max_length = 36)]
    application_id: Option<String>,
    /// ISO 639-1; else the language of the number's country, else English.
    #[schema(nullable = false, example = "en")]
    language: Option<String>,
    /// ISO 3166-1 alpha-2 code of the number's country.
    #[schema(nullable = false, max_length = 2, example = "DE")]
    country: Option<String>,
    /// The caller's own code, 4 to 11 letters or digits.
    #[schema(nullable = false, max_length = 11)]
    otp_code: Option<String>,
    /// Who the text message comes from: 1 to 11 letters, digits, spaces or `. _ - & +`, or a number of 3 to 15 digits.
    #[schema(nullable = false, max_length = 16)]
    sender: Option<String>,
    /// The number that a call shows: 3 to 15 digits, with or without `+`.
    #[schema(nullable = false, max_length = 16)]
    caller: Option<String>,
    /// The caller's own reference, without control characters.
    #[schema(nullable = false, max_length = 256)]
    reference_id: Option<String>,
    /// What the code is for. A check must name the same.
    #[schema(nullable = false)]
    context: Option<ContextBody>,
}

/// How to send once more.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; `read_resend` reads it, to name every fault at once")]
pub(super) struct ResendBody {
    /// The channel.
    #[schema(schema_with = vocabulary::via)]
    via: Option<String>,
    /// Who the text message comes from: 1 to 11 letters, digits, spaces or `. _ - & +`, or a number of 3 to 15 digits.
    #[schema(nullable = false, max_length = 16)]
    sender: Option<String>,
    /// The number that a call shows: 3 to 15 digits, with or without `+`.
    #[schema(nullable = false, max_length = 16)]
    caller: Option<String>,
}

/// Reads the contract's send parameters. None when there is a fault; the input knows it.
pub(crate) fn read_send(input: &mut Input, account: &AccountId) -> Option<Send> {
    let country = input.optional("country", str::parse::<Country>);
    let phone = input.required("number", |text| Phone::parse(text, country));
    let via = read_via(input);
    let application = input.optional("applicationId", ApplicationRef::parse).unwrap_or_default();
    let language = input.optional("language", str::parse::<Language>);
    let code = input.optional("otpCode", Code::parse_own);
    let pin_length = input.optional_number("pinLength", PinLength::new);
    let text = match &code {
        Some(_) => input.optional("text", Template::parse_without_code),
        None => input.optional("text", Template::parse),
    };
    let (sender, caller) = read_origin(input);
    let reference = input.optional("referenceId", Reference::parse);
    Some(Send {
        account: account.clone(),
        phone: phone?,
        application,
        via,
        language,
        text,
        code,
        pin_length,
        sender,
        caller,
        reference,
        terms: Terms::default(),
    })
}

/// Reads the contract's resend parameters.
pub(crate) fn read_resend(input: &mut Input) -> Resend {
    let via = read_via(input);
    let (sender, caller) = read_origin(input);
    Resend { via, sender, caller }
}

fn read_via(input: &mut Input) -> Via {
    input.optional("via", |text| Via::parse(text).ok_or("AUTO, SMS or VOICE")).unwrap_or_default()
}

fn read_origin(input: &mut Input) -> (Option<Sender>, Option<Caller>) {
    (input.optional("sender", Sender::parse), input.optional("caller", Caller::parse))
}
