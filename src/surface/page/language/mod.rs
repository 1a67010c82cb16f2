//! The page's own sentences, in every language that messages have. Knows no verification and no HTML.
//!
//! A sentence that shows something has `{0}` where it stands. No native speaker has read them: a correction is one line.

mod central;
mod cyrillic;
mod eastern;
mod germanic;
mod indic;
mod northern;
mod pacific;
mod romance;

use std::sync::LazyLock;

use crate::otp::language::Language;
use crate::otp::phone::Country;

/// The sentences of one language.
#[derive(Clone, Copy, Debug)]
pub(in crate::surface::page) struct Words {
    /// What the page is for.
    pub(in crate::surface::page) title: &'static str,
    /// Before the first code: it will go to the number `{0}`.
    pub(in crate::surface::page) offer: &'static str,
    /// The button that sends the first code.
    pub(in crate::surface::page) send: &'static str,
    /// The button that has the code read out by a call.
    pub(in crate::surface::page) call: &'static str,
    /// A code went to the number `{0}`.
    pub(in crate::surface::page) sent: &'static str,
    /// The number `{0}` is called.
    pub(in crate::surface::page) calling: &'static str,
    /// The label of the field.
    pub(in crate::surface::page) code: &'static str,
    /// The button that hands it in.
    pub(in crate::surface::page) confirm: &'static str,
    /// A wrong code; `{0}` tries are left.
    pub(in crate::surface::page) wrong: &'static str,
    /// The code's life, or that of the verification, is over.
    pub(in crate::surface::page) expired: &'static str,
    /// The button that sends a further message.
    pub(in crate::surface::page) again: &'static str,
    /// That it can be pressed in `{0}` seconds.
    pub(in crate::surface::page) wait: &'static str,
    /// The button for whose number it is not.
    pub(in crate::surface::page) not_me: &'static str,
    /// The outcome VERIFIED.
    pub(in crate::surface::page) verified: &'static str,
    /// The outcome `TOO_MANY_ATTEMPTS`.
    pub(in crate::surface::page) too_many: &'static str,
    /// The outcome UNDELIVERABLE, and a message that could not be sent.
    pub(in crate::surface::page) undeliverable: &'static str,
    /// The outcome `CANCELLED_BY_PERSON`.
    pub(in crate::surface::page) stopped: &'static str,
    /// The outcome `CANCELLED_BY_FLOW`.
    pub(in crate::surface::page) cancelled: &'static str,
    /// That nothing is left to do here.
    pub(in crate::surface::page) close: &'static str,
    /// The button that leads to the site `{0}`.
    pub(in crate::surface::page) back: &'static str,
    /// There is nothing at this address.
    pub(in crate::surface::page) gone: &'static str,
    /// A fault of ours, or a limit.
    pub(in crate::surface::page) trouble: &'static str,
}

/// Sentences in the order of [`Words`].
const fn words(
    [
        title,
        offer,
        send,
        call,
        sent,
        calling,
        code,
        confirm,
        wrong,
        expired,
        again,
        wait,
        not_me,
        verified,
        too_many,
        undeliverable,
        stopped,
        cancelled,
        close,
        back,
        gone,
        trouble,
    ]: [&'static str; 22],
) -> Words {
    Words {
        title,
        offer,
        send,
        call,
        sent,
        calling,
        code,
        confirm,
        wrong,
        expired,
        again,
        wait,
        not_me,
        verified,
        too_many,
        undeliverable,
        stopped,
        cancelled,
        close,
        back,
        gone,
        trouble,
    }
}

/// The languages that are read from right to left.
const RIGHT_TO_LEFT: [&str; 4] = ["ar", "fa", "he", "ur"];
/// Languages that a browser may prefer: as many are looked at.
const PREFERENCES: usize = 16;

/// A language with its sentences.
#[derive(Clone, Copy, Debug)]
pub(in crate::surface::page) struct Speech {
    /// Its tag (BCP 47), for `lang`.
    pub(in crate::surface::page) tag: &'static str,
    /// Its direction, for `dir`.
    pub(in crate::surface::page) direction: &'static str,
    /// What it says.
    pub(in crate::surface::page) words: Words,
}

/// All of them, sorted by their tag; `zh-Hant` is the last.
static SPEECHES: LazyLock<Vec<Speech>> = LazyLock::new(|| {
    let files = [
        central::WORDS,
        cyrillic::WORDS,
        eastern::WORDS,
        germanic::WORDS,
        indic::WORDS,
        northern::WORDS,
        pacific::WORDS,
        romance::WORDS,
    ];
    let traditional = ("zh-Hant", pacific::TRADITIONAL);
    let all = files.into_iter().flatten().copied().chain([traditional]);
    let mut speeches: Vec<_> = all
        .map(|(tag, words)| {
            let direction = if RIGHT_TO_LEFT.contains(&tag) { "rtl" } else { "ltr" };
            Speech { tag, direction, words }
        })
        .collect();
    speeches.sort_unstable_by_key(|speech| speech.tag);
    speeches
});

/// Where a language stands among all of them.
fn place(tag: &str) -> Option<usize> {
    let tag = match tag {
        // As messages have them: both written forms of Norwegian, and two codes that old runtimes still say.
        "nb" | "nn" => "no",
        "iw" => "he",
        "in" => "id",
        "fil" => "tl",
        known => known,
    };
    SPEECHES.binary_search_by_key(&tag, |speech| speech.tag).ok()
}

/// One of [`all`] by its place; English where there is none.
pub(in crate::surface::page) fn at(place: usize) -> Speech {
    SPEECHES.get(place).copied().unwrap_or(ENGLISH)
}

/// How many languages there are.
pub(in crate::surface::page) fn count() -> usize {
    SPEECHES.len()
}

/// What everything falls back to.
const ENGLISH: Speech = Speech { tag: "en", direction: "ltr", words: germanic::ENGLISH };

/// The sentences of `language`; of Chinese those that people of `country` read.
pub(in crate::surface::page) fn of(language: Language, country: Option<Country>) -> Speech {
    let traditional = country.is_some_and(|country| matches!(country.as_str(), "HK" | "MO" | "TW"));
    let tag = if language.as_str() == "zh" && traditional { "zh-Hant" } else { language.as_str() };
    place(tag).map_or(ENGLISH, at)
}

/// The sentences of the language that a request asks for.
pub(in crate::surface::page) fn of_head(head: &http::request::Parts) -> Speech {
    let asked = head.headers.get(http::header::ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
    asked.and_then(preferred).map_or(ENGLISH, at)
}

/// The place of the language that a browser prefers (RFC 9110 section 12.5.4), among those that there are.
pub(in crate::surface::page) fn preferred(accept_language: &str) -> Option<usize> {
    let mut best: Option<(u32, usize)> = None;
    for entry in accept_language.split(',').take(PREFERENCES) {
        let (tag, parameters) = entry.split_once(';').unwrap_or((entry, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Some(1.0), |weight| weight.trim().parse::<f32>().ok());
        let weight = weight.filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or_default();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000, by the line above")]
        let weight = (weight * 1_000.0) as u32;
        let tag = tag.trim().to_ascii_lowercase();
        let mut parts = tag.split('-');
        let language = parts.next().unwrap_or_default();
        let traditional = parts.any(|part| matches!(part, "hant" | "hk" | "mo" | "tw"));
        let known = if language == "zh" && traditional { place("zh-Hant") } else { place(language) };
        if let Some(known) = known
            && weight > best.map_or(0, |(weight, _)| weight)
        {
            best = Some((weight, known));
        }
    }
    best.map(|(_, place)| place)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::otp::channel::Channel;

    /// The sentences of a language with what each has to show.
    fn sentences(words: &Words) -> [(&'static str, usize); 22] {
        let Words {
            title,
            offer,
            send,
            call,
            sent,
            calling,
            code,
            confirm,
            wrong,
            expired,
            again,
            wait,
            not_me,
            verified,
            too_many,
            undeliverable,
            stopped,
            cancelled,
            close,
            back,
            gone,
            trouble,
        } = *words;
        let plain = |text| (text, 0);
        let shows = |text| (text, 1);
        [
            plain(title),
            shows(offer),
            plain(send),
            plain(call),
            shows(sent),
            shows(calling),
            plain(code),
            plain(confirm),
            shows(wrong),
            plain(expired),
            plain(again),
            shows(wait),
            plain(not_me),
            plain(verified),
            plain(too_many),
            plain(undeliverable),
            plain(stopped),
            plain(cancelled),
            plain(close),
            shows(back),
            plain(gone),
            plain(trouble),
        ]
    }

    #[test]
    fn the_page_speaks_every_language_of_the_messages() {
        let mut spoken = 0;
        for first in b'a'..=b'z' {
            for second in b'a'..=b'z' {
                let code = format!("{}{}", char::from(first), char::from(second));
                let language: Language = code.parse().unwrap();
                let message = language.built_in(None, Channel::Sms).is_some();
                assert_eq!(message, place(&code).is_some(), "{code}");
                spoken += usize::from(message);
            }
        }
        // Three of them are other names.
        assert_eq!((spoken - 4, count()), (71, 72));
        assert!(SPEECHES.is_sorted_by(|one, next| one.tag < next.tag));
    }

    #[test]
    fn every_sentence_is_there_and_shows_what_it_has_to() {
        for speech in SPEECHES.iter() {
            let sentences = sentences(&speech.words);
            for (text, shown) in sentences {
                assert!(!text.is_empty() && text.trim() == text && !text.contains("  "), "{} {text}", speech.tag);
                let braces = text.matches(['{', '}']).count();
                assert_eq!((text.matches("{0}").count(), braces), (shown, shown * 2), "{} {text}", speech.tag);
                assert!(text.chars().count() <= 72, "{} {text}", speech.tag);
                assert!(!text.contains(['<', '>', '&', '"']), "{} {text}", speech.tag);
            }
            let texts: BTreeSet<_> = sentences.iter().map(|(text, _)| text).collect();
            // The first and a further message may be asked for in the same words, and nothing else may.
            assert!(texts.len() >= sentences.len() - 1, "{} says one thing for two", speech.tag);
        }
    }

    #[test]
    fn no_language_was_copied_from_another() {
        let mut seen = BTreeSet::new();
        for speech in SPEECHES.iter() {
            for (text, _) in sentences(&speech.words) {
                // Short words, and whole sentences of close neighbours, are the same in several.
                let near = ["bs", "hr", "sr", "da", "no", "gl", "pt", "id", "ms", "cs", "sk"].contains(&speech.tag);
                assert!(seen.insert(text) || near || text.chars().count() <= 24, "{} {text}", speech.tag);
            }
        }
    }

    #[test]
    fn sentences_are_written_in_their_own_script() {
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
        for speech in SPEECHES.iter() {
            let own = scripts.iter().find(|(tags, _)| tags.split(' ').any(|tag| tag == speech.tag));
            for (text, _) in sentences(&speech.words) {
                for letter in text.replace("SMS", "").chars().filter(|letter| letter.is_alphabetic()) {
                    // The apostrophe of Uzbek is a letter of its own block.
                    let latin = letter < '\u{2bc}' || ('\u{1e00}'..='\u{1eff}').contains(&letter);
                    let fits = own.map_or(latin, |(_, script)| script.contains(&letter));
                    assert!(fits, "{}: {letter:?} in {text}", speech.tag);
                }
            }
        }
    }

    #[test]
    fn a_browser_names_the_language_it_prefers() {
        let tag = |header: &str| preferred(header).map(|place| at(place).tag);
        assert_eq!(tag("de"), Some("de"));
        assert_eq!(tag("de-CH, de;q=0.9, en;q=0.8"), Some("de"));
        assert_eq!(tag("tlh, fr;q=0.5, ar;q=0.7"), Some("ar"));
        assert_eq!(tag("zh-TW, zh;q=0.9"), Some("zh-Hant"));
        assert_eq!((tag("zh-Hans-CN"), tag("nb-NO"), tag("fil")), (Some("zh"), Some("no"), Some("tl")));
        assert_eq!((tag(""), tag("*"), tag("xx"), tag("de;q=0"), tag("de;q=7")), (None, None, None, None, None));
        assert_eq!(of(Language::ENGLISH, None).tag, "en");
        assert_eq!(of("zh".parse().unwrap(), Some("TW".parse().unwrap())).tag, "zh-Hant");
        assert_eq!(of("xx".parse().unwrap(), None).tag, "en");
        assert_eq!(of("ur".parse().unwrap(), None).direction, "rtl");
    }
}
