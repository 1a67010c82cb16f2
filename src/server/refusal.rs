//! What the server refuses of the requests whose heads it could read, or as much of them as says who is meant. Knows no
//! dialect: who words it is the service above, where it is told to.

use http::StatusCode;

use super::framing::Fault;
use super::settings::Limits;

/// Why the server refuses a request.
///
/// Where [`Settings::hands_refusals`](super::Settings::hands_refusals) says so, the service gets such a request, without a
/// body and with this in its extensions: it has to word this, and to do nothing else. Of the head there may be only a part.
/// On HTTP/1 the connection ends with that answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerRefusal {
    /// The target is longer than [`Limits::target_bytes`].
    #[error("the request target is too long")]
    TargetTooLong,
    /// The header section is larger than it may be.
    #[error("the header fields may be at most {fields} and have at most {bytes} bytes")]
    FieldsTooLarge {
        /// How many fields there may be.
        fields: usize,
        /// How many bytes they may have.
        bytes: usize,
    },
    /// A part of the head is not what it must be.
    #[error("{name} {detail}")]
    Malformed {
        /// Which.
        name: &'static str,
        /// What would be right, in words that follow the name.
        detail: &'static str,
    },
}

impl ServerRefusal {
    /// The status of the answer.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::FieldsTooLarge { .. } => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Malformed { .. } => StatusCode::BAD_REQUEST,
        }
    }

    /// Of more, or larger, fields than `limits` allow.
    pub(super) const fn fields(limits: &Limits) -> Self {
        Self::FieldsTooLarge { fields: limits.header_fields, bytes: limits.header_bytes }
    }

    /// Of a head that was cut because of `fault`.
    pub(super) const fn of_cut(fault: Option<Fault>, limits: &Limits) -> Self {
        match fault {
            Some(Fault::FieldsTooLarge) => Self::fields(limits),
            Some(Fault::Framing) => Self::Malformed {
                name: "head",
                detail: "must end each line with CRLF and give the body's length once: by one Content-Length in decimal \
                         digits, or by Transfer-Encoding: chunked",
            },
            // None: hyper found the end of a head where the framing did not, which nothing is known to bring about.
            Some(Fault::TargetTooLong) | None => Self::TargetTooLong,
        }
    }
}
