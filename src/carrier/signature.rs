//! Whether a receipt is its carrier's own: the three ways in which carriers sign what they post. Pure; the time is given.

use aws_lc_rs::{digest, hmac};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use serde_json::Value;
use zeroize::Zeroizing;

use crate::carrier::description::SignatureScheme;
use crate::clock::UnixMillis;
use crate::secret::{Secret, equal, to_hex};

/// How far a signed time may be from ours, in seconds (Standard Webhooks 1.0 and Vonage both say five minutes).
pub const WINDOW_SECONDS: u64 = 300;

/// A receipt as it came.
pub struct Posted<'p> {
    /// The whole address that the carrier was given, with what it added to the query.
    pub address: &'p str,
    /// The header.
    pub headers: &'p HeaderMap,
    /// The pairs of a form, or of the query where there is no body, decoded and in order.
    pub pairs: &'p [(String, String)],
    /// The body, byte for byte.
    pub body: &'p [u8],
}

/// Checks what a carrier signed.
pub(super) struct Verifier {
    scheme: SignatureScheme,
    key: hmac::Key,
}

impl Verifier {
    /// None where the key is not one of this scheme's.
    pub(super) fn new(scheme: SignatureScheme, key: &Secret) -> Option<Self> {
        let bytes = key.expose().as_bytes();
        let key = match scheme {
            SignatureScheme::Twilio => hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes),
            SignatureScheme::Vonage => hmac::Key::new(hmac::HMAC_SHA256, bytes),
            SignatureScheme::Standard => standard_key(key)?,
        };
        Some(Self { scheme, key })
    }

    /// Whether the carrier signed it, lately where the signature says when.
    pub(super) fn accepts(&self, posted: &Posted<'_>, now: UnixMillis) -> bool {
        match self.scheme {
            SignatureScheme::Twilio => self.twilio(posted),
            SignatureScheme::Vonage => {
                self.token(posted, now).or_else(|| self.parameters(posted, now)).unwrap_or(false)
            }
            SignatureScheme::Standard => self.standard(posted, now).unwrap_or(false),
        }
    }

    /// <https://www.twilio.com/docs/usage/security>: the address, then name and value of each parameter of the form, sorted.
    fn twilio(&self, posted: &Posted<'_>) -> bool {
        let mut pairs: Vec<_> = if posted.body.is_empty() { Vec::new() } else { posted.pairs.iter().collect() };
        pairs.sort();
        let mut context = hmac::Context::with_key(&self.key);
        context.update(posted.address.as_bytes());
        for (name, value) in pairs {
            context.update(name.as_bytes());
            context.update(value.as_bytes());
        }
        let expected = STANDARD.encode(context.sign());
        text(posted, "x-twilio-signature").is_some_and(|signature| equal(signature.as_bytes(), expected.as_bytes()))
    }

    /// <https://www.standardwebhooks.com>: one of several signatures, over id, time and body.
    fn standard(&self, posted: &Posted<'_>, now: UnixMillis) -> Option<bool> {
        let id = text(posted, "webhook-id")?;
        let seconds: u64 = text(posted, "webhook-timestamp")?.parse().ok()?;
        let expected = STANDARD.encode(standard_tag(&self.key, id, seconds, posted.body));
        let mut signatures = text(posted, "webhook-signature")?.split(' ').filter_map(|one| one.strip_prefix("v1,"));
        let signed = signatures.any(|one| equal(one.as_bytes(), expected.as_bytes()));
        Some(signed && is_fresh(seconds, now))
    }

    /// Vonage's signed webhooks: an HS256 token whose claims bind the body. None where there is no token.
    fn token(&self, posted: &Posted<'_>, now: UnixMillis) -> Option<bool> {
        let token = posted.headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")?;
        let checked = || {
            let (signed, signature) = token.rsplit_once('.')?;
            let (head, claims) = signed.split_once('.')?;
            let read = |text: &str| serde_json::from_slice::<Value>(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
            let (head, claims) = (read(head)?, read(claims)?);
            let tag = URL_SAFE_NO_PAD.decode(signature).ok()?;
            hmac::verify(&self.key, signed.as_bytes(), &tag).ok()?;
            let hash = to_hex(digest::digest(&digest::SHA256, posted.body).as_ref());
            let bound = match claims.get("payload_hash").and_then(Value::as_str) {
                Some(claimed) => equal(claimed.as_bytes(), hash.as_bytes()),
                // Without a body there is nothing to bind.
                None => posted.body.is_empty(),
            };
            let issued = claims.get("iat").and_then(Value::as_u64)?;
            Some(head.get("alg").and_then(Value::as_str) == Some("HS256") && bound && is_fresh(issued, now))
        };
        Some(checked().unwrap_or(false))
    }

    /// Vonage's signed parameters, by HMAC-SHA-256: `&name=value` of each, sorted, with `&` and `=` in values as `_`.
    fn parameters(&self, posted: &Posted<'_>, now: UnixMillis) -> Option<bool> {
        let find = |wanted: &str| posted.pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
        let signature = find("sig")?;
        let issued = find("timestamp")?.parse().ok()?;
        let mut pairs: Vec<_> = posted.pairs.iter().filter(|(name, _)| name != "sig").collect();
        pairs.sort();
        let mut context = hmac::Context::with_key(&self.key);
        for (name, value) in pairs {
            context.update(format!("&{name}={}", value.replace(['&', '='], "_")).as_bytes());
        }
        let expected = to_hex(context.sign().as_ref());
        let signed = equal(signature.to_ascii_lowercase().as_bytes(), expected.as_bytes());
        Some(signed && is_fresh(issued, now))
    }
}

impl std::fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Verifier({:?}, ***)", self.scheme)
    }
}

/// The key of a secret that is written as Standard Webhooks has it: `whsec_` and 24 to 64 bytes in Base64.
pub(super) fn standard_key(secret: &Secret) -> Option<hmac::Key> {
    let bytes = Zeroizing::new(STANDARD.decode(secret.expose().strip_prefix("whsec_")?).ok()?);
    (24..=64).contains(&bytes.len()).then(|| hmac::Key::new(hmac::HMAC_SHA256, &bytes))
}

/// The tag of Standard Webhooks 1.0.
pub(super) fn standard_tag(key: &hmac::Key, id: &str, seconds: u64, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(format!("{id}.{seconds}.").as_bytes());
    context.update(body);
    context.sign()
}

fn text<'p>(posted: &Posted<'p>, name: &str) -> Option<&'p str> {
    posted.headers.get(name)?.to_str().ok()
}

fn is_fresh(seconds: u64, now: UnixMillis) -> bool {
    (now.0 / 1_000).abs_diff(seconds) <= WINDOW_SECONDS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &[(&str, &str)]) -> Vec<(String, String)> {
        text.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    /// The example of Twilio's documentation, <https://www.twilio.com/docs/usage/security>.
    #[test]
    fn twilio_s_own_example_is_accepted_and_nothing_else() {
        let verifier = Verifier::new(SignatureScheme::Twilio, &Secret::new("12345".to_owned())).unwrap();
        let pairs = pairs(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Caller", "+12349013030"),
            ("Digits", "1234"),
            ("From", "+12349013030"),
            ("To", "+18005551212"),
        ]);
        let headers = headers(&[("x-twilio-signature", "0/KCTR6DLpKmkAf8muzZqo1nDgQ=")]);
        let mut posted = Posted {
            address: "https://mycompany.com/myapp.php?foo=1&bar=2",
            headers: &headers,
            pairs: &pairs,
            body: b"x",
        };
        assert!(verifier.accepts(&posted, UnixMillis(0)));
        posted.address = "https://mycompany.com/myapp.php?foo=1&bar=3";
        assert!(!verifier.accepts(&posted, UnixMillis(0)));
        let other = Verifier::new(SignatureScheme::Twilio, &Secret::new("12346".to_owned())).unwrap();
        posted.address = "https://mycompany.com/myapp.php?foo=1&bar=2";
        assert!(!other.accepts(&posted, UnixMillis(0)));
    }

    /// The example of the reference libraries of Standard Webhooks.
    #[test]
    fn a_standard_signature_is_good_for_five_minutes() {
        let secret = Secret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned());
        let verifier = Verifier::new(SignatureScheme::Standard, &secret).unwrap();
        let headers = headers(&[
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,AAAA v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ]);
        let posted = |body| Posted { address: "", headers: &headers, pairs: &[], body };
        let body: &[u8] = br#"{"test": 2432232314}"#;
        let at = |seconds: u64| UnixMillis(seconds * 1_000);
        assert!(verifier.accepts(&posted(body), at(1_614_265_330)));
        assert!(verifier.accepts(&posted(body), at(1_614_265_330 + WINDOW_SECONDS)));
        assert!(!verifier.accepts(&posted(body), at(1_614_265_331 + WINDOW_SECONDS)));
        assert!(!verifier.accepts(&posted(body), at(1_614_265_329 - WINDOW_SECONDS)));
        assert!(!verifier.accepts(&posted(b"{}"), at(1_614_265_330)));
        for short in ["whsec_AAAA", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_!"] {
            assert!(Verifier::new(SignatureScheme::Standard, &Secret::new(short.to_owned())).is_none());
        }
    }

    #[test]
    fn vonage_s_token_binds_the_body_and_its_parameters_bind_each_other() {
        let secret = Secret::new("a secret".to_owned());
        let verifier = Verifier::new(SignatureScheme::Vonage, &secret).unwrap();
        let key = hmac::Key::new(hmac::HMAC_SHA256, b"a secret");
        let now = UnixMillis(1_700_000_000_000);
        let body: &[u8] = b"{\"status\":\"completed\"}";
        let token = |head: &str, iat: u64, body: &[u8]| {
            let hash = to_hex(digest::digest(&digest::SHA256, body).as_ref());
            let claims = format!("{{\"iat\":{iat},\"payload_hash\":\"{hash}\"}}");
            let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(claims));
            format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
        };
        let hs256 = "{\"alg\":\"HS256\",\"typ\":\"JWT\"}";
        let good = token(hs256, 1_700_000_000, body);
        for (token, expected) in [
            (good.clone(), true),
            (token(hs256, 1_700_000_301, body), false),
            (token(hs256, 1_699_999_699, body), false),
            (token(hs256, 1_700_000_000, b"{}"), false),
            (token("{\"alg\":\"none\"}", 1_700_000_000, body), false),
            (good.replace("Bearer ", "Bearer x"), false),
            (format!("{good}A"), false),
            ("Bearer ".to_owned(), false),
        ] {
            let headers = headers(&[("authorization", &token)]);
            let posted = Posted { address: "", headers: &headers, pairs: &[], body };
            assert_eq!(verifier.accepts(&posted, now), expected, "{token}");
        }

        let signed = "&client-ref=t&status=deliv_ered&timestamp=1700000000";
        let sig = to_hex(hmac::sign(&key, signed.as_bytes()).as_ref()).to_uppercase();
        let all = [("status", "deliv&ered"), ("sig", &sig), ("timestamp", "1700000000"), ("client-ref", "t")];
        let (none, good) = (HeaderMap::new(), pairs(&all));
        let mut bad = good.clone();
        bad[0].1 = "failed".to_owned();
        for (pairs, expected) in [(&good, true), (&bad, false), (&Vec::new(), false)] {
            let posted = Posted { address: "", headers: &none, pairs, body: b"" };
            assert_eq!(verifier.accepts(&posted, now), expected);
        }
    }
}
