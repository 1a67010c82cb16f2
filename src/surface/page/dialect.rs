//! How refusals at a page's address are worded: as a page, in the language that the browser prefers. One refusal, one page;
//! what never was and what is over get the same. Must not know a verification.

use std::sync::LazyLock;

use http::StatusCode;
use http::header::ACCEPT_LANGUAGE;

use crate::layer::refusal::{Dialect, Presented, Refusal};
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::surface::answer::retry_after;
use crate::surface::page::document::{Document, Frames, Icon, Line};
use crate::surface::page::language::{self, Speech};

/// A dialect that speaks to persons.
#[derive(Clone, Copy, Debug)]
pub struct Pages {
    /// The place of its language; English where there is none.
    place: usize,
}

/// It speaks English to whom nothing else is known of.
pub const PAGES: Pages = Pages { place: usize::MAX };

/// One for each language.
static IN_LANGUAGES: LazyLock<Vec<Pages>> =
    LazyLock::new(|| (0..language::count()).map(|place| Pages { place }).collect());

/// The language that a browser prefers.
fn preferred(request: &Request) -> Option<usize> {
    language::preferred(request.headers().get(ACCEPT_LANGUAGE)?.to_str().ok()?)
}

impl Dialect for Pages {
    fn name(&self) -> &'static str {
        "page"
    }

    fn credential<'r>(&self, _request: &'r Request) -> Presented<'r> {
        Presented::Nothing
    }

    fn tuned(&self, request: &Request) -> Option<&'static dyn Dialect> {
        IN_LANGUAGES.get(preferred(request)?).map(|pages| pages as &dyn Dialect)
    }

    fn refuse(&self, refusal: &Refusal, _stamp: Stamp) -> Response {
        page(language::at(self.place), refusal)
    }
}

fn page(speech: Speech, refusal: &Refusal) -> Response {
    let (status, wait) = match refusal {
        Refusal::NotFound => (StatusCode::NOT_FOUND, None),
        Refusal::Guarded { retry_after } => (StatusCode::TOO_MANY_REQUESTS, Some(*retry_after)),
        Refusal::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, None),
        Refusal::UriTooLong(_) => (StatusCode::URI_TOO_LONG, None),
        Refusal::FieldsTooLarge { .. } => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, None),
        Refusal::BodyTooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, None),
        Refusal::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, None),
        Refusal::UnsupportedMediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, None),
        Refusal::Unavailable { retry_after } | Refusal::Unanswered { retry_after } => {
            (StatusCode::SERVICE_UNAVAILABLE, Some(*retry_after))
        }
        Refusal::Internal => (StatusCode::INTERNAL_SERVER_ERROR, None),
        // Nothing else is refused here: there is no key, no quota, no call that is done once.
        _ => (StatusCode::BAD_REQUEST, None),
    };
    let answer = written(speech, status);
    match wait {
        Some(seconds) => retry_after(answer, seconds),
        None => answer,
    }
}

/// A page that says that there is nothing here, or that something did not work.
pub(super) fn written(speech: Speech, status: StatusCode) -> Response {
    let words = speech.words;
    let gone = status == StatusCode::NOT_FOUND;
    let mut document = Document::new(speech, if gone { words.gone } else { words.trouble }, None);
    document.icon = Some(if gone { Icon::OVER } else { Icon::ILL });
    if gone {
        document.lines.push(Line::plain(words.close));
    }
    // The page before it may have stood in somebody's frame, which is not known here: it says there what it says elsewhere.
    document.answer(status, Frames::Anybodys)
}
