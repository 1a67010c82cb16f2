//! Parameters of operations and of paths. It must not know answers.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::{essence, members, one_of, required};
use super::schemas::{self, Position};
use super::spot::{Found, Spot};
use super::{Report, Rule, paths, references, values, words};

const BODY: &[&str] =
    &["name", "in", "description", "required", "schema", "x-ms-summary", "x-ms-visibility", "x-ms-test-value"];
const PLAIN: &[&str] = &[
    "name",
    "in",
    "description",
    "required",
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
    "allowEmptyValue",
    "x-ms-dynamic-list",
    "x-ms-dynamic-values",
    "x-ms-dynamic-tree",
    "x-ms-enum",
    "x-ms-enum-values",
    "x-ms-localizeDefaultValue",
    "x-ms-parameter-location",
    "x-ms-skip-url-encoding",
    "x-ms-summary",
    "x-ms-test-value",
    "x-ms-trigger-value",
    "x-ms-url-encoding",
    "x-ms-visibility",
];
const DYNAMIC: [&str; 5] =
    ["x-ms-dynamic-values", "x-ms-dynamic-list", "x-ms-dynamic-schema", "x-ms-dynamic-properties", "x-ms-dynamic-tree"];
/// Header fields that the platform writes itself.
const RESERVED: [&str; 2] = ["authorization", "content-type"];

/// Checks the parameters of a path or an operation, and those of the whole document.
pub(super) fn list(root: &Spot<'_>, owner: &Spot<'_>, of_path: bool, report: &mut Report) {
    let (twice, bodies) = if of_path {
        (Rule::PathParametersContainDuplicateParameter, Rule::PathParametersContainMultipleBodyParameters)
    } else {
        (Rule::OperationParametersContainDuplicateParameter, Rule::OperationParametersContainMultipleBodyParameters)
    };
    let mut seen: Vec<(&str, &str)> = Vec::new();
    let mut whole: Vec<&Value> = Vec::new();
    let mut body = false;
    for written in owner.at("parameters").items() {
        if whole.contains(&written.value) {
            report.add(Rule::OperationParametersAreNotUnique, &written, "is there already");
            continue;
        }
        whole.push(written.value);
        if !references::check(root, &written, &references::PARAMETERS, report) {
            one(root, &written, report);
        }
        let Some(parameter) = written.resolved(root) else { continue };
        let named = (parameter.text("name").unwrap_or_default(), parameter.text("in").unwrap_or_default());
        if named.1 == "body" {
            report.when(body, bodies, &written, "only one parameter can be the body");
            body = true;
        } else {
            report.when(seen.contains(&named), twice, &written, format!("{} in {} is there already", named.0, named.1));
            seen.push(named);
        }
    }
}

/// Checks a parameter.
pub(super) fn one(root: &Spot<'_>, parameter: &Spot<'_>, report: &mut Report) {
    required(parameter, &["name", "in"], report);
    one_of(parameter, "in", &["query", "header", "path", "formData", "body"], report);
    let (name, place) = (parameter.text("name").unwrap_or_default(), parameter.text("in").unwrap_or_default());
    let reserved = name.eq_ignore_ascii_case("connectionId");
    report.when(reserved, Rule::ConnectionIdParameterNotAllowed, parameter, "no parameter can be called connectionId");
    if place == "header" && RESERVED.contains(&name.to_ascii_lowercase().as_str()) {
        report.add(
            Rule::ReservedParameterIsUsed,
            parameter,
            format!("{name} is reserved and cannot be used in a header"),
        );
    }
    if place == "body" {
        return body(root, parameter, report);
    }
    members(parameter, PLAIN, report);
    if let Some(schema) = parameter.get("schema") {
        report.add(Rule::NonBodyParameterSchemaNotValid, &schema, "only a body has a schema");
    }
    values::check(parameter, report);
    report.when(!parameter.has("type"), Rule::RequiredPropertyMissing, parameter, "type is required");
    words::field(parameter, report);
    file(parameter, name, place, report);
    collection(parameter, place, report);
    let empty = parameter.holds("allowEmptyValue") && !matches!(place, "query" | "formData");
    report.when(
        empty,
        Rule::AllowEmptyValueOnlyValidForQueryFormData,
        &parameter.at("allowEmptyValue"),
        "is for query and formData only",
    );
    let unsent = parameter.text("x-ms-visibility") == Some("internal")
        && parameter.has("default")
        && !parameter.holds("required");
    report.when(
        unsent,
        Rule::PropertyMustBeRequired,
        parameter,
        "is internal and has a default: it must be required to be sent",
    );
    let encoding = parameter.at("x-ms-url-encoding");
    match place {
        "path" => {
            report.when(
                !parameter.holds("required"),
                Rule::PathParameterMustBeRequired,
                parameter,
                "must have \"required\": true",
            );
            let what = "needs \"x-ms-url-encoding\": \"single\", or values with a slash or a space go wrong";
            report.when(encoding.value.is_null(), Rule::PathParameterMissingEncoding, parameter, what);
            one_of(parameter, "x-ms-url-encoding", &["single", "double"], report);
        }
        _ => report.when(
            !encoding.value.is_null(),
            Rule::QueryParameterEncodingNotSupported,
            &encoding,
            "is for the path only; queries are encoded once anyway",
        ),
    }
}

fn file(parameter: &Spot<'_>, name: &str, place: &str, report: &mut Report) {
    let is_file = parameter.text("type") == Some("file");
    report.when(
        is_file && place != "formData",
        Rule::FileParameterMustBeInFormData,
        parameter,
        "a file must be in formData",
    );
    report.when(
        place == "formData" && !name.is_ascii(),
        Rule::InvalidFormDataParameterName,
        parameter,
        "the name must be US-ASCII",
    );
}

fn collection(parameter: &Spot<'_>, place: &str, report: &mut Report) {
    let Some(format) = parameter.get("collectionFormat") else { return };
    let known: &[&str] = match place {
        "query" | "formData" => &["csv", "ssv", "tsv", "pipes", "multi"],
        _ => &["csv", "ssv", "tsv", "pipes"],
    };
    let fits = format.value.as_str().is_some_and(|name| known.contains(&name));
    report.when(
        !fits,
        Rule::CollectionFormatValueNotSupported,
        &format,
        format!("must be one of {}", known.join(", ")),
    );
}

fn body(root: &Spot<'_>, parameter: &Spot<'_>, report: &mut Report) {
    for (name, at) in parameter.members() {
        if DYNAMIC.contains(&name) {
            report.add(Rule::DynamicExtensionDefinitionNotAllowedInParameter, &at, "belongs into the schema");
        } else if PLAIN.contains(&name) && !BODY.contains(&name) {
            report.add(Rule::BodyParameterPropertyNotValid, &at, format!("{name} belongs into the schema"));
        }
    }
    let known: Vec<_> = BODY.iter().chain(PLAIN).chain(&DYNAMIC).copied().collect();
    members(parameter, &known, report);
    match parameter.get("schema") {
        None => report.add(Rule::BodyParameterSchemaRequired, parameter, "schema is missing"),
        Some(schema) => {
            schemas::check(root, &schema, Position::Body, report);
            input(root, &schema, &mut BTreeSet::new(), report);
        }
    }
}

/// What only makes sense in an answer, throughout a body.
fn input(root: &Spot<'_>, schema: &Spot<'_>, open: &mut BTreeSet<String>, report: &mut Report) {
    let Some(schema) = schema.resolved(root) else { return };
    if !open.insert(schema.pointer.clone()) {
        return;
    }
    if let Some(functions) = schema.at("x-ms-capabilities").get("filterFunctions") {
        report.add(Rule::FilterFunctionsPropertyInInputSchema, &functions, "can only be in the schema of an answer");
    }
    for (name, property) in schema.at("properties").members() {
        let needed = schema.at("required").items().iter().any(|known| known.value == name);
        let read_only = property.resolved(root).is_some_and(|property| property.holds("readOnly"));
        report.when(
            needed && read_only,
            Rule::RequiredReadOnlyPropertyNotAllowedAsInput,
            &property,
            "cannot be read-only and required",
        );
        input(root, &property, open, report);
    }
    for part in schema.get("items").into_iter().chain(schema.at("allOf").items()) {
        input(root, &part, open, report);
    }
}

/// How an operation's parameters fit its path, its method and its media types.
pub(super) fn together(root: &Spot<'_>, found: &Found<'_>, report: &mut Report) {
    let parameters = found.parameters(root);
    let of = |place: &str| {
        parameters.iter().filter(|parameter| parameter.text("in") == Some(place)).cloned().collect::<Vec<_>>()
    };
    let (body, form, path) = (of("body"), of("formData"), of("path"));
    let variables = paths::variables(found.path);
    for name in &variables {
        let known = path.iter().any(|parameter| parameter.text("name") == Some(name));
        report.when(
            !known,
            Rule::OperationMissingPathParameter,
            &found.spot,
            format!("{} does not define {name}, which its path names", found.name()),
        );
    }
    for parameter in &path {
        let name = parameter.text("name").unwrap_or_default();
        report.when(
            !variables.contains(&name),
            Rule::PathParameterNotDefinedInTemplate,
            parameter,
            format!("{name} is not in the path {}", found.path),
        );
    }
    if !body.is_empty() && !form.is_empty() {
        report.add(
            Rule::ParameterListContainsFormDataAndBody,
            &found.spot.at("parameters"),
            "holds a body and formData; one of them can be",
        );
    }
    let content = body.iter().chain(&form);
    if found.method == "get" && (!body.is_empty() || !form.is_empty()) {
        report.add(
            Rule::BodyOrFormDataParameterInFetchOperationNotAllowed,
            &found.spot,
            "a GET has neither body nor formData",
        );
    }
    if content.count() == 0 {
        return;
    }
    let owner = if found.spot.has("consumes") { &found.spot } else { root };
    let media: Vec<_> =
        owner.at("consumes").items().iter().filter_map(|media| media.value.as_str()).map(essence).collect();
    if media.is_empty() {
        report.add(Rule::ConsumesMissing, &found.spot, format!("{} needs a MIME type in consumes", found.name()));
        return;
    }
    let encoded = media.iter().any(|media| media == "application/x-www-form-urlencoded");
    let multipart = media.iter().any(|media| media == "multipart/form-data");
    let object = body.iter().filter_map(|body| body.get("schema")?.resolved(root));
    let object = object
        .into_iter()
        .any(|schema| schema.has("properties") || matches!(schema.text("type"), Some("object" | "array")));
    let textual = |media: &String| {
        matches!(media.as_str(), "text/plain" | "multipart/form-data" | "application/x-www-form-urlencoded")
    };
    let misfit = (object && media.iter().all(textual)) || (!form.is_empty() && !encoded && !multipart);
    report.when(
        misfit,
        Rule::MimeTypeNotCompatibleWithRequestContentSchemaType,
        &found.spot,
        format!("{} cannot carry what {} sends", media.join(", "), found.name()),
    );
    let binary =
        |parameter: &Spot<'_>| parameter.text("type") == Some("file") || parameter.text("format") == Some("binary");
    report.when(
        encoded && !multipart && form.iter().any(binary),
        Rule::StringBinaryNotSupportedForFormUrlEncoded,
        &found.spot,
        "binary content needs multipart/form-data",
    );
}
