//! Paths: their templates, and whether two can be told apart. It must not know what an operation says.

use super::document::members;
use super::spot::{METHODS, Spot, operations_of};
use super::{Report, Rule};

/// Checks all paths.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let paths = root.at("paths").members();
    for (index, (path, item)) in paths.iter().enumerate() {
        if path.starts_with("x-") {
            continue;
        }
        form(path, item, report);
        let before = paths.iter().take(index);
        let again = before.filter(|(other, _)| other.eq_ignore_ascii_case(path)).count() > 0;
        report.when(again, Rule::PathRedefined, item, format!("{path} is there already, in other capitals"));
        if let Some(reference) = item.get("$ref") {
            report.add(Rule::PathItemRefNotSuppored, &reference, "a $ref in a path is not supported");
        }
        let known: Vec<_> =
            METHODS.iter().copied().chain(["parameters", "x-ms-notification-content", "$ref"]).collect();
        members(item, &known, report);
    }
    let operations = operations_of(root);
    for (index, one) in operations.iter().enumerate() {
        for other in operations.iter().skip(index + 1).filter(|other| other.method == one.method) {
            match overlap(one.path, other.path) {
                Overlap::None => {}
                Overlap::Partial => report.add(
                    Rule::PartialDuplicateOperationPath,
                    &other.spot,
                    format!(
                        "{} of {} may also be {} of {}, by the value of a parameter",
                        other.path,
                        other.name(),
                        one.path,
                        one.name()
                    ),
                ),
                Overlap::Whole => report.add(
                    Rule::DuplicateOperationPath,
                    &other.spot,
                    format!("{} of {} cannot be told from {} of {}", other.path, other.name(), one.path, one.name()),
                ),
            }
        }
    }
}

/// The names of a path's variables, where its template can be read.
pub(super) fn variables(path: &str) -> Vec<&str> {
    path.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
}

fn form(path: &str, at: &Spot<'_>, report: &mut Report) {
    report.when(!path.starts_with('/'), Rule::OperationPathMustStartWithSlash, at, "must begin with /");
    report.when(path.contains(['?', '#']), Rule::OperationPathMayNotContainQueryOrFragment, at, "must not hold ? or #");
    report.when(path.contains('*'), Rule::OperationPathContainsUnsupportedCharacters, at, "must not hold *");
    let paired = path.split('/').all(|segment| {
        let mut open = false;
        let steps = segment.chars().all(|letter| match letter {
            '{' => !std::mem::replace(&mut open, true),
            '}' => std::mem::replace(&mut open, false),
            _ => true,
        });
        steps && !open
    });
    let named = !path.contains("{}");
    report.when(
        !paired || !named,
        Rule::OperationPathTemplateNotValid,
        at,
        "each { needs its } in the same segment, with a name between",
    );
    let default = variables(path).iter().any(|name| name.contains('='));
    report.when(default, Rule::OperationPathVariablesContainDefaults, at, "a variable cannot set a default with =");
}

enum Overlap {
    None,
    Partial,
    Whole,
}

fn overlap(one: &str, other: &str) -> Overlap {
    let (one, other): (Vec<_>, Vec<_>) = (one.split('/').collect(), other.split('/').collect());
    if one.len() != other.len() {
        return Overlap::None;
    }
    let variable = |segment: &str| segment.contains('{');
    let mut whole = true;
    for (one, other) in one.iter().zip(&other) {
        match (variable(one), variable(other)) {
            (true, true) => {}
            (false, false) if one.eq_ignore_ascii_case(other) => {}
            (false, false) => return Overlap::None,
            _ => whole = false,
        }
    }
    if whole { Overlap::Whole } else { Overlap::Partial }
}
