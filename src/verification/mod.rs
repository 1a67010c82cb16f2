//! Verifications: one asking of a person to prove a number, from its first message to its one outcome. Knows no HTTP and no
//! SQL; a code is sent and checked by the domain of OTPs, under all its limits.
//!
//! [`service`] shows and cancels them, [`opening`] opens them, [`page`] holds the steps of the person, [`view`] what is shown, [`outcome`] says how one ends, [`settler`]
//! sees to it over crashes, [`callback`] tells who waits for it, [`news`] tells subscribers. [`store`] is what they need from outside.

pub mod callback;
pub mod claim;
pub mod news;
pub mod opening;
pub mod outcome;
pub mod page;
pub mod record;
pub mod service;
pub mod settler;
pub mod store;
pub mod token;
pub mod view;

pub use crate::otp::id::VerificationId;
