//! Operations: their ids and members; and the document's own tables of parameters and answers. It must not know what a
//! maker reads.

use std::collections::BTreeMap;

use super::document::{members, one_of, typed};
use super::spot::{Found, Spot, operations_of};
use super::{Report, Rule, parameters, references, responses};

const OPERATION: &[&str] = &[
    "tags",
    "summary",
    "description",
    "externalDocs",
    "operationId",
    "produces",
    "consumes",
    "parameters",
    "responses",
    "schemes",
    "deprecated",
    "security",
    "x-ms-api-annotation",
    "x-ms-capabilities",
    "x-ms-no-generic-test",
    "x-ms-operation-context",
    "x-ms-pageable",
    "x-ms-safe-operation",
    "x-ms-summary",
    "x-ms-trigger",
    "x-ms-trigger-hint",
    "x-ms-trigger-metadata",
    "x-ms-notification",
    "x-ms-visibility",
];
/// Microsoft names no figure; a step of a flow is called after it, and its name has at most 80 characters.
const ID: usize = 80;

/// Checks all operations.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    for (_, parameter) in root.at("parameters").members().into_iter().filter(|(_, parameter)| !parameter.has("$ref")) {
        parameters::one(root, &parameter, report);
    }
    for (_, response) in root.at("responses").members().into_iter().filter(|(_, response)| !response.has("$ref")) {
        responses::one(root, &response, report);
    }
    for (name, table) in [
        ("definitions", &references::SCHEMAS),
        ("parameters", &references::PARAMETERS),
        ("responses", &references::RESPONSES),
    ] {
        references::aliases(root, name, table, report);
    }
    let mut ids: BTreeMap<&str, String> = BTreeMap::new();
    let operations = operations_of(root);
    for found in &operations {
        let spot = &found.spot;
        members(spot, OPERATION, report);
        for (name, kind) in [
            ("parameters", "array"),
            ("responses", "object"),
            ("deprecated", "boolean"),
            ("tags", "array"),
            ("security", "array"),
        ] {
            typed(spot, name, kind, report);
        }
        one_of(spot, "x-ms-visibility", &["important", "advanced", "internal"], report);
        one_of(spot, "x-ms-trigger", &["single", "batch"], report);
        id(found, &mut ids, report);
        parameters::list(root, spot, false, report);
        parameters::together(root, found, report);
        responses::check(root, found, report);
        let odd = spot.text("operationId").filter(|id| !id.starts_with(|letter: char| letter.is_ascii_uppercase()));
        if let Some(odd) = odd {
            let message = format!("{odd:?} should be PascalCase, such as SendMessage");
            report.add(Rule::OperationIdNotPascalCase, &spot.at("operationId"), message);
        }
        pages(found, report);
        // Seen in the designer's parser, which looks for the array of every operation whose path has one.
        let breaks = found.item.has("parameters") && !spot.has("parameters");
        report.when(
            breaks,
            Rule::PathLevelParametersBreakDesigner,
            spot,
            "needs a parameters array of its own (it may be empty) beside its path's",
        );
    }
    for (_, item) in root.at("paths").members() {
        if item.has("parameters") {
            parameters::list(root, &item, true, report);
        }
    }
}

fn id<'v>(found: &Found<'v>, ids: &mut BTreeMap<&'v str, String>, report: &mut Report) {
    let at = found.spot.at("operationId");
    let Some(id) = found.id().filter(|id| !id.is_empty()) else {
        report.add(Rule::OperationIdRequired, &found.spot, "operationId is required");
        return;
    };
    if let Some(other) = ids.insert(id, at.pointer.clone()) {
        report.add(Rule::OperationIdNotUnique, &at, format!("{id} is used at {other} too"));
    }
    report.when(
        id.len() >= ID,
        Rule::OperationIdTooLong,
        &at,
        format!("has {} characters; fewer than {ID} are allowed", id.len()),
    );
    // A revision's suffix is the one place for an underscore.
    let revision = id
        .rsplit_once("_V")
        .filter(|(_, number)| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()));
    let stem = revision.map_or(id, |(stem, _)| stem);
    let sanitized: String = stem.chars().filter(char::is_ascii_alphanumeric).collect();
    let what = format!("is written {sanitized} by the platform; use letters and digits only");
    report.when(sanitized != stem, Rule::OperationIdSanitized, &at, what);
}

fn pages(found: &Found<'_>, report: &mut Report) {
    let pageable = found.spot.at("x-ms-pageable");
    if found.spot.has("x-ms-pageable") {
        let fits = matches!(pageable.text("nextLinkName"), Some("nextLink" | "@odata.nextLink"));
        report.when(
            !fits,
            Rule::InvalidNextLinkNameValue,
            &pageable.at("nextLinkName"),
            "must be nextLink or @odata.nextLink",
        );
    }
}
