//! What an application says of its verification page: its name, colour and logo, who may show it in a frame, and where it
//! may lead. Parsed once; what is parsed can stand in a page, a header or an address as it is.
//!
//! Must not know how a page is made, nor what becomes of a verification.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::otp::application::worded;
use crate::otp::id::VerificationId;
use crate::secret::Secret;

/// Addresses that an application may let its page lead to, and origins that may show it in a frame: of each so many.
pub const ENTRIES: usize = 20;
/// Bytes that the origins of one application may have together: answers of its page name them up to three times, and stay
/// below 20 KB.
pub const ORIGINS_BYTES: usize = 1_024;
/// The longest address, in bytes.
pub const ADDRESS_BYTES: usize = 2_048;
/// The largest logo, in bytes: the page stays below 20 KB.
pub const LOGO_BYTES: usize = 8 * 1_024;
/// The largest logo, in pixels along a side.
pub const LOGO_SIDE: u32 = 1_024;

worded!(
    /// What the page calls who asks: 1 to 64 characters, no control characters.
    PageName, MalformedPageName, "1 to 64 characters, no control characters",
    |text| (1..=64).contains(&text.chars().count()) && !text.chars().any(char::is_control) && text.trim() == text
);
worded!(
    /// A colour as CSS writes it: `#` and six hexadecimal digits.
    Colour, MalformedColour, "a colour such as #0a66c2",
    |text| text.len() == 7 && text.starts_with('#') && text.bytes().skip(1).all(|byte| byte.is_ascii_hexdigit())
);
worded!(
    /// Where a page may be shown or may lead to: `https://`, a host and perhaps a port, nothing behind it. `http://` is taken
    /// for `localhost` and `127.0.0.1`, which never leave the machine.
    Origin, MalformedOrigin, "an origin such as https://www.example.com",
    |text| split(text).is_some_and(|(_, rest)| rest.is_empty())
);
worded!(
    /// Addresses that a page may lead to: an [`Origin`], or one with a path that ends with `/`, and everything below it.
    ReturnPrefix, MalformedReturnPrefix, "an origin such as https://www.example.com, or one with a path that ends with /",
    |text| split(text).is_some_and(|(_, rest)| rest.is_empty() || rest.ends_with('/') && is_path(rest))
);
worded!(
    /// Where a page leads to in the end: an absolute https address of at most 2,048 ASCII characters, without a fragment, a
    /// user name or dot segments.
    ReturnUrl, MalformedReturnUrl, "an absolute https address without a fragment, such as https://www.example.com/done?id=7",
    |text| {
        let (path, query) = text.split_once('?').map_or((text, None), |(path, query)| (path, Some(query)));
        text.len() <= ADDRESS_BYTES
            && split(path).is_some_and(|(_, rest)| rest.is_empty() || is_path(rest))
            && query.is_none_or(|query| query.bytes().all(|byte| is_legal(byte) || byte == b'?'))
    }
);

/// An origin and what follows it. The rules are those of RFC 3986, without all that browsers forgive: what is compared here
/// and followed there must be read the same.
fn split(text: &str) -> Option<(&str, &str)> {
    let (plain, rest) = match text.strip_prefix("https://") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("http://")?),
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    let named = host.len() <= 253 && host.split('.').all(label);
    let loopback = matches!(host, "localhost" | "127.0.0.1");
    let numbered = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit())
            && !port.starts_with('0')
            && port.parse::<u16>().is_ok_and(|port| port != if plain { 80 } else { 443 })
    });
    (named && numbered && (loopback || !plain)).then(|| text.split_at_checked(text.len() - path.len()))?
}

/// What may stand in a path or a query: the characters of RFC 3986, among them `%`.
const fn is_legal(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'%' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+')
        || matches!(byte, b',' | b';' | b'=' | b':' | b'@' | b'/')
}

/// Whether it is a path that means what it says: dot segments, also encoded ones, would lead out of it.
fn is_path(path: &str) -> bool {
    let dots = |segment: &str| {
        let plain = segment.to_ascii_lowercase().replace("%2e", ".");
        plain == "." || plain == ".."
    };
    path.starts_with('/') && path.bytes().all(is_legal) && !path.split('/').any(dots)
}

impl ReturnPrefix {
    /// Whether `url` lies below it, and stays there however a site reads its path.
    #[must_use]
    pub fn covers(&self, url: &ReturnUrl) -> bool {
        let Some((origin, path)) = split(self.as_str()) else { return false };
        let Some(rest) = url.as_str().strip_prefix(origin) else { return false };
        // The host ends where the prefix does: of `https://a.example` nothing else may follow than a path or a query.
        let ends = rest.is_empty() || rest.starts_with(['/', '?']);
        let below = || rest.strip_prefix(path).is_some_and(|below| !leads_out(below));
        // Where all of an origin is allowed, nothing leads out of it.
        ends && (path.is_empty() || path == "/" && rest.starts_with('/') || below())
    }
}

/// Whether what follows a path could lead out of it where the site, or what stands before it, reads it once more: a slash or
/// a backslash in disguise, or dots behind which parameters follow (`..;x`). What is disguised twice counts as well.
fn leads_out(below: &str) -> bool {
    let path = below.split('?').next().unwrap_or_default();
    let mut plain = path.to_ascii_lowercase();
    while plain.contains("%25") {
        plain = plain.replace("%25", "%");
    }
    let plain = plain.replace("%2e", ".").replace("%3b", ";");
    let dots = |segment: &str| matches!(segment.split(';').next(), Some("." | ".."));
    plain.contains("%2f") || plain.contains("%5c") || plain.contains('\\') || plain.split('/').any(dots)
}

/// Whether so many origins may show a page together.
#[must_use]
pub fn origins_fit(origins: &[Origin]) -> bool {
    origins.iter().map(|origin| origin.as_str().len()).sum::<usize>() <= ORIGINS_BYTES
}

/// A logo: a PNG image of at most 8 KiB and 1,024 pixels a side. Kept as Base64, as a page shows it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Logo(Box<str>);

/// The text is no logo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a PNG image of at most 8 KiB and 1024 pixels a side, in Base64")]
pub struct MalformedLogo;

impl Logo {
    /// Reads Base64 of a PNG image.
    ///
    /// # Errors
    /// [`MalformedLogo`].
    pub fn parse(text: &str) -> Result<Self, MalformedLogo> {
        if text.len() > LOGO_BYTES.div_ceil(3) * 4 {
            return Err(MalformedLogo);
        }
        let bytes = STANDARD.decode(text).map_err(|_| MalformedLogo)?;
        Self::of_bytes(&bytes)
    }

    /// Takes the bytes of a PNG image.
    ///
    /// # Errors
    /// [`MalformedLogo`].
    pub fn of_bytes(bytes: &[u8]) -> Result<Self, MalformedLogo> {
        if bytes.len() > LOGO_BYTES {
            return Err(MalformedLogo);
        }
        let reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().map_err(|_| MalformedLogo)?;
        let (width, height) = reader.info().size();
        let fits = (1..=LOGO_SIDE).contains(&width) && (1..=LOGO_SIDE).contains(&height);
        if fits { Ok(Self(STANDARD.encode(bytes).into())) } else { Err(MalformedLogo) }
    }

    /// The image in Base64.
    #[must_use]
    pub fn as_base64(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Logo {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Logo({} characters)", self.0.len())
    }
}

impl TryFrom<String> for Logo {
    type Error = MalformedLogo;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Logo> for String {
    fn from(logo: Logo) -> Self {
        logo.0.into_string()
    }
}

/// Knows the addresses of pages.
pub trait Pages: Send + Sync + 'static {
    /// The address of a verification's page: a capability.
    fn address(&self, id: VerificationId) -> Secret;
}

/// What an application says of its verification page. Nothing by default: then the page calls the application by its
/// brand, leads nowhere, and is shown in no frame.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageSettings {
    /// What the page calls who asks; else the application's brand.
    #[serde(default)]
    pub name: Option<PageName>,
    /// The colour of its button.
    #[serde(default)]
    pub colour: Option<Colour>,
    /// The image above it.
    #[serde(default)]
    pub logo: Option<Logo>,
    /// Where it may lead.
    #[serde(default)]
    pub return_urls: Vec<ReturnPrefix>,
    /// Who may show it in a frame.
    #[serde(default)]
    pub embed_origins: Vec<Origin>,
    /// Whether messages hold its address.
    #[serde(default)]
    pub link_in_message: bool,
}

impl PageSettings {
    /// Whether the page may lead to `url`.
    #[must_use]
    pub fn may_lead_to(&self, url: &ReturnUrl) -> bool {
        self.return_urls.iter().any(|prefix| prefix.covers(url))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_covers_what_lies_below_it_and_nothing_that_looks_so() {
        let covers = |prefix: &str, url: &str| {
            ReturnUrl::parse(url).is_ok_and(|url| ReturnPrefix::parse(prefix).unwrap().covers(&url))
        };
        assert!(covers("https://a.example", "https://a.example"));
        assert!(covers("https://a.example", "https://a.example/done?x=1&y=a%20b"));
        assert!(covers("https://a.example", "https://a.example?x=1"));
        assert!(covers("https://a.example:8443/", "https://a.example:8443/x"));
        assert!(covers("https://a.example/app/", "https://a.example/app/done"));
        assert!(covers("https://a.example/app/", "https://a.example/app/..done/a;x=1/50%25?to=..%2fother"));
        assert!(covers("https://a.example", "https://a.example/files/a%2Fb"));
        assert!(covers("https://a.example/", "https://a.example/files/a%2Fb"));
        assert!(!covers("https://a.example/", "https://a.example?x=1"));
        assert!(covers("http://localhost:3000", "http://localhost:3000/done"));
        for (prefix, url) in [
            ("https://a.example", "https://a.example.evil.example/"),
            ("https://a.example", "https://a.example:8443/"),
            ("https://a.example", "https://a.example@evil.example/"),
            ("https://a.example", "https://a.example\\@evil.example/"),
            ("https://a.example", "https://evil.example/https://a.example"),
            ("https://a.example", "http://a.example/"),
            ("https://a.example", "HTTPS://a.example/"),
            ("https://a.example", "//a.example/"),
            ("https://a.example/app/", "https://a.example/app"),
            ("https://a.example/app/", "https://a.example/app/../other"),
            ("https://a.example/app/", "https://a.example/app/%2E%2e/other"),
            ("https://a.example/app/", "https://a.example/app/..%2fother"),
            ("https://a.example/app/", "https://a.example/app/%2E%2e%2Fother"),
            ("https://a.example/app/", "https://a.example/app/..%5cother"),
            ("https://a.example/app/", "https://a.example/app/x/..%5C..%5Cother"),
            ("https://a.example/app/", "https://a.example/app/..;/other"),
            ("https://a.example/app/", "https://a.example/app/.%2e;x=1/other"),
            ("https://a.example/app/", "https://a.example/app/..%3B/other"),
            ("https://a.example/app/", "https://a.example/app/%252e%252e%252fother"),
            ("https://a.example/app/", "https://a.example/app/%25252e./other"),
            ("https://a.example/app/", "https://a.example/apple"),
            ("https://a.example", "https://a.example/#fragment"),
            ("https://a.example", "https://a.example/\r\nx: y"),
            ("https://a.example", "https://a.example/ä"),
            ("https://a.example", "javascript:alert(1)"),
        ] {
            assert!(!covers(prefix, url), "{prefix} covers {url}");
        }
    }

    #[test]
    fn origins_are_exact() {
        for good in
            ["https://a.example", "https://a.example:8443", "http://127.0.0.1:3000", "https://xn--bcher-kva.example"]
        {
            assert!(Origin::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "https://a.example/",
            "https://a.example:443",
            "https://a.example:",
            "https://a.example:08443",
            "https://a.example:99999",
            "http://a.example",
            "https://",
            "https://*.example",
            "https://a..example",
            "https://A.example",
            "a.example",
            "https://a.example;https://b.example",
            "https://a.example 'self'",
        ] {
            assert!(Origin::parse(bad).is_err(), "{bad}");
        }
        assert!(ReturnPrefix::parse("https://a.example/app").is_err());
        assert!(Colour::parse("#0A66c2").is_ok() && Colour::parse("#0A66cg").is_err() && Colour::parse("red").is_err());
    }

    #[test]
    fn origins_have_a_size_together() {
        let some = |count: usize, letters: usize| -> Vec<_> {
            let label = "a".repeat(letters - "https://00.example".len());
            (10..10 + count).map(|index| Origin::parse(&format!("https://{index}{label}.example")).unwrap()).collect()
        };
        assert!(origins_fit(&[]) && origins_fit(&some(ENTRIES, 51)) && origins_fit(&some(16, 64)));
        assert!(!origins_fit(&some(ENTRIES, 52)) && !origins_fit(&some(17, 64)));
    }

    #[test]
    fn a_logo_is_a_small_png() {
        let mut bytes = Vec::new();
        let mut encoder = png::Encoder::new(&mut bytes, 2, 2);
        encoder.set_color(png::ColorType::Grayscale);
        encoder.write_header().unwrap().write_image_data(&[0, 1, 2, 3]).unwrap();
        let logo = Logo::of_bytes(&bytes).unwrap();
        assert_eq!(Logo::parse(logo.as_base64()), Ok(logo));
        for bad in [&b""[..], b"<svg/>", b"GIF89a", &bytes[..12]] {
            assert_eq!(Logo::of_bytes(bad), Err(MalformedLogo));
        }
        bytes.resize(LOGO_BYTES + 1, 0);
        assert_eq!(Logo::of_bytes(&bytes), Err(MalformedLogo));
        assert_eq!(Logo::parse("not base64!"), Err(MalformedLogo));
    }
}
