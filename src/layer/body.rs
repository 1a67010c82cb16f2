//! Reads a body whole, within its bound. Whoever needs the bytes of a request comes here, a layer or a handler.

use axum::body::Body;
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use crate::layer::limits::BODY_BYTES;
use crate::layer::refusal::Refusal;
use crate::server::BodyTimeout;

/// The bytes of `body`, at most [`BODY_BYTES`].
///
/// # Errors
/// The refusal that its sender is to be told.
pub async fn read(body: Body) -> Result<Bytes, Refusal> {
    read_up_to(body, BODY_BYTES).await
}

/// The bytes of `body`, at most `limit`, for a path whose bodies are larger.
///
/// # Errors
/// The refusal that its sender is to be told.
pub async fn read_up_to(body: Body, limit: usize) -> Result<Bytes, Refusal> {
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(Refusal::BodyTooLarge(limit)),
        Err(error) if BodyTimeout::caused(&*error) => Err(Refusal::BodyTooSlow),
        Err(_) => Err(Refusal::BodyUnreadable),
    }
}
