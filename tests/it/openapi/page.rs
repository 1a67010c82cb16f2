//! The reference page: complete, alone, and in order.

use std::collections::BTreeSet;

use otpgate::openapi::{Format, document, page};

fn made() -> String {
    page(&document(Format::V31, Some("https://otp.example.com")).unwrap()).unwrap()
}

/// The values of an attribute.
fn attributes<'p>(page: &'p str, name: &str) -> Vec<&'p str> {
    page.split(&format!(" {name}=\"")).skip(1).map(|rest| rest.split('"').next().unwrap()).collect()
}

#[test]
fn the_page_needs_nothing_from_elsewhere() {
    let page = made();
    assert!(page.len() < 150_000, "{} bytes", page.len());
    for foreign in ["<script", "<link", "<img", "<iframe", "@import", "url(", " src=", " onload", "javascript:"] {
        assert!(!page.contains(foreign), "{foreign}");
    }
    for target in attributes(&page, "href") {
        assert!(target.starts_with('#') || target == "/openapi.json", "{target}");
    }
}

#[test]
fn the_page_shows_everything_and_every_link_leads_somewhere() {
    let (page, document) = (made(), document(Format::V31, None).unwrap());
    let ids = attributes(&page, "id");
    let known: BTreeSet<_> = ids.iter().copied().collect();
    assert_eq!(ids.len(), known.len(), "an id comes twice");
    for target in attributes(&page, "href").into_iter().filter_map(|target| target.strip_prefix('#')) {
        assert!(known.contains(target), "#{target} leads nowhere");
    }
    for label in attributes(&page, "aria-labelledby") {
        assert!(known.contains(label), "{label}");
    }
    for (method, path) in super::operations(&document) {
        let operation = &document["paths"][&path][&method];
        assert!(known.contains(operation["operationId"].as_str().unwrap()), "{method} {path}");
        assert!(page.contains(&format!("<b>{}</b> <code>{path}</code>", method.to_uppercase())), "{method} {path}");
    }
    for schema in document["components"]["schemas"].as_object().unwrap().values() {
        for name in schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(page.contains(&format!("<code>{name}</code>")), "{name}");
        }
    }
    assert!(page.contains("curl https://otp.example.com/v1/otp "));
}

#[test]
fn the_pages_headings_are_in_order() {
    let page = made();
    let levels: Vec<u32> =
        page.split("<h").skip(1).filter_map(|rest| rest.chars().next().and_then(|level| level.to_digit(10))).collect();
    assert_eq!(levels.iter().filter(|level| **level == 1).count(), 1);
    assert_eq!(levels[0], 1);
    for pair in levels.windows(2) {
        assert!(pair[1] <= pair[0] + 1, "h{} is followed by h{}", pair[0], pair[1]);
    }
}
