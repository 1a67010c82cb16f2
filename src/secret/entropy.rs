//! Random bytes: where every code, key and identifier comes from. Must not know what they become.

use rand::TryRng as _;

/// Where random bytes come from. Every code, key and identifier is drawn through it.
pub trait Entropy: Send + Sync + 'static {
    /// Fills `bytes` with unpredictable bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// The operating system's generator, by `rand`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    /// # Panics
    /// When the kernel gives no random bytes: no code may be made then.
    fn fill(&self, bytes: &mut [u8]) {
        #[expect(clippy::expect_used, reason = "without the system generator nothing here is safe to do")]
        rand::rngs::SysRng.try_fill_bytes(bytes).expect("the system's random generator answers");
    }
}

/// Lets a [`rand`] distribution draw from an [`Entropy`].
pub struct EntropyRng<'a>(pub &'a dyn Entropy);

impl rand::TryRng for EntropyRng<'_> {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        self.0.fill(bytes);
        Ok(())
    }
}

impl rand::TryCryptoRng for EntropyRng<'_> {}
