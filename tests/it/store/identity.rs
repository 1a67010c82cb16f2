//! What every store does with pairs of keys, tried puzzles and sessions.

use std::sync::Arc;
use std::time::Duration;

use otpgate::access::connection::ConnectionId;
use otpgate::identity::store::{Attempt, KeptSession, SESSIONS_PER_NUMBER};
use otpgate::secret::{Entropy as _, Sealed, SystemEntropy};

use super::world::{Store, World, e164};

const LIFE: Duration = Duration::from_secs(300);

pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemEntropy.fill(&mut bytes);
    bytes
}

pub(crate) fn session(world: &World, number: u32, life: Duration) -> KeptSession {
    let key = random();
    let body = world.keyring.seal(&key, b"body");
    KeptSession { key, number: world.key(number), expires: world.now() + life, body }
}

pub(crate) async fn the_first_pair_stays<S: Store>(world: &World, store: &Arc<S>) {
    let (one, other) = (ConnectionId::generate(&SystemEntropy), ConnectionId::generate(&SystemEntropy));
    assert_eq!(store.pair(one).await.unwrap(), None);
    let racers = (0..16_u8).map(|racer| {
        let (store, sealed) = (Arc::clone(store), world.keyring.seal(b"pair", &[racer]));
        tokio::spawn(async move { store.put_pair(one, sealed).await.unwrap() })
    });
    let mut kept: Vec<Sealed> = Vec::new();
    for racer in racers.collect::<Vec<_>>() {
        kept.push(racer.await.unwrap());
    }
    assert!(kept.iter().all(|sealed| *sealed == kept[0]), "every racer got the same");
    assert_eq!(store.pair(one).await.unwrap().as_ref(), kept.first());
    assert_eq!(store.pair(other).await.unwrap(), None);
}

pub(crate) async fn a_puzzle_is_tried_and_spent_once<S: Store>(world: &World, store: &Arc<S>) {
    let (solved, wrong, sender) = (random(), random(), [7; 32]);
    let attempt = |id, solved_for| Attempt { id, solved_for, expires: world.now() + LIFE };
    assert!(!store.spend_captcha(solved, sender).await.unwrap(), "nobody tried it");
    let tries = (0..16).map(|_| {
        let (store, attempt) = (Arc::clone(store), attempt(solved, Some(sender)));
        tokio::spawn(async move { store.try_captcha(attempt).await.unwrap() })
    });
    let mut first = 0;
    for one in tries.collect::<Vec<_>>() {
        first += usize::from(one.await.unwrap());
    }
    assert_eq!(first, 1);
    assert!(store.try_captcha(attempt(wrong, None)).await.unwrap());
    assert!(!store.try_captcha(attempt(wrong, Some(sender))).await.unwrap(), "the only try was wrong");
    assert!(!store.spend_captcha(wrong, sender).await.unwrap());
    assert!(!store.spend_captcha(solved, [8; 32]).await.unwrap(), "another's");
    let spends = (0..16).map(|_| {
        let store = Arc::clone(store);
        tokio::spawn(async move { store.spend_captcha(solved, sender).await.unwrap() })
    });
    let mut spent = 0;
    for one in spends.collect::<Vec<_>>() {
        spent += usize::from(one.await.unwrap());
    }
    assert_eq!(spent, 1);
    // Spent is not forgotten: it cannot be tried again either, until it is over.
    store.prune_identity(world.now()).await.unwrap();
    assert!(!store.try_captcha(attempt(solved, Some(sender))).await.unwrap());
    store.prune_identity(world.now() + LIFE).await.unwrap();
    assert!(store.try_captcha(attempt(solved, Some(sender))).await.unwrap(), "it is gone from the store");
}

pub(crate) async fn a_session_lives_until_it_ends<S: Store>(world: &World, store: &Arc<S>) {
    let kept = session(world, 1, LIFE);
    assert_eq!(store.session(kept.key, world.now()).await.unwrap(), None);
    assert!(store.open_session(kept.clone(), None, world.now()).await.unwrap());
    assert_eq!(store.session(kept.key, world.now()).await.unwrap().as_ref(), Some(&kept));
    let last = (world.now() + LIFE).minus(Duration::from_millis(1));
    assert!(store.session(kept.key, last).await.unwrap().is_some());
    assert_eq!(store.session(kept.key, kept.expires).await.unwrap(), None, "over, though it was not swept");
    assert!(!store.end_session(kept.key, kept.expires).await.unwrap());
    let again = session(world, 1, LIFE);
    store.open_session(again.clone(), None, world.now()).await.unwrap();
    assert!(store.end_session(again.key, world.now()).await.unwrap());
    assert!(!store.end_session(again.key, world.now()).await.unwrap());
    assert_eq!(store.session(again.key, world.now()).await.unwrap(), None);
}

pub(crate) async fn a_session_is_replaced_by_one<S: Store>(world: &World, store: &Arc<S>) {
    let old = session(world, 1, LIFE);
    store.open_session(old.clone(), None, world.now()).await.unwrap();
    let racers = (0..16).map(|_| {
        let (store, fresh, now, old) = (Arc::clone(store), session(world, 1, LIFE), world.now(), old.key);
        tokio::spawn(async move { (fresh.key, store.open_session(fresh, Some(old), now).await.unwrap()) })
    });
    let mut lives = 0;
    for racer in racers.collect::<Vec<_>>() {
        let (key, done) = racer.await.unwrap();
        assert_eq!(store.session(key, world.now()).await.unwrap().is_some(), done);
        lives += usize::from(done);
    }
    assert_eq!(lives, 1);
    assert_eq!(store.session(old.key, world.now()).await.unwrap(), None);
}

pub(crate) async fn a_number_has_so_many_sessions_and_no_more<S: Store>(world: &World, store: &Arc<S>) {
    let mut keys = Vec::new();
    for seconds in 0..SESSIONS_PER_NUMBER as u64 + 3 {
        let kept = session(world, 1, Duration::from_secs(100 + seconds));
        keys.push(kept.key);
        store.open_session(kept, None, world.now()).await.unwrap();
    }
    let other = session(world, 2, LIFE);
    store.open_session(other.clone(), None, world.now()).await.unwrap();
    for (index, key) in keys.iter().enumerate() {
        assert_eq!(store.session(*key, world.now()).await.unwrap().is_some(), index >= 3, "{index}");
    }
    store.prune_identity(world.now() + Duration::from_secs(104)).await.unwrap();
    let before = world.now();
    assert!(store.session(keys[4], before).await.unwrap().is_none(), "swept");
    assert!(store.session(keys[5], before).await.unwrap().is_some());
    store.erase(world.key(1)).await.unwrap();
    assert!(store.session(keys[5], before).await.unwrap().is_none(), "erased with its number");
    assert!(store.session(other.key, before).await.unwrap().is_some());
    assert!(store.purge(&e164(1)).await.unwrap());
}
