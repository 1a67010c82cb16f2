//! Security definitions and requirements. It must not know operations' content.

use super::document::{members, one_of};
use super::spot::{Spot, operations_of};
use super::{Report, Rule};

/// Checks definitions and requirements.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let definitions = root.at("securityDefinitions");
    for (index, (name, definition)) in definitions.members().into_iter().enumerate() {
        scheme(&definition, report);
        report.when(
            index > 0,
            Rule::SecurityDefinitionIgnored,
            &definition,
            format!("only the first definition makes a connection; {name} is not offered"),
        );
    }
    let operations = operations_of(root);
    for owner in std::iter::once(root).chain(operations.iter().map(|found| &found.spot)) {
        for requirement in owner.at("security").items() {
            for (name, scopes) in requirement.members() {
                match definitions.get(name) {
                    None => report.add(
                        Rule::SecurityRequirementMustBeDefined,
                        &scopes,
                        format!("{name} is not in securityDefinitions"),
                    ),
                    Some(definition) => required(name, &definition, &scopes, report),
                }
            }
        }
    }
    // Power Platform sends the key by the definition alone; every other client goes by the requirement.
    let asked = |spot: &Spot<'_>| !spot.at("security").items().is_empty();
    let unasked =
        !definitions.members().is_empty() && !asked(root) && !operations.iter().any(|found| asked(&found.spot));
    report.when(
        unasked,
        Rule::SecurityRequirementMissing,
        &root.at("security"),
        "names no requirement, so clients other than Power Platform send no credentials; name the definition here",
    );
}

fn scheme(definition: &Spot<'_>, report: &mut Report) {
    one_of(definition, "type", &["basic", "apiKey", "oauth2"], report);
    let flow = definition.text("flow");
    let needed: &[&str] = match definition.text("type") {
        Some("basic") => &[],
        Some("apiKey") => &["name", "in"],
        Some("oauth2") => match flow {
            Some("implicit") => &["flow", "authorizationUrl"],
            Some("accessCode") => &["flow", "authorizationUrl", "tokenUrl"],
            Some(_) => &["flow", "tokenUrl"],
            None => &["flow"],
        },
        Some(_) => return,
        None => {
            report.add(Rule::SecuritySchemePropertyRequired, definition, "type is required");
            return;
        }
    };
    let kind = definition.text("type").unwrap_or_default();
    for name in needed {
        let what = format!("{name} is required for definitions of the type {kind}");
        report.when(!definition.has(name), Rule::SecuritySchemePropertyRequired, definition, what);
    }
    if kind == "apiKey" {
        one_of(definition, "in", &["header", "query"], report);
    }
    let all = ["type", "description", "name", "in", "flow", "authorizationUrl", "tokenUrl", "scopes"];
    members(definition, &all, report);
    for (name, at) in definition.members() {
        let common = matches!(name, "type" | "description") || (kind == "oauth2" && name == "scopes");
        let strange = all.contains(&name) && !common && !needed.contains(&name);
        report.when(
            strange,
            Rule::SecuritySchemePropertyNotValid,
            &at,
            format!("{name} is not valid for definitions of the type {kind}"),
        );
    }
}

fn required(name: &str, definition: &Spot<'_>, scopes: &Spot<'_>, report: &mut Report) {
    if !scopes.value.is_array() {
        report.add(
            Rule::SecurityRequirementMustHaveValue,
            scopes,
            format!("{name} must have an array; an empty one for no scopes"),
        );
        return;
    }
    if definition.text("type") != Some("oauth2") {
        report.when(
            !scopes.items().is_empty(),
            Rule::SecurityRequirementMustHaveEmptyValue,
            scopes,
            format!("{name} has no scopes; give an empty array"),
        );
        return;
    }
    for scope in scopes.items() {
        let known = scope.value.as_str().is_some_and(|scope| definition.at("scopes").has(scope));
        report.when(
            !known,
            Rule::OAuthSecurityRequirementValueMustBeScopeName,
            &scope,
            format!("is no scope of {name}"),
        );
    }
}
