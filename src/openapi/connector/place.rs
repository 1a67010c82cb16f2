//! Where a connector's gateway is reached, and who answers for it. Both are parsed once, from the command line or from the
//! gateway's own address. They must not know a definition.

use std::fmt;

/// The longest host name (RFC 1035 section 2.3.4).
const HOST_CHARACTERS: usize = 253;
/// The longest name of a publisher, address or mailbox.
const TEXT_CHARACTERS: usize = 254;

/// Where the gateway is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    scheme: &'static str,
    host: String,
    base_path: String,
}

/// Why a place cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaceError {
    /// It is empty.
    #[error("a host is needed, such as otp.example.com")]
    Missing,
    /// It is an address, or holds something else that a host does not.
    #[error(
        "{0:?} is no host; give its bare name, with its port where it has one, such as otp.example.com or otp.example.com:8443"
    )]
    Host(String),
    /// No connector calls it.
    #[error("{0:?} is no scheme that a connector calls; give https, or http for a test")]
    Scheme(String),
}

impl Place {
    /// The place of a bare host.
    ///
    /// # Errors
    /// [`PlaceError`]; a host is a name or an address of at most 253 characters, with or without a port.
    pub fn new(scheme: &str, host: &str) -> Result<Self, PlaceError> {
        let scheme = match scheme {
            "https" => "https",
            "http" => "http",
            other => return Err(PlaceError::Scheme(other.chars().take(TEXT_CHARACTERS).collect())),
        };
        if host.is_empty() {
            return Err(PlaceError::Missing);
        }
        if !is_host(host) {
            return Err(PlaceError::Host(host.chars().take(TEXT_CHARACTERS).collect()));
        }
        Ok(Self { scheme, host: host.to_ascii_lowercase(), base_path: "/".to_owned() })
    }

    /// The place of an absolute address, such as a gateway's `public_url`.
    ///
    /// # Errors
    /// [`PlaceError`]
    pub fn of_url(url: &str) -> Result<Self, PlaceError> {
        let fault = || PlaceError::Host(url.chars().take(TEXT_CHARACTERS).collect());
        let (scheme, rest) = url.split_once("://").ok_or_else(fault)?;
        let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let path = path.trim_end_matches('/');
        if path.contains(['?', '#', '{', '}', ' ']) {
            return Err(fault());
        }
        Ok(Self { base_path: format!("/{path}"), ..Self::new(scheme, host)? })
    }

    /// `https` or `http`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// The name and, where it has one, the port.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// What all paths begin with; `/` for nothing.
    #[must_use]
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The host without its port.
    fn name(&self) -> &str {
        match self.host.rsplit_once(':') {
            Some((name, _)) if !name.is_empty() && !self.host.ends_with(']') => name,
            _ => &self.host,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}{}", self.scheme, self.host, self.base_path.trim_end_matches('/'))
    }
}

/// A name or an address, with or without a port; nothing that belongs to an address of the web.
fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[') {
        // An IPv6 address stands in brackets (RFC 3986 section 3.2.2).
        Some(rest) => match rest.split_once(']') {
            Some((inner, after)) if inner.parse::<std::net::Ipv6Addr>().is_ok() => match after.strip_prefix(':') {
                Some(port) => ("v6", Some(port)),
                None if after.is_empty() => return true,
                None => return false,
            },
            _ => return false,
        },
        None => host.split_once(':').map_or((host, None), |(name, port)| (name, Some(port))),
    };
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // Four numbers, or a name: a name's last label is no number (RFC 1123 section 2.1).
    let numbers = name.split('.').next_back().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit()));
    name.len() <= HOST_CHARACTERS
        && name.split('.').all(label)
        && (!numbers || name.parse::<std::net::Ipv4Addr>().is_ok())
        && port.is_none_or(|port| {
            port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        })
}

/// Who answers for a connector: what certification asks for. A self-hosted gateway's is its operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publisher {
    name: String,
    email: String,
    privacy_policy: String,
}

/// Why a publisher cannot be named.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublisherError {
    /// The name.
    #[error("the publisher must be a name of 1 to 254 characters")]
    Name,
    /// The mailbox.
    #[error("the mailbox must be one such as support@example.com")]
    Email,
    /// The address.
    #[error("the privacy policy must be an https or http address of at most 254 characters")]
    PrivacyPolicy,
}

impl Publisher {
    /// Who answers for the gateway at `place`; what is none is made from the place: the mailbox `support` of its host
    /// (RFC 2142), and its own pages.
    ///
    /// # Errors
    /// [`PublisherError`]
    pub fn new(
        place: &Place,
        name: Option<&str>,
        email: Option<&str>,
        privacy_policy: Option<&str>,
    ) -> Result<Self, PublisherError> {
        let plain =
            |text: &str| (1..=TEXT_CHARACTERS).contains(&text.chars().count()) && !text.contains(char::is_control);
        let name = name.unwrap_or(env!("CARGO_PKG_NAME")).trim();
        if !plain(name) {
            return Err(PublisherError::Name);
        }
        let email = email.map_or_else(|| support(place), str::to_owned);
        let host = email.split_once('@').map(|(_, host)| host);
        let local = email.split('@').next().unwrap_or_default();
        let local_fits = |byte: u8| byte.is_ascii_alphanumeric() || b".+-_".contains(&byte);
        if !plain(&email) || local.is_empty() || !local.bytes().all(local_fits) || !host.is_some_and(is_host) {
            return Err(PublisherError::Email);
        }
        let privacy_policy = privacy_policy.map_or_else(|| format!("{place}/docs"), str::to_owned);
        let web = ["https://", "http://"]
            .iter()
            .any(|scheme| privacy_policy.len() > scheme.len() && privacy_policy.starts_with(scheme));
        if !plain(&privacy_policy) || !web || privacy_policy.contains(' ') {
            return Err(PublisherError::PrivacyPolicy);
        }
        Ok(Self { name: name.to_owned(), email, privacy_policy })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its mailbox.
    #[must_use]
    pub fn email(&self) -> &str {
        &self.email
    }

    /// The address of its privacy policy.
    #[must_use]
    pub fn privacy_policy(&self) -> &str {
        &self.privacy_policy
    }
}

/// Only a domain's name has mailboxes that others can reach.
fn support(place: &Place) -> String {
    let name = place.name();
    let domain = name.contains('.') && name.parse::<std::net::IpAddr>().is_err();
    format!("support@{}", if domain { name } else { "example.com" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connector_hosts_are_bare_names() {
        for host in ["otp.example.com", "otp.example.com:8443", "127.0.0.1:8080", "localhost", "[::1]", "[::1]:80", "a"]
        {
            assert_eq!(Place::new("https", host).map(|place| place.host().to_owned()), Ok(host.to_owned()));
        }
        for host in [
            "https://otp.example.com",
            "otp.example.com/",
            "a/b",
            "a b",
            "a?b",
            "u@h",
            "a..b",
            "-a",
            "a-",
            "a:",
            "a:0",
            "a:65536",
            "a:x",
            "::1",
            "[::1",
            "[x]",
            "[::1]x",
            "ä.de",
            "{host}",
            "a\nb",
            "a_b",
        ] {
            assert_eq!(Place::new("https", host), Err(PlaceError::Host(host.to_owned())), "{host}");
        }
        assert_eq!(Place::new("https", ""), Err(PlaceError::Missing));
        assert_eq!(Place::new("ftp", "a"), Err(PlaceError::Scheme("ftp".to_owned())));
        assert!(Place::new("https", &"a.".repeat(127)).is_err());
        assert!(Place::new("https", &format!("{}.com", "a".repeat(64))).is_err());
    }

    #[test]
    fn connector_places_come_from_addresses_too() {
        for (url, host, path) in [
            ("https://otp.example.com", "otp.example.com", "/"),
            ("https://OTP.example.com:8443/gate/", "otp.example.com:8443", "/gate"),
            ("http://[::1]:80/a/b", "[::1]:80", "/a/b"),
        ] {
            let place = Place::of_url(url).unwrap();
            assert_eq!((place.host(), place.base_path()), (host, path));
        }
        for url in ["otp.example.com", "ftp://a", "https://", "https://a/b?c", "https://u@a"] {
            assert!(Place::of_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn connector_publishers_are_made_from_the_place() {
        let of = |host: &str| Publisher::new(&Place::new("https", host).unwrap(), None, None, None).unwrap();
        assert_eq!(of("otp.example.org:8443").email(), "support@otp.example.org");
        assert_eq!(of("127.0.0.1:8080").email(), "support@example.com");
        assert_eq!(of("localhost").privacy_policy(), "https://localhost/docs");
        let place = Place::new("https", "a.example").unwrap();
        let made = |name, email, policy| Publisher::new(&place, name, email, policy).map(|_| ());
        assert_eq!(made(Some("Contoso"), Some("otp@contoso.example"), Some("https://contoso.example/privacy")), Ok(()));
        assert_eq!(made(Some(" "), None, None), Err(PublisherError::Name));
        for email in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b/c"] {
            assert_eq!(made(None, Some(email), None), Err(PublisherError::Email), "{email}");
        }
        for policy in ["", "https://", "ftp://a", "contoso.example", "https://a b"] {
            assert_eq!(made(None, None, Some(policy)), Err(PublisherError::PrivacyPolicy), "{policy}");
        }
    }
}
