//! What an application is to be: read member by member, and applied to one. The contract's part serves its dialect too.
//! It must not know which operation asks.

use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

use crate::otp::application::{
    Application, ApplicationName, Attempts, Caller, Lifetime, Sender, TEMPLATES_PER_APPLICATION, names_the_default,
};
use crate::otp::channel::Channel;
use crate::otp::code::PinLength;
use crate::otp::language::Language;
use crate::otp::template::Template;
use crate::otp::templates::{kept_template_name, parse_template_name};
use crate::surface::input::Input;
use crate::surface::otp::message::{AutofillBody, More};
use crate::surface::otp::page::{PageBody, PageEdit};

/// What an application is to be; absent members keep their default, or stay as they are.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the body; `Edit::read` reads it, to name every fault at once")]
pub(super) struct ApplicationBody {
    /// Its name, without control characters; `default` is reserved.
    #[schema(nullable = false, max_length = 64)]
    name: Option<String>,
    /// Length of generated codes.
    #[schema(nullable = false, minimum = 4, maximum = 10)]
    pin_length: Option<u8>,
    /// Whether generated codes hold letters.
    #[schema(nullable = false)]
    alphanumeric: Option<bool>,
    /// Checks that a code allows.
    #[schema(nullable = false, minimum = 1, maximum = 20)]
    attempts: Option<u32>,
    /// Lifetime of a code in seconds.
    #[schema(nullable = false, minimum = 30, maximum = 7200)]
    expire: Option<u32>,
    /// Who text messages come from: 1 to 11 letters, digits, spaces or `. _ - & +`, or a number of 3 to 15 digits.
    #[schema(nullable = false, max_length = 16)]
    sender: Option<String>,
    /// Which number calls show: 3 to 15 digits, with or without `+`.
    #[schema(nullable = false, max_length = 16)]
    caller: Option<String>,
    /// Whether calls are to show no number any more.
    #[schema(nullable = false)]
    delete_caller: Option<bool>,
    /// Texts by `en` or `en-voice`; null drops one. Each holds `{{OTP}}`, and may hold `{{SEC}}` and `{{MIN}}`, the lifetime
    /// in seconds and in whole minutes (1 where it is less), and `{{BRAND}}`.
    #[schema(nullable = false)]
    template: Option<BTreeMap<String, Option<String>>>,
    /// What `{{BRAND}}` stands for, without control characters; else the application's name.
    #[schema(nullable = false, max_length = 64)]
    brand: Option<String>,
    /// Whether `{{BRAND}}` is to stand for the name again.
    #[schema(nullable = false)]
    delete_brand: Option<bool>,
    /// What text messages end with, so that a phone fills in the code by itself; a null member drops that line.
    #[schema(nullable = false)]
    autofill: Option<AutofillBody>,
    /// How its verification page looks, and where it may lead; a null member goes back to what it was at first.
    #[schema(nullable = false)]
    verification: Option<PageBody>,
}

/// What is to change.
#[derive(Default)]
pub(crate) struct Edit {
    pub(crate) name: Option<ApplicationName>,
    pub(crate) pin_length: Option<PinLength>,
    pub(crate) alphanumeric: Option<bool>,
    pub(crate) attempts: Option<Attempts>,
    pub(crate) expire: Option<Lifetime>,
    pub(crate) sender: Option<Sender>,
    pub(crate) caller: Option<Caller>,
    pub(crate) delete_caller: bool,
    pub(crate) templates: Vec<((Language, Channel), Option<Template>)>,
    more: More,
    page: PageEdit,
}

impl Edit {
    /// Reads the members; faults stay with the input.
    pub(crate) fn read(input: &mut Input, alphanumeric: &str) -> Self {
        let name = input.optional("name", |text| match ApplicationName::parse(text) {
            Ok(_) if names_the_default(text) => Err("another name than default, which is reserved".to_owned()),
            parsed => parsed.map_err(|error| error.to_string()),
        });
        let mut edit = Self {
            name,
            pin_length: input.optional_number("pinLength", PinLength::new),
            alphanumeric: input.optional_bool(alphanumeric),
            attempts: input.optional_number("attempts", Attempts::new),
            expire: input.optional_number("expire", Lifetime::new),
            sender: input.optional("sender", Sender::parse),
            caller: input.optional("caller", Caller::parse),
            delete_caller: input.optional_bool("deleteCaller").unwrap_or(false),
            templates: Vec::new(),
            more: More::default(),
            page: PageEdit::default(),
        };
        match input.optional_value("template") {
            None => {}
            Some(Value::Object(members)) if members.len() <= TEMPLATES_PER_APPLICATION => {
                for (name, text) in members {
                    match read_template(&name, &text) {
                        Ok(template) => edit.templates.push(template),
                        Err(detail) => input.fault_below("template", &name, detail),
                    }
                }
            }
            Some(Value::Object(_)) => {
                input.fault("template", format!("must hold at most {TEMPLATES_PER_APPLICATION} texts"));
            }
            Some(_) => {
                input.fault("template", "must be an object of texts, such as {\"en\": \"Your code is {{OTP}}\"}");
            }
        }
        edit
    }

    /// Reads the members that only the native interface has, too.
    pub(super) fn read_all(input: &mut Input) -> Self {
        let mut edit = Self::read(input, "alphanumeric");
        edit.more = More::read(input);
        edit.page = PageEdit::read(input);
        edit
    }

    pub(crate) fn apply(&self, application: &mut Application) {
        if let Some(name) = &self.name {
            application.name = name.clone();
        }
        application.pin_length = self.pin_length.unwrap_or(application.pin_length);
        application.alphanumeric = self.alphanumeric.unwrap_or(application.alphanumeric);
        application.attempts = self.attempts.unwrap_or(application.attempts);
        application.expire = self.expire.unwrap_or(application.expire);
        if self.sender.is_some() {
            application.sender.clone_from(&self.sender);
        }
        if self.delete_caller {
            application.caller = None;
        }
        if self.caller.is_some() {
            application.caller.clone_from(&self.caller);
        }
        for ((language, channel), template) in &self.templates {
            match template {
                Some(template) => application.templates.set(*language, *channel, template.clone()),
                None => {
                    application.templates.drop_one(*language, *channel);
                }
            }
        }
        self.more.apply(application);
        self.page.apply(&mut application.page);
    }
}

fn read_template(name: &str, text: &Value) -> Result<((Language, Channel), Option<Template>), String> {
    let key = if text.is_null() { kept_template_name(name) } else { parse_template_name(name) };
    let key = key.ok_or("must be an ISO 639-1 code such as en, or en-voice for calls")?;
    match text {
        Value::Null => Ok((key, None)),
        Value::String(text) => match Template::parse(text) {
            Ok(template) => Ok((key, Some(template))),
            Err(error) => Err(format!("must be {error}")),
        },
        _ => Err("must be a string, or null to drop it".to_owned()),
    }
}
