//! Two capabilities of a verification, computed and not kept: the token of its page, and the one that ends the wait for it.
//!
//! The id and 128 bits of a keyed hash, each under a purpose of its own: neither opens what the other does, and who knows the
//! id, which is in answers and logs, knows neither. 43 characters, short enough for a text message.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::otp::id::VerificationId;
use crate::otp::page::Pages;
use crate::secret::{Keyring, Purpose, Secret, equal};

/// Bytes of an id, and of the hash beside it.
const HALF: usize = 16;
/// Below this path, behind the gateway's address, lie the pages.
pub const PAGES: &str = "/verify/";

/// An id and what is claimed to prove it.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Claim {
    id: [u8; HALF],
    proof: [u8; HALF],
}

impl Claim {
    /// What a text claims. One that is no token claims the id of zeros with a proof of zeros: it is looked at like any other,
    /// in the same time, and opens nothing.
    fn read(text: &str) -> Self {
        let mut bytes = [0; HALF * 2];
        let whole = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).is_ok_and(|length| length == bytes.len());
        let (id, proof) = bytes.split_at(HALF);
        let half = |from: &[u8]| {
            let mut half = [0; HALF];
            if whole {
                half.copy_from_slice(from);
            }
            half
        };
        Self { id: half(id), proof: half(proof) }
    }

    fn of(id: VerificationId, purpose: Purpose, keyring: &Keyring) -> Self {
        let mut proof = [0; HALF];
        proof.copy_from_slice(keyring.hash(purpose, &[&id.bytes()]).split_at(HALF).0);
        Self { id: id.bytes(), proof }
    }

    fn to_text(self) -> Secret {
        Secret::new(URL_SAFE_NO_PAD.encode([self.id, self.proof].concat()))
    }

    /// The id, whether or not it is proved, and whether it is.
    fn judge(&self, purpose: Purpose, keyring: &Keyring) -> (VerificationId, bool) {
        let id = VerificationId::from_bytes(self.id);
        (id, equal(&self.proof, &Self::of(id, purpose, keyring).proof))
    }
}

macro_rules! token {
    ($(#[$doc:meta])* $name:ident, $purpose:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub struct $name(Claim);

        impl $name {
            /// The token of a verification, as text.
            #[must_use]
            pub fn of(id: VerificationId, keyring: &Keyring) -> Secret {
                Claim::of(id, $purpose, keyring).to_text()
            }

            /// Reads what somebody presents. Whether it is a token at all shows when it is used.
            #[must_use]
            pub fn read(text: &str) -> Self {
                Self(Claim::read(text))
            }

            /// Which verification it names, and whether it was ever handed out.
            #[must_use]
            pub fn judge(&self, keyring: &Keyring) -> (VerificationId, bool) {
                self.0.judge($purpose, keyring)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(concat!(stringify!($name), "(***)"))
            }
        }
    };
}

token!(
    /// Opens the page of a verification, for as long as that is open.
    PageToken,
    Purpose::Page
);
token!(
    /// Ends the wait for a verification.
    WaitToken,
    Purpose::Wait
);

/// The addresses of pages.
pub struct PageAddresses {
    base_url: String,
    keyring: Arc<Keyring>,
}

impl PageAddresses {
    /// Below `base_url`, which has no slash at its end.
    #[must_use]
    pub const fn new(base_url: String, keyring: Arc<Keyring>) -> Self {
        Self { base_url, keyring }
    }
}

impl Pages for PageAddresses {
    fn address(&self, id: VerificationId) -> Secret {
        Secret::new(format!("{}{PAGES}{}", self.base_url, PageToken::of(id, &self.keyring).expose()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixMillis;
    use crate::otp::id::NumberKey;
    use crate::secret::SystemEntropy;

    #[test]
    fn a_token_opens_one_thing_of_one_verification() {
        let (keyring, other) = (Keyring::generate(&SystemEntropy), Keyring::generate(&SystemEntropy));
        let id = VerificationId::generate(UnixMillis(7), NumberKey::from_bytes([9; 16]), &SystemEntropy);
        assert_eq!(id.shard(), 9);
        let (page, wait) = (PageToken::of(id, &keyring), WaitToken::of(id, &keyring));
        assert_eq!(page.expose().len(), 43);
        assert_eq!(PageToken::read(page.expose()).judge(&keyring), (id, true));
        assert_eq!(WaitToken::read(wait.expose()).judge(&keyring), (id, true));
        assert_eq!(PageToken::read(wait.expose()).judge(&keyring), (id, false));
        assert_eq!(WaitToken::read(page.expose()).judge(&keyring), (id, false));
        assert_eq!(PageToken::read(page.expose()).judge(&other), (id, false));
        for at in 0..page.expose().len() {
            let mut text = page.expose().as_bytes().to_vec();
            text[at] = if text[at] == b'A' { b'B' } else { b'A' };
            let text = String::from_utf8(text).unwrap();
            assert!(!PageToken::read(&text).judge(&keyring).1, "character {at}");
        }
        for bad in ["", "A", "ä", &page.expose()[..42], &format!("{}A", page.expose()), &"A".repeat(43)] {
            assert!(!PageToken::read(bad).judge(&keyring).1, "{bad}");
        }
        let addresses = PageAddresses::new("https://otp.example.com".to_owned(), Arc::new(keyring));
        assert_eq!(addresses.address(id).expose(), format!("https://otp.example.com/verify/{}", page.expose()));
        assert_eq!(format!("{:?}", PageToken::read(page.expose())), "PageToken(***)");
    }
}
