//! A send, from input to command: shared by every dialect that takes the contract's parameters.

use serde::Deserialize;
use utoipa::ToSchema;

use crate::otp::application::{ApplicationRef, Caller, Reference, Sender};
use crate::otp::channel::Via;
use crate::otp::code::{Code, PinLength};
use crate::otp::command::{Resend, Send};
use crate::otp::id::AccountId;
use crate::otp::phone::{Country, Phone};
use crate::otp::template::{Language, Template};
use crate::surface::input::Input;

/// What to send. Unknown members are refused; `null` and `""` mean that an optional member is absent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema of the body; `read_send` reads it, to name every fault at once")]
pub(super) struct SendBody {
    /// Whom to send to: E.164 with `+`, with `00` or bare; or a national number together with `country`.
    #[schema(example = "+4915112345678")]
    number: String,
    /// Replaces the template; holds {{OTP}} unless `otpCode` is given. {{SEC}} is the lifetime in seconds.
    text: Option<String>,
    /// Length of the generated code, 4 to 10.
    #[schema(minimum = 4, maximum = 10)]
    pin_length: Option<u8>,
    /// AUTO (default), SMS or VOICE.
    via: Option<String>,
    /// The application's id, its number, or `default`.
    application_id: Option<String>,
    /// ISO 639-1; else the language of the number's country, else English.
    #[schema(example = "en")]
    language: Option<String>,
    /// ISO 3166-1 alpha-2 code of the number's country.
    #[schema(example = "DE")]
    country: Option<String>,
    /// The caller's own code, 4 to 11 letters or digits.
    otp_code: Option<String>,
    /// Who the text message comes from.
    sender: Option<String>,
    /// The number that a call shows.
    caller: Option<String>,
    /// The caller's own reference, at most 256 characters.
    reference_id: Option<String>,
}

/// How to send once more.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "the schema of the body; `read_resend` reads it, to name every fault at once")]
pub(super) struct ResendBody {
    /// AUTO (default), SMS or VOICE.
    via: Option<String>,
    /// Who the text message comes from.
    sender: Option<String>,
    /// The number that a call shows.
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
