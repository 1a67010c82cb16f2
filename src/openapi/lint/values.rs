//! What parameters, header fields, items and schemas have in common: a type, bounds, words and a default. It must not know
//! where they stand.

use serde_json::Value;

use super::document::one_of;
use super::spot::{Spot, fits, type_of};
use super::{Report, Rule};

/// The types and formats of Microsoft's schema.
const FORMATS: [&str; 14] = [
    "int32",
    "int64",
    "float",
    "double",
    "byte",
    "binary",
    "date",
    "date-time",
    "password",
    "date-no-tz",
    "email",
    "html",
    "uri",
    "uuid",
];
const TYPES: [&str; 7] = ["string", "integer", "number", "boolean", "array", "object", "file"];

/// Checks what a value may be.
pub(super) fn check(spot: &Spot<'_>, report: &mut Report) {
    one_of(spot, "type", &TYPES, report);
    one_of(spot, "x-ms-visibility", &["important", "advanced", "internal"], report);
    let kind = spot.text("type");
    if let Some(format) = spot.get("format") {
        let name = format.value.as_str().unwrap_or_default();
        report.when(
            !FORMATS.contains(&name),
            Rule::UnrecognizedTypeFormat,
            &format,
            format!("{}/{name} is not known", kind.unwrap_or("any")),
        );
    }
    report.when(kind == Some("array") && !spot.has("items"), Rule::ArrayHasNoItems, spot, "items are missing");
    words(spot, kind, report);
    if let Some(default) = spot.get("default") {
        let found = type_of(default.value);
        let wanted = kind.unwrap_or_default();
        report.when(
            !fits(default.value, kind),
            Rule::DefaultValueMustMatchType,
            &default,
            format!("is of the type {found}, and should be of the type {wanted}"),
        );
        let words = spot.at("enum").items();
        let known = words.is_empty() || words.iter().any(|word| word.value == default.value);
        report.when(!known, Rule::DefaultValueNotInEnum, &default, "is none of the values of enum");
    }
    bounds(spot, report);
    if let Some(pattern) = spot.get("pattern") {
        let fits = pattern.value.as_str().is_some_and(is_regular);
        report.when(!fits, Rule::PatternShouldBeValidRegularExpression, &pattern, "is no regular expression");
    }
}

/// `enum` and the labels of its words.
fn words(spot: &Spot<'_>, kind: Option<&str>, report: &mut Report) {
    let all = spot.at("enum");
    if spot.has("enum") {
        let values = all.items();
        report.when(values.is_empty(), Rule::EnumMustContainAtLeastOneElement, &all, "must hold a value");
        for value in &values {
            let found = type_of(value.value);
            report.when(
                !fits(value.value, kind),
                Rule::InvalidEnumValue,
                value,
                format!("is of the type {found}, and should be of the type {}", kind.unwrap_or_default()),
            );
        }
        unique(&all, report);
    }
    let mut seen: Vec<&Value> = Vec::new();
    for label in spot.at("x-ms-enum-values").items() {
        let value = label.at("value");
        report.when(
            seen.contains(&value.value),
            Rule::DuplicateEnumValuesInExtension,
            &label,
            "this value has a label already",
        );
        seen.push(value.value);
        report.when(
            label.text("displayName").is_none_or(str::is_empty),
            Rule::MissingEnumValuesDisplayName,
            &label,
            "displayName is missing",
        );
        let known = all.items().iter().any(|known| known.value == value.value);
        report.when(!known, Rule::InvalidEnumValuesExtensionValue, &label, "its value is not in enum");
    }
}

/// Names values of an array that come twice.
pub(super) fn unique(array: &Spot<'_>, report: &mut Report) {
    let mut seen: Vec<&Value> = Vec::new();
    for item in array.items() {
        report.when(seen.contains(&item.value), Rule::ArrayDuplicateValue, &item, "is there already");
        seen.push(item.value);
    }
}

fn bounds(spot: &Spot<'_>, report: &mut Report) {
    let number = |name: &str| spot.value.get(name).and_then(Value::as_f64);
    for (name, rule) in [
        ("maxLength", Rule::MaxLengthMustBeGreaterThanOrEqualToZero),
        ("minLength", Rule::MinLengthMustBeGreaterThanOrEqualToZero),
        ("maxItems", Rule::MaxItemsMustBeGreaterThanOrEqualToZero),
        ("minItems", Rule::MinItemsMustBeGreaterThanOrEqualToZero),
        ("maxProperties", Rule::MaxPropertiesMustBeGreaterThanOrEqualToZero),
        ("minProperties", Rule::MinPropertiesMustBeGreaterThanOrEqualToZero),
    ] {
        report.when(number(name).is_some_and(|number| number < 0.0), rule, &spot.at(name), "must not be negative");
    }
    for (least, most, rule) in [
        ("minimum", "maximum", Rule::MinimumShouldBeLessThanOrEqualToMaximum),
        ("minLength", "maxLength", Rule::MinLengthShouldBeLessThanOrEqualToMaxLength),
        ("minItems", "maxItems", Rule::MinItemsShouldBeLessThanOrEqualToMaxItems),
    ] {
        let crossed = matches!((number(least), number(most)), (Some(least), Some(most)) if least > most);
        report.when(crossed, rule, &spot.at(least), format!("must not be more than {most}"));
    }
    for (exclusive, bound, rule) in [
        ("exclusiveMaximum", "maximum", Rule::ExclusiveMaximumRequiresMaximum),
        ("exclusiveMinimum", "minimum", Rule::ExclusiveMinimumRequiresMinimum),
    ] {
        report.when(
            spot.has(exclusive) && !spot.has(bound),
            rule,
            &spot.at(exclusive),
            format!("needs {bound} beside it"),
        );
    }
    let zero = number("multipleOf").is_some_and(|number| number <= 0.0);
    report.when(zero, Rule::MultipleOfMustBeGreaterThanZero, &spot.at("multipleOf"), "must be greater than zero");
}

/// Whether a text can be a regular expression: its brackets are paired, and its repetitions repeat something. A dialect's
/// own escapes are not judged.
fn is_regular(text: &str) -> bool {
    let (mut groups, mut repeatable, mut letters) = (0_usize, false, text.chars().peekable());
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => {
                if letters.next().is_none() {
                    return false;
                }
                repeatable = true;
            }
            '[' => {
                // The first ] after [ or [^ is a letter.
                letters.next_if_eq(&'^');
                letters.next_if_eq(&']');
                loop {
                    match letters.next() {
                        None => return false,
                        Some(']') => break,
                        Some('\\') => drop(letters.next()),
                        Some(_) => {}
                    }
                }
                repeatable = true;
            }
            '(' => {
                groups += 1;
                repeatable = false;
                if letters.next_if_eq(&'?').is_some() {
                    letters.next_if(|letter| ":=!<".contains(*letter));
                }
            }
            ')' => {
                if groups == 0 {
                    return false;
                }
                groups -= 1;
                repeatable = true;
            }
            '*' | '+' | '?' => {
                if !repeatable {
                    return false;
                }
                letters.next_if(|letter| "?+".contains(*letter));
                repeatable = false;
            }
            '|' | '^' => repeatable = false,
            _ => repeatable = true,
        }
    }
    groups == 0
}

#[cfg(test)]
mod tests {
    use super::is_regular;

    #[test]
    fn connector_lint_reads_regular_expressions() {
        for text in ["", "^a+$", r"^\+?[0-9]{3,15}$", "[]a]", "[^]]", "(?:a|b)*?", r"(?<x>\d+)", "a{2}", "(?=a)b"] {
            assert!(is_regular(text), "{text}");
        }
        for text in ["(", ")", "[a", "*a", "a**b*+*", "(a", r"a\", "|*"] {
            assert!(!is_regular(text), "{text}");
        }
    }
}
