//! The exact quota.

mod policy;

pub use policy::{Allowance, Policy, PolicyError};
