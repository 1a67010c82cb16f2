//! What every store does with nonces that were spent.

use std::sync::Arc;
use std::time::Duration;

use otpgate::access::nonce::{NonceKey, NonceStore as _, Spent};
use otpgate::otp::store::StoreError;
use otpgate::store::sqlite::{Mode, SqliteStore};

use super::world::{Store, World};

const LASTS: Duration = Duration::from_secs(60);

fn key(world: &World, scope: &str, nonce: &str) -> NonceKey {
    NonceKey::of(&world.keyring, "test", scope.as_bytes(), nonce.as_bytes())
}

pub(crate) async fn a_nonce_is_spent_once<S: Store>(world: &World, store: &Arc<S>) {
    let (first, until) = (key(world, "a", "12345678"), world.now() + LASTS);
    assert_eq!(store.spend(first, until).await, Ok(Spent::Fresh));
    assert_eq!(store.spend(first, until).await, Ok(Spent::Seen));
    for other in [key(world, "a", "12345679"), key(world, "b", "12345678"), key(world, "a1", "2345678")] {
        assert_eq!(store.spend(other, until).await, Ok(Spent::Fresh), "of another scope, or another nonce");
    }
    let elsewhere = NonceKey::of(&world.keyring, "other", b"a", b"12345678");
    assert_eq!(store.spend(elsewhere, until).await, Ok(Spent::Fresh), "of another kind");
}

pub(crate) async fn of_many_who_spend_a_nonce_one_finds_it_fresh<S: Store>(world: &World, store: &Arc<S>) {
    for round in 0..5 {
        let (key, until) = (key(world, "a", &format!("round {round}")), world.now() + LASTS);
        let tasks: Vec<_> = (0..200)
            .map(|_| {
                let store = Arc::clone(store);
                tokio::spawn(async move { store.spend(key, until).await.unwrap() })
            })
            .collect();
        let mut fresh = 0;
        for task in tasks {
            fresh += u32::from(task.await.unwrap() == Spent::Fresh);
        }
        assert_eq!(fresh, 1);
    }
}

pub(crate) async fn nonces_are_dropped_when_they_are_over_step_by_step<S: Store>(world: &World, store: &Arc<S>) {
    let now = world.now();
    let of = |second: u64| key(world, "a", &format!("second {second}"));
    for second in 1..=5 {
        assert_eq!(store.spend(of(second), now + Duration::from_secs(second)).await, Ok(Spent::Fresh));
    }
    let at = |millis: u64| now + Duration::from_millis(millis);
    assert_eq!(store.drop_nonces(at(999), 10).await, Ok(0));
    assert_eq!(store.drop_nonces(at(3_000), 2).await, Ok(2));
    // The earliest went first; those that are left still refuse.
    assert_eq!(store.spend(of(3), at(9_000)).await, Ok(Spent::Seen));
    assert_eq!(store.spend(of(1), at(9_000)).await, Ok(Spent::Fresh));
    assert_eq!(store.drop_nonces(at(3_000), 10).await, Ok(1));
    assert_eq!(store.drop_nonces(at(3_000), 10).await, Ok(0));
    assert_eq!(store.spend(of(5), at(9_000)).await, Ok(Spent::Seen));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_forgets_no_nonce_and_a_full_disk_takes_none() {
    let dir = tempfile::tempdir().unwrap();
    let world = World::new();
    let mut options = world.options(dir.path(), Mode::Server);
    options.max_bytes = Some(400 * 1_024);
    let store = SqliteStore::open(options).unwrap();
    let world = world.with_keyring(store.keyring());
    let until = world.now() + LASTS;
    let mut spent = 0;
    let refused = loop {
        match store.spend(key(&world, "a", &spent.to_string()), until).await {
            Ok(found) => assert_eq!(found, Spent::Fresh),
            Err(refusal) => break refusal,
        }
        spent += 1;
        assert!(spent < 100_000, "the bound holds");
    };
    assert_eq!(refused, StoreError::Full);
    drop(store);

    let store = world.sqlite(dir.path());
    for known in [0, spent - 1] {
        assert_eq!(store.spend(key(&world, "a", &known.to_string()), until).await, Ok(Spent::Seen));
    }
    assert_eq!(store.spend(key(&world, "a", &spent.to_string()), until).await, Ok(Spent::Fresh), "it was refused");
}
