//! How a record lies in a store: MessagePack, its fields by their place, and a checksum behind it.
//!
//! A third of the size of JSON, so that a commit writes a third of the pages. A field is only ever added, at the end of
//! its struct and with `#[serde(default)]`: a shorter record of an older release then still reads. Must not know tables.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::store::checksum;

/// Room for an OTP and its first events.
const USUAL: usize = 256;

/// The bytes are no such record.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    /// A byte is another than what was written.
    #[error("its checksum is another")]
    Damaged,
    /// It was written as something else.
    #[error(transparent)]
    Foreign(#[from] rmp_serde::decode::Error),
}

/// The bytes of a record.
///
/// # Errors
/// Those of its own `Serialize`.
pub(super) fn pack<T: Serialize>(record: &T) -> Result<Vec<u8>, rmp_serde::encode::Error> {
    let mut bytes = Vec::with_capacity(USUAL);
    rmp_serde::encode::write(&mut bytes, record)?;
    checksum::append(&mut bytes);
    Ok(bytes)
}

/// The record that was packed.
///
/// # Errors
/// [`Unreadable`].
pub(super) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Unreadable> {
    let bytes = checksum::checked(bytes).ok_or(Unreadable::Damaged)?;
    Ok(rmp_serde::from_slice(bytes)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Serialize)]
    struct Older {
        name: String,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Newer {
        name: String,
        #[serde(default)]
        count: Option<u32>,
    }

    #[test]
    fn a_record_of_an_older_release_still_reads() {
        let bytes = pack(&Older { name: "a".to_owned() }).unwrap();
        assert_eq!(unpack::<Newer>(&bytes).unwrap(), Newer { name: "a".to_owned(), count: None });
    }

    #[test]
    fn a_damaged_record_is_told_from_a_foreign_one() {
        let mut bytes = pack(&7_u8).unwrap();
        assert!(matches!(unpack::<String>(&bytes), Err(Unreadable::Foreign(_))));
        bytes[0] ^= 1;
        assert!(matches!(unpack::<u8>(&bytes), Err(Unreadable::Damaged)));
        assert!(matches!(unpack::<u8>(b"short"), Err(Unreadable::Damaged)));
    }
}
