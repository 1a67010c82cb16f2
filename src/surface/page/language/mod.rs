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

use crate::otp::language::{Language, reads_traditional, usual};
use crate::otp::phone::Country;

/// Names each sentence once: what the page asks for, and the order in which a language's file says them.
macro_rules! sentences {
    ($($(#[$what:meta])+ $name:ident),+ $(,)?) => {
        /// The sentences of one language.
        #[derive(Clone, Copy, Debug)]
        pub(in crate::surface::page) struct Words {
            $($(#[$what])+ pub(in crate::surface::page) $name: &'static str,)+
        }

        /// Sentences of a language.
        const SENTENCES: usize = [$(stringify!($name)),+].len();

        /// Sentences in the order of [`Words`].
        const fn words([$($name),+]: [&'static str; SENTENCES]) -> Words {
            Words { $($name),+ }
        }

        #[cfg(test)]
        impl Words {
            /// Each with its name.
            fn named(&self) -> [(&'static str, &'static str); SENTENCES] {
                [$((stringify!($name), self.$name)),+]
            }
        }
    };
}

sentences!(
    /// What the page is for.
    title,
    /// Before the first code: it will go to the number `{0}`.
    offer,
    /// The button that sends the first code.
    send,
    /// The button that has the code read out by a call.
    call,
    /// A code went to the number `{0}`.
    sent,
    /// The number `{0}` is called.
    calling,
    /// The label of the field.
    code,
    /// The button that hands it in.
    confirm,
    /// A wrong code; `{0}` tries are left.
    wrong,
    /// The code's life, or that of the verification, is over.
    expired,
    /// The button that sends a further message.
    again,
    /// That it can be pressed in `{0}` seconds.
    wait,
    /// The button for whose number it is not.
    not_me,
    /// The outcome VERIFIED.
    verified,
    /// The outcome `TOO_MANY_ATTEMPTS`.
    too_many,
    /// The outcome UNDELIVERABLE, and a message that could not be sent.
    undeliverable,
    /// The outcome `CANCELLED_BY_PERSON`.
    stopped,
    /// The outcome `CANCELLED_BY_FLOW`.
    cancelled,
    /// That nothing is left to do here.
    close,
    /// The button that leads to the site `{0}`.
    back,
    /// There is nothing at this address.
    gone,
    /// A fault of ours, or a limit.
    trouble,
);

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
    // Browsers have a name of three letters for one of them.
    let tag = if tag == "fil" { "tl" } else { usual(tag) };
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
    let traditional = country.is_some_and(reads_traditional);
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
    use crate::otp::language::script_of;

    /// Those that show something.
    const SHOW: [&str; 6] = ["offer", "sent", "calling", "wrong", "wait", "back"];

    #[test]
    fn the_page_speaks_every_language_of_the_messages() {
        let mut spoken = 0;
        for first in b'a'..=b'z' {
            for second in b'a'..=b'z' {
                let code = format!("{}{}", char::from(first), char::from(second));
                // What is no language has neither.
                let Ok(language) = code.parse::<Language>() else {
                    assert!(place(&code).is_none(), "{code}");
                    continue;
                };
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
            let sentences = speech.words.named();
            for (name, text) in sentences {
                let shown = usize::from(SHOW.contains(&name));
                assert!(!text.is_empty() && text.trim() == text && !text.contains("  "), "{} {text}", speech.tag);
                let braces = text.matches(['{', '}']).count();
                assert_eq!((text.matches("{0}").count(), braces), (shown, shown * 2), "{} {text}", speech.tag);
                assert!(text.chars().count() <= 72, "{} {text}", speech.tag);
                assert!(!text.contains(['<', '>', '&', '"']), "{} {text}", speech.tag);
            }
            let texts: BTreeSet<_> = sentences.iter().map(|(_, text)| text).collect();
            // The first and a further message may be asked for in the same words, and nothing else may.
            assert!(texts.len() >= sentences.len() - 1, "{} says one thing for two", speech.tag);
        }
    }

    #[test]
    fn no_language_was_copied_from_another() {
        let mut seen = BTreeSet::new();
        for speech in SPEECHES.iter() {
            for (_, text) in speech.words.named() {
                // Short words, and whole sentences of close neighbours, are the same in several.
                let near = ["bs", "hr", "sr", "da", "no", "gl", "pt", "id", "ms", "cs", "sk"].contains(&speech.tag);
                assert!(seen.insert(text) || near || text.chars().count() <= 24, "{} {text}", speech.tag);
            }
        }
    }

    #[test]
    fn sentences_are_written_in_their_own_script() {
        for speech in SPEECHES.iter() {
            let own = script_of(speech.tag);
            for (_, text) in speech.words.named() {
                for letter in text.replace("SMS", "").chars().filter(|letter| letter.is_alphabetic()) {
                    // The apostrophe of Uzbek is a letter of its own block.
                    let latin = letter < '\u{2bc}' || ('\u{1e00}'..='\u{1eff}').contains(&letter);
                    let fits = own.as_ref().map_or(latin, |script| script.contains(&letter));
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
        assert_eq!(of("eo".parse().unwrap(), None).tag, "en");
        assert_eq!(of("ur".parse().unwrap(), None).direction, "rtl");
    }
}
