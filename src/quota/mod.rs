//! The exact quota: at most so many admitted calls in any window of so many seconds, per connection.
//!
//! - `policy`: how many calls in how long, or no bound
//! - `decision`: what the quota answers
//! - `window`: the rule, as a pure function of a log of calls and the present
//! - `ring`: the logs, two bytes a call
//! - `saved`: a log as bytes, from a drain to the next start
//! - `shard`, `table`: every connection's log, in one process
//! - `port`: what the gateway asks of a quota, here or in a shared store
//! - `local`: that, answered by the table
//! - `charge`: a call that is still to be counted, by whoever changes something for it
//!
//! Nothing here knows HTTP, SQL or what a call does. The wire's words (`Retry-After`, `RateLimit`) are written by
//! the layer, from a [`Decision`].

pub mod charge;
mod decision;
mod local;
mod policy;
mod port;
mod ring;
mod saved;
mod shard;
mod table;
mod window;

pub use decision::{Decision, Standing};
pub use local::LocalQuota;
pub use policy::{Allowance, Policy, PolicyError};
pub use port::{Answer, Pending, Quota, RingStore, Unavailable};
pub use saved::{ConnectionKey, SavedRing, SavedRingError};
pub use table::{Loaded, Table};
