//! The page as a document: the template, the policy that goes with it, and nothing that is fetched from anywhere.
//!
//! One request brings all of it. The policy allows exactly the style and the script that are in it, by their hashes, so
//! nothing that somebody managed to write into a page would run. No page is heavier than [`PAGE_MOST`]. Must not know what a
//! step does.

use std::fmt::Write as _;
use std::sync::LazyLock;

use askama::Template;
use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::layer::Response;
use crate::surface::answer::{bytes_of, empty};
use crate::surface::page::colour;
use crate::surface::page::language::{Speech, Words};

const ROBOTS: HeaderName = HeaderName::from_static("x-robots-tag");
const PERMISSIONS: HeaderName = HeaderName::from_static("permissions-policy");

/// What stands in a page in the place of `{0}`, within the sentence.
pub(super) struct Line {
    before: &'static str,
    shown: Option<String>,
    after: &'static str,
}

impl Line {
    /// A sentence that shows nothing.
    pub(super) const fn plain(text: &'static str) -> Self {
        Self { before: text, shown: None, after: "" }
    }

    /// A sentence with `shown` in its place.
    pub(super) fn showing(text: &'static str, shown: String) -> Self {
        let (before, after) = text.split_once("{0}").unwrap_or((text, ""));
        Self { before, shown: Some(shown), after }
    }
}

/// The drawing above an outcome: a path in a circle.
#[derive(Clone, Copy)]
pub(super) struct Icon {
    class: &'static str,
    path: &'static str,
}

impl Icon {
    /// It went well.
    pub(super) const GOOD: Self = Self { class: "good", path: "m7.5 12.4 3.1 3.1 6-6.6" };
    /// It did not.
    pub(super) const ILL: Self = Self { class: "ill", path: "M12 7v6m0 3.6v.1" };
    /// It is over.
    pub(super) const OVER: Self = Self { class: "over", path: "M8 12h8" };
}

/// The field for the code.
pub(super) struct Field {
    /// `numeric`, or `text` where codes have letters.
    pub(super) mode: &'static str,
    /// Characters of a code, by which one is found in a message that is pasted.
    pub(super) length: u8,
    /// What tells a form that is sent twice from two forms.
    pub(super) turn: String,
}

/// What has to pass before a button does something.
pub(super) struct Wait {
    /// Whole seconds.
    pub(super) seconds: u64,
    /// The sentence with its place.
    pub(super) text: &'static str,
    /// The sentence with the seconds in it.
    pub(super) shown: String,
}

/// A button.
pub(super) struct Button {
    /// `main`, `plain`, or none.
    pub(super) class: &'static str,
    /// What it sends.
    pub(super) action: &'static str,
    /// What it says.
    pub(super) text: String,
    /// Whether it has to wait.
    pub(super) later: bool,
}

/// The way back to the site that asked.
pub(super) struct Onward {
    /// The page's own address, by which it leads there.
    pub(super) address: String,
    /// What the link says.
    pub(super) text: String,
    /// Whether the page goes there by itself: by its script, or by a refresh where none runs.
    pub(super) goes: bool,
}

/// Whom a page in a frame tells how it ended.
pub(super) struct Tell {
    /// Whom: the origins that may show the page, with spaces between them.
    pub(super) origins: String,
    /// The result token for them.
    pub(super) result: String,
}

/// All that a page shows.
#[derive(Template)]
#[template(path = "page/page.html")]
pub(super) struct Document {
    style: &'static str,
    script: &'static str,
    colours: String,
    speech: Speech,
    words: Words,
    pub(super) name: Option<String>,
    pub(super) logo: Option<String>,
    pub(super) heading: &'static str,
    pub(super) icon: Option<Icon>,
    pub(super) lines: Vec<Line>,
    pub(super) purpose: Option<String>,
    pub(super) fault: Option<String>,
    pub(super) field: Option<Field>,
    pub(super) wait: Option<Wait>,
    pub(super) buttons: Vec<Button>,
    pub(super) tell: Option<Tell>,
    pub(super) token: String,
    pub(super) outcome: Option<&'static str>,
    pub(super) onward: Option<Onward>,
    pub(super) seconds_left: Option<u64>,
    /// Whether its end may come from elsewhere: then its script asks for it, and its policy lets it ask its own server.
    pub(super) open: bool,
}

/// In whose frame a page may stand.
#[derive(Clone, Copy)]
pub(super) enum Frames<'a> {
    /// In that of these origins; in nobody's where there are none.
    Of(&'a [&'a str]),
    /// In anybody's: a page without a button that could be pressed unseen, and without anything to be read. Whose frame the
    /// page before it stood in is not known any more, and the browser's own words would stand there instead of ours.
    Anybodys,
}

impl Document {
    /// A page with nothing but a heading.
    pub(super) fn new(speech: Speech, heading: &'static str, colour: Option<&str>) -> Self {
        Self {
            style: &ASSETS.style,
            script: &ASSETS.script,
            colours: colour::properties(colour),
            speech,
            words: speech.words,
            name: None,
            logo: None,
            heading,
            icon: None,
            lines: Vec::new(),
            purpose: None,
            fault: None,
            field: None,
            wait: None,
            buttons: Vec::new(),
            tell: None,
            token: String::new(),
            outcome: None,
            onward: None,
            seconds_left: None,
            open: false,
        }
    }

    /// The page as an answer. Where it would be too heavy it goes without its logo.
    pub(super) fn answer(&mut self, status: StatusCode, frames: Frames<'_>) -> Response {
        let Some(policy) = self.policy(frames) else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
        let Some(mut text) = self.written() else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
        if text.len() + policy.len() + HEAD_BYTES > PAGE_MOST && self.logo.take().is_some() {
            let Some(lighter) = self.written() else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
            text = lighter;
        }
        let mut response = bytes_of(status, HeaderValue::from_static("text/html; charset=utf-8"), text);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(PERMISSIONS, HeaderValue::from_static("otp-credentials=(self)"));
        if matches!(frames, Frames::Of([])) {
            headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        private(headers);
        response
    }

    fn written(&self) -> Option<String> {
        let mut text = String::with_capacity(PAGE_BYTES + self.logo.as_ref().map_or(0, String::len));
        self.render_into(&mut text).inspect_err(|error| tracing::error!(%error, "a page could not be written")).ok()?;
        Some(text)
    }

    fn policy(&self, frames: Frames<'_>) -> Option<HeaderValue> {
        let mut policy = String::with_capacity(512);
        policy.push_str(&ASSETS.policy);
        let parts = ["; style-src 'sha256-", &ASSETS.style_hash, "' 'sha256-", &hash(&self.colours), "'"];
        policy.extend(parts);
        policy.push_str(if self.open { "; connect-src 'self'; form-action 'self'" } else { "; form-action 'self'" });
        if let Frames::Of(origins) = frames {
            policy.push_str("; frame-ancestors");
            if origins.is_empty() {
                policy.push_str(" 'none'");
            }
            for origin in origins {
                // A string takes whatever is written.
                let _ = write!(policy, " {origin}");
            }
        }
        HeaderValue::try_from(policy).ok()
    }
}

/// What every answer at a page's address says: the address is a secret, and nobody is to keep, list or pass on what it shows.
pub(super) fn private(headers: &mut HeaderMap) {
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(ROBOTS, HeaderValue::from_static("noindex, nofollow, noarchive"));
}

/// A page without a logo has some 9,000 bytes.
const PAGE_BYTES: usize = 10 * 1024;
/// The most that a page may weigh, its head with it.
const PAGE_MOST: usize = 20_000;
/// What a head weighs besides its policy's value, at most.
const HEAD_BYTES: usize = 420;

/// What is the same in every page.
struct Assets {
    style: String,
    style_hash: String,
    script: String,
    policy: String,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let style = compact(include_str!("../../../templates/page/style.css"), &STYLE_SPACES);
    let script = compact(include_str!("../../../templates/page/script.js"), &SCRIPT_SPACES);
    let script_hash = hash(&script);
    let policy = format!("default-src 'none'; base-uri 'none'; img-src data:; script-src 'sha256-{script_hash}'");
    Assets { style_hash: hash(&style), style, script, policy }
});

/// The hash of an inline style or script, as a policy names it (CSP 3 section 2.3.1).
fn hash(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

/// What a style sheet does not need.
const STYLE_SPACES: [(&str, &str); 6] =
    [(" { ", "{"), ("; }", "}"), ("; ", ";"), (": ", ":"), (" }", "}"), ("}\n", "}")];
/// What a script does not need. The texts in it have none of these; the end of a line stays where it ends a statement.
const SCRIPT_SPACES: [(&str, &str); 19] = [
    (" = ", "="),
    (" => ", "=>"),
    (" == ", "=="),
    (" === ", "==="),
    (" !== ", "!=="),
    (" && ", "&&"),
    (" || ", "||"),
    (" > ", ">"),
    (" < ", "<"),
    (" * ", "*"),
    (" - ", "-"),
    (" ? ", "?"),
    (" : ", ":"),
    (": ", ":"),
    (", ", ","),
    ("; ", ";"),
    (" {", "{"),
    ("{ ", "{"),
    (" }", "}"),
];

/// Without indentation, comments on lines of their own, and the spaces that `spaces` names.
fn compact(source: &str, spaces: &[(&str, &str)]) -> String {
    let lines = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let text = lines.collect::<Vec<_>>().join("\n");
    spaces.iter().fold(text, |text, &(wide, narrow)| text.replace(wide, narrow))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::page::LOGO_BYTES;
    use crate::surface::page::language;

    #[test]
    fn a_policy_allows_what_the_page_has_and_no_more() {
        let mut document = Document::new(language::at(0), "x", Some("#123456"));
        let frames = Frames::Of(&["https://a.example", "https://b.example:8443"]);
        let answer = document.answer(StatusCode::OK, frames);
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors https://a.example https://b.example:8443",
        ] {
            assert!(policy.split("; ").any(|known| known == part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert!(!answer.headers().contains_key(X_FRAME_OPTIONS));
        assert!(!policy.contains("connect-src"), "{policy}");
        let alone = document.answer(StatusCode::OK, Frames::Of(&[]));
        let policy = alone.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with("form-action 'self'; frame-ancestors 'none'"), "{policy}");
        assert_eq!(alone.headers()[X_FRAME_OPTIONS], "DENY");
        assert_eq!(alone.headers()[REFERRER_POLICY], "no-referrer");
        // An open page alone may ask its own server, and a refusal may stand in any frame.
        document.open = true;
        let asks = document.answer(StatusCode::OK, Frames::Anybodys);
        let policy = asks.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with("'; connect-src 'self'; form-action 'self'"), "{policy}");
        assert!(!asks.headers().contains_key(X_FRAME_OPTIONS));
    }

    #[test]
    fn a_page_that_would_be_too_heavy_goes_without_its_logo() {
        let page = |logo: usize, origins: &[&str]| {
            let mut document = Document::new(language::at(0), "x", None);
            (document.name, document.logo) = (Some("x".to_owned()), Some("A".repeat(logo)));
            let answer = document.answer(StatusCode::OK, Frames::Of(origins));
            let policy = answer.headers()[CONTENT_SECURITY_POLICY].len();
            (document.logo.is_some(), document.written().unwrap().len() + policy)
        };
        let logo = LOGO_BYTES.div_ceil(3) * 4;
        assert!(page(logo, &["https://a.example"]).0);
        let long = format!("https://{}.example", "a".repeat(3_000));
        let (kept, weight) = page(logo, &[&long]);
        assert!(!kept && weight + HEAD_BYTES <= PAGE_MOST, "{weight}");
    }

    #[test]
    fn what_is_shown_cannot_leave_its_place() {
        let evil = "\"><script>alert(1)</script>&";
        let mut document = Document::new(language::at(0), "x", Some("#123456"));
        document.name = Some(evil.to_owned());
        document.purpose = Some(evil.to_owned());
        document.fault = Some(evil.to_owned());
        document.lines.push(Line::showing("a {0} b", evil.to_owned()));
        document.token = evil.to_owned();
        document.field = Some(Field { mode: "numeric", length: 6, turn: evil.to_owned() });
        document.tell = Some(Tell { origins: evil.to_owned(), result: evil.to_owned() });
        let text = document.render().unwrap();
        assert!(!text.contains("<script>alert") && !text.contains("\"><script"), "{text}");
        assert_eq!(text.matches("<script>").count(), 1);
        assert!(text.contains("a <bdi dir=\"ltr\">&#34;&#62;&#60;script"), "{text}");
    }

    #[test]
    fn style_and_script_are_compact_and_whole() {
        let Assets { style, script, .. } = &*ASSETS;
        assert!(style.len() < 3_000 && script.len() < 3_000, "{} {}", style.len(), script.len());
        assert_eq!(style.matches('{').count(), style.matches('}').count());
        assert!(!script.contains("//") && !script.contains("</") && !style.contains("</"));
    }
}
