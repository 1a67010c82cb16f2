//! What this process has seen of the settings: how often they were written, and who is to be told of what. One task asks ten
//! times a second whether they moved, so that a key that was revoked anywhere serves nowhere within a second. While the store
//! is away it is not known whether they moved: who is to be told stays, and nothing else that was read counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::events::fanout::Fanout;
use crate::events::subscription::Subscription;
use crate::otp::store::StoreError;
use crate::store::redis::link::Link;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::reply::{from_json, read};
use crate::store::redis::script::{Call, Lazy, Lua};
use crate::store::redis::settings::Generation;

/// How often the generation is asked for.
const EVERY: Duration = Duration::from_millis(100);
/// Until then every process that reaches the store has seen a write: two looks, and the time to read.
pub(super) const SEEN_BY_ALL: Duration = Duration::from_millis(250);

static GENERATION: Lazy = Lazy::new(|| Lua::guarded("return redis.call('GET',KEYS[2]) or ''"));

static SUBSCRIPTIONS: Lazy =
    Lazy::new(|| Lua::guarded("return {redis.call('GET',KEYS[2]) or '',redis.call('HVALS',KEYS[3])}"));

/// Changes of our own, so that what was read beside one of them is not taken for what stands after it.
#[derive(Debug, Default)]
pub(super) struct Changes {
    begun: AtomicU64,
    ended: AtomicU64,
}

/// A change that goes on for as long as this lives.
pub(super) struct Change<'a>(&'a Changes);

impl Drop for Change<'_> {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::SeqCst);
    }
}

impl Changes {
    /// One begins.
    pub(super) fn begin(&self) -> Change<'_> {
        self.begun.fetch_add(1, Ordering::SeqCst);
        Change(self)
    }

    /// Which one was last, where none goes on.
    fn rest(&self) -> Option<u64> {
        let ended = self.ended.load(Ordering::SeqCst);
        (self.begun.load(Ordering::SeqCst) == ended).then_some(ended)
    }

    /// Whether none has begun since.
    fn none_since(&self, rest: Option<u64>) -> bool {
        rest == Some(self.begun.load(Ordering::SeqCst))
    }
}

/// What was seen.
pub(super) struct View {
    /// Who is interested in what.
    pub(super) fanout: Fanout,
    /// Writes of subscriptions by this process.
    pub(super) writes: Changes,
    /// What the store counts, as it was seen last.
    seen: Mutex<Generation>,
    /// How often that was another one than before.
    moves: AtomicU64,
    /// The generation that the fanout was read in.
    listed: Mutex<Option<Generation>>,
}

impl View {
    /// Nothing was seen yet.
    pub(super) fn new(fanout: Fanout) -> Self {
        let (seen, listed) = (Mutex::default(), Mutex::default());
        Self { fanout, writes: Changes::default(), seen, moves: AtomicU64::new(0), listed }
    }

    /// Counts up whenever settings were seen to have moved.
    pub(super) fn generation(&self) -> u64 {
        self.moves.load(Ordering::Acquire)
    }

    /// Nobody can say whether they moved: what was read until now has to be read again.
    pub(super) fn lost(&self) {
        self.moves.fetch_add(1, Ordering::AcqRel);
    }

    /// The store counts this.
    pub(super) fn saw(&self, generation: &Generation) {
        let mut seen = self.seen.lock();
        if *seen != *generation {
            seen.clone_from(generation);
            self.moves.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// Changes the fanout after a write of our own, in turn with what is read.
    pub(super) fn tell(&self, change: impl FnOnce(&Fanout)) {
        let _turn = self.listed.lock();
        change(&self.fanout);
    }

    /// Looks whether anything moved, and reads who is interested where it did.
    pub(super) async fn look(&self, link: &Link) -> Result<(), StoreError> {
        let call = Call::new(&GENERATION, Place::Settings).key(Kind::Generation, b"");
        let generation: Generation = read(link.run(call).await?)?;
        self.saw(&generation);
        if *self.listed.lock() == Some(generation) {
            return Ok(());
        }
        let rest = self.writes.rest();
        let call = Call::new(&SUBSCRIPTIONS, Place::Settings);
        let call = call.key(Kind::Generation, b"").key(Kind::Subscriptions, b"");
        let (generation, rows): (Generation, Vec<Vec<u8>>) = read(link.run(call).await?)?;
        let subscriptions: Vec<Subscription> = rows.iter().map(|row| from_json(row)).collect::<Result<_, _>>()?;
        let mut listed = self.listed.lock();
        // What a write of ours has changed meanwhile is not in it for certain: the next look reads again.
        if self.writes.none_since(rest) {
            self.fanout.replace(&subscriptions);
            *listed = Some(generation);
        }
        Ok(())
    }

    /// Looks again and again, for as long as somebody holds the store.
    pub(super) async fn watch(view: std::sync::Weak<Self>, link: Arc<Link>) {
        let link = Arc::downgrade(&link);
        loop {
            tokio::time::sleep(EVERY).await;
            let (Some(view), Some(link)) = (view.upgrade(), link.upgrade()) else { return };
            // Refused now, asked again at once: what was seen last stays.
            let _refused = view.look(&link).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_beside_a_change_is_not_what_stands_after_it() {
        let changes = Changes::default();
        let rest = changes.rest();
        assert!(changes.none_since(rest));
        let change = changes.begin();
        assert!(!changes.none_since(rest) && changes.rest().is_none());
        let during = changes.rest();
        drop(change);
        assert!(!changes.none_since(rest) && !changes.none_since(during));
        assert!(changes.none_since(changes.rest()));
    }
}
