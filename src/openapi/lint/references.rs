//! References: only into the document's own tables, alone, and not to another reference. It must not know what stands there.

use super::spot::Spot;
use super::{Report, Rule};

/// A table that references may lead into, and its rules.
pub(super) struct Table {
    prefix: &'static str,
    not_valid: Rule,
    not_found: Rule,
    looped: Rule,
}

pub(super) const SCHEMAS: Table = Table {
    prefix: "#/definitions/",
    not_valid: Rule::SchemaReferenceNotValid,
    not_found: Rule::SchemaReferenceNotFound,
    looped: Rule::SchemaRefLoopNotAllowed,
};
pub(super) const PARAMETERS: Table = Table {
    prefix: "#/parameters/",
    not_valid: Rule::ParameterReferenceNotValid,
    not_found: Rule::ParameterReferenceNotFound,
    looped: Rule::ParameterRefLoopNotAllowed,
};
pub(super) const RESPONSES: Table = Table {
    prefix: "#/responses/",
    not_valid: Rule::ResponseReferenceNotValid,
    not_found: Rule::ResponseReferenceNotFound,
    looped: Rule::ResponseRefLoopNotAllowed,
};

/// Checks the reference that stands here. False when there is none.
pub(super) fn check(root: &Spot<'_>, spot: &Spot<'_>, table: &Table, report: &mut Report) -> bool {
    let Some(reference) = spot.get("$ref") else { return false };
    for (name, beside) in spot.members().into_iter().filter(|(name, _)| *name != "$ref") {
        report.add(
            Rule::AdditionalPropertyNotAllowedAdjacentToRef,
            &beside,
            format!("{name} beside a $ref is ignored; remove it"),
        );
    }
    let target = reference.value.as_str().unwrap_or_default();
    let name = target.strip_prefix(table.prefix);
    let prefix = table.prefix;
    match name {
        None => report.add(table.not_valid, &reference, format!("must begin with {prefix}")),
        // RFC 6901 section 3: after ~ comes 0 or 1.
        Some(name) if name.is_empty() || name.split('~').skip(1).any(|rest| !rest.starts_with(['0', '1'])) => {
            report.add(Rule::JsonPointerNotValid, &reference, "is no JSON pointer");
        }
        // Where a definition is nothing but a reference, it is told at that definition.
        Some(name) => {
            let known = root.value.pointer(&format!("{}{name}", prefix.trim_start_matches('#'))).is_some();
            report.when(!known, table.not_found, &reference, format!("{target} is not in this document"));
        }
    }
    true
}

/// Names definitions that are nothing but references to others.
pub(super) fn aliases(root: &Spot<'_>, name: &str, table: &Table, report: &mut Report) {
    for (_, entry) in root.at(name).members() {
        if let Some(reference) = entry.get("$ref") {
            report.add(table.looped, &reference, "a definition may not be a $ref to another one");
        }
    }
}
