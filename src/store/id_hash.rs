//! A hash for maps whose keys are ids and keyed hashes: nobody but the store chooses those, and they are random where it counts.

use std::hash::{BuildHasherDefault, Hasher};

/// Builds [`IdHasher`]s.
pub(super) type IdHash = BuildHasherDefault<IdHasher>;

/// Folds every bit of a key into every bit of the hash.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
            // Both halves of the product, folded: every bit of an id reaches every bit of the hash.
            let (low, high) = (self.0 ^ u64::from_le_bytes(word)).carrying_mul(0x9e37_79b9_7f4a_7c15, 0);
            self.0 = low ^ high;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher as _, BuildHasherDefault};

    use super::*;
    use crate::otp::id::OtpId;

    #[test]
    fn ids_that_differ_in_one_bit_differ_in_their_hash() {
        let ids: HashSet<_> = (0..128)
            .map(|bit| {
                let mut bytes = [7; 16];
                bytes[bit / 8] ^= 1 << (bit % 8);
                OtpId::from_bytes(bytes)
            })
            .collect();
        let hashes: HashSet<_> = ids.iter().map(|id| BuildHasherDefault::<IdHasher>::default().hash_one(id)).collect();
        assert!(ids.len() > 100);
        assert_eq!(hashes.len(), ids.len());
    }
}
