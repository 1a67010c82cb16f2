//! Reads what a code is for: the member `context` of a send and of a check.

use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::otp::context::{Amount, Context, Currency, Payee};
use crate::surface::input::Input;

/// What the code is for. It is shown in the message, bound to the code, and demanded again when the code is checked.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "the schema of the member; `read_context` reads it, to name every fault at once")]
pub(in crate::surface) struct ContextBody {
    /// How much: 1 to 12 digits, and up to 4 behind a point.
    #[schema(min_length = 1, max_length = 17, pattern = r"^[0-9]{1,12}(\.[0-9]{1,4})?$", example = "12.50")]
    amount: String,
    /// Of what: ISO 4217.
    #[schema(min_length = 3, max_length = 3, pattern = "^[A-Za-z]{3}$", example = "EUR")]
    currency: String,
    /// To whom, without control characters.
    #[schema(min_length = 1, max_length = 64, example = "Example Shop")]
    payee: String,
}

/// Reads it; faults stay with the input.
pub(in crate::surface) fn read_context(input: &mut Input) -> Option<Context> {
    match input.optional_value("context")? {
        Value::Object(mut members) => {
            let amount = member::<Amount, _>(input, &mut members, "amount", str::parse);
            let currency = member::<Currency, _>(input, &mut members, "currency", str::parse);
            let payee = member(input, &mut members, "payee", Payee::parse);
            for name in members.keys() {
                input.fault_below("context", name, "is not known here");
            }
            Some(Context { amount: amount?, currency: currency?, payee: payee? })
        }
        _ => {
            input.fault("context", "must be an object with amount, currency and payee");
            None
        }
    }
}

fn member<T, E: std::fmt::Display>(
    input: &mut Input,
    members: &mut Map<String, Value>,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let detail = match members.remove(name) {
        Some(Value::String(text)) if !text.is_empty() => match parse(&text) {
            Ok(value) => return Some(value),
            Err(error) => format!("must be {error}"),
        },
        None | Some(Value::Null | Value::String(_)) => "is required".to_owned(),
        Some(_) => "must be a string".to_owned(),
    };
    input.fault_below("context", name, detail);
    None
}
