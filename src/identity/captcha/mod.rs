//! Slider puzzles: a person drags a piece into its hole before a message leaves.
//!
//! The token of a puzzle holds all that it is about, sealed: where the hole is, who asked, when it is over. So a puzzle that
//! nobody answers leaves nothing behind. The first try is kept durably, right or wrong, with whom it was solved for; so is
//! that it was spent. A puzzle is tried once, and what was solved serves once, for its sender, across restarts too.

pub mod draw;

use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;

use crate::access::connection::ConnectionId;
use crate::clock::{Clock, UnixMillis};
use crate::identity::captcha::draw::{Drawing, FIRST, LAST, draw};
use crate::identity::store::{Attempt, CaptchaId, IdentityStore};
use crate::identity::worker::{NotDone, Worker};
use crate::otp::store::StoreError;
use crate::secret::{Entropy, EntropyRng, Keyring, Purpose, Sealed, from_hex, to_hex};

/// From the moment a puzzle is posed to when its solution must have been spent.
pub const LIFE: Duration = Duration::from_secs(300);
/// Pixels that an answer may be off, either way. Of 221 places it takes 9: a blind guess is right in 4.1 % of all tries.
pub const TOLERANCE: f64 = 4.0;
/// Puzzles that wait to be drawn.
const ROOM: usize = 32;
/// What a token holds: id, position, connection, end.
const PLAIN: usize = 16 + 2 + 8 + 8;
/// Hexadecimal digits of a token: ring, nonce, what it holds, tag.
const TOKEN: usize = 2 * (1 + 12 + PLAIN + 16);
const CONTEXT: &[u8] = b"captcha";

/// A puzzle for a person.
pub struct Puzzle {
    /// Its id, which opens nothing.
    pub id: String,
    /// What it is answered with.
    pub token: String,
    /// What is shown.
    pub drawing: Drawing,
}

/// Why a puzzle does not help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CaptchaError {
    /// It is over.
    #[error("the puzzle is over")]
    Expired,
    /// It is none, was tried or spent before, is another's, or the answer is wrong.
    #[error("the puzzle is not solved")]
    Invalid,
    /// Too many are to be drawn.
    #[error("too many puzzles wait")]
    Busy,
    /// The store did not keep the try.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a token says.
#[derive(Clone, Copy)]
struct Posed {
    id: CaptchaId,
    position: u16,
    expires: UnixMillis,
}

/// Poses puzzles and judges answers.
pub struct Captchas {
    store: Arc<dyn IdentityStore>,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    painter: Worker,
}

impl Captchas {
    /// Tries are kept in `store`.
    #[must_use]
    pub const fn new(
        store: Arc<dyn IdentityStore>,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self { store, keyring, clock, entropy, painter: Worker::new("captchas", ROOM) }
    }

    /// A new puzzle.
    ///
    /// # Errors
    /// [`CaptchaError::Busy`].
    pub async fn pose(&self, connection: ConnectionId) -> Result<Puzzle, CaptchaError> {
        let (posed, token) = self.draft(connection);
        let entropy = Arc::clone(&self.entropy);
        match self.painter.run(move || draw(posed.position, &*entropy)).await {
            Ok(Ok(drawing)) => Ok(Puzzle { id: to_hex(&posed.id), token, drawing }),
            Ok(Err(_)) | Err(NotDone::Busy | NotDone::Broken) => Err(CaptchaError::Busy),
        }
    }

    fn draft(&self, connection: ConnectionId) -> (Posed, String) {
        let mut id = [0; 16];
        self.entropy.fill(&mut id);
        let position = EntropyRng(&*self.entropy).random_range(FIRST..=LAST);
        let posed = Posed { id, position, expires: self.clock.now() + LIFE };
        let mut plain = Vec::with_capacity(PLAIN);
        plain.extend_from_slice(&posed.id);
        plain.extend_from_slice(&posed.position.to_be_bytes());
        plain.extend_from_slice(&connection.get().to_be_bytes());
        plain.extend_from_slice(&posed.expires.0.to_be_bytes());
        (posed, to_hex(self.keyring.seal(CONTEXT, &plain).bytes()))
    }

    /// Judges the answer `x`, in pixels from the left, for `sender`. The only try: a second one is refused, right or wrong.
    ///
    /// # Errors
    /// [`CaptchaError`].
    pub async fn solve(&self, connection: ConnectionId, token: &str, x: f64, sender: &str) -> Result<(), CaptchaError> {
        let posed = self.open(connection, token)?;
        let solved = posed.is_at(x);
        let solved_for = solved.then(|| self.sender(sender));
        let attempt = Attempt { id: posed.id, solved_for, expires: posed.expires };
        let first = self.store.try_captcha(attempt).await?;
        if first && solved { Ok(()) } else { Err(CaptchaError::Invalid) }
    }

    /// Spends a puzzle that was solved, with this answer, for `sender`.
    ///
    /// # Errors
    /// [`CaptchaError`].
    pub async fn spend(&self, connection: ConnectionId, token: &str, x: f64, sender: &str) -> Result<(), CaptchaError> {
        let posed = self.open(connection, token)?;
        if posed.is_at(x) && self.store.spend_captcha(posed.id, self.sender(sender)).await? {
            Ok(())
        } else {
            Err(CaptchaError::Invalid)
        }
    }

    fn open(&self, connection: ConnectionId, token: &str) -> Result<Posed, CaptchaError> {
        let mut sealed = vec![0; TOKEN / 2];
        from_hex(token, &mut sealed).ok_or(CaptchaError::Invalid)?;
        let plain = self.keyring.open(CONTEXT, &Sealed::from_bytes(sealed)).map_err(|_| CaptchaError::Invalid)?;
        let (posed, owner) = parse(&plain).ok_or(CaptchaError::Invalid)?;
        if owner != connection.get() {
            return Err(CaptchaError::Invalid);
        }
        if self.clock.now() >= posed.expires {
            return Err(CaptchaError::Expired);
        }
        Ok(posed)
    }

    fn sender(&self, sender: &str) -> [u8; 32] {
        self.keyring.hash(Purpose::Identity, &[b"sender", sender.as_bytes()])
    }
}

fn parse(plain: &[u8]) -> Option<(Posed, u64)> {
    let (id, rest) = plain.split_first_chunk::<16>()?;
    let (position, rest) = rest.split_first_chunk::<2>()?;
    let (owner, rest) = rest.split_first_chunk::<8>()?;
    let expires = rest.first_chunk::<8>()?;
    let posed =
        Posed { id: *id, position: u16::from_be_bytes(*position), expires: UnixMillis(u64::from_be_bytes(*expires)) };
    Some((posed, u64::from_be_bytes(*owner)))
}

impl Posed {
    /// Not a number is nowhere.
    fn is_at(&self, x: f64) -> bool {
        (x - f64::from(self.position)).abs() <= TOLERANCE
    }
}
