//! What the native interface says of an application's messages beyond its texts: their brand and the lines for phones.
//! It must not know how a message is made.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::otp::application::{Application, Brand};
use crate::otp::autofill::{Autofill, RetrieverHash, WebOtpDomain};
use crate::surface::input::Input;

/// What text messages end with, so that a phone fills in the code by itself.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct AutofillEntity {
    /// The site that may read the code: the last line is `@` and this, and `#` and the code (WebOTP).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "login.example.com")]
    web_otp_domain: Option<String>,
    /// The app that may read the code: the line before is this hash (Android's SMS Retriever).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "FA+9qCX9VSu")]
    sms_retriever_hash: Option<String>,
}

impl From<&Autofill> for AutofillEntity {
    fn from(autofill: &Autofill) -> Self {
        Self {
            web_otp_domain: autofill.webotp_domain.as_ref().map(|domain| domain.as_str().to_owned()),
            sms_retriever_hash: autofill.retriever_hash.as_ref().map(|hash| hash.as_str().to_owned()),
        }
    }
}

/// What text messages are to end with; null drops a line, and an absent one stays as it is.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the member; `More::read` reads it, to name every fault at once")]
pub(super) struct AutofillBody {
    /// The site that may read the code: a host name in lower case, in ASCII.
    #[schema(max_length = 253)]
    web_otp_domain: Option<String>,
    /// The hash of the Android app that may read the code: 11 letters, digits, `+` or `/`.
    #[schema(min_length = 11, max_length = 11)]
    sms_retriever_hash: Option<String>,
}

/// What is to change of it. Of a line: not named, dropped, or set.
#[derive(Default)]
pub(super) struct More {
    brand: Option<Brand>,
    delete_brand: bool,
    webotp_domain: Option<Option<WebOtpDomain>>,
    retriever_hash: Option<Option<RetrieverHash>>,
}

impl More {
    /// Reads the members; faults stay with the input.
    pub(super) fn read(input: &mut Input) -> Self {
        let mut more = Self {
            brand: input.optional("brand", Brand::parse),
            delete_brand: input.optional_bool("deleteBrand").unwrap_or(false),
            ..Self::default()
        };
        match input.optional_value("autofill") {
            None => {}
            Some(Value::Object(mut members)) => {
                more.webotp_domain = member(input, &mut members, "webOtpDomain", WebOtpDomain::parse);
                more.retriever_hash = member(input, &mut members, "smsRetrieverHash", RetrieverHash::parse);
                for name in members.keys() {
                    input.fault_below("autofill", name, "is not known here");
                }
            }
            Some(_) => input.fault("autofill", "must be an object, such as {\"webOtpDomain\": \"example.com\"}"),
        }
        more
    }

    pub(super) fn apply(&self, application: &mut Application) {
        if self.delete_brand {
            application.brand = None;
        }
        if self.brand.is_some() {
            application.brand.clone_from(&self.brand);
        }
        if let Some(domain) = &self.webotp_domain {
            application.autofill.webotp_domain.clone_from(domain);
        }
        if let Some(hash) = &self.retriever_hash {
            application.autofill.retriever_hash.clone_from(hash);
        }
    }
}

fn member<T, E: std::fmt::Display>(
    input: &mut Input,
    members: &mut Map<String, Value>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<Option<T>> {
    let parsed = match members.remove(name)? {
        Value::Null => return Some(None),
        Value::String(text) => parse(&text).map_err(|error| format!("must be {error}")),
        _ => Err("must be a string, or null to drop it".to_owned()),
    };
    match parsed {
        Ok(value) => Some(Some(value)),
        Err(detail) => {
            input.fault_below("autofill", name, detail);
            None
        }
    }
}
