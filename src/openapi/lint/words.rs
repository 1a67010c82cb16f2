//! What a maker reads: names, titles and descriptions, by Microsoft's string guidance and coding standards. It must not know
//! types.

use super::spot::{Found, Spot, operations_of};
use super::{Report, Rule};

/// The longest title of a connector.
const TITLE: usize = 30;
/// The lengths of a connector's description.
const DESCRIPTION: std::ops::RangeInclusive<usize> = 30..=500;
/// The longest summary of an operation.
const SUMMARY: usize = 120;
/// What neither title nor description may name: the kinds of thing that they are, and products of the platform.
const RESTRICTED: [&str; 13] = [
    "API",
    "Connector",
    "Copilot Studio",
    "Power Apps",
    "PowerApps",
    "Power Automate",
    "PowerAutomate",
    "Power BI",
    "Power Platform",
    "Microsoft Flow",
    "Logic Apps",
    "Azure Logic Apps",
    "Power Virtual Agents",
];
/// Of which a connector may have two (submission guide, connector metadata).
const CATEGORIES: [&str; 19] = [
    "AI",
    "Business Management",
    "Business Intelligence",
    "Collaboration",
    "Commerce",
    "Communication",
    "Content and Files",
    "Finance",
    "Data",
    "Human Resources",
    "Internet of Things",
    "IT Operations",
    "Lifestyle and Entertainment",
    "Marketing",
    "Productivity",
    "Sales and CRM",
    "Security",
    "Social Media",
    "Website",
];
const METADATA: [&str; 3] = ["Website", "Privacy policy", "Categories"];

/// Checks all words.
pub(super) fn check(root: &Spot<'_>, report: &mut Report) {
    let info = root.at("info");
    if let Some(title) = info.text("title").filter(|title| !title.trim().is_empty()) {
        let at = info.at("title");
        let length = title.chars().count();
        report.when(
            length > TITLE,
            Rule::FieldLengthExceeded,
            &at,
            format!("has {length} characters; at most {TITLE} are allowed"),
        );
        restricted(title, &at, report);
        report.when(!title.is_ascii(), Rule::ValueMustBeInEnglish, &at, "must be written in English letters");
        let ends = title.ends_with(|letter: char| letter.is_alphanumeric() || letter == ')');
        report.when(!ends, Rule::ValueMustEndWithAlphanumeric, &at, "must end with a letter or a digit");
    }
    match info.text("description") {
        None => report.add(Rule::DescriptionMissing, &info, "a description of 30 to 500 characters is wanted"),
        Some(text) => {
            let at = info.at("description");
            let length = text.chars().count();
            let fits = DESCRIPTION.contains(&length);
            report.when(
                !fits,
                Rule::FieldLengthNotInRange,
                &at,
                format!("has {length} characters; 30 to 500 are wanted"),
            );
            restricted(text, &at, report);
            sentence(text, &at, report);
            // Dashes and quotation marks are no letters; another script is another language.
            let foreign = text.chars().any(|letter| letter.is_alphabetic() && letter > '\u{24f}');
            report.when(foreign, Rule::ValueMustBeInEnglish, &at, "must be written in English");
        }
    }
    metadata(root, report);
    for found in operations_of(root) {
        operation(&found, report);
    }
    let tested = root.at("x-ms-capabilities").has("testConnection");
    report.when(
        !tested,
        Rule::ConnectionTestMissing,
        &root.at("x-ms-capabilities"),
        "testConnection is missing: a wrong key is then seen in a flow only",
    );
}

fn operation(found: &Found<'_>, report: &mut Report) {
    let spot = &found.spot;
    let summary = spot.text("summary").unwrap_or_default();
    let at = spot.at("summary");
    if summary.trim().is_empty() {
        report.add(
            Rule::OperationSummaryMissing,
            spot,
            "summary is missing: it is the operation's name in the designer",
        );
    } else {
        let length = summary.chars().count();
        report.when(
            length >= SUMMARY,
            Rule::OperationSummaryTooLong,
            &at,
            format!("has {length} characters; fewer than {SUMMARY} are readable"),
        );
        let odd: String =
            summary.chars().filter(|letter| !(letter.is_ascii_alphanumeric() || " ()".contains(*letter))).collect();
        report.when(
            !odd.is_empty(),
            Rule::RestrictedCharactersInSummary,
            &at,
            format!("holds {odd:?}; letters, digits, spaces and parentheses are allowed"),
        );
    }
    match spot.text("description") {
        Some(text) if !text.trim().is_empty() => {
            let at = spot.at("description");
            sentence(text, &at, report);
            let plain = |text: &str| text.trim().trim_end_matches('.').to_lowercase();
            report.when(
                plain(text) == plain(summary),
                Rule::DescriptionEqualsSummary,
                &at,
                "says no more than the summary",
            );
        }
        _ => report.add(Rule::DescriptionMissing, spot, "description is missing"),
    }
    report.when(
        !spot.has("x-ms-visibility"),
        Rule::OperationVisibilityMissing,
        spot,
        "x-ms-visibility is missing: important, advanced or internal",
    );
    if found.is_trigger() {
        let when = summary.starts_with("When ") || spot.text("x-ms-visibility") == Some("internal");
        report.when(!when, Rule::TriggerSummaryNotWhen, &at, "the summary of a trigger begins with \"When a\"");
    }
}

/// Title and description of a parameter or a field.
pub(super) fn field(spot: &Spot<'_>, report: &mut Report) {
    let titled =
        ["x-ms-summary", "title"].iter().any(|name| spot.text(name).is_some_and(|text| !text.trim().is_empty()));
    report.when(!titled, Rule::TitleMissing, spot, "x-ms-summary is missing: a maker sees the raw name");
    match spot.text("description") {
        Some(text) if !text.trim().is_empty() => sentence(text, &spot.at("description"), report),
        _ => report.add(Rule::DescriptionMissing, spot, "description is missing"),
    }
}

fn sentence(text: &str, at: &Spot<'_>, report: &mut Report) {
    let ends = text.trim_end().ends_with(['.', '!', '?']);
    report.when(!ends, Rule::DescriptionNotASentence, at, "must be a full sentence with a period");
}

fn restricted(text: &str, at: &Spot<'_>, report: &mut Report) {
    let words: Vec<_> = text.split(|letter: char| !letter.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let joined = format!(" {} ", words.join(" ")).to_lowercase();
    let named: Vec<_> =
        RESTRICTED.into_iter().filter(|word| joined.contains(&format!(" {} ", word.to_lowercase()))).collect();
    report.when(
        !named.is_empty(),
        Rule::ValueContainsRestrictedWords,
        at,
        format!("must not contain {}", named.join(", ")),
    );
}

fn metadata(root: &Spot<'_>, report: &mut Report) {
    let all = root.at("x-ms-connector-metadata");
    let entries = all.items();
    for wanted in METADATA {
        let there = entries.iter().any(|entry| entry.text("propertyName") == Some(wanted));
        report.when(!there, Rule::ConnectorMetadataPropertiesMissing, &all, format!("{wanted} is missing"));
    }
    for entry in &entries {
        let value = entry.text("propertyValue").unwrap_or_default();
        report.when(value.trim().is_empty(), Rule::RequiredValueEmpty, &entry.at("propertyValue"), "must not be empty");
        if entry.text("propertyName") != Some("Categories") {
            continue;
        }
        let categories: Vec<_> = value.split(';').map(str::trim).filter(|name| !name.is_empty()).collect();
        report.when(
            categories.len() > 2,
            Rule::TooManyConnectorCategories,
            &entry.at("propertyValue"),
            "at most 2 categories are allowed",
        );
        for name in categories.into_iter().filter(|name| !CATEGORIES.contains(name)) {
            let what = format!("{name:?} is no category; there are {}", CATEGORIES.join(", "));
            report.add(Rule::InvalidConnectorCategory, &entry.at("propertyValue"), what);
        }
    }
}
