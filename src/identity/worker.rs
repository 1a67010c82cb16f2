//! One thread for work that would hold up the threads that serve requests: it takes one piece after the other, a bounded
//! number may wait, and what comes beyond them is refused. So what such work may cost is one core, whatever is asked for.
//!
//! The thread starts with the first piece: a gateway that is never asked carries none. Must not know what the work is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Why a piece of work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotDone {
    /// Enough work waits already.
    #[error("too much work waits")]
    Busy,
    /// The work itself broke.
    #[error("the work ended without a result")]
    Broken,
}

type Work = Box<dyn FnOnce() + Send>;

/// A thread with a queue.
pub struct Worker {
    name: &'static str,
    room: usize,
    queue: Mutex<Option<SyncSender<Work>>>,
}

impl Worker {
    /// A thread of this name (at most 15 bytes of it show in `/proc`), for which at most `room` pieces wait.
    #[must_use]
    pub const fn new(name: &'static str, room: usize) -> Self {
        Self { name, room, queue: Mutex::new(None) }
    }

    /// Runs `work` on the thread and waits for what it gives. Where nobody waits any more when its turn comes, it is not run.
    ///
    /// # Errors
    /// [`NotDone`].
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, NotDone> {
        let (answer, outcome) = oneshot::channel();
        self.submit(Box::new(move || {
            if !answer.is_closed() {
                drop(answer.send(work()));
            }
        }))?;
        outcome.await.map_err(|_| NotDone::Broken)
    }

    fn submit(&self, work: Work) -> Result<(), NotDone> {
        let mut queue = self.queue.lock();
        let sender = match &*queue {
            Some(sender) => sender,
            None => queue.insert(self.start()?),
        };
        match sender.try_send(work) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_)) => Err(NotDone::Busy),
            Err(TrySendError::Disconnected(_)) => Err(NotDone::Broken),
        }
    }

    fn start(&self) -> Result<SyncSender<Work>, NotDone> {
        let (sender, queue) = sync_channel::<Work>(self.room);
        let thread = std::thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            while let Ok(work) = queue.recv() {
                // Whoever waits is told by the end of its channel; the next piece has nothing to do with it.
                if catch_unwind(AssertUnwindSafe(work)).is_err() {
                    tracing::error!("a piece of work panicked");
                }
            }
        });
        // The thread ends with the last sender.
        thread.map(|_detached| sender).map_err(|_| NotDone::Busy)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::mpsc::channel;

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_does_not_fit_into_the_queue_is_refused() {
        let worker = Arc::new(Worker::new("test", 1));
        let (go, gate) = channel::<()>();
        let (began, begun) = channel::<()>();
        let first = tokio::spawn({
            let worker = Arc::clone(&worker);
            async move {
                let work = move || {
                    began.send(()).unwrap();
                    gate.recv().unwrap();
                    std::thread::current().name().map(str::to_owned)
                };
                worker.run(work).await
            }
        });
        tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        // The thread is busy: one more waits, the next one is refused.
        let (done, waited) = oneshot::channel();
        assert_eq!(worker.submit(Box::new(|| done.send(()).unwrap())), Ok(()));
        assert_eq!(worker.run(|| 3).await, Err(NotDone::Busy));
        go.send(()).unwrap();
        assert_eq!(first.await.unwrap(), Ok(Some("test".to_owned())));
        // The queue is empty once the one that waited was run.
        assert_eq!(waited.await, Ok(()));
        assert_eq!(worker.run(|| 4).await, Ok(4));
    }

    #[tokio::test]
    async fn a_piece_that_breaks_takes_no_other_with_it() {
        let worker = Worker::new("test", 4);
        let broken = worker.run(|| panic!("on purpose")).await;
        assert_eq!(broken, Err::<(), _>(NotDone::Broken));
        assert_eq!(worker.run(|| 1).await, Ok(1));
    }
}
