//! From the news of a change to rows of the queue: who is interested, and what they are told. A store calls it in the
//! middle of a commit, so everything it needs is in memory; where nobody is interested it costs a look into a map.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::RwLock;

use crate::clock::UnixMillis;
use crate::events::inside::{INSIDE, concerns};
use crate::events::queue::{About, Address, EventId, Notice, Other, Queued};
use crate::events::subscription::{Subscription, SubscriptionId};
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::news::{EventName, EventNames, Tally};
use crate::otp::record::{Delivery, Otp};
use crate::secret::Entropy;

/// What a subscription is interested in.
struct Interest {
    id: SubscriptionId,
    events: EventNames,
    application: Option<ApplicationId>,
}

impl Interest {
    fn of(subscription: &Subscription) -> Self {
        Self { id: subscription.id, events: subscription.events, application: subscription.application }
    }

    fn wants(&self, name: EventName, application: ApplicationId) -> bool {
        self.events.contains(name) && self.application.is_none_or(|wanted| wanted == application)
    }
}

/// What happened to something else than an OTP: a store tells of it in the commit that changes that.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Whose it is.
    pub account: AccountId,
    /// Of which application.
    pub application: ApplicationId,
    /// What happened.
    pub name: EventName,
    /// When. The retention of the number begins then.
    pub at: UnixMillis,
    /// To what.
    pub other: Other,
}

/// Who is interested in what.
pub struct Fanout {
    accounts: RwLock<HashMap<AccountId, Vec<Interest>>>,
    entropy: Arc<dyn Entropy>,
    /// How long after an OTP's end its number may be kept.
    retention: Duration,
    sequence: AtomicU16,
    lost: AtomicU64,
}

impl Fanout {
    /// Nobody is interested yet.
    #[must_use]
    pub fn new(entropy: Arc<dyn Entropy>, retention: Duration) -> Self {
        Self { accounts: RwLock::default(), entropy, retention, sequence: AtomicU16::new(0), lost: AtomicU64::new(0) }
    }

    /// These are interested, and nobody else.
    pub fn replace(&self, subscriptions: &[Subscription]) {
        let mut accounts: HashMap<AccountId, Vec<Interest>> = HashMap::new();
        for subscription in subscriptions {
            accounts.entry(subscription.account.clone()).or_default().push(Interest::of(subscription));
        }
        *self.accounts.write() = accounts;
    }

    /// This one is interested from now on, or in something else than before.
    pub fn put(&self, subscription: &Subscription) {
        let mut accounts = self.accounts.write();
        let interests = accounts.entry(subscription.account.clone()).or_default();
        interests.retain(|interest| interest.id != subscription.id);
        interests.push(Interest::of(subscription));
    }

    /// This one is not interested any more.
    pub fn remove(&self, id: SubscriptionId) {
        self.accounts.write().retain(|_, interests| {
            interests.retain(|interest| interest.id != id);
            !interests.is_empty()
        });
    }

    /// How many are interested.
    #[must_use]
    pub fn len(&self) -> usize {
        self.accounts.read().values().map(Vec::len).sum()
    }

    /// Whether nobody is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.accounts.read().is_empty()
    }

    /// Events that were lost since the start because there was no room for them.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The rows that tell at `now` what a change brought, that made `otp` of `before`. `room` says whether a subscriber's
    /// queue takes one more.
    pub fn changed(
        &self,
        before: Option<&Otp>,
        otp: &Otp,
        now: UnixMillis,
        room: impl Fn(SubscriptionId) -> bool,
    ) -> Vec<Queued> {
        let news = otp.news.since(&before.map(|before| before.news).unwrap_or_default());
        if news.is_empty() {
            return Vec::new();
        }
        let last = otp.events.last();
        let (at, detail) = last.map_or((now, None), |event| (event.at, event.text.clone()));
        self.tell(otp, news, at, detail.as_deref(), now, room)
    }

    /// The rows that tell that an OTP was deleted at `now`.
    pub fn deleted(&self, otp: &Otp, now: UnixMillis, room: impl Fn(SubscriptionId) -> bool) -> Vec<Queued> {
        let news = EventNames::from_iter([EventName::Deleted]);
        self.tell(otp, news, now, None, now, room)
    }

    /// The rows that tell of something else than an OTP.
    pub fn announced(&self, news: Announcement, now: UnixMillis, room: impl Fn(SubscriptionId) -> bool) -> Vec<Queued> {
        let Announcement { account, application, name, at, other } = news;
        let accounts = self.accounts.read();
        let interests = accounts.get(&account).map(Vec::as_slice).unwrap_or_default();
        let wanted = interests.iter().filter(|interest| interest.wants(name, application)).map(|interest| interest.id);
        let notice = || Notice { name, at, detail: None, about: About::Other(other.clone()) };
        self.rows(wanted, notice, at + self.retention, now, room)
    }

    fn tell(
        &self,
        otp: &Otp,
        news: EventNames,
        at: UnixMillis,
        detail: Option<&str>,
        now: UnixMillis,
        room: impl Fn(SubscriptionId) -> bool,
    ) -> Vec<Queued> {
        let accounts = self.accounts.read();
        let interests = accounts.get(&otp.account).map(Vec::as_slice).unwrap_or_default();
        if interests.is_empty() && otp.verification.is_none() {
            return Vec::new();
        }
        // The end of the OTP, where it is over, begins the retention of its number.
        let until = otp.finished.map_or(at, |finished| finished.min(at)) + self.retention;
        let mut rows = Vec::new();
        for name in news.iter() {
            let wanted = interests.iter().filter(|interest| interest.wants(name, otp.application));
            let inside = concerns(otp, name).then_some(INSIDE);
            let wanted = wanted.map(|interest| interest.id).chain(inside);
            let about = || About::Otp(Box::new(as_it_stood(otp, name, news)));
            let notice = || Notice { name, at, detail: detail.map(str::to_owned), about: about() };
            rows.extend(self.rows(wanted, notice, until, now, &room));
        }
        rows
    }

    /// A row for each of `wanted` whose queue has room. The notice is made where there is any.
    fn rows(
        &self,
        wanted: impl Iterator<Item = SubscriptionId>,
        notice: impl Fn() -> Notice,
        until: UnixMillis,
        now: UnixMillis,
        room: impl Fn(SubscriptionId) -> bool,
    ) -> Vec<Queued> {
        let (mut rows, mut told) = (Vec::new(), None);
        for subscription in wanted {
            // What ends a verification is never lost.
            if subscription != INSIDE && !room(subscription) {
                self.lost.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let (event, notice) = told.get_or_insert_with(|| {
                let sequence = self.sequence.fetch_add(1, Ordering::Relaxed);
                (EventId::generate(now, sequence, &*self.entropy), Arc::new(notice()))
            });
            let address = Address { subscription, event: *event };
            rows.push(Queued { address, due: now, tries: 0, until, notice: Arc::clone(notice) });
        }
        rows
    }
}

/// The OTP as it stood when `name` happened, in a change that brought all of `news`.
fn as_it_stood(otp: &Otp, name: EventName, news: EventNames) -> Otp {
    let mut otp = snapshot(otp);
    let went_on = news.contains(EventName::Delivered) || news.contains(EventName::Undeliverable);
    if name == EventName::Sent && went_on {
        otp.delivery = Delivery::Sent;
    }
    otp
}

/// The OTP without its code and its history: nobody is told of them.
fn snapshot(otp: &Otp) -> Otp {
    Otp { sealed: None, events: Vec::new(), news: Tally::default(), ..otp.clone() }
}
