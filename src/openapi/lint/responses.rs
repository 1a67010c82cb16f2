//! Answers: which of them a designer shows, and what stands in them. It must not know parameters.

use super::document::{essence, members, required};
use super::schemas::{self, Position};
use super::spot::{Found, Spot};
use super::{Report, Rule, references, values};

const RESPONSE: &[&str] = &["description", "schema", "headers", "examples", "x-ms-summary"];
const HEADER: &[&str] = &[
    "type",
    "format",
    "items",
    "collectionFormat",
    "default",
    "maximum",
    "exclusiveMaximum",
    "minimum",
    "exclusiveMinimum",
    "maxLength",
    "minLength",
    "pattern",
    "maxItems",
    "minItems",
    "uniqueItems",
    "enum",
    "multipleOf",
    "description",
    "x-ms-summary",
    "x-ms-visibility",
];

/// Checks the answers of an operation.
pub(super) fn check(root: &Spot<'_>, found: &Found<'_>, report: &mut Report) {
    let responses = found.spot.at("responses");
    let all = responses.members();
    if all.is_empty() {
        report.add(Rule::OperationMustHaveResponse, &found.spot, "must have at least one response");
        return;
    }
    let mut with_schema = Vec::new();
    let mut successes = Vec::new();
    for (status, written) in &all {
        let number = status.len() == 3 && status.parse::<u16>().is_ok_and(|status| (100..600).contains(&status));
        let known = *status == "default" || number || status.starts_with("x-");
        report.when(
            !known,
            Rule::ResponseMustBeDefaultOrHttpStatusCode,
            written,
            format!("{status} is neither an HTTP status nor default"),
        );
        if !references::check(root, written, &references::RESPONSES, report) {
            one(root, written, report);
        }
        let Some(response) = written.resolved(root) else { continue };
        if status.starts_with('2') {
            successes.push(*status);
        }
        if response.has("schema") {
            with_schema.push(*status);
            let default = *status == "default" && all.len() > 1;
            report.when(
                default,
                Rule::DefaultResponseHasSchema,
                &written.at("schema"),
                "the default answer should have no schema",
            );
        }
        examples(root, found, &response, report);
    }
    let good = !successes.is_empty() || all.iter().any(|(status, _)| *status == "default");
    report.when(
        !good,
        Rule::OperationShouldHaveSuccessfulResponse,
        &responses,
        format!("{} has no successful answer", found.name()),
    );
    report.when(
        with_schema.len() > 1,
        Rule::OperationHasManyResponsesWithSchema,
        &responses,
        format!("{} has schemas on {}; a designer shows one", found.name(), with_schema.join(", ")),
    );
    // What has no content, or is not shown, needs no schema.
    let internal = found.spot.text("x-ms-visibility") == Some("internal");
    let silent = !successes.is_empty() && successes.iter().all(|status| *status == "204");
    let shown =
        ["200", "201"].iter().any(|status| with_schema.contains(status)) || found.item.has("x-ms-notification-content");
    report.when(
        !shown && !internal && !silent,
        Rule::SchemaDefinitionSetIncorrectly,
        &responses,
        format!("{} has no schema on 200 or 201, so a designer shows nothing of its answer", found.name()),
    );
    let default = all.iter().any(|(status, _)| *status == "default");
    report.when(
        !default,
        Rule::DefaultResponseMissing,
        &responses,
        "default is missing: an unexpected answer has no words",
    );
}

/// Checks one answer.
pub(super) fn one(root: &Spot<'_>, response: &Spot<'_>, report: &mut Report) {
    members(response, RESPONSE, report);
    required(response, &["description"], report);
    if let Some(schema) = response.get("schema") {
        schemas::check(root, &schema, Position::Answer, report);
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, header) in response.at("headers").members() {
        members(&header, HEADER, report);
        values::check(&header, report);
        let name = name.to_ascii_lowercase();
        report.when(
            seen.contains(&name),
            Rule::ResponseHeadersAreNotUnique,
            &header,
            "is there already, in other capitals",
        );
        seen.push(name);
    }
}

fn examples(root: &Spot<'_>, found: &Found<'_>, response: &Spot<'_>, report: &mut Report) {
    let owner = if found.spot.has("produces") { &found.spot } else { root };
    let produced: Vec<_> =
        owner.at("produces").items().iter().filter_map(|media| media.value.as_str()).map(essence).collect();
    for (media, example) in response.at("examples").members() {
        let what = format!("{} does not produce {media}", found.name());
        report.when(
            !produced.contains(&essence(media)),
            Rule::ResponseExampleMustBeProducedByOperation,
            &example,
            what,
        );
    }
}
