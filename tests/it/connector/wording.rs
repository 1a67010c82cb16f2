//! The table of wording: something for everything that is exported, and nothing else.

use std::collections::BTreeSet;

use otpgate::openapi::connector::{Field, Role, Schema, Visibility};
use serde_json::Value;

use super::{EDITIONS, made, operations};

#[test]
fn connector_wording_has_no_orphans() {
    for (edition, name) in EDITIONS {
        let definition = made(edition);
        let wording = edition.wording();
        let ids: BTreeSet<_> =
            operations(&definition).iter().map(|(_, _, operation)| operation["operationId"].to_string()).collect();
        assert_eq!(ids.len(), wording.operations.len(), "{name}");
        for words in wording.operations {
            let all = operations(&definition);
            let (_, _, operation) = all.iter().find(|(_, _, operation)| operation["operationId"] == words.id).unwrap();
            let parameters = operation["parameters"].as_array().unwrap();
            let named: Vec<_> = parameters
                .iter()
                .filter(|parameter| parameter["in"] != "body")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let worded: Vec<_> = words.parameters.iter().map(|field| field.name).collect();
            assert_eq!(named, worded, "{name}: {}", words.id);
            assert_eq!(parameters.len() - named.len(), usize::from(words.body.is_some()), "{name}: {}", words.id);
        }
        // Tools name their models after them.
        let titles: BTreeSet<_> = wording.schemas.iter().map(|schema| schema.title).collect();
        assert_eq!(titles.len(), wording.schemas.len(), "{name}: two schemas have one title");
        // A schema that is only put into another one, or is one with another one, has no definition of its own.
        let posted: Vec<_> = wording.operations.iter().filter_map(|words| Some(words.trigger?.content)).collect();
        let nested = |schema: &str| {
            matches!(schema, "QuotaEntity" | "AutofillEntity" | "ContextBody" | "PageEntity")
                || posted.iter().any(|content| content[1..].contains(&schema))
        };
        for schema in wording.schemas {
            let made = &definition["definitions"][schema.name];
            if nested(schema.name) {
                assert!(made.is_null());
                continue;
            }
            let fields: BTreeSet<_> = made["properties"]
                .as_object()
                .unwrap_or_else(|| panic!("{name}: {}", schema.name))
                .keys()
                .map(String::as_str)
                .collect();
            let united = posted.iter().filter(|content| content[0] == schema.name).flat_map(|content| &content[1..]);
            let others = wording.schemas.iter().filter(|other| united.clone().any(|name| *name == other.name));
            let worded = |schema: &Schema| schema.fields.iter().map(|field| field.name).collect::<BTreeSet<_>>();
            let expected: BTreeSet<_> = others.chain([schema]).flat_map(worded).collect();
            assert_eq!(fields, expected, "{name}: {}", schema.name);
            assert_eq!(worded(schema).len(), schema.fields.len(), "{name}: {} names a field twice", schema.name);
        }
        assert_eq!(
            definition["definitions"].as_object().unwrap().len(),
            wording.schemas.iter().filter(|schema| !nested(schema.name)).count()
        );
    }
}

/// Titles in title case without a raw name, descriptions that are sentences and no titles, labels for every choice.
#[test]
fn connector_wording_follows_the_string_guidance() {
    for (edition, _) in EDITIONS {
        let wording = edition.wording();
        let mut summaries = BTreeSet::new();
        for operation in wording.operations {
            let summary = operation.summary;
            assert!(summaries.insert(summary), "{summary}");
            assert!(
                summary.len() <= 80
                    && summary.chars().all(|letter| letter.is_ascii_alphanumeric() || " ()".contains(letter)),
                "{summary}"
            );
            assert!(
                operation.id.chars().all(|letter| letter.is_ascii_alphanumeric())
                    && operation.id.starts_with(char::is_uppercase)
            );
            assert!(
                operation.description.ends_with('.') && operation.description != format!("{summary}."),
                "{summary}"
            );
            operation.parameters.iter().for_each(field);
        }
        wording.schemas.iter().flat_map(|schema| schema.fields).for_each(field);
        let visible =
            wording.operations.iter().filter(|operation| operation.visibility != Visibility::Internal).count();
        assert!(visible >= 5);
    }
}

fn field(field: &Field) {
    let Field { name, title, description, .. } = field;
    assert!(title.starts_with(char::is_uppercase), "{name}: {title}");
    let small =
        title.split([' ', '-', '(']).filter(|word| !word.is_empty()).any(|word| word.starts_with(char::is_lowercase));
    assert!(!small && title.len() <= 40 && !title.contains(['_', '.']), "{name}: {title} is no title");
    assert!(description.ends_with('.') && description.starts_with(char::is_uppercase), "{name}: {description}");
    assert!(description.trim_end_matches('.') != *title && description.len() <= 300, "{name}: {description}");
    if let Role::Choice { labels, default } = field.role {
        let values: BTreeSet<_> = labels.iter().map(|(value, _)| *value).collect();
        assert!(
            values.len() == labels.len() && labels.iter().all(|(_, label)| label.starts_with(char::is_uppercase)),
            "{name}"
        );
        assert!(default.is_none_or(|default| values.contains(default)), "{name}");
    }
}

#[test]
fn connector_fields_stand_in_the_order_of_the_wording() {
    for (edition, folder) in EDITIONS {
        let text = std::fs::read_to_string(super::folder(folder).join("apiDefinition.swagger.json")).unwrap();
        for schema in edition.wording().schemas {
            let Some(start) = text.find(&format!("        \"{}\": {{\n            \"title\"", schema.name)) else {
                continue;
            };
            let mut from = start;
            for field in schema.fields {
                let key = format!("\n                \"{}\": {{", field.name);
                let found = text[from..]
                    .find(&key)
                    .unwrap_or_else(|| panic!("{}: {} is out of order", schema.name, field.name));
                from += found + key.len();
            }
        }
    }
}

#[test]
fn connector_definition_names_what_has_no_words() {
    // The document has more operations than are exported: what is not in the table stays out.
    let definition = made(otpgate::openapi::connector::Edition::Native);
    let text = definition.to_string();
    for absent in ["CreateApplication", "Tyntec_SendOTP", "/health/live", "\"Problem\""] {
        assert!(!text.contains(absent), "{absent}");
    }
    let shown: Vec<&Value> = operations(&definition).into_iter().map(|(_, _, operation)| operation).collect();
    assert!(shown.iter().all(|operation| operation["tags"].as_array().is_some_and(|tags| !tags.is_empty())));
}
