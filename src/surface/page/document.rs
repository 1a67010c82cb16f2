//! The page as a document: the template, the policy that goes with it, and nothing that is fetched from anywhere.
//!
//! One request brings all of it. The policy allows exactly the style and the script that are in it, by their hashes, so
//! nothing that somebody managed to write into a page would run. Must not know what a step does.

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
    /// Whether the page goes there by itself, where its script runs.
    pub(super) goes: bool,
}

/// Whom a page in a frame tells how it ended.
pub(super) struct Tell {
    /// Whom: an origin that may show the page.
    pub(super) origin: String,
    /// The result token for it.
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
    pub(super) tells: Vec<Tell>,
    pub(super) token: String,
    pub(super) outcome: Option<&'static str>,
    pub(super) onward: Option<Onward>,
    pub(super) seconds_left: Option<u64>,
}

/// Who may do what with a page.
#[derive(Default)]
pub(super) struct Bounds<'a> {
    /// Whose frame it may be in: origins.
    pub(super) frames: &'a [&'a str],
    /// Where its forms may lead to besides itself: an origin.
    pub(super) leads_to: Option<&'a str>,
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
            tells: Vec::new(),
            token: String::new(),
            outcome: None,
            onward: None,
            seconds_left: None,
        }
    }

    /// The page as an answer.
    pub(super) fn answer(&self, status: StatusCode, bounds: &Bounds<'_>) -> Response {
        let mut text = String::with_capacity(PAGE_BYTES + self.logo.as_ref().map_or(0, String::len));
        if let Err(error) = self.render_into(&mut text) {
            tracing::error!(%error, "a page could not be written");
            return empty(StatusCode::INTERNAL_SERVER_ERROR);
        }
        let Some(policy) = self.policy(bounds) else { return empty(StatusCode::INTERNAL_SERVER_ERROR) };
        let mut response = bytes_of(status, HeaderValue::from_static("text/html; charset=utf-8"), text);
        let headers = response.headers_mut();
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        headers.insert(PERMISSIONS, HeaderValue::from_static("otp-credentials=(self)"));
        if bounds.frames.is_empty() {
            headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        private(headers);
        response
    }

    fn policy(&self, bounds: &Bounds<'_>) -> Option<HeaderValue> {
        let mut policy = String::with_capacity(512);
        policy.push_str(&ASSETS.policy);
        let parts = ["; style-src 'sha256-", &ASSETS.style_hash, "' 'sha256-", &hash(&self.colours), "'"];
        policy.extend(parts);
        policy.extend([
            "; form-action 'self'",
            bounds.leads_to.map_or("", |_| " "),
            bounds.leads_to.unwrap_or_default(),
        ]);
        policy.push_str("; frame-ancestors");
        if bounds.frames.is_empty() {
            policy.push_str(" 'none'");
        }
        for origin in bounds.frames {
            // A string takes whatever is written.
            let _ = write!(policy, " {origin}");
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

/// A page without a logo has some 8,000 bytes.
const PAGE_BYTES: usize = 9 * 1024;

/// What is the same in every page.
struct Assets {
    style: String,
    style_hash: String,
    script: String,
    policy: String,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let style = compact(include_str!("../../../templates/page/style.css"));
    let script = compact(include_str!("../../../templates/page/script.js"));
    let script_hash = hash(&script);
    let policy = format!("default-src 'none'; base-uri 'none'; img-src data:; script-src 'sha256-{script_hash}'");
    Assets { style_hash: hash(&style), style, script, policy }
});

/// The hash of an inline style or script, as a policy names it (CSP 3 section 2.3.1).
fn hash(text: &str) -> String {
    STANDARD.encode(digest(&SHA256, text.as_bytes()))
}

/// Without indentation, comments on lines of their own, and the spaces that a style sheet does not need.
fn compact(source: &str) -> String {
    let lines = source.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
    let mut text = lines.collect::<Vec<_>>().join("\n");
    if !source.trim_start().starts_with("//") {
        for (wide, narrow) in [(" { ", "{"), ("; }", "}"), ("; ", ";"), (": ", ":"), (" }", "}"), ("}\n", "}")] {
            text = text.replace(wide, narrow);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::surface::page::language;

    #[test]
    fn a_policy_allows_what_the_page_has_and_no_more() {
        let document = Document::new(language::at(0), "x", Some("#123456"));
        let bounds =
            Bounds { frames: &["https://a.example", "https://b.example:8443"], leads_to: Some("https://c.example") };
        let answer = document.answer(StatusCode::OK, &bounds);
        let policy = answer.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        for part in [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'self' https://c.example",
            "frame-ancestors https://a.example https://b.example:8443",
        ] {
            assert!(policy.split("; ").any(|known| known == part), "{part}: {policy}");
        }
        assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
        assert!(!answer.headers().contains_key(X_FRAME_OPTIONS));
        let alone = document.answer(StatusCode::OK, &Bounds::default());
        let policy = alone.headers()[CONTENT_SECURITY_POLICY].to_str().unwrap();
        assert!(policy.ends_with("form-action 'self'; frame-ancestors 'none'"), "{policy}");
        assert_eq!(alone.headers()[X_FRAME_OPTIONS], "DENY");
        assert_eq!(alone.headers()[REFERRER_POLICY], "no-referrer");
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
        document.field = Some(Field { mode: "numeric", turn: evil.to_owned() });
        let text = document.render().unwrap();
        assert!(!text.contains("<script>alert") && !text.contains("\"><script"), "{text}");
        assert_eq!(text.matches("<script>").count(), 1);
        assert!(text.contains("a <bdi dir=\"ltr\">&#34;&#62;&#60;script"), "{text}");
    }

    #[test]
    fn style_and_script_are_compact_and_whole() {
        let Assets { style, script, .. } = &*ASSETS;
        assert!(style.len() < 3_000 && script.len() < 2_400, "{} {}", style.len(), script.len());
        assert_eq!(style.matches('{').count(), style.matches('}').count());
        assert!(!script.contains("//") && !script.contains("</") && !style.contains("</"));
    }
}
