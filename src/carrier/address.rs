//! Whether a carrier's address, still with its placeholders, is one that may be called. Must not resolve a name.

use std::net::IpAddr;

/// The address with each placeholder as one letter must be an address, and its host free of placeholders.
pub(super) fn check_address(text: &str) -> Result<(), &'static str> {
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
    if !["https", "http"].contains(&scheme) || host.is_empty() || host.contains("{{") {
        return Err("must be an address such as https://api.example.com, without a placeholder in its host");
    }
    if host.contains('@') {
        return Err("has a user in it; write credentials below http.credentials");
    }
    let mut plain = String::new();
    let mut left = text;
    while let Some((fixed, after)) = left.split_once("{{") {
        plain.push_str(fixed);
        plain.push('x');
        left = after.split_once("}}").map_or("", |(_, after)| after);
    }
    plain.push_str(left);
    let uri: http::Uri = plain.parse().map_err(|_| "is no address; write one such as https://api.example.com/sms")?;
    if plain.contains('#') || !plain.is_ascii() {
        return Err("has a character that addresses do not have; percent-encode it");
    }
    let host = uri.host().ok_or("has no host")?;
    let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if scheme == "http" && !literal.is_none_or(is_near) {
        return Err("is public, and plain http would show secrets on the way; write https://");
    }
    Ok(())
}

/// Loopback, link-local, or private by RFC 1918 and RFC 4193. A name is looked at when it is called.
fn is_near(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_loopback() || address.is_private() || address.is_link_local(),
        IpAddr::V6(address) => address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local(),
    }
}
