//! `apiProperties.json`: the connection that a maker makes, and the colour of the icon. It must not know an operation.

use serde_json::{Value, json};

use super::Edition;
use super::icon::BRAND_COLOR;
use super::operation::SECURITY;
use super::place::Publisher;

pub(super) fn make(publisher: &Publisher, edition: Edition) -> Value {
    let triggers = edition.wording().operations.iter().any(|operation| operation.trigger.is_some());
    let capabilities: &[&str] = if triggers { &["actions", "triggers"] } else { &["actions"] };
    json!({
        "properties": {
            "connectionParameters": {
                SECURITY: {
                    "type": "securestring",
                    "uiDefinition": {
                        "displayName": "API Key",
                        "description": "The API key of a connection, as the operator of the gateway gave it to you.",
                        "tooltip": "Provide your API key",
                        // A text, as Microsoft's schema has it.
                        "constraints": { "tabIndex": 2, "clearText": false, "required": "true" },
                    },
                },
            },
            "iconBrandColor": BRAND_COLOR,
            "capabilities": capabilities,
            "policyTemplateInstances": [],
            "publisher": publisher.name(),
            "stackOwner": publisher.name(),
        },
    })
}
