//! An answer as it is replayed: status, media type, body. Whoever words answers makes it; nobody else looks inside.

use std::borrow::Cow;

use bytes::Bytes;

/// An answer.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// The media type of the body; empty when there is none. At most 255 bytes.
    pub media_type: Cow<'static, str>,
    /// The body.
    pub body: Bytes,
}

/// The bytes are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bytes are no answer")]
pub struct MalformedAnswer;

impl std::fmt::Debug for Answer {
    /// Without the body, which may hold a number.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Answer {
    /// The largest body that is kept, in bytes. A refusal that names thousands of faults is larger; to run its call again
    /// does no harm.
    pub const KEPT_BYTES: usize = 16 * 1_024;

    /// The answer as bytes: status (2), length of the media type (1), media type, body.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let media_type = self.media_type.as_bytes();
        let (length, media_type) = u8::try_from(media_type.len()).map_or((0, &[][..]), |length| (length, media_type));
        let mut bytes = Vec::with_capacity(3 + media_type.len() + self.body.len());
        bytes.extend(self.status.to_be_bytes());
        bytes.push(length);
        bytes.extend(media_type);
        bytes.extend(&self.body);
        bytes
    }

    /// What [`Answer::to_bytes`] gave.
    ///
    /// # Errors
    /// [`MalformedAnswer`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MalformedAnswer> {
        let ([first, second, length], rest) = bytes.split_first_chunk::<3>().ok_or(MalformedAnswer)?;
        let (media_type, body) = rest.split_at_checked(usize::from(*length)).ok_or(MalformedAnswer)?;
        let media_type = std::str::from_utf8(media_type).map_err(|_| MalformedAnswer)?;
        Ok(Self {
            status: u16::from_be_bytes([*first, *second]),
            media_type: media_type.to_owned().into(),
            body: Bytes::copy_from_slice(body),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bytes_and_back(status: u16, media_type in "[a-z/+]{0,255}", body: Vec<u8>) {
            let answer = Answer { status, media_type: media_type.into(), body: body.into() };
            prop_assert_eq!(Answer::from_bytes(&answer.to_bytes()), Ok(answer));
        }

        #[test]
        fn whatever_the_bytes_nothing_breaks(bytes: Vec<u8>) {
            if let Ok(answer) = Answer::from_bytes(&bytes) {
                prop_assert_eq!(answer.to_bytes(), bytes);
            } else {
                prop_assert!(bytes.len() < 3 + 255 + 1 || std::str::from_utf8(&bytes[3..3 + usize::from(bytes[2])]).is_err());
            }
        }
    }
}
