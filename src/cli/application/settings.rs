//! The flags that say what an application is to be, and how they change one. Knows no store.

use clap::Args;

use crate::cli::application::page::PageArgs;
use crate::config::duration;
use crate::otp::application::{
    Application, ApplicationName, Attempts, Brand, Caller, Lifetime, Sender, TEMPLATES_PER_APPLICATION,
};
use crate::otp::autofill::{RetrieverHash, WebOtpDomain};
use crate::otp::channel::Channel;
use crate::otp::code::PinLength;
use crate::otp::language::Language;
use crate::otp::template::Template;
use crate::otp::templates::{kept_template_name, parse_template_name};

/// The settings of an application. What is not named stays as it is.
#[derive(Clone, Debug, Default, Args)]
pub struct SettingArgs {
    /// Length of generated codes, 4 to 10; 6 at first
    #[arg(long, value_name = "N", value_parser = parse_pin_length)]
    pub pin_length: Option<PinLength>,
    /// Codes of digits and lower-case letters
    #[arg(long, conflicts_with = "no_alphanumeric")]
    pub alphanumeric: bool,
    /// Codes of digits alone, as at first
    #[arg(long)]
    pub no_alphanumeric: bool,
    /// Checks that a code allows, 1 to 20; 3 at first
    #[arg(long, value_name = "N", value_parser = parse_attempts)]
    pub attempts: Option<Attempts>,
    /// How long a code lives, 30s to 2h, or seconds; 300 at first
    #[arg(long, value_name = "TIME", value_parser = parse_expire)]
    pub expire: Option<Lifetime>,
    /// Who text messages come from: a name of at most 11 characters, or a number; VERIFY at first
    #[arg(long, value_parser = |text: &str| Sender::parse(text), conflicts_with = "no_sender")]
    pub sender: Option<Sender>,
    /// Leave the sender of text messages to the provider
    #[arg(long)]
    pub no_sender: bool,
    /// The number that calls show
    #[arg(long, value_parser = |text: &str| Caller::parse(text), conflicts_with = "no_caller", allow_hyphen_values = true)]
    pub caller: Option<Caller>,
    /// Leave the number that calls show to the provider
    #[arg(long)]
    pub no_caller: bool,
    /// A text, as en='Your code is {{OTP}}' for text messages or en-voice='…' for calls; may be repeated
    #[arg(long = "template", value_name = "LANGUAGE[-voice]=TEXT", value_parser = parse_template)]
    pub templates: Vec<NamedTemplate>,
    /// What {{BRAND}} stands for, at most 64 characters; else the application's name
    #[arg(long, value_parser = |text: &str| Brand::parse(text), conflicts_with = "no_brand")]
    pub brand: Option<Brand>,
    /// Let {{BRAND}} stand for the application's name again
    #[arg(long)]
    pub no_brand: bool,
    /// The site that may read the code: text messages end with the line @DOMAIN #CODE (WebOTP)
    #[arg(long, value_name = "DOMAIN", value_parser = |text: &str| WebOtpDomain::parse(text), conflicts_with = "no_webotp_domain")]
    pub webotp_domain: Option<WebOtpDomain>,
    /// Drop the line for WebOTP
    #[arg(long)]
    pub no_webotp_domain: bool,
    /// The Android app that may read the code: text messages end with the line of its 11 characters (SMS Retriever)
    #[arg(long, value_name = "HASH", value_parser = |text: &str| RetrieverHash::parse(text), conflicts_with = "no_sms_retriever_hash", allow_hyphen_values = true)]
    pub sms_retriever_hash: Option<RetrieverHash>,
    /// Drop the line for SMS Retriever
    #[arg(long)]
    pub no_sms_retriever_hash: bool,
    /// The verification page.
    #[command(flatten)]
    pub page: PageArgs,
}

/// One text with its place.
#[derive(Clone, Debug)]
pub struct NamedTemplate {
    /// The language.
    pub language: Language,
    /// The channel.
    pub channel: Channel,
    /// The text.
    pub template: Template,
}

impl SettingArgs {
    /// Changes `application` as the flags say.
    ///
    /// # Errors
    /// In words, when it would have too many templates or addresses, or its image cannot be taken.
    pub fn apply(&self, application: &mut Application) -> Result<(), String> {
        if let Some(length) = self.pin_length {
            application.pin_length = length;
        }
        if self.alphanumeric || self.no_alphanumeric {
            application.alphanumeric = self.alphanumeric;
        }
        if let Some(attempts) = self.attempts {
            application.attempts = attempts;
        }
        if let Some(expire) = self.expire {
            application.expire = expire;
        }
        if self.sender.is_some() || self.no_sender {
            application.sender.clone_from(&self.sender);
        }
        if self.caller.is_some() || self.no_caller {
            application.caller.clone_from(&self.caller);
        }
        if self.brand.is_some() || self.no_brand {
            application.brand.clone_from(&self.brand);
        }
        if self.webotp_domain.is_some() || self.no_webotp_domain {
            application.autofill.webotp_domain.clone_from(&self.webotp_domain);
        }
        if self.sms_retriever_hash.is_some() || self.no_sms_retriever_hash {
            application.autofill.retriever_hash.clone_from(&self.sms_retriever_hash);
        }
        self.page.apply(&mut application.page)?;
        for NamedTemplate { language, channel, template } in &self.templates {
            application.templates.set(*language, *channel, template.clone());
        }
        if application.templates.len() > TEMPLATES_PER_APPLICATION {
            return Err(format!(
                "an application has at most {TEMPLATES_PER_APPLICATION} templates; drop some with --drop-template"
            ));
        }
        Ok(())
    }
}

fn number(text: &str) -> u64 {
    // What is no number is out of every range.
    text.parse().unwrap_or(u64::MAX)
}

fn parse_pin_length(text: &str) -> Result<PinLength, String> {
    PinLength::new(number(text)).map_err(|error| error.to_string())
}

fn parse_attempts(text: &str) -> Result<Attempts, String> {
    Attempts::new(number(text)).map_err(|error| error.to_string())
}

fn parse_expire(text: &str) -> Result<Lifetime, String> {
    let seconds = duration::parse(text).filter(|span| span.subsec_nanos() == 0).map_or(u64::MAX, |span| span.as_secs());
    Lifetime::new(seconds).map_err(|error| error.to_string())
}

/// Reads a name of 1 to 64 characters.
pub(super) fn parse_name(text: &str) -> Result<ApplicationName, String> {
    ApplicationName::parse(text).map_err(|error| error.to_string())
}

const PLACE: &str = "an ISO 639-1 code such as en for text messages, or en-voice for calls";

/// Reads `en` or `en-voice`, of a template that there is.
pub(super) fn parse_kept_place(text: &str) -> Result<(Language, Channel), String> {
    kept_template_name(text).ok_or_else(|| PLACE.to_owned())
}

fn parse_place(text: &str) -> Result<(Language, Channel), String> {
    parse_template_name(text).ok_or_else(|| PLACE.to_owned())
}

fn parse_template(text: &str) -> Result<NamedTemplate, String> {
    let (place, text) = text.split_once('=').ok_or("LANGUAGE=TEXT, such as en='Your code is {{OTP}}'")?;
    let (language, channel) = parse_place(place)?;
    let template = Template::parse(text).map_err(|error| error.to_string())?;
    Ok(NamedTemplate { language, channel, template })
}
