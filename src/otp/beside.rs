//! Bare digits beside a country: a national number of it, or a whole number without its `+`. Must not know of any other form.
//!
//! The same digits may be both, of two countries: a caller who names the wrong one must not have a code sent to a stranger.

use rlibphonenumber::{
    NumberLengthType, PHONE_NUMBER_UTIL, PhoneNumber, PhoneNumberFormat, PhoneNumberType, Region,
    get_national_significant_number_owned as significant,
};

use crate::otp::phone::{LineType, PhoneError, cause, line_of};

/// Reads them. An allocated number of the country with its calling code is that number. Else they are a national number,
/// unless they are rather a whole number of another country.
///
/// # Errors
/// [`PhoneError`].
pub(super) fn beside(digits: &str, region: Region) -> Result<PhoneNumber, PhoneError> {
    let calling_code = PHONE_NUMBER_UTIL.get_country_code_for_region(region);
    // Where they may be another country's: whether such a number is allocated there, and whether it is a mobile phone.
    let mut elsewhere = None;
    if let Ok(whole) = PHONE_NUMBER_UTIL.parse(format!("+{digits}"), None) {
        let is_allocated = PHONE_NUMBER_UTIL.is_valid_number(&whole);
        if calling_code != Some(whole.country_code) {
            let is_mobile = matches!(line_of(&whole), LineType::Mobile | LineType::FixedOrMobile);
            elsewhere = (is_allocated || is_as_long_as_a_mobile_phone(&whole)).then_some((is_allocated, is_mobile));
        } else if is_allocated {
            return Ok(whole);
        }
    }
    let national = PHONE_NUMBER_UTIL.parse(digits, Some(region));
    match (elsewhere, national) {
        (None, national) => national.map_err(cause),
        (Some(there), Ok(national)) if is_rather_national(digits, &national, there) => Ok(national),
        (Some(_), _) => Err(PhoneError::OtherCountry),
    }
}

/// Of digits that may be a whole number of another country, allocated elsewhere or just as long as one, and perhaps a mobile
/// phone there: whether they are the national number all the same.
fn is_rather_national(
    digits: &str,
    national: &PhoneNumber,
    (allocated_elsewhere, mobile_elsewhere): (bool, bool),
) -> bool {
    let is_bare = significant(national) == digits;
    let has_prefix = !is_bare && is_dialled(digits, national);
    match line_of(national) {
        // Whom codes are for, in the way in which people write them beside a country: in China or the USA each of them
        // looks like a whole number of somewhere.
        LineType::Mobile | LineType::FixedOrMobile if is_bare || has_prefix => true,
        LineType::Unallocated => has_prefix && !allocated_elsewhere,
        // A prefix such as Russia's 8 says that the number is national; one that is allocated nowhere else needs none. Where
        // landlines are dialled without a prefix, none can say what they are: only a mobile phone elsewhere is likelier.
        _ => has_prefix || !allocated_elsewhere || is_dialled(digits, national) && !mobile_elsewhere,
    }
}

/// Whether the digits are those that are dialled within the country, with the prefix that is in use there.
fn is_dialled(digits: &str, national: &PhoneNumber) -> bool {
    let written = PHONE_NUMBER_UTIL.format(national, PhoneNumberFormat::National);
    written.chars().filter(char::is_ascii_digit).eq(digits.chars())
}

fn is_as_long_as_a_mobile_phone(whole: &PhoneNumber) -> bool {
    let length = PHONE_NUMBER_UTIL.is_possible_number_for_type_with_reason(whole, PhoneNumberType::Mobile);
    matches!(length, Ok(NumberLengthType::IsPossible))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::phone::{Country, Phone};

    fn parse(digits: &str, country: &str) -> Result<String, PhoneError> {
        Phone::parse(digits, Some(country.parse().unwrap())).map(|phone| phone.number.as_str().to_owned())
    }

    #[test]
    fn a_whole_number_beside_another_country_is_refused_with_and_without_its_plus() {
        for (digits, country) in [
            ("33612345678", "DE"),
            ("447911123456", "DE"),
            ("436641234567", "DE"),
            ("12025550123", "DE"),
            ("4915112345678", "AT"),
            ("491511234567", "IT"),
            ("393123456789", "DE"),
            ("886912345678", "RU"),
            ("12025550123", "MX"),
            ("447911123456", "US"),
        ] {
            for written in [digits.to_owned(), format!("+{digits}"), format!("00{digits}")] {
                assert_eq!(parse(&written, country), Err(PhoneError::OtherCountry), "{written} {country}");
            }
        }
    }

    #[test]
    fn national_numbers_stay_national_whatever_else_their_digits_are() {
        for (digits, country, number) in [
            // Mobile phones, which read as numbers of +1.
            ("15012345678", "CN", "+8615012345678"),
            ("15212345678", "DE", "+4915212345678"),
            ("6785551234", "US", "+16785551234"),
            ("6562345678", "US", "+16562345678"),
            // A prefix: +84 95 is Vietnam's.
            ("84951234567", "RU", "+74951234567"),
            ("84951234567", "VN", "+84951234567"),
            ("89161234567", "RU", "+79161234567"),
            // Landlines.
            ("3012345678", "DE", "+493012345678"),
            ("03012345678", "DE", "+493012345678"),
            // Where nothing is dialled in front.
            ("49996814", "QA", "+97449996814"),
            ("6492662069", "TC", "+16492662069"),
            ("6644915924", "MS", "+16644915924"),
            // Allocated nowhere, and not as long as a mobile phone's number elsewhere.
            ("5551234567", "US", "+15551234567"),
        ] {
            assert_eq!(parse(digits, country).as_deref(), Ok(number), "{digits} {country}");
        }
        // A landline's digits may be a mobile phone elsewhere: then the prefix says what they are.
        assert_eq!(parse("33612345678", "DE"), Err(PhoneError::OtherCountry));
        assert_eq!(parse("033612345678", "DE").as_deref(), Ok("+4933612345678"));
        assert_eq!(parse("+4933612345678", "DE").as_deref(), Ok("+4933612345678"));
    }

    /// The mobile phones of every country, in every form, beside it and beside some of the others.
    #[test]
    fn hardly_any_mobile_phone_is_taken_for_another_countrys() {
        let examples: Vec<_> = Country::all().into_iter().filter_map(|it| Some((it, it.mobile_example()?))).collect();
        let (mut pairs, mut taken) = (0_usize, 0_usize);
        for (index, (country, national)) in examples.iter().enumerate() {
            let code = country.calling_code().unwrap();
            let whole = format!("{code}{national}");
            let number = format!("+{whole}");
            for form in [national.clone(), whole.clone(), number.clone(), format!("00{whole}")] {
                let read = Phone::parse(&form, Some(*country)).map(|phone| phone.number.as_str().to_owned());
                assert_eq!(read.as_ref(), Ok(&number), "{form} {country}");
            }
            let others = examples.iter().map(|(other, _)| *other).skip(index % 7).step_by(7);
            for other in others.filter(|other| other.calling_code() != Some(code)) {
                pairs += 1;
                match Phone::parse(&whole, Some(other)) {
                    Ok(phone) => {
                        taken += 1;
                        // It is a mobile phone there, too; or it begins with that country's prefix.
                        let is_mobile = matches!(phone.line, LineType::Mobile | LineType::FixedOrMobile);
                        assert!(is_mobile || whole.starts_with('8'), "{whole} {other}: {:?}", phone.line);
                    }
                    Err(error) => assert_eq!(error, PhoneError::OtherCountry, "{whole} {other}"),
                }
            }
        }
        assert!(pairs > 5_000 && taken * 50 < pairs, "{taken} of {pairs}");
    }
}
