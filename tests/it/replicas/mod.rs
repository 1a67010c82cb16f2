//! Many replicas of the built binary on one Redis, as their callers see them: nothing is admitted, verified or sent twice,
//! whatever becomes of the replicas, of the store, and of what lies between.

mod bad_input;
mod cluster;
mod counted;
mod emptied;
mod failover;
mod hung_up;
mod messages;
mod once;
mod put_back;
mod quota;
mod rolling;
mod sentinels;
mod tls;
mod trouble;
mod turns;
mod verifications;
