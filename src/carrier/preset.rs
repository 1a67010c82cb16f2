//! The carriers that are described already, each in the words that an operator describes his own in.

use crate::carrier::description::Description;

/// Name and description.
const PRESETS: [(&str, &str); 6] = [
    ("infobip", include_str!("presets/infobip.toml")),
    ("twilio", include_str!("presets/twilio.toml")),
    ("tyntec", include_str!("presets/tyntec.toml")),
    ("unimatrix", include_str!("presets/unimatrix.toml")),
    ("vonage", include_str!("presets/vonage.toml")),
    ("webhook", include_str!("presets/webhook.toml")),
];

/// Their names.
#[must_use]
pub fn names() -> Vec<&'static str> {
    PRESETS.iter().map(|(name, _)| *name).collect()
}

/// The description of this name.
#[must_use]
pub fn find(name: &str) -> Option<Description> {
    let (_, text) = PRESETS.iter().find(|(known, _)| *known == name)?;
    // Each is read by a test.
    toml::from_str(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_reads() {
        for (name, text) in PRESETS {
            let read = toml::from_str::<Description>(text);
            assert!(read.is_ok(), "{name}: {}", read.unwrap_err());
            assert_eq!(find(name), read.ok());
        }
        assert!(find("carrier pigeon").is_none());
        assert!(names().is_sorted());
    }
}
