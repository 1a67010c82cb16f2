//! `apiProperties.json`: the connection's parameters and the colour. It must not know what an operation does.

use serde_json::Value;

use super::document::{members, required, typed};
use super::spot::{Spot, operations_of};
use super::{Report, Rule};

const PROPERTIES: &[&str] = &[
    "iconBrandColor",
    "publisher",
    "stackOwner",
    "capabilities",
    "connectionParameters",
    "connectionParameterSets",
    "policyTemplateInstances",
    "scriptOperations",
];
/// The colours that certification refuses: white, and the platform's default.
const REFUSED_COLORS: [&str; 2] = ["#ffffff", "#007ee5"];

/// Checks the properties beside their definition.
pub(super) fn check(root: &Spot<'_>, definition: &Value, report: &mut Report) {
    required(root, &["properties"], report);
    members(root, &["properties", "$schema"], report);
    let properties = root.at("properties");
    if !properties.value.is_object() {
        return;
    }
    members(&properties, PROPERTIES, report);
    required(&properties, &["iconBrandColor", "publisher", "stackOwner"], report);
    for (name, kind) in
        [("capabilities", "array"), ("connectionParameters", "object"), ("policyTemplateInstances", "array")]
    {
        typed(&properties, name, kind, report);
    }
    if let Some(color) = properties.get("iconBrandColor") {
        let text = color.value.as_str().unwrap_or_default().to_ascii_lowercase();
        let digits = text
            .strip_prefix('#')
            .filter(|digits| digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let fits = digits.is_some() && !REFUSED_COLORS.contains(&text.as_str());
        report.when(
            !fits,
            Rule::BrandColorNotAllowed,
            &color,
            "must be a colour such as #0b6e4f, neither #ffffff nor #007ee5",
        );
    }
    for (_, parameter) in properties.at("connectionParameters").members() {
        required(&parameter, &["type"], report);
        let constraint = parameter.at("uiDefinition").at("constraints").at("required");
        let text = constraint.value.is_null() || constraint.value.is_string();
        report.when(!text, Rule::JsonTypeIncorrect, &constraint, "must be a string, \"true\" or \"false\"");
    }
    let definition = Spot::root(definition);
    for (name, scheme) in definition.at("securityDefinitions").members() {
        if scheme.text("type") != Some("apiKey") || properties.has("connectionParameterSets") {
            continue;
        }
        let parameter = properties.at("connectionParameters").at(name);
        let secure = parameter.text("type") == Some("securestring");
        let what = format!(
            "{name} must be a connection parameter of the type securestring, or the key is not asked for, or shown"
        );
        report.when(!secure, Rule::ConnectionParameterNotSecure, &parameter, what);
    }
    let ids: Vec<_> = operations_of(&definition).iter().filter_map(super::spot::Found::id).map(str::to_owned).collect();
    for policy in properties.at("policyTemplateInstances").items() {
        required(&policy, &["templateId"], report);
        for name in policy.at("parameters").at("x-ms-apimTemplate-operationName").items() {
            let known = name.value.as_str().is_some_and(|name| ids.iter().any(|id| id == name));
            report.when(!known, Rule::OperationIdNotFound, &name, "no operation has this id");
        }
    }
}
