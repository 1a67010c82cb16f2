//! Who asks, read out of the query: the access key id, and the signature that proves it.
//!
//! What was signed is every pair but the signature, sorted by key, `key=urlencode(value)`, joined by `&`. The public clients
//! do not agree on `urlencode`, so each way of writing the same pairs counts; none of them can be had without the secret.

use std::borrow::Cow;

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::access::credential::{Credential, Proof, PublicName, Signature};
use crate::clock::UnixMillis;
use crate::layer::refusal::Presented;
use crate::secret::from_hex;
use crate::surface::written::decode;

/// The only algorithm.
const ALGORITHM: &str = "hmac-sha256";
/// The parameters that prove who asks and say nothing of what is asked for.
const PROOF: [&str; 4] = ["algorithm", "timestamp", "nonce", "signature"];
/// Pairs of a query, at most: a client sends six. More would cost whoever has no key too little.
const PAIRS: usize = 32;
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

/// The query has a pair that is no UTF-8 once it is decoded, or too many of them.
pub(super) struct Undecodable;

impl<'q> Pairs<'q> {
    /// Splits and decodes a query; `+` stands for a space.
    pub(super) fn of(query: &'q str) -> Result<Self, Undecodable> {
        if query.bytes().filter(|byte| *byte == b'&').count() >= PAIRS {
            return Err(Undecodable);
        }
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (raw_name, raw_value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok(Pair {
                raw_name,
                raw_value,
                name: decode(raw_name).ok_or(Undecodable)?,
                value: decode(raw_value).ok_or(Undecodable)?,
            })
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

#[cfg(test)]
mod tests {
    use aws_lc_rs::hmac;
    use base64::engine::general_purpose::STANDARD as PADDED;
    use proptest::prelude::*;

    use super::*;
    use crate::access::connection::{Connection, NewConnection, QuotaSetting};
    use crate::access::scope::Scopes;
    use crate::otp::id::AccountId;
    use crate::secret::{Keyring, SystemEntropy, to_hex};

    /// The clients' own ways, written from their languages' documentation: what stays as it is, and the space.
    const WAYS: [(&[u8], &str); 3] = [(b"-_.!~*'()", "%20"), (b"-_.~", "+"), (b"-_.~", "%20")];

    fn encode(text: &str, (kept, space): (&[u8], &str)) -> String {
        let mut encoded = String::new();
        for byte in text.bytes() {
            match byte {
                b' ' => encoded.push_str(space),
                byte if byte.is_ascii_alphanumeric() || kept.contains(&byte) => encoded.push(char::from(byte)),
                byte => encoded += &format!("%{byte:02X}"),
            }
        }
        encoded
    }

    fn join(pairs: &[(String, String)], way: (&[u8], &str)) -> String {
        let pairs: Vec<_> =
            pairs.iter().map(|(name, value)| format!("{}={}", encode(name, way), encode(value, way))).collect();
        pairs.join("&")
    }

    fn connection(keyring: &Keyring) -> (Connection, String) {
        let wish = NewConnection {
            account: AccountId::default_account(),
            name: "shop".to_owned(),
            quota: QuotaSetting::default(),
            scopes: Scopes::default(),
            allow_simple: false,
            allow_client_id: false,
        };
        let (connection, credentials) = Connection::create(wish, keyring, &SystemEntropy, UnixMillis(0));
        (connection, credentials.access_key_secret.expose().to_owned())
    }

    fn judged(query: &str, connection: &Connection, keyring: &Keyring) -> Option<bool> {
        match presented(query) {
            Presented::Credential(credential) => match credential.proof {
                Proof::Signature(signature) => {
                    assert!((1..=4).contains(&signature.messages.len()));
                    Some(signature.is_of(connection, keyring))
                }
                Proof::NameAlone => Some(false),
            },
            _ => None,
        }
    }

    proptest! {
        #[test]
        fn what_any_client_signs_is_taken_and_nothing_else(
            nonce in "\\PC{8,64}",
            more in proptest::collection::btree_map("x[a-z ü.~*]{0,6}", "\\PC{0,12}", 0..4),
            signed in 0_usize..3, sent in 0_usize..3, seconds: bool, hex: bool, shuffled: u64, change in 0_usize..8,
        ) {
            let keyring = Keyring::generate(&SystemEntropy);
            let (connection, secret) = connection(&keyring);
            let timestamp = if seconds { "1763764437" } else { "1763764437120" };
            let mut pairs: Vec<(String, String)> = more.into_iter().collect();
            for (name, value) in [("action", "otp.send"), (NAME, &connection.access_key_id), ("algorithm", ALGORITHM),
                                  ("timestamp", timestamp), ("nonce", &nonce)] {
                pairs.push((name.to_owned(), value.to_owned()));
            }
            pairs.sort();
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let tag = hmac::sign(&key, join(&pairs, WAYS[signed]).as_bytes());
            let tag = if hex { to_hex(tag.as_ref()) } else { PADDED.encode(tag) };
            // The order in which they are sent is the client's affair, and so is how it writes them there.
            let length = u64::try_from(pairs.len()).unwrap();
            pairs.rotate_left(usize::try_from(shuffled % length).unwrap());
            let signature = format!("signature={}", encode(&tag, WAYS[sent]));
            let query = format!("{}&{signature}", join(&pairs, WAYS[sent]));
            prop_assert_eq!(judged(&query, &connection, &keyring), Some(true), "{}", query);
            let bare = tag.trim_end_matches('=').to_owned();
            let query = format!("{}&signature={}", join(&pairs, WAYS[sent]), bare);
            prop_assert_eq!(judged(&query, &connection, &keyring), Some(true), "without padding, plus for a space: {}", query);
            // One pair changed, dropped or added: not what was signed.
            let index = change % pairs.len();
            let mut changed = pairs.clone();
            changed[index].1.push('x');
            let mut dropped = pairs.clone();
            dropped.remove(index);
            let mut added = pairs.clone();
            added.push(("y".to_owned(), String::new()));
            let mut doubled = pairs.clone();
            doubled.push(pairs[index].clone());
            for other in [changed, dropped, added, doubled] {
                let query = format!("{}&{signature}", join(&other, WAYS[sent]));
                prop_assert_ne!(judged(&query, &connection, &keyring), Some(true), "{}", query);
            }
            // What proves who asks is no part of what is asked for.
            let without = Pairs::of(&query).ok().unwrap().without_proof();
            let names: Vec<_> = without.split('&').filter_map(|pair| pair.split_once('=')).map(|(name, _)| name).collect();
            let proves = PROOF.iter().chain(&[NAME]).any(|name| names.contains(name));
            prop_assert!(!proves, "{}", without);
            prop_assert!(without.split('&').any(|pair| pair == "action=otp.send"));
        }

        #[test]
        fn no_query_makes_it_stumble(query in "\\PC{0,200}") {
            let _whatever_it_is = presented(&query);
        }
    }

    #[test]
    fn ten_digits_are_seconds_and_thirteen_milliseconds() {
        assert_eq!(instant("1763764437"), Some(UnixMillis(1_763_764_437_000)));
        assert_eq!(instant("1763764437120"), Some(UnixMillis(1_763_764_437_120)));
        for bad in [
            "",
            "1",
            "176376443",
            "17637644371",
            "17637644371201",
            "+763764437",
            "1763764437.",
            "x",
            "１７６３７６４４３７",
        ] {
            assert_eq!(instant(bad), None, "{bad}");
        }
    }
}
