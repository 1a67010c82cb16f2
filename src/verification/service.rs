//! The service of verifications: what opens one is in [`crate::verification::opening`], the person's steps are in
//! [`crate::verification::page`]; here they are shown and cancelled.
//!
//! A verification is written down with the id of its code before the code is sent: whatever a crash cuts off is done by
//! whoever comes next, once. A call that comes with a ticket finds the verification that it opened before.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::access::connection::ConnectionId;
use crate::clock::{Clock, UnixMillis};
use crate::events::dispatch;
use crate::events::signing::SigningSecret;
use crate::otp::application::{ApplicationRef, Reference, Sender};
use crate::otp::catalogue::Catalogue;
use crate::otp::channel::Via;
use crate::otp::command::SendRefusal;
use crate::otp::context::Context;
use crate::otp::id::{AccountId, VerificationId};
use crate::otp::language::Language;
use crate::otp::page::{Pages, ReturnUrl};
use crate::otp::phone::Phone;
use crate::otp::record::Otp;
use crate::otp::service::OtpService;
use crate::otp::store::{OtpStore, StoreError, WriteError};
use crate::secret::{Entropy, Keyring, Secret};
use crate::verification::outcome::{Found, Outcome, outcome};
use crate::verification::record::{Callback, Expiry, FirstSend, Sends, Verification};
use crate::verification::store::VerificationStore;
use crate::verification::token::WaitToken;

/// Writes that lose to another writer are tried this often.
pub(super) const WRITES: usize = 8;

/// What somebody wants verified.
#[derive(Debug)]
pub struct Wish {
    /// Whose verification it will be.
    pub account: AccountId,
    /// Who asks.
    pub connection: ConnectionId,
    /// Whose number it is about.
    pub phone: Phone,
    /// The application whose settings hold.
    pub application: ApplicationRef,
    /// The channel asked for.
    pub via: Via,
    /// The language asked for.
    pub language: Option<Language>,
    /// The sender asked for.
    pub sender: Option<Sender>,
    /// The caller's own reference.
    pub reference: Option<Reference>,
    /// What it is for.
    pub context: Option<Context>,
    /// Where its page leads to in the end.
    pub return_url: Option<ReturnUrl>,
    /// How long it is open; else ten minutes, or as long as the application's codes live, where that is longer.
    pub expiry: Option<Expiry>,
    /// Messages that it may send.
    pub sends: Sends,
    /// When the first one leaves.
    pub first: FirstSend,
    /// Where the outcome is posted, an address that was judged before.
    pub callback: Option<Secret>,
}

/// A verification that was opened, now or by the same call before.
#[derive(Debug)]
pub struct Opened {
    /// The verification as it began: what is answered stays the same.
    pub verification: Verification,
    /// What the call to its callback is signed with.
    pub secret: Option<Secret>,
    /// Whether the call was made before.
    pub repeated: bool,
}

/// Why no verification was opened. Nothing is left of it, unless the same call wrote it before and was cut off: then it stays until
/// its time runs out, or the call comes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Its key belongs to another request: its ticket knows.
    Answered,
    /// The application does not let its page lead there.
    ReturnUrlNotAllowed,
    /// The message may not leave.
    Refused(SendRefusal),
    /// It may not leave now; the verification was written by the same call before, and stays.
    Waits(SendRefusal),
    /// The store did not do it.
    Store(StoreError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Is told what becomes of verifications: for metrics.
pub trait VerificationObserver: Send + Sync + 'static {
    /// One was opened.
    fn opened(&self);
    /// One ended.
    fn ended(&self, outcome: Outcome);
    /// Whoever waits was told, or not.
    fn told(&self, outcome: dispatch::Outcome);
}

/// What verifications work with.
pub struct Parts {
    /// Where they lie.
    pub store: Arc<dyn VerificationStore>,
    /// Where it lies which call opened which.
    pub otp_store: Arc<dyn OtpStore>,
    /// Sends and checks their codes.
    pub otps: Arc<OtpService>,
    /// Knows the applications.
    pub catalogue: Arc<Catalogue>,
    /// Makes tokens, seals addresses.
    pub keyring: Arc<Keyring>,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// For ids and secrets.
    pub entropy: Arc<dyn Entropy>,
    /// Knows the addresses of pages.
    pub pages: Arc<dyn Pages>,
    /// Who is told.
    pub observer: Arc<dyn VerificationObserver>,
}

/// The service of verifications.
pub struct Verifications {
    pub(super) store: Arc<dyn VerificationStore>,
    pub(super) otp_store: Arc<dyn OtpStore>,
    pub(super) otps: Arc<OtpService>,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) keyring: Arc<Keyring>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) entropy: Arc<dyn Entropy>,
    pages: Arc<dyn Pages>,
    pub(super) observer: Arc<dyn VerificationObserver>,
    /// Rung when somebody who waits is to be told.
    pub(super) moved: Notify,
}

impl Verifications {
    /// Puts the service together.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { store, otp_store, otps, catalogue, keyring, clock, entropy, pages, observer } = parts;
        let moved = Notify::new();
        Self { store, otp_store, otps, catalogue, keyring, clock, entropy, pages, observer, moved }
    }

    /// The instant that answers are worded for.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The address of a verification's page: a capability.
    #[must_use]
    pub fn page_address(&self, id: VerificationId) -> Secret {
        self.pages.address(id)
    }

    /// The token that ends the wait for a verification: a capability.
    #[must_use]
    pub fn wait_token(&self, id: VerificationId) -> Secret {
        WaitToken::of(id, &self.keyring)
    }

    /// One verification. None when there is none, or it is another account's.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find(&self, account: &AccountId, id: VerificationId) -> Result<Option<Verification>, StoreError> {
        let found = self.store.verification(id).await?.filter(|known| known.account == *account);
        match found {
            Some(known) if known.ended.is_none() && !known.is_open_at(self.clock.now()) => self.settle(id, None).await,
            found => Ok(found),
        }
    }

    /// The OTP of a verification: as it stands, or, once the verification ended, as it stood then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn otp_of(&self, verification: &Verification) -> Result<Option<Otp>, StoreError> {
        match (&verification.ended, verification.current_otp()) {
            (Some(ended), _) => Ok(ended.otp.clone()),
            (None, Some(id)) => Ok(self.otps.find(&verification.account, id).await?.map(|otp| Otp::clone(&otp))),
            (None, None) => Ok(None),
        }
    }

    /// Whoever asked for it ends it. Whether there is such a verification. One that ended stays as it is.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn cancel(&self, account: &AccountId, id: VerificationId) -> Result<bool, StoreError> {
        if self.store.verification(id).await?.is_none_or(|known| known.account != *account) {
            return Ok(false);
        }
        self.end(id, Outcome::CancelledByFlow, false).await.map(|_| true)
    }

    /// Whoever waits does so no more: it is told nothing, and a verification that is open ends. Whether the token was ever
    /// handed out.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unsubscribe(&self, token: &WaitToken) -> Result<bool, StoreError> {
        let (id, handed_out) = token.judge(&self.keyring);
        if handed_out {
            self.end(id, Outcome::CancelledByFlow, true).await?;
        }
        Ok(handed_out)
    }

    /// Ends a verification as somebody wants it, unless its code ended it before; `silently`: nobody is told. Its code is
    /// deleted. The verification as it is afterwards.
    pub(super) async fn end(
        &self,
        id: VerificationId,
        wanted: Outcome,
        silently: bool,
    ) -> Result<Option<Verification>, StoreError> {
        for _ in 0..WRITES {
            let Some(known) = self.store.verification(id).await? else { return Ok(None) };
            let (now, otp) = (self.clock.now(), self.otp_of(&known).await?);
            let mut after = known.clone();
            if known.ended.is_none() {
                let found = otp.as_ref().map_or(Found::Missing, Found::There);
                after.end(outcome(&known, found, now).unwrap_or(wanted), otp.as_ref(), now);
            }
            if let Some(callback) = after.callback.as_mut().filter(|_| silently) {
                callback.over = true;
            }
            if after == known {
                return Ok(Some(known));
            }
            match self.write(known, after).await {
                Ok(after) => {
                    let cut_off = after.ended.as_ref().is_some_and(|ended| ended.outcome == wanted);
                    if let Some(otp) = after.current_otp().filter(|_| cut_off) {
                        // Where it stays, nobody can use it on the page; it runs out by itself.
                        let _deleted = self.otps.delete(&after.account, otp, None).await;
                    }
                    return Ok(Some(after));
                }
                Err(WriteError::Conflict) => {}
                Err(WriteError::Store(error)) => return Err(error),
            }
        }
        Err(StoreError::Unavailable)
    }

    /// Writes `after` over `known`, and tells whoever is interested that it ended, if that is what happened.
    pub(super) async fn write(&self, known: Verification, after: Verification) -> Result<Verification, WriteError> {
        let ends = if known.ended.is_none() { after.ended.as_ref().map(|ended| ended.outcome) } else { None };
        self.store.put_verification(Some(known), Some(after.clone())).await?;
        if let Some(outcome) = ends {
            tracing::debug!(verification = %after.id, outcome = outcome.as_str(), "a verification ended");
            self.observer.ended(outcome);
            self.moved.notify_one();
        }
        Ok(after)
    }

    /// Where the outcome is posted; none when it does not open.
    pub(super) fn open_url(&self, id: VerificationId, callback: &Callback) -> Option<Secret> {
        let plain = self.keyring.open(&sealed_for(id, b"url"), &callback.url).ok()?;
        std::str::from_utf8(&plain).ok().map(|url| Secret::new(url.to_owned()))
    }

    /// What the post is signed with; none when it does not open.
    pub(super) fn open_secret(&self, id: VerificationId, callback: &Callback) -> Option<SigningSecret> {
        let plain = self.keyring.open(&sealed_for(id, b"secret"), &callback.secret).ok()?;
        SigningSecret::from_bytes(&plain)
    }
}

pub(super) fn sealed_for(id: VerificationId, what: &[u8]) -> Vec<u8> {
    [b"verification ", what, b" ", &id.bytes()[..]].concat()
}
