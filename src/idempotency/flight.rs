//! The calls that are on their way, one a key: a duplicate waits until the first has landed, whatever became of it.
//!
//! Only this process' calls are here. What a second process, or a call whose caller went away, does at the same time is
//! found out inside the change itself.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::idempotency::ReplayKey;

/// Nothing is ever sent: the receivers learn that the sender is gone.
type Landing = watch::Receiver<()>;
type Table = Mutex<HashMap<ReplayKey, Landing>>;

/// The table of flights. Clones share it.
#[derive(Clone, Default)]
pub struct Flights {
    table: Arc<Table>,
}

/// What a call finds under its key.
pub enum Boarding {
    /// Nobody: the call goes on, and holds this for as long as it does.
    First(Flight),
    /// Another one: this ends when that one has landed.
    Taken(Waiting),
    /// As many flights as there may be.
    Full,
}

/// A call on its way. Dropping it lets those who wait go on.
pub struct Flight {
    key: ReplayKey,
    table: Arc<Table>,
    _landing: watch::Sender<()>,
}

/// Waits for another call.
pub struct Waiting(Landing);

impl Waiting {
    /// Ends when the other call has landed.
    pub async fn landed(mut self) {
        // An error is what is waited for: the sender went.
        while self.0.changed().await.is_ok() {}
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        // Before the sender goes, so that whoever wakes finds the place free.
        self.table.lock().remove(&self.key);
    }
}

impl Flights {
    /// The calls that may be on their way at once, about 100 bytes each.
    pub const LIMIT: usize = 16_384;

    /// Takes the place of `key`, or says who has it.
    #[must_use]
    pub fn board(&self, key: ReplayKey) -> Boarding {
        let mut table = self.table.lock();
        let full = table.len() >= Self::LIMIT;
        match table.entry(key) {
            Entry::Occupied(taken) => Boarding::Taken(Waiting(taken.get().clone())),
            Entry::Vacant(_) if full => Boarding::Full,
            Entry::Vacant(free) => {
                let (landing, waiting) = watch::channel(());
                free.insert(waiting);
                Boarding::First(Flight { key, table: Arc::clone(&self.table), _landing: landing })
            }
        }
    }

    /// The calls on their way.
    #[must_use]
    pub fn count(&self) -> usize {
        self.table.lock().len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn key(number: u64) -> ReplayKey {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        ReplayKey::from_bytes(bytes)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn one_at_a_time_and_everybody_gets_there() {
        let flights = Flights::default();
        let (flying, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let calls = (0..200).map(|call| {
            let (flights, flying, done) = (flights.clone(), Arc::clone(&flying), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    match flights.board(key(1)) {
                        Boarding::First(_flight) => {
                            assert_eq!(flying.fetch_add(1, Ordering::SeqCst), 0);
                            if call % 3 == 0 {
                                tokio::task::yield_now().await;
                            }
                            flying.fetch_sub(1, Ordering::SeqCst);
                            done.fetch_add(1, Ordering::SeqCst);
                            return;
                        }
                        Boarding::Taken(other) => other.landed().await,
                        Boarding::Full => panic!("200 are not too many"),
                    }
                }
            })
        });
        for call in calls.collect::<Vec<_>>() {
            call.await.unwrap();
        }
        assert_eq!((done.load(Ordering::SeqCst), flights.count()), (200, 0));
    }

    #[tokio::test]
    async fn a_flight_that_is_given_up_lets_the_next_one_go() {
        let flights = Flights::default();
        let Boarding::First(first) = flights.board(key(1)) else { panic!("the table is empty") };
        let Boarding::Taken(waiting) = flights.board(key(1)) else { panic!("the place is taken") };
        let gone = tokio::spawn(async move {
            let _first = first;
            std::future::pending::<()>().await;
        });
        gone.abort();
        waiting.landed().await;
        assert!(matches!(flights.board(key(1)), Boarding::First(_)));
    }

    #[test]
    fn the_table_is_bounded() {
        let flights = Flights::default();
        let all = (0..).map_while(|number| match flights.board(key(number)) {
            Boarding::First(flight) => Some(flight),
            _ => None,
        });
        let mut all: Vec<_> = all.take(Flights::LIMIT + 1).collect();
        assert_eq!((all.len(), flights.count()), (Flights::LIMIT, Flights::LIMIT));
        assert!(matches!(flights.board(key(0)), Boarding::Taken(_)), "a duplicate may wait all the same");
        all.pop();
        assert!(matches!(flights.board(key(u64::MAX)), Boarding::First(_)));
    }
}
