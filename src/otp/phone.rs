//! Phone numbers: every written form a caller may use, parsed into E.164 with its country and line type.
//!
//! The metadata is libphonenumber's, by a maintained port; only this file, `beside.rs` and `country.rs` name it. A number is
//! taken when its length is possible; whether its range is allocated shows in the line type (a carrier's own rules ask for it).

use std::fmt;
use std::sync::Arc;

use rlibphonenumber::{PHONE_NUMBER_UTIL, ParseError, PhoneNumber, PhoneNumberFormat, PhoneNumberType};
use serde::{Deserialize, Serialize};

use crate::otp::beside::beside;
pub use crate::otp::country::{Country, UnknownCountry};

/// A phone number in E.164 (ITU-T): `+` and 7 to 15 digits. `Debug` shows only its ends; [`E164::as_str`] shows it all.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct E164(Arc<str>);

impl E164 {
    /// The number with its `+`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The number with all but its first three and last two digits hidden: what a log may show.
    #[must_use]
    pub fn masked(&self) -> String {
        let (head, rest) = self.0.split_at_checked(4).unwrap_or((&self.0, ""));
        let tail = rest.get(rest.len().saturating_sub(2)..).unwrap_or_default();
        format!("{head}…{tail}")
    }
}

impl fmt::Debug for E164 {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.masked())
    }
}

impl TryFrom<String> for E164 {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.strip_prefix('+').ok_or("a number in E.164 begins with +")?;
        if (7..=15).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            Ok(Self(Arc::from(text)))
        } else {
            Err("a number in E.164 has 7 to 15 digits")
        }
    }
}

impl From<E164> for String {
    fn from(number: E164) -> Self {
        number.0.as_ref().to_owned()
    }
}

/// A number that is another one each time that it is read is none: prefixes stand before each other twice at most.
const READINGS: usize = 3;

/// What a number is, by the metadata of its country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineType {
    /// A landline only.
    Fixed,
    /// A mobile phone.
    Mobile,
    /// Cannot be told apart (all of +1).
    FixedOrMobile,
    /// Voice over IP.
    Voip,
    /// A personal number that follows its owner.
    Personal,
    /// Free for whoever calls.
    TollFree,
    /// Paid for by whoever calls.
    PremiumRate,
    /// Paid for by both.
    SharedCost,
    /// A pager.
    Pager,
    /// A company's universal access number.
    UniversalAccess,
    /// Voice mail.
    Voicemail,
    /// In no allocated range.
    Unallocated,
}

impl LineType {
    /// Whether a message to such a line may reach a person, at the usual price: not where its caller pays more, where nobody
    /// listens, or where there is no line.
    #[must_use]
    pub const fn is_worth_its_price(self) -> bool {
        !matches!(
            self,
            Self::PremiumRate | Self::SharedCost | Self::Personal | Self::Pager | Self::Voicemail | Self::Unallocated
        )
    }

    /// In words, for who is refused.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Fixed => "a landline",
            Self::Mobile => "a mobile phone",
            Self::FixedOrMobile => "a landline or a mobile phone",
            Self::Voip => "an internet telephone",
            Self::Personal => "a personal number",
            Self::TollFree => "a toll-free number",
            Self::PremiumRate => "a premium-rate number",
            Self::SharedCost => "a shared-cost number",
            Self::Pager => "a pager",
            Self::UniversalAccess => "a company's access number",
            Self::Voicemail => "a voicemail box",
            Self::Unallocated => "in no allocated range",
        }
    }
}

/// A number as the domain uses it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Phone {
    /// The number itself.
    pub number: E164,
    /// Its country; none for numbers of no country, such as satellite phones.
    pub country: Option<Country>,
    /// What kind of line it is.
    pub line: LineType,
}

/// Why a text is no number. Each says what would be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhoneError {
    /// No number can be read out of it.
    #[error("a phone number: +491512345678, 00491512345678, 491512345678, or a national number together with country")]
    NotANumber,
    /// The calling code is in use nowhere.
    #[error("a phone number whose country calling code exists")]
    UnknownCallingCode,
    /// Too few or too many digits for its country.
    #[error("a phone number with as many digits as its country's numbers have")]
    ImpossibleLength,
    /// The number belongs to another country than the one that was named, or may well do so.
    #[error(
        "a phone number of the country that was given; one that could be another country's is written with + and its calling code, or nationally with its leading 0"
    )]
    OtherCountry,
}

impl Phone {
    /// Reads a number: E.164 with `+` (or the space that a `+` decodes to), with `00`, or bare digits; or a national
    /// number of `country`. Bare digits beside a country that are rather another country's number are refused. Spaces, dots,
    /// dashes, slashes and brackets are ignored.
    ///
    /// # Errors
    /// [`PhoneError`], one variant a cause.
    pub fn parse(text: &str, country: Option<Country>) -> Result<Self, PhoneError> {
        // A `+` in a query string decodes to a space: a leading space says "international" as well.
        let spaced = text.starts_with(' ') || text.starts_with('+');
        let mut digits = String::with_capacity(text.len());
        let trimmed = text.trim();
        for character in trimmed.strip_prefix('+').unwrap_or(trimmed).chars() {
            match character {
                '0'..='9' => digits.push(character),
                ' ' | '-' | '.' | '/' | '(' | ')' | '\u{a0}' => {}
                _ => return Err(PhoneError::NotANumber),
            }
        }
        if digits.is_empty() || digits.len() > 20 {
            return Err(PhoneError::NotANumber);
        }
        let (international, digits) = match digits.strip_prefix("00") {
            Some(rest) if !spaced => (true, rest.to_owned()),
            _ => (spaced, digits),
        };
        if (international || country.is_none())
            && let Some((parsed, line)) = as_written(&digits)
        {
            return Self::of_parsed(&parsed, line, country);
        }
        let parsed = match country.and_then(Country::region) {
            Some(region) if !international => beside(&digits, region)?,
            _ => PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).map_err(cause)?,
        };
        Self::from_parsed(&parsed, country)
    }

    /// What libphonenumber made of a text. Of some spellings it makes a number that it reads as yet another one, by a prefix that
    /// stands for a carrier or a trunk: a number is what its own E.164 is read as, or it would have several limits, and a
    /// stored one would be another than the one that was sent to.
    fn from_parsed(parsed: &PhoneNumber, country: Option<Country>) -> Result<Self, PhoneError> {
        let mut phone = Self::of_parsed(parsed, line_of(parsed), country)?;
        for _ in 0..READINGS {
            if phone.number.as_str().get(1..).and_then(as_written).is_some() {
                return Ok(phone);
            }
            let again = PHONE_NUMBER_UTIL.parse(phone.number.as_str(), None).map_err(cause)?;
            let settled = Self::of_parsed(&again, line_of(&again), country)?;
            if settled.number == phone.number {
                return Ok(settled);
            }
            phone = settled;
        }
        Err(PhoneError::NotANumber)
    }

    fn of_parsed(parsed: &PhoneNumber, line: LineType, country: Option<Country>) -> Result<Self, PhoneError> {
        if let Some(region) = country.and_then(Country::region)
            && PHONE_NUMBER_UTIL.get_country_code_for_region(region) != Some(parsed.country_code)
        {
            return Err(PhoneError::OtherCountry);
        }
        if !PHONE_NUMBER_UTIL.is_possible_number(parsed) {
            return Err(PhoneError::ImpossibleLength);
        }
        let text = PHONE_NUMBER_UTIL.format(parsed, PhoneNumberFormat::E164);
        let number = E164::try_from(text.into_owned()).map_err(|_| PhoneError::ImpossibleLength)?;
        Ok(Self { number, country: Country::of_number(parsed), line })
    }

    /// Its country calling code.
    #[must_use]
    pub fn calling_code(&self) -> Option<u32> {
        let code = match self.country.and_then(Country::region) {
            Some(region) => PHONE_NUMBER_UTIL.get_country_code_for_region(region),
            None => PHONE_NUMBER_UTIL.parse(self.number.as_str(), None).ok().map(|parsed| parsed.country_code),
        };
        code.and_then(|code| u32::try_from(code).ok())
    }

    /// Reads a number that is E.164 already (a stored one) and looks up what it is.
    ///
    /// # Errors
    /// As [`Phone::parse`].
    pub fn of(number: &E164) -> Result<Self, PhoneError> {
        Self::parse(number.as_str(), None)
    }
}

/// The number whose calling code and national number these digits are, where it is allocated exactly as written. That is
/// nearly every number, and costs a third of reading it with all that libphonenumber forgives. None says nothing.
fn as_written(digits: &str) -> Option<(PhoneNumber, LineType)> {
    let (code, national) = (1..=3).find_map(|length| {
        let (code, national) = digits.split_at_checked(length)?;
        let code = code.parse().ok().filter(|code| *code > 0)?;
        PHONE_NUMBER_UTIL.get_region_for_country_code(code).map(|_| (code, national))
    })?;
    // A zero there may be part of the number (Italy) or a trunk prefix: libphonenumber knows.
    if national.starts_with('0') || digits.len() > 15 {
        return None;
    }
    let number = PhoneNumber { country_code: code, national_number: national.parse().ok()?, ..PhoneNumber::default() };
    let line = line_of(&number);
    (line != LineType::Unallocated).then_some((number, line))
}

pub(super) fn line_of(parsed: &PhoneNumber) -> LineType {
    match PHONE_NUMBER_UTIL.get_number_type(parsed) {
        PhoneNumberType::FixedLine => LineType::Fixed,
        PhoneNumberType::Mobile => LineType::Mobile,
        PhoneNumberType::FixedLineOrMobile => LineType::FixedOrMobile,
        PhoneNumberType::VoIP => LineType::Voip,
        PhoneNumberType::PersonalNumber => LineType::Personal,
        PhoneNumberType::TollFree => LineType::TollFree,
        PhoneNumberType::PremiumRate => LineType::PremiumRate,
        PhoneNumberType::SharedCost => LineType::SharedCost,
        PhoneNumberType::Pager => LineType::Pager,
        PhoneNumberType::UAN => LineType::UniversalAccess,
        PhoneNumberType::VoiceMail => LineType::Voicemail,
        PhoneNumberType::Unknown => LineType::Unallocated,
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err takes")]
pub(super) fn cause(error: ParseError) -> PhoneError {
    match error {
        ParseError::InvalidCountryCode => PhoneError::UnknownCallingCode,
        ParseError::TooShortAfterIdd | ParseError::TooShortNsn | ParseError::TooLongNsn => PhoneError::ImpossibleLength,
        _ => PhoneError::NotANumber,
    }
}

/// Compiles the metadata, so that the first caller does not wait for it. Takes some milliseconds; call it off the
/// request threads.
pub fn warm() {
    let _ = Phone::parse("+12025550123", None);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, country: &str) -> Result<String, PhoneError> {
        let country = if country.is_empty() { None } else { Some(country.parse().unwrap()) };
        Phone::parse(text, country).map(|phone| phone.number.as_str().to_owned())
    }

    #[test]
    fn every_written_form_of_one_number_is_one_number() {
        for (text, country) in [
            ("+4915112345678", ""),
            (" 4915112345678", ""),
            ("004915112345678", ""),
            ("4915112345678", ""),
            ("+49 (0151) 1234-5678", ""),
            ("+49 151 1234 5678", "DE"),
            ("015112345678", "DE"),
            ("0151/12345678", "de"),
            ("15112345678", "DE"),
            ("4915112345678", "DE"),
            ("004915112345678", "DE"),
        ] {
            assert_eq!(parse(text, country).as_deref(), Ok("+4915112345678"), "{text} {country}");
        }
    }

    /// What libphonenumber itself reads, without the short way.
    fn the_long_way(digits: &str) -> Result<Phone, PhoneError> {
        PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None).map_err(cause).and_then(|it| Phone::from_parsed(&it, None))
    }

    #[test]
    fn the_short_way_and_the_long_way_agree() {
        let (mut short, mut seed) = (0_u32, 0x9e37_79b9_7f4a_7c15_u64);
        let mut kinds = Vec::new();
        for region in PHONE_NUMBER_UTIL.get_supported_regions() {
            use PhoneNumberType as T;
            for kind in [T::FixedLine, T::Mobile, T::TollFree, T::PremiumRate, T::VoIP, T::PersonalNumber, T::UAN] {
                if let Ok(example) = PHONE_NUMBER_UTIL.get_example_number_for_type_and_region(region, kind) {
                    kinds.push(PHONE_NUMBER_UTIL.format(&example, PhoneNumberFormat::E164).into_owned());
                }
            }
        }
        assert!(kinds.len() > 800, "{}", kinds.len());
        for example in kinds {
            for round in 0..20 {
                let mut digits = example.trim_start_matches('+').as_bytes().to_vec();
                // The example itself; then neighbours of it, some shorter, longer or with other leading digits.
                for _ in 0..round.min(5) {
                    seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    let at = 1 + usize::try_from(seed >> 33).unwrap() % (digits.len() - 1);
                    digits[at] = b'0' + u8::try_from((seed >> 20) % 10).unwrap();
                }
                if round % 7 == 6 {
                    digits.pop();
                }
                let digits = String::from_utf8(digits).unwrap();
                if let Some((parsed, line)) = as_written(&digits) {
                    short += 1;
                    assert_eq!(Phone::of_parsed(&parsed, line, None), the_long_way(&digits), "{digits}");
                }
            }
        }
        assert!(short > 5_000, "{short}");
    }

    #[test]
    fn a_number_is_read_as_itself() {
        // Before the number stands how a carrier is chosen in China, Korea and Colombia.
        for (text, number) in [
            ("+8617951013123456711", "+8613123456711"),
            ("+86013123456711", "+8613123456711"),
            ("+8613123456711", "+8613123456711"),
        ] {
            assert_eq!(parse(text, "").as_deref(), Ok(number), "{text}");
        }
        let (mut seed, mut read) = (0x9e37_79b9_7f4a_7c15_u64, 0_u32);
        let mut digits = |length: usize| {
            let mut text = String::new();
            for _ in 0..length {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                text.push(char::from(b'0' + u8::try_from((seed >> 33) % 10).unwrap()));
            }
            text
        };
        for code in ["86", "82", "57", "55", "54", "52", "39", "49", "44", "1", "7", "225", "598", "66"] {
            for round in 0..800 {
                // Trunk and carrier prefixes begin with zeros and ones.
                let prefix = ["", "0", "1", "00", "17951", "0055", "03", "015"][round % 8];
                let text = format!("+{code}{prefix}{}", digits(6 + round % 7));
                let Ok(phone) = Phone::parse(&text, None) else { continue };
                read += 1;
                assert_eq!(Phone::of(&phone.number).as_ref(), Ok(&phone), "{text}");
            }
        }
        assert!(read > 2_000, "{read}");
    }

    #[test]
    fn faults_are_told_apart() {
        assert_eq!(parse("+4915112345678", "FR"), Err(PhoneError::OtherCountry));
        assert_eq!(parse("+999123456789", ""), Err(PhoneError::UnknownCallingCode));
        assert_eq!(parse("+4915", ""), Err(PhoneError::ImpossibleLength));
        for text in ["", "abc", "+", "++49151", "+49151x", "+4915112345678901234567", "+49\u{0}151"] {
            assert_eq!(parse(text, ""), Err(PhoneError::NotANumber), "{text}");
        }
        assert!("XX".parse::<Country>().is_err() && "D".parse::<Country>().is_err());
    }

    #[test]
    fn line_type_and_country_are_known() {
        let of = |text: &str| {
            Phone::parse(text, None).map(|phone| (phone.line, phone.country.map(|country| country.to_string())))
        };
        assert_eq!(of("+4915112345678"), Ok((LineType::Mobile, Some("DE".into()))));
        assert_eq!(of("+493012345678"), Ok((LineType::Fixed, Some("DE".into()))));
        assert_eq!(of("+12025550123"), Ok((LineType::FixedOrMobile, Some("US".into()))));
        assert_eq!(of("+14165550123").unwrap().1.as_deref(), Some("CA"));
        assert_eq!(of("+498001234567").unwrap().0, LineType::TollFree);
        // A personal number costs its caller as much as a premium-rate one.
        assert_eq!(of("+447012345678").unwrap().0, LineType::Personal);
        assert!(!LineType::Personal.is_worth_its_price() && LineType::Voip.is_worth_its_price());
    }

    #[test]
    fn a_number_hides_its_middle() {
        let number = Phone::parse("+4915112345678", None).unwrap().number;
        assert_eq!(format!("{number:?}"), "+491…78");
    }
}
