//! A count that may be lifted: an integer, or `"none"`. For `#[serde(with)]`.

use serde::{Deserialize, Deserializer, Serializer, de::Error as _};

#[expect(clippy::ref_option, reason = "serde's with passes a reference")]
pub(super) fn serialize<S: Serializer>(limit: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
    match limit {
        Some(limit) => serializer.serialize_u32(*limit),
        None => serializer.serialize_str("none"),
    }
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Written {
        Count(u32),
        Word(String),
    }
    match Written::deserialize(deserializer)? {
        Written::Count(count) => Ok(Some(count)),
        Written::Word(word) if word == "none" => Ok(None),
        Written::Word(_) => Err(D::Error::custom("an integer, or \"none\"")),
    }
}
