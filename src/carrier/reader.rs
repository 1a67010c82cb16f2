//! The receipt addresses: how they are made, and which carrier and message one belongs to.
//!
//! An address ends in a token: a message's ticket, or the carrier's own, which is computed from its name. Both are keyed
//! hashes, so there is nothing to look up and a guess finds nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::carrier::compile::Carrier;
use crate::carrier::report::{Incoming, Unreadable};
use crate::carrier::request::ReceiptAddresses;
use crate::clock::{Clock, UnixMillis};
use crate::delivery::receipt::{Report, Ticket};
use crate::secret::{Keyring, Purpose, equal};

/// Below this every path is a receipt address.
pub const RECEIPTS: &str = "/v1/receipts/";

/// Knows the carriers by the names of their providers.
pub struct ReceiptReader {
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    base_url: String,
    carriers: BTreeMap<String, Arc<Carrier>>,
}

impl ReceiptReader {
    /// A reader for these carriers. `base_url`: what absolute addresses begin with, without a slash at the end.
    #[must_use]
    pub const fn new(
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        base_url: String,
        carriers: BTreeMap<String, Arc<Carrier>>,
    ) -> Self {
        Self { keyring, clock, base_url, carriers }
    }

    /// Where receipts about `ticket` go.
    #[must_use]
    pub fn addresses(&self, provider: &str, ticket: Ticket) -> ReceiptAddresses {
        let own = format!("{}{RECEIPTS}{provider}/{}", self.base_url, self.token(provider, ticket));
        ReceiptAddresses { own, shared: shared_address(&self.keyring, &self.base_url, provider) }
    }

    /// Whether this is a receipt address that was handed out.
    #[must_use]
    pub fn knows(&self, provider: &str, token: &str) -> bool {
        let ticket = || self.ticket(provider, token).is_some();
        self.carriers.contains_key(provider) && (self.is_shared(provider, token) || ticket())
    }

    fn is_shared(&self, provider: &str, token: &str) -> bool {
        equal(token.as_bytes(), shared_token(&self.keyring, provider).as_bytes())
    }

    /// What a receipt reports that came to `token` of `provider`. The address in `incoming` is the path and query as it came.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(&self, provider: &str, token: &str, incoming: &Incoming<'_>) -> Result<Vec<Report>, Unreadable> {
        let carrier = self.carriers.get(provider).ok_or(Unreadable::Unknown)?;
        let ticket = self.ticket(provider, token);
        if ticket.is_none() && !self.is_shared(provider, token) {
            return Err(Unreadable::Unknown);
        }
        let address = format!("{}{}", self.base_url, incoming.address);
        carrier.read(&Incoming { address: &address, ..*incoming }, ticket, &self.keyring, self.now())
    }

    /// The token of a ticket at one provider: the ticket with a mask over its proof, so that an address of a provider that signs
    /// its receipts does not open at one that does not.
    fn token(&self, provider: &str, ticket: Ticket) -> String {
        let mut bytes = URL_SAFE_NO_PAD.decode(ticket.to_string()).unwrap_or_default();
        self.mask(provider, &mut bytes);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn ticket(&self, provider: &str, token: &str) -> Option<Ticket> {
        let mut bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        self.mask(provider, &mut bytes);
        Ticket::read(&self.keyring, &URL_SAFE_NO_PAD.encode(bytes))
    }

    fn mask(&self, provider: &str, bytes: &mut [u8]) {
        let mask = self.keyring.hash(Purpose::Receipt, &[b"mask", provider.as_bytes()]);
        for (byte, mask) in bytes.iter_mut().rev().zip(mask.iter().take(16)) {
            *byte ^= mask;
        }
    }

    fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}

/// Where all receipts of a provider go.
#[must_use]
pub fn shared_address(keyring: &Keyring, base_url: &str, provider: &str) -> String {
    format!("{base_url}{RECEIPTS}{provider}/{}", shared_token(keyring, provider))
}

/// 22 characters of the URL-safe Base64 alphabet. No ticket is as short, and none is hashed from these parts.
fn shared_token(keyring: &Keyring, provider: &str) -> String {
    let hash = keyring.hash(Purpose::Receipt, &[b"provider", provider.as_bytes()]);
    URL_SAFE_NO_PAD.encode(hash.split_at(16).0)
}
