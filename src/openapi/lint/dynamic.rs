//! Dynamic values and schemas: operations that a designer calls for its lists. It must not know what they list.

use std::collections::BTreeSet;

use serde_json::Value;

use super::spot::{Found, Spot, field, fits, operations_of, type_of};
use super::{Report, Rule, values};

const FILTER_FUNCTIONS: [&str; 43] = [
    "lt",
    "le",
    "eq",
    "ne",
    "gt",
    "ge",
    "min",
    "max",
    "countdistinct",
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "negate",
    "now",
    "not",
    "and",
    "or",
    "day",
    "month",
    "year",
    "hour",
    "minute",
    "second",
    "date",
    "time",
    "totaloffsetminutes",
    "totalseconds",
    "ceiling",
    "round",
    "floor",
    "contains",
    "startswith",
    "endswith",
    "length",
    "indexof",
    "replace",
    "substring",
    "substringof",
    "tolower",
    "toupper",
    "trim",
];

/// Checks all dynamic extensions.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let operations = operations_of(root);
    let mut trees = false;
    for source in &operations {
        let mut seen = BTreeSet::new();
        for parameter in source.parameters(root) {
            trees |= holder(root, source, &parameter, &operations, report);
            if let Some(schema) = parameter.get("schema") {
                trees |= walk(root, source, &schema, &operations, &mut seen, report);
            }
        }
        for (_, response) in source.spot.at("responses").members() {
            if let Some(schema) = response.resolved(root).and_then(|response| response.get("schema")) {
                trees |= walk(root, source, &schema, &operations, &mut seen, report);
            }
        }
    }
    let capabilities = root.at("x-ms-capabilities");
    let missing = capabilities.has("file-picker") && !trees;
    report.when(
        missing,
        Rule::DynamicTreeExtensionMissing,
        &capabilities.at("file-picker"),
        "x-ms-dynamic-tree is missing for the file picker",
    );
    if let Some(test) = capabilities.get("testConnection") {
        call(root, None, &test, &operations, report);
    }
}

/// Every schema below one, whether any of them has a tree.
fn walk<'v>(
    root: &Spot<'v>,
    source: &Found<'v>,
    schema: &Spot<'v>,
    all: &[Found<'v>],
    seen: &mut BTreeSet<String>,
    report: &mut Report,
) -> bool {
    let Some(schema) = schema.resolved(root).filter(|schema| seen.insert(schema.pointer.clone())) else { return false };
    let mut trees = holder(root, source, &schema, all, report);
    let properties = schema.at("properties").members().into_iter().map(|(_, property)| property);
    let rest =
        schema.get("items").into_iter().chain(schema.get("additionalProperties")).chain(schema.at("allOf").items());
    for part in properties.chain(rest) {
        trees |= walk(root, source, &part, all, seen, report);
    }
    trees
}

/// What may hold an extension: a parameter, or a schema.
fn holder<'v>(root: &Spot<'v>, source: &Found<'v>, spot: &Spot<'v>, all: &[Found<'v>], report: &mut Report) -> bool {
    if let Some(values) = spot.get("x-ms-dynamic-values") {
        let named = ["operationId", "builtInOperation", "capability"].iter().any(|name| values.has(name));
        report.when(
            !named,
            Rule::OneOfPropertiesRequired,
            &values,
            "needs one of operationId, builtInOperation, capability",
        );
        loose(root, source, &values, spot.has("x-ms-dynamic-list"), LIST, report);
        if let Some(target) = call(root, Some(source), &values, all, report) {
            produces(root, &target, &values, ("value-collection", &["value-path", "value-title"]), report);
        }
    }
    if let Some(list) = spot.get("x-ms-dynamic-list")
        && let Some(target) = call(root, Some(source), &list, all, report)
    {
        produces(root, &target, &list, ("itemsPath", &["itemValuePath", "itemTitlePath"]), report);
    }
    if let Some(schema) = spot.get("x-ms-dynamic-schema") {
        let strict = spot.get("x-ms-dynamic-properties");
        loose(root, source, &schema, strict.is_some(), PROPERTIES, report);
        call(root, Some(source), &schema, all, report);
        let path = schema.text("value-path").unwrap_or_default();
        let stem = path.strip_suffix("properties").map(|stem| stem.trim_end_matches('/'));
        match (strict, stem) {
            (None, Some(_)) => report.add(
                Rule::DynamicPropertiesExtensionRequiredForPropertiesValuePath,
                &schema.at("value-path"),
                "leads to properties: x-ms-dynamic-properties must be there and lead to the schema",
            ),
            (Some(strict), Some(stem)) => {
                let other = strict.text("itemValuePath").unwrap_or_default();
                let what = format!("should be {stem:?}, as in x-ms-dynamic-schema without properties at its end");
                report.when(
                    other != stem,
                    Rule::DynamicPropertiesItemValuePathMismatch,
                    &strict.at("itemValuePath"),
                    what,
                );
            }
            _ => {}
        }
    }
    if let Some(strict) = spot.get("x-ms-dynamic-properties") {
        call(root, Some(source), &strict, all, report);
    }
    if let Some(functions) = spot.at("x-ms-capabilities").get("filterFunctions") {
        filters(&functions, report);
    }
    if let Some(tree) = spot.get("x-ms-dynamic-tree") {
        for name in ["open", "browse"] {
            let Some(step) = tree.get(name) else { continue };
            call(root, Some(source), &step, all, report);
            for (_, parameter) in step.at("parameters").members() {
                let misplaced = name == "open" && parameter.has("selectedItemValuePath");
                report.when(
                    misplaced,
                    Rule::SelectedItemValuePathNotAllowedInThisPosition,
                    &parameter,
                    "selectedItemValuePath is for browse only",
                );
            }
        }
        return true;
    }
    false
}

fn filters(functions: &Spot<'_>, report: &mut Report) {
    let items = functions.items();
    report.when(
        items.is_empty(),
        Rule::FilterFunctionsPropertyEmpty,
        functions,
        "must hold a function, or be left out",
    );
    let mut seen: Vec<&Value> = Vec::new();
    for item in &items {
        report.when(seen.contains(&item.value), Rule::FilterFunctionsPropertyHasDuplicates, item, "is there already");
        seen.push(item.value);
        let known = item.value.as_str().is_some_and(|name| FILTER_FUNCTIONS.contains(&name));
        report.when(!known, Rule::FilterFunctionsPropertyInvalidValue, item, "is no function of a filter");
    }
}

/// The rules of a loose extension that needs a strict one beside it.
type Strict = (&'static str, Rule, Rule);
const LIST: Strict = (
    "x-ms-dynamic-list",
    Rule::DynamicListExtensionRequiredForAmbiguousReferences,
    Rule::DynamicListExtensionRequiredForNonParameterReferences,
);
const PROPERTIES: Strict = (
    "x-ms-dynamic-properties",
    Rule::DynamicPropertiesExtensionRequiredForAmbiguousReferences,
    Rule::DynamicPropertiesExtensionRequiredForNonParameterReferences,
);

/// References by a bare name, which may mean a parameter, a field of the body, or both.
fn loose(root: &Spot<'_>, source: &Found<'_>, call: &Spot<'_>, strict: bool, rules: Strict, report: &mut Report) {
    let (extension, ambiguous, within) = rules;
    for (_, parameter) in call.at("parameters").members() {
        let Some(name) = parameter.text("parameter") else { continue };
        let (outside, inside) = find(root, source, name);
        if outside.is_none() && inside.is_none() {
            let what = format!("{} has no parameter {name}", source.name());
            report.add(Rule::OperationParameterNameNotFound, &parameter, what);
        }
        if strict {
            continue;
        }
        let both = outside.is_some() && inside.is_some();
        report.when(
            both,
            ambiguous,
            &parameter,
            format!("{name} is a parameter and a field of the body; define {extension}"),
        );
        let field = outside.is_none() && inside.is_some();
        report.when(field, within, &parameter, format!("{name} is a field of the body; define {extension}"));
    }
}

/// What a name means in an operation: a parameter, and a field of its body.
fn find<'v>(root: &Spot<'v>, operation: &Found<'v>, name: &str) -> (Option<Spot<'v>>, Option<Spot<'v>>) {
    let parameters = operation.parameters(root);
    let is_body = |parameter: &&Spot<'v>| parameter.text("in") == Some("body");
    let outside =
        parameters.iter().find(|parameter| parameter.text("name") == Some(name) && !is_body(parameter)).cloned();
    let body = parameters.iter().find(is_body);
    // With or without the body's own name before it.
    let path = body.and_then(|body| name.strip_prefix(body.text("name")?)?.strip_prefix('/')).unwrap_or(name);
    let inside = body.and_then(|body| field(root, &body.get("schema")?, path));
    (outside, inside)
}

/// Checks a call: its operation, and what it is given. Answers the operation.
fn call<'v>(
    root: &Spot<'v>,
    source: Option<&Found<'v>>,
    call: &Spot<'v>,
    all: &[Found<'v>],
    report: &mut Report,
) -> Option<Found<'v>> {
    let id = call.text("operationId")?;
    let Some(target) = all.iter().find(|found| found.id() == Some(id)) else {
        report.add(Rule::OperationIdNotFound, &call.at("operationId"), format!("no operation has the id {id}"));
        return None;
    };
    let given = call.at("parameters").members();
    for (name, value) in &given {
        let (outside, inside) = find(root, target, name);
        if outside.is_some() && inside.is_some() {
            report.add(
                Rule::OperationParameterNameIsAmbiguous,
                value,
                format!("{name} is a parameter of {id} and a field of its body"),
            );
        }
        let Some(wanted) = outside.or(inside) else {
            report.add(Rule::OperationParameterNameNotFound, value, format!("{id} has no parameter {name}"));
            continue;
        };
        fitting(root, source, value, &wanted, report);
    }
    for parameter in
        target.parameters(root).iter().filter(|parameter| parameter.holds("required") && !parameter.has("default"))
    {
        let Some(name) = parameter.text("name") else { continue };
        let body = parameter.text("in") == Some("body");
        let there = given.iter().any(|(known, _)| *known == name || (body && known.starts_with(&format!("{name}/"))));
        let inside = body && given.iter().any(|(known, _)| find(root, target, known).1.is_some());
        report.when(!there && !inside, Rule::OperationMissingRequiredProperty, call, format!("{id} requires {name}"));
    }
    Some(target.clone())
}

/// Whether what is given fits the parameter that it is given to.
fn fitting<'v>(root: &Spot<'v>, source: Option<&Found<'v>>, value: &Spot<'v>, wanted: &Spot<'v>, report: &mut Report) {
    let reference = value.text("parameter").or_else(|| value.text("parameterReference"));
    let kind = wanted.text("type");
    let Some(name) = reference else {
        let literal = value.get("value").map_or(value.value, |value| value.value);
        let what = format!("is of the type {}, and {} is wanted", type_of(literal), kind.unwrap_or_default());
        report.when(
            !literal.is_object() && !fits(literal, kind),
            Rule::OperationParameterStaticTypeMismatch,
            value,
            what,
        );
        return;
    };
    let Some(source) = source else { return };
    let (outside, inside) = find(root, source, name);
    let Some(own) = outside.or(inside) else {
        let what = format!("{} has no parameter {name}", source.name());
        report.add(Rule::OperationParameterNameNotFound, value, what);
        return;
    };
    let differ = own.text("type").is_some() && kind.is_some() && own.text("type") != kind;
    report.when(
        differ,
        Rule::OperationParameterTypeMismatch,
        value,
        format!("{name} is of another type than what it is given to"),
    );
    let optional = own.has("in") && wanted.holds("required") && !own.holds("required");
    report.when(
        optional,
        Rule::OperationParameterRequiredMismatch,
        value,
        format!("{name} may be left out, and is needed for this call"),
    );
    let hidden =
        own.text("x-ms-visibility") == Some("internal") && source.spot.text("x-ms-visibility") != Some("internal");
    report.when(hidden, Rule::SourcePropertyInternal, value, format!("{name} is internal, so no maker can fill it in"));
}

/// Whether the called operation answers what the list is made of.
fn produces<'v>(root: &Spot<'v>, target: &Found<'v>, call: &Spot<'v>, names: (&str, &[&str]), report: &mut Report) {
    let (collection, members) = names;
    let id = target.name();
    let path = call.text(collection).unwrap_or_default();
    let found = target.output(root).and_then(|schema| field(root, &schema, path));
    let Some(array) = found.filter(|schema| schema.text("type") == Some("array")) else {
        report.add(Rule::InvokedOperationShouldProduceArray, call, format!("{id} answers no array at {path:?}"));
        return;
    };
    for name in members {
        let Some(path) = call.text(name) else { continue };
        let there = array.get("items").and_then(|items| field(root, &items, path)).is_some();
        report.when(
            !there,
            Rule::InvokedOperationShouldProduceProperty,
            &call.at(name),
            format!("{id} answers no {path} in its items"),
        );
    }
    values::unique(&call.at("parameters"), report);
}
