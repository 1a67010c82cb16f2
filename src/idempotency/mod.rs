//! Which calls are the same call, and what becomes of the second one: keys, answers, flights, and the port to what is kept.
//!
//! A call names itself by the header `Idempotency-Key`, or the platform names it by its run and operation. The layer asks
//! for the answer before the call runs, the domain keeps it in the commit of the change it tells of. Knows neither HTTP
//! nor what an OTP is.

mod answer;
mod flight;
mod key;
mod ticket;

pub use answer::{Answer, MalformedAnswer};
pub use flight::{Boarding, Flight, Flights};
pub use key::{CallKey, Fingerprint, IdempotencyKey, MalformedKey, Name, Operation, ReplayKey, Request};
pub use ticket::{Answers, Found, Keep, Later, Settled, Ticket, Unavailable};
