//! Revisions of operations (`x-ms-api-annotation`): families, suffixes and replacements. It must not know schemas.

use std::collections::BTreeMap;

use serde_json::Value;

use super::spot::{Found, Spot, operations_of};
use super::{Report, Rule};

/// Checks all annotations.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let operations = operations_of(root);
    let preview = root.at("info").at("x-ms-api-annotation").text("status") == Some("Preview");
    let mut families: BTreeMap<&str, Vec<&Found<'_>>> = BTreeMap::new();
    for found in &operations {
        let Some(annotation) = found.spot.get("x-ms-api-annotation") else { continue };
        one(found, &annotation, report);
        let ahead = preview && annotation.text("status") == Some("Production");
        report.when(
            ahead,
            Rule::OperationStatusAheadOfConnector,
            &annotation.at("status"),
            "the connector itself is in Preview",
        );
        if let Some(family) = annotation.text("family") {
            families.entry(family).or_default().push(found);
        }
    }
    for (family, members) in families {
        whole(family, &members, report);
    }
}

fn one(found: &Found<'_>, annotation: &Spot<'_>, report: &mut Report) {
    if let Some(replacement) = annotation.get("replacement") {
        let live = !found.spot.holds("deprecated");
        let what = "replacement is for deprecated operations only";
        report.when(live, Rule::ApiAnnotationExtensionReplacementInfoForNonDeprecatedOperations, &replacement, what);
        for (name, rule) in [
            ("api", Rule::ApiAnnotationExtensionReplacementInfoMissingApiProperty),
            ("operationId", Rule::ApiAnnotationExtensionReplacementInfoMissingOperationIdProperty),
        ] {
            report.when(
                replacement.text(name).is_none_or(str::is_empty),
                rule,
                &replacement,
                format!("{name} is missing"),
            );
        }
    }
    match annotation.value.get("revision").and_then(Value::as_u64) {
        Some(revision) if revision > 1 => {
            let suffix = format!("V{revision}");
            let ends = found.id().is_some_and(|id| id.to_ascii_uppercase().ends_with(&suffix));
            let what = format!("should end with the suffix {suffix}");
            report.when(!ends, Rule::OperationIdShouldEndWithRevision, &found.spot.at("operationId"), what);
        }
        Some(_) => {}
        None => report.when(
            annotation.has("family"),
            Rule::OperationRevisionEmpty,
            annotation,
            format!("{} has a family, but no revision", found.name()),
        ),
    }
}

fn whole(family: &str, members: &[&Found<'_>], report: &mut Report) {
    let mut seen = Vec::new();
    let (mut empty, mut active, mut production) = (0, 0, 0);
    for found in members {
        let here = found.spot.at("x-ms-api-annotation");
        match here.value.get("revision") {
            None => {
                empty += 1;
                report.when(
                    empty > 1,
                    Rule::OperationFamilyHasManyEmptyRevisions,
                    &here,
                    format!("{family} has several operations without a revision"),
                );
            }
            Some(revision) => {
                report.when(
                    seen.contains(&revision),
                    Rule::OperationFamilyHasDuplicateRevisions,
                    &here.at("revision"),
                    format!("{family} has this revision already"),
                );
                seen.push(revision);
            }
        }
        if found.spot.holds("deprecated") {
            continue;
        }
        active += 1;
        report.when(
            active > 2,
            Rule::OperationFamilyHasManyActiveOperations,
            &found.spot,
            format!("{family} has more than two live operations; deprecate the older ones"),
        );
        if here.text("status") == Some("Production") {
            production += 1;
            let what = format!("{family} has several live operations in Production; deprecate the older ones");
            report.when(production > 1, Rule::OperationFamilyHasManyActiveProductionOperations, &found.spot, what);
        }
    }
}
