//! A connector's README after Microsoft's template: every operation, the limits, and what a maker stumbles over. It must not
//! say of an operation what the wording does not.

use std::fmt::Write as _;

use serde_json::Value;

use super::words::{Field, Operation, Visibility};
use super::{Edition, Place, Publisher};

/// The README of a definition.
pub(super) fn write(edition: Edition, definition: &Value, place: &Place, publisher: &Publisher) -> String {
    let wording = edition.wording();
    let mut operations = String::new();
    for operation in wording.operations {
        // Writing to a String cannot fail.
        let _ = describe(&mut operations, operation, edition, definition);
    }
    let parts = [
        format!("# {}\n{}", wording.title, wording.description),
        format!("## Publisher: {}\nQuestions go to {}.", publisher.name(), publisher.email()),
        PREREQUISITES.to_owned(),
        format!("## Supported Operations\n\n{}", operations.trim_end()),
        format!(
            "## Obtaining Credentials\nThe operator makes an API key with `otpgate key create --name NAME` and gives it to you; it is \
             shown once. Give a connection of its own to every environment, so that their quotas are apart. The gateway is at {place}."
        ),
        match edition {
            Edition::Native => NATIVE_START.to_owned(),
            Edition::Compatible => COMPATIBLE_START.to_owned(),
        },
        format!(
            "{LIMITATIONS}{}",
            match edition {
                Edition::Native => NATIVE_LIMITATIONS,
                Edition::Compatible => COMPATIBLE_LIMITATIONS,
            }
        ),
        match edition {
            Edition::Native => NATIVE_QUESTIONS.to_owned(),
            Edition::Compatible => COMPATIBLE_QUESTIONS.to_owned(),
        },
        DEPLOYMENT.to_owned(),
    ];
    parts.join("\n\n") + "\n"
}

fn describe(text: &mut String, operation: &Operation, edition: Edition, definition: &Value) -> std::fmt::Result {
    writeln!(text, "### {}\n`{}`. {}", operation.summary, operation.id, operation.description)?;
    if operation.visibility == Visibility::Internal {
        writeln!(text, "Used by the designer; it does not appear among the actions.")?;
    }
    let made = find(definition, operation.id);
    let shown = |field: &&Field| field.visibility != Visibility::Internal;
    let mut inputs = String::new();
    for field in operation.parameters.iter().filter(shown) {
        let parameter = items(made, "parameters").find(|parameter| parameter["name"] == field.name);
        let required = parameter.is_some_and(|parameter| parameter["required"] == true);
        line(&mut inputs, field, required)?;
    }
    let body = items(made, "parameters").find(|parameter| parameter["in"] == "body");
    if let Some(name) = body.and_then(|body| referred(&body["schema"])) {
        fields(&mut inputs, edition, definition, &[name])?;
    }
    if !inputs.is_empty() {
        writeln!(text, "\nInputs:\n\n{}", inputs.trim_end())?;
    }
    let answer = ["200", "201"].iter().find_map(|status| referred(below(made, &["responses", status, "schema"])));
    // Of what is waited for, a flow sees what it is called back with.
    let posted = operation.trigger.map(|trigger| trigger.content).or(operation.awaited.map(|awaited| awaited.content));
    let answer: Vec<_> = answer.into_iter().collect();
    let names = posted.unwrap_or(&answer);
    if !names.is_empty() && operation.visibility != Visibility::Internal {
        let mut results = String::new();
        fields(&mut results, edition, &Value::Null, names)?;
        writeln!(text, "\nResults:\n\n{}", results.trim_end())?;
    }
    writeln!(text)
}

/// The fields of these schemas; of one that several have the first one's words.
fn fields(text: &mut String, edition: Edition, definition: &Value, schemas: &[&str]) -> std::fmt::Result {
    let mut said = Vec::new();
    for name in schemas {
        let words = edition.wording().schemas.iter().find(|schema| schema.name == *name);
        let required = below(definition, &["definitions", name, "required"]);
        for field in words.into_iter().flat_map(|schema| schema.fields) {
            if field.visibility == Visibility::Internal || said.contains(&field.name) {
                continue;
            }
            said.push(field.name);
            let needed = required.as_array().is_some_and(|names| names.iter().any(|known| known == field.name));
            line(text, field, needed)?;
        }
    }
    Ok(())
}

fn line(text: &mut String, field: &Field, required: bool) -> std::fmt::Result {
    let mark = if required { ", required" } else { "" };
    writeln!(text, "- **{}** (`{}`{mark}): {}", field.title, field.name, field.description)
}

fn find<'v>(definition: &'v Value, id: &str) -> &'v Value {
    let paths = definition["paths"].as_object().into_iter().flatten();
    let mut all = paths.flat_map(|(_, item)| item.as_object().into_iter().flatten());
    all.find(|(_, operation)| operation["operationId"] == id).map_or(&Value::Null, |(_, operation)| operation)
}

fn below<'v>(value: &'v Value, path: &[&str]) -> &'v Value {
    path.iter().try_fold(value, |value, name| value.get(name)).unwrap_or(&Value::Null)
}

fn items<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value[name].as_array().into_iter().flatten()
}

fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/definitions/")
}

const PREREQUISITES: &str = "## Prerequisites\n\
- A running otpgate, reached over HTTPS with a certificate that the platform trusts.\n\
- An API key of it.\n\
- In Power Automate, Power Apps and Copilot Studio a plan that includes custom connectors.";

const NATIVE_START: &str = "## Getting Started
1. Add **Send a one time password** and give it a phone number. Keep its **OTP ID**.
2. Ask the person for the code: a form, an adaptive card, a question in Copilot Studio.
3. Add **Verify a one time password** with that **OTP ID** and the code, as text.
4. Add a condition on **Verified**.

### A wrong code is not an error
Verify succeeds for a wrong code too: **Verified** is false. Branch on it and on **OTP Status**:

| Verified | OTP Status | what it means | what to do |
|---|---|---|---|
| true | VERIFIED | the code was right | go on |
| false | ACTIVE | the code was wrong; **Attempts Left** says how often it may be tried again | ask again |
| false | TOO_MANY_ATTEMPTS | it was tried too often | send a new code, or stop |
| false | EXPIRED | it is too old | send a new code |
| false | VERIFIED | it was used before | send a new code |

### Without a carrier
A gateway on the sandbox sends nothing: the operator reads the messages on its admin page. A code of your own in **OTP Code**
of the send action is known to you anyway. Messages are delivered at once, but for these numbers, which belong to nobody:

| number | Delivery Status |
|---|---|
| +12025550101 | SENT, after a second UNDELIVERABLE |
| +12025550102 | SENT, after ten seconds DELIVERED |
| +12025550103 | UNDELIVERABLE |
| +12025550104 | stays QUEUED: the carrier does not say whether it took the message |
| +12025550105 | stays SENT |";

const COMPATIBLE_START: &str = "## Getting Started
1. Import this definition as a custom connector and make a connection with an API key of otpgate.
2. In the flow made for tyntec 2FA, replace each action by the one of the same name here: operations and parameters are the same.
3. Actions that expect the status 401 for a wrong code need no change.

For new flows take the connector of the other definition (`otpgate connector export` without `--compatible`): its Verify returns a
wrong code as a result.";

const LIMITATIONS: &str = "## Known Issues and Limitations
- **Quota**: 100 calls in any 60 seconds per connection, unless the operator set another one. A call beyond it gets the status 429
  with `Retry-After`, and the platform repeats the step by its own retry policy; calls that are refused do not count.
- **Limits for a number**: the operator may limit how often a number gets a message. A limit that ends within a minute is a 429, a
  longer one is another error, because a repeat would not help. Twenty wrong codes in a row lock a number for 24 hours.
- **Delivery** happens after the send action has answered. **Delivery** fields tell how it went, where the carrier reports it.
- **Codes are text**. A code that passes through a number loses its leading zeros.
";

const NATIVE_LIMITATIONS: &str = "- **Repeated steps**: the platform may send the same request twice. A step that is repeated within the same run gets the first result
  again and does nothing twice: Send while that code is active and for at most 20 minutes, Verify, Delete and the step that waits for
  20 minutes, Resend for 30 seconds. So a loop that sends to the same number again before the code was used gets the same code; **Resend** is for
  that. **Idempotency Key** sets your own key for 24 hours; the same key with another request is the error 422.
- **Changes** are told at least once and in no certain order: a change that is told again has the same **Event ID**. They are tried for almost
  three days while the flow cannot be reached.
- **Personal data**: a phone number is replaced by a hash 30 days after the end of its code; its field is empty then.";

const COMPATIBLE_LIMITATIONS: &str = "- **A wrong code is an error** with the status 401, the last wrong one 403, and every check after the end 410, as in tyntec 2FA. Set
  the next step to run after a failure as well.
- **Repeated steps**: a step that is repeated within the same run gets the first result again and does nothing twice.
- The certified connector typed codes and application IDs as numbers; here they are text.";

const NATIVE_QUESTIONS: &str = "## Frequently Asked Questions
### Why does a step fail with 401?
The API key of the connection is wrong or was revoked. A wrong code is never 401.
### How does a flow send in another language?
Set **Language**, or leave it empty: the language of the number's country is taken where the gateway has a text in it.
### How does a person get a call instead of a text message?
Set **Delivery Channel** to Voice call. Automatic calls landlines only.";

const COMPATIBLE_QUESTIONS: &str = "## Frequently Asked Questions
### Why does Verify fail with 401?
The code is wrong, or the API key is. The result of a wrong code has an **OTP Status**; that of a wrong key has a message.
### Which number does Application ID take?
The ID of an application, or its number as `otpgate application list` shows it.";

const DEPLOYMENT: &str = "## Deployment Instructions
- **Power Automate and Power Apps**: Data, Custom connectors, New custom connector, Import an OpenAPI file; choose
  `apiDefinition.swagger.json`, upload `icon.png`, create the connector, then a connection with the API key. Or
  `paconn create --api-def apiDefinition.swagger.json --api-prop apiProperties.json --icon icon.png`.
- **Copilot Studio**: import as above; the actions are then found under Tools, Add a tool, Connector.
- **Logic Apps**: make a Logic Apps Custom Connector in the region of the logic app, edit it, import the same file.
- **HTTP + Swagger** in Logic Apps: give the address `/connector/apiDefinition.swagger.json` of the gateway, and the key as the
  header `apikey`.";
