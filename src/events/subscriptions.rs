//! Subscribing and unsubscribing. One commit each; the same callback twice is one subscription.

use std::sync::Arc;

use crate::access::connection::ConnectionId;
use crate::clock::Clock;
use crate::events::store::SubscriptionStore;
use crate::events::subscription::{Format, SUBSCRIPTIONS_PER_ACCOUNT, Subscription, SubscriptionId};
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::news::EventNames;
use crate::otp::store::{StoreError, WriteError};
use crate::secret::{Entropy, Keyring, Secret};

/// Writes that lose to another writer are tried this often.
const WRITES: usize = 8;

/// What somebody wants to be told.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Whose OTPs.
    pub account: AccountId,
    /// Who asks.
    pub connection: ConnectionId,
    /// Where to: an address that was judged before.
    pub url: Secret,
    /// Of which events.
    pub events: EventNames,
    /// Of which application; of all when none.
    pub application: Option<ApplicationId>,
}

/// A subscription that holds from now on.
#[derive(Debug)]
pub struct Subscribed {
    /// The subscription.
    pub subscription: Subscription,
    /// The last segment of the address that ends it.
    pub token: Secret,
    /// What its events are signed with, as `whsec_…`: only when it is new.
    pub secret: Option<Secret>,
}

/// Why there is no subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The account has as many as it may have.
    TooMany,
    /// The store did not keep it.
    Store(StoreError),
}

/// Who is told what.
pub struct Subscriptions {
    store: Arc<dyn SubscriptionStore>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl Subscriptions {
    /// Over `store`.
    #[must_use]
    pub const fn new(
        store: Arc<dyn SubscriptionStore>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, keyring, clock, entropy }
    }

    /// Subscribes, or changes what the same callback is told.
    ///
    /// # Errors
    /// [`SubscribeError`].
    pub async fn subscribe(&self, wish: &Wish) -> Result<Subscribed, SubscribeError> {
        let Wish { account, connection, url, .. } = wish;
        let callback = Subscription::callback_of(&self.keyring, account, *connection, url.expose());
        for _ in 0..WRITES {
            let kept = self.store.subscriptions(Some(account)).await.map_err(SubscribeError::Store)?;
            let known = kept.iter().find(|known| known.callback == callback);
            if known.is_none() && kept.len() >= SUBSCRIPTIONS_PER_ACCOUNT {
                return Err(SubscribeError::TooMany);
            }
            let (after, secret) = match known {
                Some(known) => (Self::changed(known, wish), None),
                None => {
                    let (made, secret) = self.made(wish, callback.clone());
                    (made, Some(secret))
                }
            };
            let written = if known == Some(&after) {
                Ok(())
            } else {
                self.store.put_subscription(known.cloned(), after.clone()).await
            };
            match written {
                Ok(()) => {
                    let token = after.id.token(&self.keyring);
                    return Ok(Subscribed { subscription: after, token, secret });
                }
                Err(WriteError::Conflict) => {}
                Err(WriteError::Store(error)) => return Err(SubscribeError::Store(error)),
            }
        }
        Err(SubscribeError::Store(StoreError::Unavailable))
    }

    /// Ends the subscription that a token stands for. Whether it stands for any, now or before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unsubscribe(&self, token: &str) -> Result<bool, StoreError> {
        match SubscriptionId::of_token(token, &self.keyring) {
            Some(id) => self.store.delete_subscription(id).await.map(|_| true),
            None => Ok(false),
        }
    }

    fn made(&self, wish: &Wish, callback: String) -> (Subscription, Secret) {
        let (id, now) = (SubscriptionId::generate(&*self.entropy), self.clock.now());
        let mut made = Subscription {
            id,
            account: wish.account.clone(),
            connection: wish.connection,
            events: wish.events,
            application: wish.application,
            created: now,
            callback,
            url: Subscription::seal_url(id, &self.keyring, wish.url.expose()),
            secrets: Vec::new(),
            gone: None,
            format: Format::Standard,
        };
        let secret = made.rotate(std::time::Duration::ZERO, &self.keyring, &*self.entropy, now);
        (made, secret.to_text())
    }

    /// Who subscribes again is there again.
    fn changed(known: &Subscription, wish: &Wish) -> Subscription {
        Subscription { events: wish.events, application: wish.application, gone: None, ..known.clone() }
    }
}
