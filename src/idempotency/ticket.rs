//! The ticket of a call that is to be done once: it travels with the request to the domain, which keeps the answer in the
//! commit of the change, or finds that the call was answered before and says so here.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use crate::idempotency::{Answer, CallKey};

/// A future that the port returns.
pub type Later<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a call with a ticket ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was done, and its answer is durable.
    Kept,
    /// It was done before; this is what was answered.
    Replayed(Answer),
    /// Another request has its key.
    Reused,
}

/// A call that is to be done once.
#[derive(Debug)]
pub struct Ticket {
    /// What it is known by.
    pub call: CallKey,
    settled: OnceLock<Settled>,
}

impl Ticket {
    /// A ticket that nothing is known of.
    #[must_use]
    pub const fn new(call: CallKey) -> Self {
        Self { call, settled: OnceLock::new() }
    }

    /// Notes how the call ended. Only the first word counts.
    pub fn settle(&self, settled: Settled) {
        let _known = self.settled.set(settled);
    }

    /// How the call ended; none while that is open, and when nothing was kept.
    #[must_use]
    pub fn settled(&self) -> Option<&Settled> {
        self.settled.get()
    }
}

/// What a surface hands over with a command: the ticket, and how it words the answer that will be kept.
pub struct Keep<T> {
    /// The ticket.
    pub ticket: Arc<Ticket>,
    /// Words the outcome. Runs inside the change, so it may run more than once.
    pub render: Arc<dyn Fn(&T) -> Answer + Send + Sync>,
}

impl<T> Clone for Keep<T> {
    fn clone(&self) -> Self {
        Self { ticket: Arc::clone(&self.ticket), render: Arc::clone(&self.render) }
    }
}

/// What was kept under a call's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing that holds: the call may run.
    Nothing,
    /// Its answer.
    Answer(Answer),
    /// The answer to another request.
    Reused,
}

/// What is kept cannot be asked for or written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the answers that are kept cannot be reached")]
pub struct Unavailable;

/// Where answers are kept.
pub trait Answers: Send + Sync + 'static {
    /// What is kept under the call's key, as far as it holds now.
    fn find<'a>(&'a self, call: &'a CallKey) -> Later<'a, Result<Found, Unavailable>>;

    /// Ends a call that no change tells of: keeps its answer, if that is to be kept and can be, and settles the ticket. It may
    /// find that the call was answered before.
    ///
    /// An answer that cannot be kept is given all the same: nothing was done, and to do nothing again does no harm.
    ///
    /// # Errors
    /// [`Unavailable`]: whether the call was answered before is not known.
    fn end<'a>(&'a self, ticket: &'a Ticket, answer: Option<Answer>) -> Later<'a, Result<(), Unavailable>>;
}
