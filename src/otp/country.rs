//! Countries: those of the phone metadata, by the letters of ISO 3166-1. Must not know how a number is written.

use std::fmt;
use std::str::FromStr;

#[cfg(test)]
use rlibphonenumber::PhoneNumberType;
use rlibphonenumber::{PHONE_NUMBER_UTIL, PhoneNumber, Region};
use serde::{Deserialize, Serialize};

/// A country: ISO 3166-1 alpha-2 in upper case, known to the phone metadata.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Country([u8; 2]);

impl Country {
    /// The People's Republic of China.
    pub const CHINA: Self = Self(*b"CN");

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("ZZ")
    }

    /// The two letters, as bytes.
    #[must_use]
    pub const fn letters(self) -> [u8; 2] {
        self.0
    }

    /// The country of two capital letters; none where they are none. Whether there is such a country is not looked at.
    #[must_use]
    pub fn of_letters(letters: [u8; 2]) -> Option<Self> {
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The same as the metadata has it.
    pub(super) fn region(self) -> Option<Region> {
        Region::from_str(self.as_str()).ok()
    }

    /// Every country of the phone metadata, by its letters.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let regions = PHONE_NUMBER_UTIL.get_supported_regions();
        let mut all: Vec<Self> = regions.filter_map(|region| region.to_string().parse().ok()).collect();
        all.sort_unstable();
        all
    }

    /// The country that a number belongs to.
    pub(super) fn of_number(parsed: &PhoneNumber) -> Option<Self> {
        let region = match PHONE_NUMBER_UTIL.get_region_for_number(parsed) {
            Some(region) => region,
            // An unallocated number still belongs to the (main) country of its calling code.
            None => PHONE_NUMBER_UTIL.get_region_for_country_code(parsed.country_code)?,
        };
        let text = region.as_region_str();
        text.as_str().parse().ok()
    }

    /// Its calling code, without `+`.
    #[must_use]
    pub fn calling_code(self) -> Option<i32> {
        PHONE_NUMBER_UTIL.get_country_code_for_region(self.region()?)
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Country {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no country of the phone metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ISO 3166-1 alpha-2 code such as DE")]
pub struct UnknownCountry;

impl FromStr for Country {
    type Err = UnknownCountry;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let [first, second] = *text.as_bytes() else { return Err(UnknownCountry) };
        let country = Self([first.to_ascii_uppercase(), second.to_ascii_uppercase()]);
        let region = country.region().ok_or(UnknownCountry)?;
        PHONE_NUMBER_UTIL.get_country_code_for_region(region).map(|_| country).ok_or(UnknownCountry)
    }
}

impl Serialize for Country {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Country {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| serde::de::Error::custom(format!("{error}, not \"{text}\"")))
    }
}

#[cfg(test)]
impl Country {
    /// A mobile number of the country as the metadata has one, written nationally without a trunk prefix.
    pub(crate) fn mobile_example(self) -> Option<String> {
        let kind = PhoneNumberType::Mobile;
        let example = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(self.region()?, kind).ok()?;
        Some(rlibphonenumber::get_national_significant_number_owned(&example))
    }
}
