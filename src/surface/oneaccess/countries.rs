//! Every country of the phone metadata with its names, calling code and mobile pattern: a list that a client shows.
//!
//! `countries.tsv` has a line for each: country, its names in simplified Chinese, traditional Chinese and English, which are
//! the Unicode CLDR's (release 48, Unicode License v3: <https://www.unicode.org/license.txt>), and the pattern of its mobile
//! numbers, libphonenumber's (9.0.43, Apache License 2.0), which its port does not show. A test holds both against the
//! metadata that numbers are read with.

use std::sync::LazyLock;

use bytes::Bytes;
use serde::Serialize;
use utoipa::ToSchema;

use crate::otp::phone::Country;

const ROWS: &str = include_str!("countries.tsv");

/// What a client needs to let a person choose a country.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OneAccessCountryCodes)]
pub(super) struct CountryCodes {
    /// All countries.
    phone_area_code_definitions: Vec<AreaCode>,
    /// The country that a number without `+` is read in.
    #[schema(example = "CN")]
    preferred_area_code: String,
}

/// A country.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OneAccessAreaCode)]
pub(super) struct AreaCode {
    /// Its calling code, without `+`.
    #[schema(example = "86")]
    area_code: String,
    /// ISO 3166-1 alpha-2.
    #[schema(example = "CN")]
    country_code: String,
    /// Its names.
    display_mapping: Names,
    /// What a mobile number matches that is written nationally, without a trunk prefix.
    #[schema(example = "^(?:1[0-9]{10})$")]
    mobile_regex: String,
    /// Always empty.
    area_code_suffixes: Vec<String>,
}

/// A country's names.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessNames)]
struct Names {
    /// In simplified Chinese.
    #[serde(rename = "zh-CN")]
    simplified: &'static str,
    /// In traditional Chinese.
    #[serde(rename = "zh-TW")]
    traditional: &'static str,
    /// In English.
    #[serde(rename = "en")]
    english: &'static str,
}

impl CountryCodes {
    fn all(preferred: Country) -> Self {
        let phone_area_code_definitions = Country::all().into_iter().filter_map(area_code).collect();
        Self { phone_area_code_definitions, preferred_area_code: preferred.to_string() }
    }
}

fn area_code(country: Country) -> Option<AreaCode> {
    let row = ROWS.lines().find(|line| line.starts_with(country.as_str()))?;
    let mut cells = row.split('\t').skip(1);
    let display_mapping = Names { simplified: cells.next()?, traditional: cells.next()?, english: cells.next()? };
    Some(AreaCode {
        area_code: country.calling_code()?.to_string(),
        country_code: country.to_string(),
        display_mapping,
        mobile_regex: format!("^(?:{})$", cells.next()?),
        area_code_suffixes: Vec::new(),
    })
}

/// The list as JSON, written when it is first asked for.
pub(super) struct Written(LazyLock<Bytes, Box<dyn FnOnce() -> Bytes + Send>>);

impl Written {
    /// With this country as the preferred one.
    pub(super) fn new(preferred: Country) -> Self {
        Self(LazyLock::new(Box::new(move || {
            // Texts and lists: writing them cannot fail.
            serde_json::to_vec(&CountryCodes::all(preferred)).unwrap_or_default().into()
        })))
    }

    /// The bytes.
    pub(super) fn bytes(&self) -> Bytes {
        self.0.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_country_of_the_metadata_has_names_a_code_and_a_pattern() {
        let all = Country::all();
        assert!(all.len() > 240, "{}", all.len());
        for country in &all {
            let row = area_code(*country).unwrap_or_else(|| panic!("{country} is incomplete"));
            assert!(row.area_code.parse::<u16>().is_ok());
            let pattern = regex_lite::Regex::new(&row.mobile_regex).unwrap();
            if let Some(example) = country.mobile_example() {
                assert!(pattern.is_match(&example), "{country} {example} {pattern}");
            }
            assert!(!row.display_mapping.simplified.is_ascii() && !row.display_mapping.traditional.is_ascii());
        }
        let china = area_code("CN".parse().unwrap()).unwrap();
        assert_eq!((china.area_code.as_str(), china.display_mapping.english), ("86", "China"));
        assert_eq!((china.display_mapping.simplified, china.display_mapping.traditional), ("中国", "中國"));
    }
}
