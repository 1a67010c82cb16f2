//! What a script answered, as a type: an answer of another form than its script gives is an error, and never a guess.

use redis::{FromRedisValue, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::otp::store::StoreError;

/// The answer as a `T`.
///
/// # Errors
/// [`StoreError::Unavailable`]: whoever answered so is no store of ours.
pub(super) fn read<T: FromRedisValue>(value: Value) -> Result<T, StoreError> {
    T::from_redis_value(value).map_err(|error| unreadable(&error))
}

/// A record from the JSON that it is kept as.
///
/// # Errors
/// [`StoreError::Unavailable`]: it cannot be read.
pub(super) fn from_json<T: DeserializeOwned>(json: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(json).map_err(|error| unreadable(&error.classify()))
}

/// A record as JSON.
///
/// # Errors
/// Those of its own `Serialize`.
pub(super) fn to_json<T: Serialize>(record: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(record).map_err(|error| unreadable(&error.classify()))
}

/// Nothing of what was read goes into the log: it may be secret.
fn unreadable(error: &dyn std::fmt::Debug) -> StoreError {
    tracing::error!(?error, "an answer of the store cannot be read");
    StoreError::Unavailable
}
