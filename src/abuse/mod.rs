//! What keeps an account's numbers and money safe: failure budgets, send limits, daily ceilings.
//!
//! Pure functions of a number's record and the time. Which code holds for which purpose is kept there too, because every change of the
//! number reads it; what a code is, or a message, or a store, is not known here.

mod number;
mod send_limit;

pub use number::{FAILURE_BUDGET, Holding, LOCK, NumberRecord, PURPOSES};
pub use send_limit::{CeilingPolicy, MalformedRate, Rate, SendLimits, SpendKey};
