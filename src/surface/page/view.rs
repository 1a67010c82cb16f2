//! From where a verification stands to what its page shows. Decides nothing: which steps are open follows from the view.

use std::time::Duration;

use crate::clock::UnixMillis;
use crate::otp::channel::Channel;
use crate::surface::page::document::{Button, Document, Field, Icon, Line, Onward, Wait};
use crate::surface::page::form::Action;
use crate::surface::page::language::{self, Words};
use crate::surface::page::result::origin;
use crate::verification::outcome::Outcome;
use crate::verification::view::{Code, State, View};

/// What a page says once, because the step before it did not do what was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The code was wrong.
    Wrong,
    /// It did not work.
    Trouble,
    /// The code was right, and the page may go on by itself.
    Done,
}

impl Said {
    /// As it stands in the address, behind `said=`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Wrong => "wrong",
            Self::Trouble => "trouble",
            Self::Done => "done",
        }
    }

    /// Reads a query. Whatever else is in it does not matter.
    pub(super) fn of_query(query: &str) -> Option<Self> {
        let value = query.split('&').find_map(|pair| pair.strip_prefix("said="))?;
        [Self::Wrong, Self::Trouble, Self::Done].into_iter().find(|known| known.as_str() == value)
    }
}

/// The query of the address that leads on to the site.
pub(super) const ONWARD: &str = "to=site";

/// The page of `view`, whose address ends with `token`.
pub(super) fn document(view: &View, token: &str, said: Option<Said>) -> Document {
    let speech = language::of(view.language, view.verification.country);
    let words = speech.words;
    let settings = &view.look.application.page;
    let heading = match view.state {
        State::Open(_) => words.title,
        State::Ended(outcome) => ending(words, outcome).0,
    };
    let mut document = Document::new(speech, heading, settings.colour.as_ref().map(|colour| colour.as_str()));
    document.name = Some(view.look.name.clone());
    document.logo = settings.logo.as_ref().map(|logo| logo.as_base64().to_owned());
    token.clone_into(&mut document.token);
    match view.state {
        State::Open(code) => open(&mut document, view, words, code, said),
        State::Ended(outcome) => ended(&mut document, view, words, outcome, said),
    }
    document
}

/// Seconds after which a page that waits for its end looks again: a sweep takes one.
const LOOK_AGAIN: u64 = 2;

fn open(document: &mut Document, view: &View, words: Words, code: Code, said: Option<Said>) {
    let number = || format!("••• {}", view.last_two);
    let by_call = view.channel == Channel::Voice;
    document.open = true;
    document.purpose.clone_from(&view.context);
    document.lines.push(match code {
        Code::None => Line::showing(words.offer, number()),
        _ if by_call => Line::showing(words.calling, number()),
        _ => Line::showing(words.sent, number()),
    });
    document.fault = match (code, said) {
        (Code::Lapsed, _) => Some(words.expired.to_owned()),
        (Code::None, Some(Said::Wrong)) | (_, Some(Said::Done) | None) => None,
        (_, Some(Said::Wrong)) => Some(words.wrong.replace("{0}", &view.attempts_left.to_string())),
        (_, Some(Said::Trouble)) => Some(words.trouble.to_owned()),
    };
    let waits_for_code = !matches!(code, Code::None | Code::Lapsed);
    if waits_for_code {
        let application = &view.look.application;
        let mode = if application.alphanumeric { "text" } else { "numeric" };
        let turn = format!("{}.{}", view.attempts_left, view.sends_left);
        document.field = Some(Field { mode, length: application.pin_length.get(), turn });
    }
    let class = if waits_for_code { "" } else { "main" };
    if let Some(at) = view.resend_at {
        let seconds = whole_seconds(view.now, at);
        if seconds > 0 {
            let shown = words.wait.replace("{0}", &seconds.to_string());
            document.wait = Some(Wait { seconds, text: words.wait, shown });
        }
        let (message, call) = if code == Code::None {
            (Action::Begin, if by_call { Action::Begin } else { Action::Voice })
        } else {
            (Action::Again, Action::Voice)
        };
        let text = if code == Code::None || by_call { words.send } else { words.again };
        let by_message = view.message_offered.then_some((message, text));
        let calls = view.voice_offered.then_some((call, words.call));
        // The way that was gone stands first.
        let ways = if by_call { [calls, by_message] } else { [by_message, calls] };
        for (index, (action, text)) in ways.into_iter().flatten().enumerate() {
            let class = if index == 0 { class } else { "" };
            document.buttons.push(Button { class, action: action.as_str(), text: text.to_owned(), later: true });
        }
    }
    let not_me = Button { class: "plain", action: Action::NotMe.as_str(), text: words.not_me.to_owned(), later: false };
    document.buttons.push(not_me);
    let left = [view.expires, view.verification.expires].map(|until| whole_seconds(view.now, until));
    // Where nothing is left to do here, how it ended is about to be settled: the page looks again, to lead on.
    let ends = code == Code::Lapsed && view.resend_at.is_none();
    document.seconds_left = if ends { Some(LOOK_AGAIN) } else { left.into_iter().filter(|seconds| *seconds > 0).min() };
}

fn ended(document: &mut Document, view: &View, words: Words, outcome: Outcome, said: Option<Said>) {
    document.outcome = Some(outcome.as_str());
    document.icon = Some(ending(words, outcome).1);
    match &view.return_url {
        Some(url) => {
            let origin = origin(url.as_str());
            let site = origin.split_once("://").map_or(origin, |(_, site)| site);
            let text = words.back.replace("{0}", site);
            let goes = outcome == Outcome::Verified && said == Some(Said::Done);
            document.onward = Some(Onward { address: format!("{}?{ONWARD}", document.token), text, goes });
        }
        None => document.lines.push(Line::plain(words.close)),
    }
}

/// How an outcome is told.
const fn ending(words: Words, outcome: Outcome) -> (&'static str, Icon) {
    match outcome {
        Outcome::Verified => (words.verified, Icon::GOOD),
        Outcome::Expired => (words.expired, Icon::OVER),
        Outcome::TooManyAttempts => (words.too_many, Icon::ILL),
        Outcome::Undeliverable => (words.undeliverable, Icon::ILL),
        Outcome::CancelledByPerson => (words.stopped, Icon::OVER),
        Outcome::CancelledByFlow => (words.cancelled, Icon::OVER),
    }
}

/// Seconds from `now` to `until`, rounded up.
fn whole_seconds(now: UnixMillis, until: UnixMillis) -> u64 {
    Duration::from_millis(until.0.saturating_sub(now.0)).as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}
