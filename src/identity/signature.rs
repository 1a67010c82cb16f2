//! What a client encrypts with its connection's public key to act for a session: the token, the time and a nonce. It is
//! encryption, not a signature: whoever has the token and the (public) key can make one, and nobody can read it.
//!
//! The contract leaves the padding open between platforms, so both readings are tried, on one thread with a bounded queue.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use crate::access::connection::ConnectionId;
use crate::clock::{Clock, UnixMillis};
use crate::identity::pair::{PairError, Pairs};
use crate::identity::rsa::{CIPHERTEXT_BYTES, Reading};
use crate::identity::worker::{NotDone, Worker};
use crate::secret::Secret;

/// How far a client's clock may be off, either way.
pub const WINDOW: Duration = Duration::from_secs(300);
/// Signatures that wait to be decrypted: at 1.4 ms for a bad one some tenth of a second of work.
const ROOM: usize = 64;
/// Characters of a nonce.
const NONCE: usize = 128;

/// A signature that was read. That its nonce is fresh is for the caller to find out.
#[derive(Debug)]
pub struct Signed {
    /// The session that is acted for.
    pub token: Secret,
    /// What no other signature of the connection may have.
    pub nonce: String,
}

/// Why there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// It is not what the contract says, or sealed for somebody else.
    #[error("no signature of this connection")]
    Unreadable,
    /// Its time is outside of [`WINDOW`].
    #[error("the signature's time is too far off")]
    Stale,
    /// Enough signatures wait already.
    #[error("too many signatures wait")]
    Busy,
    /// The connection's key could not be read.
    #[error(transparent)]
    Pair(#[from] PairError),
}

/// Reads signatures.
pub struct Signatures {
    pairs: Arc<Pairs>,
    clock: Arc<dyn Clock>,
    worker: Worker,
}

impl Signatures {
    /// Of the connections that `pairs` knows.
    #[must_use]
    pub const fn new(pairs: Arc<Pairs>, clock: Arc<dyn Clock>) -> Self {
        Self { pairs, clock, worker: Worker::new("signatures", ROOM) }
    }

    /// Reads the Base64 text of a signature.
    ///
    /// # Errors
    /// [`SignatureError`].
    pub async fn read(&self, connection: ConnectionId, text: &str) -> Result<Signed, SignatureError> {
        let sealed = decode(text).ok_or(SignatureError::Unreadable)?;
        let pair = self.pairs.find(connection).await?.ok_or(SignatureError::Unreadable)?;
        let decrypt = move || {
            let open = |reading| pair.private.decrypt(reading, &sealed);
            open(Reading::Sha256).or_else(|| open(Reading::Sha1))
        };
        let plain = self.worker.run(decrypt).await.map_err(|error| match error {
            NotDone::Busy => SignatureError::Busy,
            NotDone::Broken => SignatureError::Unreadable,
        })?;
        parse(&plain.ok_or(SignatureError::Unreadable)?, self.clock.now())
    }
}

fn decode(text: &str) -> Option<[u8; CIPHERTEXT_BYTES]> {
    // 344 characters with their padding; some encoders break the lines.
    if text.len() > 400 {
        return None;
    }
    let text: String = text.chars().filter(|character| !character.is_ascii_whitespace()).collect();
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// `session_token=…&timestamp=…&nonce=…`, each once, in any order.
fn parse(plain: &Zeroizing<Vec<u8>>, now: UnixMillis) -> Result<Signed, SignatureError> {
    let text = std::str::from_utf8(plain).map_err(|_| SignatureError::Unreadable)?;
    let (mut token, mut timestamp, mut nonce) = (None, None, None);
    for pair in text.split('&') {
        let (name, value) = pair.split_once('=').ok_or(SignatureError::Unreadable)?;
        let place = match name {
            "session_token" => &mut token,
            "timestamp" => &mut timestamp,
            "nonce" => &mut nonce,
            _ => return Err(SignatureError::Unreadable),
        };
        if place.replace(value).is_some() {
            return Err(SignatureError::Unreadable);
        }
    }
    let (Some(token), Some(timestamp), Some(nonce)) = (token, timestamp, nonce) else {
        return Err(SignatureError::Unreadable);
    };
    let then: u64 = timestamp.parse().map_err(|_| SignatureError::Unreadable)?;
    let visible = nonce.bytes().all(|byte| byte.is_ascii_graphic());
    if nonce.is_empty() || nonce.len() > NONCE || !visible {
        return Err(SignatureError::Unreadable);
    }
    let then = UnixMillis(then);
    if now.since(then) > WINDOW || then.since(now) > WINDOW {
        return Err(SignatureError::Stale);
    }
    Ok(Signed { token: Secret::new(token.to_owned()), nonce: nonce.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, now: u64) -> Result<(String, String), SignatureError> {
        let signed = parse(&Zeroizing::new(text.as_bytes().to_vec()), UnixMillis(now))?;
        Ok((signed.token.expose().to_owned(), signed.nonce))
    }

    #[test]
    fn a_text_is_read_whole_or_not_at_all() {
        let text = "session_token=abc&timestamp=1628496895102&nonce=x1";
        assert_eq!(read(text, 1_628_496_895_102), Ok(("abc".to_owned(), "x1".to_owned())));
        assert_eq!(read("nonce=x1&timestamp=7&session_token=abc", 7), Ok(("abc".to_owned(), "x1".to_owned())));
        for bad in [
            "",
            "session_token=abc&timestamp=7",
            "session_token=abc&timestamp=7&nonce=",
            "session_token=abc&timestamp=7&nonce=a b",
            "session_token=abc&timestamp=-7&nonce=x",
            "session_token=abc&timestamp=7.0&nonce=x",
            "session_token=abc&session_token=abc&timestamp=7&nonce=x",
            "session_token=abc&timestamp=7&nonce=x&more=1",
            "session_token=abc&timestamp=7&nonce=x&",
        ] {
            assert_eq!(read(bad, 7), Err(SignatureError::Unreadable), "{bad}");
        }
        assert_eq!(
            read(&format!("session_token=a&timestamp=7&nonce={}", "n".repeat(129)), 7).err(),
            Some(SignatureError::Unreadable)
        );
    }

    #[test]
    fn the_window_is_closed_on_both_sides() {
        let text = "session_token=abc&timestamp=1000000&nonce=x1";
        for (now, fits) in [(700_000, true), (699_999, false), (1_300_000, true), (1_300_001, false)] {
            assert_eq!(read(text, now).is_ok(), fits, "{now}");
        }
    }

    #[test]
    fn only_as_much_base64_as_a_ciphertext_has_is_decoded() {
        assert_eq!(decode(&STANDARD.encode([7; 256])), Some([7; 256]));
        let lines = STANDARD
            .encode([7; 256])
            .as_bytes()
            .chunks(64)
            .map(|line| String::from_utf8_lossy(line).into_owned())
            .collect::<Vec<_>>()
            .join(" ");
        assert_eq!(decode(&lines), Some([7; 256]));
        for bad in
            [String::new(), "?".to_owned(), STANDARD.encode([7; 255]), STANDARD.encode([7; 257]), "A".repeat(401)]
        {
            assert_eq!(decode(&bad), None);
        }
    }
}
