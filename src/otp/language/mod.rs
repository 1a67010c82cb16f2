//! Languages: their codes, the texts built in, and the main language of each country. Knows no template and no application.

mod codes;
mod countries;
mod sms;
mod voice;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::otp::channel::Channel;
use crate::otp::phone::Country;
use countries::COUNTRIES;
use sms::SMS;
use voice::VOICE;

/// Chinese in traditional characters, for the countries that read those: one code, two scripts.
const TRADITIONAL: (&str, &str) =
    ("您的驗證碼是{{OTP}}，{{MIN}}分鐘內有效，請勿告訴他人。", "您的驗證碼是：{{OTP}}。再說一次：{{OTP}}。");
/// Where they are read.
const READ_TRADITIONAL: [&str; 3] = ["HK", "MO", "TW"];

/// A language: ISO 639-1, two lower-case letters.
///
/// What lies in a store is taken as it is, if it is two letters: earlier releases took any two.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Language([u8; 2]);

/// The text is no language code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an ISO 639-1 code such as en")]
pub struct MalformedLanguage;

impl Language {
    /// English: what everything falls back to.
    pub const ENGLISH: Self = Self(*b"en");

    /// The language of any two letters: what a store may hold. None for anything else.
    #[must_use]
    pub fn of_store(text: &str) -> Option<Self> {
        let [first, second] = *text.as_bytes() else { return None };
        let code = [first.to_ascii_lowercase(), second.to_ascii_lowercase()];
        code.iter().all(u8::is_ascii_lowercase).then_some(Self(code))
    }

    /// The two letters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("en")
    }

    /// The language that most people of a country read, among those that are built in.
    #[must_use]
    pub fn of_country(country: Country) -> Option<Self> {
        let reads = |(_, countries): &&(&str, &[&str])| countries.contains(&country.as_str());
        COUNTRIES.iter().find(reads)?.0.parse().ok()
    }

    /// The text that is built in for this language; `country` decides between scripts.
    #[must_use]
    pub fn built_in(self, country: Option<Country>, channel: Channel) -> Option<&'static str> {
        let code = usual(self.as_str());
        if code == "zh" && country.is_some_and(reads_traditional) {
            return Some(match channel {
                Channel::Sms => TRADITIONAL.0,
                Channel::Voice => TRADITIONAL.1,
            });
        }
        let texts = match channel {
            Channel::Sms => SMS,
            Channel::Voice => VOICE,
        };
        let place = texts.binary_search_by_key(&code, |(known, _)| known).ok()?;
        texts.get(place).map(|(_, text)| *text)
    }
}

/// The code that a language is built in under: for both written forms of Norwegian one, and for two codes that ISO 639-1 withdrew
/// and old runtimes still say those that took their place.
#[must_use]
pub fn usual(code: &str) -> &str {
    match code {
        "nb" | "nn" => "no",
        "iw" => "he",
        "in" => "id",
        known => known,
    }
}

/// Whether Chinese is read in traditional characters there.
#[must_use]
pub fn reads_traditional(country: Country) -> bool {
    READ_TRADITIONAL.contains(&country.as_str())
}

/// The letters that a language is written in; none for Latin.
#[cfg(test)]
pub(crate) fn script_of(code: &str) -> Option<std::ops::RangeInclusive<char>> {
    let scripts = [
        ("ar fa ur", '\u{600}'..='\u{6ff}'),
        ("be bg kk ky mk mn ru uk", '\u{400}'..='\u{4ff}'),
        ("he", '\u{590}'..='\u{5ff}'),
        ("el", '\u{370}'..='\u{3ff}'),
        ("hy", '\u{530}'..='\u{58f}'),
        ("ka", '\u{10a0}'..='\u{10ff}'),
        ("am", '\u{1200}'..='\u{137f}'),
        ("hi mr ne", '\u{900}'..='\u{97f}'),
        ("bn", '\u{980}'..='\u{9ff}'),
        ("pa", '\u{a00}'..='\u{a7f}'),
        ("gu", '\u{a80}'..='\u{aff}'),
        ("ta", '\u{b80}'..='\u{bff}'),
        ("te", '\u{c00}'..='\u{c7f}'),
        ("kn", '\u{c80}'..='\u{cff}'),
        ("ml", '\u{d00}'..='\u{d7f}'),
        ("si", '\u{d80}'..='\u{dff}'),
        ("th", '\u{e00}'..='\u{e7f}'),
        ("lo", '\u{e80}'..='\u{eff}'),
        ("my", '\u{1000}'..='\u{109f}'),
        ("km", '\u{1780}'..='\u{17ff}'),
        ("ko", '\u{ac00}'..='\u{d7a3}'),
        ("ja", '\u{3040}'..='\u{9fff}'),
        ("zh zh-Hant", '\u{4e00}'..='\u{9fff}'),
    ];
    scripts.into_iter().find(|(codes, _)| codes.split(' ').any(|known| known == code)).map(|(_, script)| script)
}

impl fmt::Debug for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl fmt::Display for Language {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for Language {
    type Err = MalformedLanguage;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::of_store(text).filter(|language| codes::is_one(language.0)).ok_or(MalformedLanguage)
    }
}

impl TryFrom<String> for Language {
    type Error = MalformedLanguage;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::of_store(&text).ok_or(MalformedLanguage)
    }
}

impl From<Language> for String {
    fn from(language: Language) -> Self {
        language.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::otp::segment::{Alphabet, Extent};
    use crate::otp::template::Template;

    /// Every code of ISO 639-1 (2002), with the later changes.
    const ISO_639_1: &str = "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy \
        da de dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig \
        ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml \
        mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg \
        si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh \
        yi yo za zh zu";

    fn codes_of(texts: &[(&'static str, &str)]) -> Vec<&'static str> {
        texts.iter().map(|(code, _)| *code).collect()
    }

    fn texts() -> impl Iterator<Item = (&'static str, &'static str, Channel)> {
        let sms = SMS.iter().map(|(code, text)| (*code, *text, Channel::Sms));
        let voice = VOICE.iter().map(|(code, text)| (*code, *text, Channel::Voice));
        let traditional = [("zh", TRADITIONAL.0, Channel::Sms), ("zh", TRADITIONAL.1, Channel::Voice)];
        sms.chain(voice).chain(traditional)
    }

    #[test]
    fn languages_have_both_texts_sorted_and_once() {
        let known: BTreeSet<_> = ISO_639_1.split_whitespace().collect();
        let built_in = codes_of(SMS);
        assert!(built_in.len() >= 45 && known.len() == 183, "{} of {}", built_in.len(), known.len());
        assert_eq!(built_in, codes_of(VOICE));
        assert!(built_in.is_sorted_by(|one, next| one < next));
        for code in built_in {
            assert!(known.contains(code), "{code}");
            let language: Language = code.parse().unwrap();
            for channel in [Channel::Sms, Channel::Voice] {
                assert!(language.built_in(None, channel).is_some(), "{code}");
            }
        }
        for right_to_left in ["ar", "fa", "he", "ur"] {
            assert!(codes_of(SMS).contains(&right_to_left));
        }
        let all: Vec<_> = texts().map(|(_, text, _)| text).collect();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "no text was copied from another language");
    }

    #[test]
    fn languages_name_the_code_once_in_a_message_and_twice_in_a_call() {
        for (code, text, channel) in texts() {
            assert!(Template::parse(text).is_ok(), "{code} {text}");
            let (codes, minutes) = (text.matches("{{OTP}}").count(), text.matches("{{MIN}}").count());
            let expected = match channel {
                Channel::Sms => (1, 1),
                Channel::Voice => (2, 0),
            };
            assert_eq!((codes, minutes), expected, "{code} {text}");
            let after = text.rsplit("{{OTP}}").next().unwrap_or_default();
            assert!(!text.starts_with("{{") && text.trim() == text && !text.contains("  "), "{code} {text}");
            assert!(channel == Channel::Sms || after.chars().count() <= 8, "a call ends with the code: {code} {text}");
        }
    }

    #[test]
    fn languages_fit_one_text_message() {
        let latin = "af da de en et eu fi fr id it ms nl no sv sw tl uz";
        for (code, text, channel) in texts() {
            let extent = Extent::of(&text.replace("{{OTP}}", "123456").replace("{{MIN}}", "120"));
            assert!(channel == Channel::Voice || extent.segments == 1, "{code} {extent:?} {text}");
            if channel == Channel::Sms && latin.split(' ').any(|known| known == code) {
                assert_eq!(extent.alphabet, Alphabet::Gsm7, "{code} {text}");
            }
        }
    }

    #[test]
    fn languages_are_written_in_their_own_script() {
        for (code, text, _) in texts() {
            let own = script_of(code);
            let plain = text.replace("{{OTP}}", "").replace("{{MIN}}", "");
            for letter in plain.chars().filter(|character| character.is_alphabetic()) {
                let fits =
                    own.as_ref().map_or(letter < '\u{260}' || ('\u{1e00}'..='\u{1eff}').contains(&letter), |script| {
                        script.contains(&letter)
                    });
                assert!(fits, "{code}: {letter:?} in {text}");
            }
        }
    }

    #[test]
    fn countries_have_one_language_each_and_it_is_built_in() {
        assert!(codes_of_countries().is_sorted_by(|one, next| one < next));
        let mut seen = BTreeSet::new();
        for (language, countries) in COUNTRIES {
            assert!(codes_of(SMS).contains(language), "{language}");
            assert!(countries.is_sorted(), "{language}");
            for country in *countries {
                assert!(country.parse::<Country>().is_ok(), "{country}");
                assert!(seen.insert(*country), "{country} twice");
            }
        }
        let letters = || 'A'..='Z';
        for text in letters().flat_map(|first| letters().map(move |second| format!("{first}{second}"))) {
            if let Ok(country) = text.parse::<Country>() {
                assert!(seen.contains(text.as_str()), "{text}");
                assert!(Language::of_country(country).is_some(), "{text}");
            }
        }
    }

    fn codes_of_countries() -> Vec<&'static str> {
        COUNTRIES.iter().map(|(code, _)| *code).collect()
    }

    #[test]
    fn languages_have_other_names_and_chinese_two_scripts() {
        let text = |code: &str, country: Option<&str>| {
            let country = country.map(|country| country.parse().unwrap());
            code.parse::<Language>().unwrap().built_in(country, Channel::Sms)
        };
        assert!(
            text("no", None).is_some() && text("nb", None) == text("no", None) && text("nn", None) == text("no", None)
        );
        assert_eq!((text("iw", None), text("in", None)), (text("he", None), text("id", None)));
        assert_eq!(text("zh", Some("CN")), text("zh", None));
        assert_eq!(text("zh", Some("TW")), Some(TRADITIONAL.0));
        assert_eq!(text("eo", None), None);
    }

    #[test]
    fn languages_are_those_that_there_are_and_a_store_may_hold_others() {
        let withdrawn = ["bh", "in", "iw", "ji", "jw", "mo", "sh"];
        let known: BTreeSet<_> = ISO_639_1.split_whitespace().chain(withdrawn).collect();
        let letters = || b'a'..=b'z';
        for (first, second) in letters().flat_map(|first| letters().map(move |second| (first, second))) {
            let code = format!("{}{}", char::from(first), char::from(second));
            assert_eq!(code.parse::<Language>().is_ok(), known.contains(code.as_str()), "{code}");
            assert_eq!(code.to_uppercase().parse::<Language>().ok(), code.parse().ok(), "{code}");
            let stored: Language = serde_json::from_str(&format!("\"{code}\"")).unwrap();
            assert_eq!(stored.as_str(), code);
        }
        for text in ["", "e", "eng", "e1", "é", "e ", "--"] {
            assert_eq!(text.parse::<Language>(), Err(MalformedLanguage), "{text}");
            assert!(serde_json::from_str::<Language>(&format!("\"{text}\"")).is_err(), "{text}");
        }
    }
}
