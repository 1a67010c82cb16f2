//! How the documents describe what makes a call be done once.

use utoipa::IntoParams;

/// The header of the operations that are done once. It is read by the layer, before a handler runs.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
pub(super) struct OnceHeader {
    /// A key of your own: however often the same call comes with it within 24 hours, it is done once.
    #[param(
        rename = "Idempotency-Key",
        nullable = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[!-~]+$",
        example = "order-4711"
    )]
    idempotency_key: Option<String>,
}
