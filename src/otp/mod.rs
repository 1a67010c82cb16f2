//! The domain: one-time passwords, from send to verdict. Knows no HTTP, no SQL, no Redis.
//!
//! [`service`] is the way in; [`machine`] holds the rules; [`store`] is what it needs from outside.

pub mod answer;
pub mod application;
pub mod autofill;
mod beside;
mod by_purpose;
pub mod catalogue;
pub mod channel;
pub mod code;
pub mod command;
pub mod context;
pub mod country;
pub mod deliveries;
pub mod event;
pub mod fates;
pub mod housekeeping;
pub mod id;
pub mod language;
pub mod life;
pub mod machine;
pub mod news;
mod once;
pub mod outbox;
pub mod page;
pub mod phone;
pub mod placeholder;
pub mod policy;
pub mod purpose;
pub mod record;
mod resend;
pub mod segment;
pub mod service;
pub mod store;
pub mod template;
pub mod templates;
pub mod wording;
