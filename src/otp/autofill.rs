//! The lines that let a phone fill in the code by itself. Knows no template and no carrier.
//!
//! A text message ends with them, each on a line of its own: the hash by which Android's SMS Retriever finds the app, then
//! `@domain #code`, which the WICG's "Origin-bound one-time codes" wants as the last line (WebOTP in Chrome, and Safari).

use serde::{Deserialize, Serialize};

use crate::otp::application::worded;
use crate::otp::code::Code;

worded!(
    /// The site that may read the code: a host name in ASCII (RFC 1123; punycode for others) of at least two labels and at
    /// most 253 characters, in lower case, without a port.
    WebOtpDomain, MalformedDomain, "a host name in lower case, such as login.example.com", is_domain
);
worded!(
    /// The 11 characters of Base64 by which Android's SMS Retriever knows an app: from its package name and its signing
    /// certificate.
    RetrieverHash, MalformedHash, "the 11 letters, digits, + or / of an app's hash, such as FA+9qCX9VSu",
    |text| text.len() == 11 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
);

fn is_domain(text: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The last label of an address in digits is a number; that of a name never is.
    let named = text.rsplit('.').next().is_some_and(|last| !last.bytes().all(|byte| byte.is_ascii_digit()));
    text.len() <= 253 && text.contains('.') && named && text.split('.').all(is_label)
}

/// Which lines an application's text messages end with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Autofill {
    /// For `@domain #code`.
    #[serde(default)]
    pub webotp_domain: Option<WebOtpDomain>,
    /// For the app's hash.
    #[serde(default)]
    pub retriever_hash: Option<RetrieverHash>,
}

impl Autofill {
    /// Bytes that [`Autofill::append`] adds at most.
    #[must_use]
    pub fn room(&self, code: &Code) -> usize {
        let hash = self.retriever_hash.as_ref().map_or(0, |hash| hash.as_str().len() + 1);
        let domain = self.webotp_domain.as_ref().map_or(0, |domain| domain.as_str().len() + code.expose().len() + 4);
        hash + domain
    }

    /// Ends `text` with the lines.
    pub fn append(&self, text: &mut String, code: &Code) {
        if let Some(hash) = &self.retriever_hash {
            text.push('\n');
            text.push_str(hash.as_str());
        }
        if let Some(domain) = &self.webotp_domain {
            for part in ["\n@", domain.as_str(), " #", code.expose()] {
                text.push_str(part);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn autofill_domains_and_hashes_are_checked() {
        for good in ["example.com", "login.example.co.uk", "xn--bcher-kva.example", "a-1.io"] {
            assert!(WebOtpDomain::parse(good).is_ok(), "{good}");
        }
        let long = format!("{}.com", "a".repeat(64));
        let longer = ["a".repeat(63).as_str(); 4].join(".");
        for bad in [
            "",
            "example",
            "Example.com",
            "example.com.",
            ".com",
            "a..b",
            "-a.com",
            "a-.com",
            "example.com:443",
            "1.2.3.4",
            "https://example.com",
            "bücher.example",
            "a b.com",
            "a_b.com",
            "example.com\n",
            &long,
            &longer,
        ] {
            assert!(WebOtpDomain::parse(bad).is_err(), "{bad}");
        }
        assert!(RetrieverHash::parse("FA+9qCX9VSu").is_ok());
        for bad in ["", "FA+9qCX9VS", "FA+9qCX9VSuu", "FA-9qCX9VSu", "FA+9qCX9VS=", "FA 9qCX9VSu", "FÄ9qCX9VSu"] {
            assert!(RetrieverHash::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn autofill_ends_the_text_with_its_lines_and_webotp_last() {
        let code = Code::parse_own("0123").unwrap();
        let ended = |domain: Option<&str>, hash: Option<&str>, text: &str| {
            let autofill = Autofill {
                webotp_domain: domain.map(|text| WebOtpDomain::parse(text).unwrap()),
                retriever_hash: hash.map(|text| RetrieverHash::parse(text).unwrap()),
            };
            let mut ended = text.to_owned();
            autofill.append(&mut ended, &code);
            assert!(ended.len() <= text.len() + autofill.room(&code));
            ended
        };
        assert_eq!(ended(None, None, "Code 0123"), "Code 0123");
        assert_eq!(ended(Some("example.com"), None, "Code 0123"), "Code 0123\n@example.com #0123");
        assert_eq!(ended(None, Some("FA+9qCX9VSu"), "Code 0123"), "Code 0123\nFA+9qCX9VSu");
        let both = "Code 0123\nFA+9qCX9VSu\n@example.com #0123";
        assert_eq!(ended(Some("example.com"), Some("FA+9qCX9VSu"), "Code 0123"), both);
    }
}
