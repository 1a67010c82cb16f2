//! The whole gateway, as its callers see it.

mod bad_input;
mod canary;
mod concurrency;
mod context;
mod drain;
mod event_delivery;
mod events;
mod footprint;
mod idempotency;
mod idempotency_faults;
mod keys;
mod native;
mod oneaccess;
mod oneaccess_events;
mod page;
mod quota;
mod sandbox;
mod startup;
mod templates;
mod tls;
mod tyntec;
mod unimatrix;
mod unimatrix_access;
mod verification_events;
mod verifications;
mod webhooks;
