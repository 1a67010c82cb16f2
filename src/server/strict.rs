//! What a parsed request head must fulfil before anything else sees it; knows nothing of bytes or sockets.
//!
//! hyper refuses what it cannot parse. These are the requests that it parses and that a server still has to refuse
//! (RFC 9112 section 3.2, RFC 9110 section 4.2, RFC 9113 section 8.3.1), or that a gateway is wise to refuse. What
//! cannot be seen in a parsed head any more is the business of `framing`.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{HeaderValue, Method, Version, request};

use super::refusal::ServerRefusal;
use super::settings::Limits;

/// What a host has to look like.
const HOST_FORM: &str = "must be a name or an address, with a port if need be";
const ONCE: &str = "must be sent once";

const fn bad(name: &'static str, detail: &'static str) -> ServerRefusal {
    ServerRefusal::Malformed { name, detail }
}

/// Checks a request's head.
///
/// # Errors
/// The first thing that is wrong.
pub(super) fn check(head: &request::Parts, limits: &Limits) -> Result<(), ServerRefusal> {
    if head.method == Method::CONNECT {
        return Err(bad("method", "must not be CONNECT: this is no proxy"));
    }
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if target > limits.target_bytes {
        return Err(ServerRefusal::TargetTooLong);
    }
    let path = head.uri.path();
    let asterisk = path == "*" && head.method == Method::OPTIONS;
    if !path.starts_with('/') && !asterisk {
        return Err(bad("request target", "must be a path"));
    }
    if let Some(authority) = head.uri.authority()
        && !is_host(authority.as_str().as_bytes())
    {
        return Err(bad("authority", HOST_FORM));
    }
    if head.version == Version::HTTP_2 { check_http2(head, limits) } else { check_http1(head) }
}

fn check_http1(head: &request::Parts) -> Result<(), ServerRefusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if head.version < Version::HTTP_11 => {}
        (None, _) => return Err(bad("Host", "is required")),
        (Some(_), Some(_)) => return Err(bad("Host", ONCE)),
        (Some(host), None) if !is_host(host.as_bytes()) => return Err(bad("Host", HOST_FORM)),
        (Some(_), None) => {}
    }
    let mut codings = head.headers.get_all(TRANSFER_ENCODING).iter();
    let chunked = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None) if chunked(coding) => Ok(()),
        _ => Err(bad("Transfer-Encoding", "must be chunked, and sent once")),
    }
}

/// HTTP/2 frames its bodies itself, and h2 knows no limits on fields but their sum with the path.
fn check_http2(head: &request::Parts, limits: &Limits) -> Result<(), ServerRefusal> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next(), head.uri.authority()) {
        (None, _, None) => return Err(bad(":authority", "is required, or host")),
        (Some(_), Some(_), _) => return Err(bad("host", ONCE)),
        (Some(host), None, _) if !is_host(host.as_bytes()) => return Err(bad("host", HOST_FORM)),
        (Some(host), None, Some(authority)) if !is_same(host, authority) => {
            return Err(bad("host", "must be the same as :authority"));
        }
        _ => {}
    }
    let fields = head.headers.len();
    let bytes: usize = head.headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    if fields > limits.header_fields || bytes > limits.header_bytes {
        return Err(ServerRefusal::fields(limits));
    }
    Ok(())
}

fn is_same(host: &HeaderValue, authority: &Authority) -> bool {
    host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes())
}

/// Whether `text` is `uri-host [":" port]` (RFC 9110 section 7.2) with a host that is not empty: a name or an IPv4
/// address of the characters that RFC 3986 section 3.2.2 allows, or an IPv6 address in brackets.
fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
        // The last colon may be one of an IPv6 address.
        Some(colon) if !text.ends_with(b"]") => {
            let (host, port) = text.split_at(colon);
            (host, port.split_first().map_or(port, |(_, port)| port))
        }
        _ => (text, [].as_slice()),
    };
    let port_fits = port.len() <= 5 && port.iter().all(u8::is_ascii_digit);
    port_fits && (is_name(host) || is_bracketed(host))
}

fn is_bracketed(host: &[u8]) -> bool {
    let inner = host.strip_prefix(b"[").and_then(|host| host.strip_suffix(b"]"));
    let inner = inner.and_then(|inner| std::str::from_utf8(inner).ok());
    inner.is_some_and(|inner| inner.parse::<std::net::Ipv6Addr>().is_ok())
}

fn is_name(host: &[u8]) -> bool {
    let mut bytes = host.iter();
    while let Some(byte) = bytes.next() {
        let fits = match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => true,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' => true,
            b'%' => bytes.by_ref().take(2).filter(|digit| digit.is_ascii_hexdigit()).count() == 2,
            _ => false,
        };
        if !fits {
            return false;
        }
    }
    !host.is_empty()
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[test]
    fn knows_hosts() {
        for host in
            ["a", "example.com", "EXAMPLE.com:8080", "a:", "127.0.0.1:1", "[::1]", "[2001:db8::1]:65535", "a_b~%7e"]
        {
            assert!(is_host(host.as_bytes()), "{host}");
        }
        for host in [
            "", ":80", "a b", "a/b", "user@a", "a:b", "a:123456", "a:1:2", "::1", "[::1", "[::1]x", "[a]", "[]", "a%2",
            "a%zz", "\u{e4}", "a,b c", "a?b", "a#b", "http://a",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
    }

    fn http2(uri: &str, hosts: &[&str]) -> Result<(), ServerRefusal> {
        let mut builder = http::Request::builder().version(Version::HTTP_2).uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        check(&builder.body(()).unwrap().into_parts().0, &Limits::default())
    }

    #[test]
    fn compares_host_and_authority_on_http2() {
        assert_eq!(http2("https://a.example/", &[]), Ok(()));
        assert_eq!(http2("https://a.example/", &["A.EXAMPLE"]), Ok(()));
        assert_eq!(http2("/", &["a.example"]), Ok(()));
        for (uri, hosts) in
            [("/", &[][..]), ("https://a.example/", &["b.example"]), ("/", &["a", "a"]), ("/", &["a b"])]
        {
            assert_eq!(http2(uri, hosts).unwrap_err().status(), StatusCode::BAD_REQUEST, "{uri} {hosts:?}");
        }
    }
}
