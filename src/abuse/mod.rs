//! What keeps an account's numbers and money safe: failure budgets, send limits, daily ceilings.
//!
//! Pure functions of a number's record and the time. Knows no code, no message, no storage.

mod number;
mod send_limit;

pub use number::{FAILURE_BUDGET, Holding, LOCK, NumberRecord, PURPOSES};
pub use send_limit::{CeilingPolicy, MalformedRate, Rate, SendLimits, SpendKey};
