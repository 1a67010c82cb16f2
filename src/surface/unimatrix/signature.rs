//! Who asks, read out of the query: the access key id, and the signature that proves it.
//!
//! What was signed is every pair but the signature, sorted by key, `key=urlencode(value)`, joined by `&`. The public clients
//! do not agree on `urlencode`, so each way of writing the same pairs counts; none of them can be had without the secret.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::access::credential::{Credential, Proof, PublicName, Signature};
use crate::clock::UnixMillis;
use crate::layer::refusal::Presented;
use crate::secret::from_hex;

/// The only algorithm.
const ALGORITHM: &str = "hmac-sha256";
/// The parameters that prove who asks and say nothing of what is asked for.
const PROOF: [&str; 4] = ["algorithm", "timestamp", "nonce", "signature"];
/// The parameter that names the connection.
const NAME: &str = "accessKeyId";
/// What `encodeURIComponent` leaves as it is (ECMA-262 section 19.2.6.4).
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');
/// What RFC 3986 section 2.3 leaves as it is; so do Python's `quote_plus` and Go's `QueryEscape`, but for the space.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Base64 with or without its padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The pairs of a query.
pub(super) struct Pairs<'q>(Vec<Pair<'q>>);

struct Pair<'q> {
    raw_name: &'q str,
    raw_value: &'q str,
    name: String,
    value: String,
}

/// A pair that is no UTF-8 once it is decoded.
pub(super) struct Undecodable;

impl<'q> Pairs<'q> {
    /// Splits and decodes a query; `+` stands for a space.
    pub(super) fn of(query: &'q str) -> Result<Self, Undecodable> {
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok(Pair { raw_name, raw_value, name: decode(raw_name)?, value: decode(raw_value)? })
        });
        pairs.collect::<Result<_, _>>().map(Self)
    }

    /// The value of a parameter; of one that is empty, none. `Err` when it was given more than once.
    pub(super) fn one(&self, name: &str) -> Result<Option<&str>, ()> {
        let mut values = self.0.iter().filter(|pair| pair.name == name).map(|pair| pair.value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(()),
            (value, None) => Ok(value.filter(|value| !value.is_empty())),
        }
    }

    /// The query as it was written, without what only proves who asks.
    pub(super) fn without_proof(&self) -> String {
        let kept = self.0.iter().filter(|pair| pair.name != NAME && !PROOF.contains(&pair.name.as_str()));
        let kept: Vec<_> = kept.map(|pair| format!("{}={}", pair.raw_name, pair.raw_value)).collect();
        kept.join("&")
    }

    fn has_doubles(&self) -> bool {
        let mut names: Vec<_> = self.0.iter().map(|pair| pair.name.as_str()).collect();
        names.sort_unstable();
        names.windows(2).any(|pair| matches!(pair, [left, right] if left == right))
    }

    /// Every way in which a client may have written what it signed, each once.
    fn messages(&self) -> Vec<Zeroizing<String>> {
        let mut signed: Vec<_> = self.0.iter().filter(|pair| pair.name != "signature").collect();
        signed.sort_by(|left, right| left.name.cmp(&right.name));
        let written = |write: &dyn Fn(&Pair<'_>) -> (String, String)| {
            let pairs: Vec<_> =
                signed.iter().map(|pair| write(pair)).map(|(name, value)| name + "=" + &value).collect();
            Zeroizing::new(pairs.join("&"))
        };
        let percent = |text: &str, kept| utf8_percent_encode(text, kept).to_string();
        let plus = |text: &str| percent(text, UNRESERVED).replace("%20", "+");
        let ways = [
            written(&|pair| (percent(&pair.name, COMPONENT), percent(&pair.value, COMPONENT))),
            written(&|pair| (plus(&pair.name), plus(&pair.value))),
            written(&|pair| (percent(&pair.name, UNRESERVED), percent(&pair.value, UNRESERVED))),
            written(&|pair| (pair.raw_name.to_owned(), pair.raw_value.to_owned())),
        ];
        let mut messages: Vec<Zeroizing<String>> = Vec::with_capacity(1);
        for way in ways {
            if !messages.contains(&way) {
                messages.push(way);
            }
        }
        messages
    }
}

/// Who asks. Nothing of the query is told in what this returns but what the authentication needs.
pub(super) fn presented(query: &str) -> Presented<'static> {
    let Ok(pairs) = Pairs::of(query) else { return Presented::Malformed };
    let name = match pairs.one(NAME) {
        Ok(Some(name)) => PublicName::AccessKeyId(name.to_owned()),
        Ok(None) => return Presented::Nothing,
        Err(()) => return Presented::Malformed,
    };
    // Whoever brings a part of a signature means to sign: what is left of it does not become a call without one.
    let signs = pairs.0.iter().any(|pair| PROOF.contains(&pair.name.as_str()));
    let proof = if signs { signature(&pairs).map(Proof::Signature) } else { Some(Proof::NameAlone) };
    proof.map_or(Presented::Malformed, |proof| Presented::Credential(Box::new(Credential { name, proof })))
}

fn signature(pairs: &Pairs<'_>) -> Option<Signature> {
    let given = |name| pairs.one(name).ok().flatten();
    // Of two values of one name nobody can tell which was signed.
    if pairs.has_doubles() || given("algorithm") != Some(ALGORITHM) {
        return None;
    }
    let nonce = given("nonce").filter(|nonce| (8..=64).contains(&nonce.chars().count()))?;
    let (at, tag) = (instant(given("timestamp")?)?, tag(given("signature")?)?);
    Some(Signature { messages: pairs.messages(), tag, at, nonce: nonce.to_owned() })
}

/// Ten digits are seconds, thirteen milliseconds.
fn instant(text: &str) -> Option<UnixMillis> {
    let number: u64 = text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())??;
    match text.len() {
        10 => Some(UnixMillis(number * 1_000)),
        13 => Some(UnixMillis(number)),
        _ => None,
    }
}

/// 64 hexadecimal digits, or Base64 whose `+` may have become a space.
fn tag(text: &str) -> Option<[u8; 32]> {
    let mut tag = [0; 32];
    if text.len() == 64 {
        return from_hex(text, &mut tag).map(|()| tag);
    }
    let text: Cow<'_, str> = if text.contains(' ') { text.replace(' ', "+").into() } else { text.into() };
    BASE64.decode(text.as_bytes()).ok()?.try_into().ok()
}

fn decode(text: &str) -> Result<String, Undecodable> {
    let spaced: Cow<'_, str> = if text.contains('+') { text.replace('+', " ").into() } else { text.into() };
    percent_decode_str(&spaced).decode_utf8().map(Cow::into_owned).map_err(|_| Undecodable)
}
