//! Applications: how an account's codes look, live and are worded. Every bound of the contract is a type here.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;
use crate::otp::autofill::Autofill;
use crate::otp::code::{CodePolicy, PinLength};
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::page::PageSettings;
use crate::otp::templates::Templates;

/// Applications that an account may have.
pub const APPLICATIONS_PER_ACCOUNT: usize = 1_000;
/// Templates that an application may have.
pub const TEMPLATES_PER_APPLICATION: usize = 400;

macro_rules! bounded {
    ($(#[$doc:meta])* $name:ident, $error:ident, $least:literal..=$most:literal, $default:literal, $message:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "u64", into = "u64")]
        pub struct $name(u32);

        /// The number is out of range.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            /// # Errors
            /// When the number is out of range.
            pub fn new(number: u64) -> Result<Self, $error> {
                u32::try_from(number).ok().filter(|number| ($least..=$most).contains(number)).map(Self).ok_or($error)
            }

            /// The number.
            #[must_use]
            pub const fn get(self) -> u32 {
                self.0
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self($default)
            }
        }

        impl TryFrom<u64> for $name {
            type Error = $error;

            fn try_from(number: u64) -> Result<Self, Self::Error> {
                Self::new(number)
            }
        }

        impl From<$name> for u64 {
            fn from(bounded: $name) -> Self {
                bounded.0.into()
            }
        }
    };
}

bounded!(
    /// Checks that a code allows, 1 to 20; 3 by default (the contract). The last one counts if it is right.
    Attempts, AttemptsOutOfRange, 1..=20, 3, "1 to 20"
);
bounded!(
    /// Lifetime of a code in seconds, 30 to 7,200; 300 by default (the contract).
    Lifetime, LifetimeOutOfRange, 30..=7_200, 300, "30 to 7200 seconds"
);

/// A newtype of a text that is legal by one rule.
macro_rules! worded {
    ($(#[$doc:meta])* $name:ident, $error:ident, $message:literal, $legal:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        /// The text is not allowed.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            /// # Errors
            /// When the text is not allowed.
            pub fn parse(text: &str) -> Result<Self, $error> {
                let legal: fn(&str) -> bool = $legal;
                if legal(text) { Ok(Self(Box::from(text))) } else { Err($error) }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(text: $name) -> Self {
                text.0.into_string()
            }
        }
    };
}

pub(crate) use {bounded, worded};

worded!(
    /// What an application is called: 1 to 64 characters, no control characters.
    ApplicationName, MalformedName, "1 to 64 characters, no control characters",
    |text| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
);
worded!(
    /// What a message calls its sender: 1 to 64 characters, no control characters.
    Brand, MalformedBrand, "1 to 64 characters, no control characters",
    |text| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control)
);
worded!(
    /// Who a text message comes from: 1 to 11 letters, digits, spaces or `. _ - & +`, with a letter; or a number of 3 to
    /// 15 digits, with or without `+` (3GPP TS 23.040 section 9.1.2.5 allows 11 characters).
    Sender, MalformedSender, "1 to 11 letters, digits, spaces or . _ - & +, or a number of 3 to 15 digits",
    |text| is_number(text, 3) || (1..=11).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" ._-&+".contains(&byte))
        && text.trim() == text && text.bytes().any(|byte| byte.is_ascii_alphanumeric())
);
worded!(
    /// The number that a call shows: 3 to 15 digits, with or without `+`.
    Caller, MalformedCaller, "a number of 3 to 15 digits, with or without +", |text| is_number(text, 3)
);
worded!(
    /// A caller's own reference: 1 to 256 characters, no control characters.
    Reference, MalformedReference, "1 to 256 characters, no control characters",
    |text| (1..=256).contains(&text.chars().count()) && !text.chars().any(char::is_control)
);

fn is_number(text: &str, least: usize) -> bool {
    let digits = text.strip_prefix('+').unwrap_or(text);
    (least..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The reserved name of the application that every account has.
pub const DEFAULT_NAME: &str = "default";

/// Whether a text is the reserved name to whoever reads it: in any case, and with white space around it. No other application
/// may be called so, and a reference that says so means the default one.
#[must_use]
pub fn names_the_default(text: &str) -> bool {
    text.trim().eq_ignore_ascii_case(DEFAULT_NAME)
}

/// One application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Application {
    /// Its id.
    pub id: ApplicationId,
    /// Its small number within the account, from 1: what a field typed integer can name.
    pub alias: u32,
    /// Its owner.
    pub account: AccountId,
    /// Its name.
    pub name: ApplicationName,
    /// Length of generated codes.
    pub pin_length: PinLength,
    /// Whether generated codes hold letters.
    pub alphanumeric: bool,
    /// Checks that a code allows.
    pub attempts: Attempts,
    /// Lifetime of a code.
    pub expire: Lifetime,
    /// Who text messages come from.
    pub sender: Option<Sender>,
    /// Which number calls show.
    pub caller: Option<Caller>,
    /// Its own texts.
    pub templates: Templates,
    /// When it was made.
    pub created: UnixMillis,
    /// What its texts call it.
    #[serde(default)]
    pub brand: Option<Brand>,
    /// What its text messages end with.
    #[serde(default)]
    pub autofill: Autofill,
    /// How its verification page looks, and where it may lead.
    #[serde(default)]
    pub page: PageSettings,
}

impl Application {
    /// A new application with the defaults of the contract, but six digits (NIST SP 800-63B-4).
    #[must_use]
    pub fn new(id: ApplicationId, alias: u32, account: AccountId, name: ApplicationName, now: UnixMillis) -> Self {
        Self {
            id,
            alias,
            account,
            name,
            pin_length: PinLength::default(),
            alphanumeric: false,
            attempts: Attempts::default(),
            expire: Lifetime::default(),
            sender: Sender::parse("VERIFY").ok(),
            caller: None,
            templates: Templates::default(),
            created: now,
            brand: None,
            autofill: Autofill::default(),
            page: PageSettings::default(),
        }
    }

    /// The name `default`, which only the account's first application has.
    #[must_use]
    pub fn default_name() -> ApplicationName {
        ApplicationName(Box::from(DEFAULT_NAME))
    }

    /// Whether this is the account's default application: it cannot be deleted or renamed. Its name is exactly that: earlier
    /// releases let others be called `Default`.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.name.as_str() == DEFAULT_NAME
    }

    /// What `{{BRAND}}` stands for: its brand, else its name. The default application has none of its own; there it is the
    /// sender that a phone shows.
    #[must_use]
    pub fn brand(&self) -> &str {
        match (&self.brand, &self.sender) {
            (Some(brand), _) => brand.as_str(),
            (None, Some(sender)) if self.is_default() => sender.as_str(),
            (None, _) => self.name.as_str(),
        }
    }

    /// How its generated codes look, unless a send asks for another length.
    #[must_use]
    pub fn code_policy(&self, length: Option<PinLength>) -> CodePolicy {
        CodePolicy { alphanumeric: self.alphanumeric, length: length.unwrap_or(self.pin_length) }
    }
}

/// How a caller names an application.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ApplicationRef {
    /// The account's default one.
    #[default]
    Default,
    /// By its UUID.
    Id(ApplicationId),
    /// By its small number.
    Alias(u32),
}

/// The text names no application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an application id (a UUID), the application's number, or default")]
pub struct MalformedApplicationRef;

impl ApplicationRef {
    /// Reads a UUID, a small number, or `default`.
    ///
    /// # Errors
    /// [`MalformedApplicationRef`] for anything else.
    pub fn parse(text: &str) -> Result<Self, MalformedApplicationRef> {
        if names_the_default(text) {
            return Ok(Self::Default);
        }
        // A flow's integer field may come as `3.0`.
        let number = text.strip_suffix(".0").unwrap_or(text);
        if !number.is_empty() && number.len() <= 9 && number.bytes().all(|byte| byte.is_ascii_digit()) {
            return number.parse().map(Self::Alias).map_err(|_| MalformedApplicationRef);
        }
        text.parse().map(Self::Id).map_err(|_| MalformedApplicationRef)
    }
}

/// One account's applications, as they stood at one moment.
#[derive(Clone, Debug, Default)]
pub struct Applications {
    by_id: HashMap<ApplicationId, Arc<Application>>,
}

impl Applications {
    /// Takes the applications of one account.
    #[must_use]
    pub fn new(applications: impl IntoIterator<Item = Application>) -> Self {
        Self { by_id: applications.into_iter().map(|application| (application.id, Arc::new(application))).collect() }
    }

    /// The application that a caller named.
    #[must_use]
    pub fn find(&self, reference: ApplicationRef) -> Option<&Arc<Application>> {
        match reference {
            ApplicationRef::Id(id) => self.by_id.get(&id),
            ApplicationRef::Alias(alias) => self.by_id.values().find(|application| application.alias == alias),
            ApplicationRef::Default => self.by_id.values().find(|application| application.is_default()),
        }
    }

    /// All of them, oldest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Application>> {
        let mut list: Vec<_> = self.by_id.values().cloned().collect();
        list.sort_by_key(|application| (application.created, application.alias));
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_contracts_but_for_six_digits() {
        let id = ApplicationId::generate(&crate::secret::SystemEntropy);
        let application =
            Application::new(id, 1, AccountId::default_account(), Application::default_name(), UnixMillis(1));
        assert!(application.is_default());
        assert_eq!((application.pin_length.get(), application.attempts.get(), application.expire.get()), (6, 3, 300));
        assert_eq!(application.sender.as_ref().map(Sender::as_str), Some("VERIFY"));
        let text = serde_json::to_string(&application).unwrap();
        assert_eq!(serde_json::from_str::<Application>(&text).unwrap(), application);
        let mut older: serde_json::Map<_, _> = serde_json::from_str(&text).unwrap();
        assert!(older.remove("brand").is_some() && older.remove("autofill").is_some());
        assert_eq!(serde_json::from_value::<Application>(older.into()).unwrap(), application);
    }

    #[test]
    fn bounds_are_the_contracts() {
        assert!(
            Lifetime::new(29).is_err()
                && Lifetime::new(30).is_ok()
                && Lifetime::new(7_200).is_ok()
                && Lifetime::new(7_201).is_err()
        );
        assert!(Attempts::new(0).is_err() && Attempts::new(20).is_ok() && Attempts::new(21).is_err());
        for good in ["VERIFY", "My Shop", "+491512345678", "123", "A"] {
            assert!(Sender::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "VERIFY\n", "TwelveLetters", " A", "1234567890123456", "Ünï"] {
            assert!(Sender::parse(bad).is_err(), "{bad}");
        }
        assert!(Caller::parse("VERIFY").is_err() && Caller::parse("+49301234").is_ok());
    }

    #[test]
    fn an_application_is_named_by_id_number_or_default() {
        for text in ["default", "Default", "DEFAULT", " default ", "\tdefault"] {
            assert!(names_the_default(text), "{text}");
            assert_eq!(ApplicationRef::parse(text), Ok(ApplicationRef::Default));
        }
        assert!(!names_the_default("default 2") && !names_the_default("") && !names_the_default("défault"));
        assert_eq!(ApplicationRef::parse("3"), Ok(ApplicationRef::Alias(3)));
        assert_eq!(ApplicationRef::parse("3.0"), Ok(ApplicationRef::Alias(3)));
        assert!(matches!(ApplicationRef::parse("018f2f3e-0000-4000-8000-000000000000"), Ok(ApplicationRef::Id(_))));
        assert!(ApplicationRef::parse("shop").is_err() && ApplicationRef::parse("-1").is_err());
    }
}
