//! The exact quota.
