//! What an HTTP/2 peer sends besides requests, counted on the frames as they pass; knows nothing of their contents.
//!
//! h2 limits streams, resets and the size of header blocks. It does not limit frames that ask for nothing: PING and
//! SETTINGS, each of which has to be acknowledged, PRIORITY, empty DATA, frames of unknown type (CVE-2019-9512, -9513,
//! -9515, -9518). Nor does it care how long a header block takes to arrive. Here the first have an allowance that
//! grows with time, far above what clients send to measure round trips, and the second shows as a position.

use std::time::Duration;

use tokio::time::Instant;

use super::framing::Position;

/// Idle frames that may come at once, and how long it takes for one more to be allowed.
const ALLOWANCE: u32 = 100;
const REFILL: Duration = Duration::from_millis(100);

/// The length of the client's preface, which comes before its frames.
const PREFACE: u32 = 24;

// RFC 9113 section 6.
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const ACK_OR_END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// The reader of frame boundaries on one connection.
#[derive(Debug)]
pub(super) struct Frames {
    /// Bytes of the payload under way that are still to come.
    payload: u32,
    head: [u8; 9],
    filled: usize,
    /// Whether the payload under way, or a frame to come, belongs to a header block that is not complete.
    in_headers: bool,
    headers_end: bool,
    /// Whether the frame under way was not allowed.
    overdrawn: bool,
    allowance: u32,
    refilled: Option<Instant>,
}

impl Frames {
    pub(super) const fn new() -> Self {
        Self {
            payload: PREFACE,
            head: [0; 9],
            filled: 0,
            in_headers: false,
            headers_end: false,
            overdrawn: false,
            allowance: ALLOWANCE,
            refilled: None,
        }
    }

    pub(super) const fn position(&self) -> Position {
        if self.in_headers { Position::Head } else { Position::Boundary }
    }

    /// Follows `bytes`, the next ones of the stream.
    ///
    /// # Errors
    /// When the allowance is overdrawn: how many of the bytes may pass, up to the end of the frame that did it.
    pub(super) fn scan(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.payload > 0 {
                let taken = usize::try_from(self.payload).map_or(rest.len(), |payload| payload.min(rest.len()));
                self.payload = self.payload.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX));
                rest = rest.split_at(taken).1;
            } else {
                let (piece, behind) = rest.split_at((self.head.len() - self.filled).min(rest.len()));
                for (slot, byte) in self.head.iter_mut().skip(self.filled).zip(piece) {
                    *slot = *byte;
                }
                self.filled += piece.len();
                rest = behind;
                if self.filled < self.head.len() {
                    break;
                }
                self.filled = 0;
                self.begin_frame();
            }
            if self.payload == 0 {
                if self.overdrawn {
                    return Err(bytes.len() - rest.len());
                }
                self.in_headers &= !self.headers_end;
            }
        }
        Ok(())
    }

    /// Begins the frame whose head is complete.
    fn begin_frame(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.payload = u32::from_be_bytes([0, high, middle, low]);
        let idle = match kind {
            HEADERS | CONTINUATION => {
                self.in_headers = true;
                self.headers_end = flags & END_HEADERS != 0;
                false
            }
            DATA => self.payload == 0 && flags & ACK_OR_END_STREAM == 0,
            SETTINGS | PING => flags & ACK_OR_END_STREAM == 0,
            RST_STREAM | GOAWAY | WINDOW_UPDATE => false,
            _ => true,
        };
        self.overdrawn = idle && !self.allow();
    }

    fn allow(&mut self) -> bool {
        let now = Instant::now();
        let since = *self.refilled.get_or_insert(now);
        let grown = (now - since).as_millis() / REFILL.as_millis();
        if let Ok(grown) = u32::try_from(grown)
            && grown > 0
        {
            self.allowance = self.allowance.saturating_add(grown).min(ALLOWANCE);
            self.refilled = Some(now);
        }
        let allowed = self.allowance > 0;
        self.allowance = self.allowance.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        [&length[1..], &[kind, flags, 0, 0, 0, 1], vec![0; payload].as_slice()].concat()
    }

    fn begun() -> Frames {
        let mut frames = Frames::new();
        frames.scan(&[0; PREFACE as usize]).unwrap();
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn idle_frames_have_an_allowance_that_grows() {
        for idle in [frame(PING, 0, 8), frame(SETTINGS, 0, 6), frame(2, 0, 5), frame(DATA, 0, 0), frame(77, 0, 3)] {
            for step in [1, 5, 1000] {
                let mut frames = begun();
                let mut send =
                    |count: usize| idle.repeat(count).chunks(step).map(|piece| frames.scan(piece)).find(Result::is_err);
                assert_eq!(send(100), None);
                tokio::time::advance(REFILL * 3).await;
                assert_eq!(send(3), None);
                assert!(send(1).is_some());
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn busy_frames_are_free() {
        for busy in [
            frame(DATA, 0, 1),
            frame(DATA, 1, 0),
            frame(HEADERS, END_HEADERS, 10),
            frame(PING, 1, 8),
            frame(SETTINGS, 1, 0),
            frame(WINDOW_UPDATE, 0, 4),
            frame(RST_STREAM, 0, 4),
        ] {
            assert_eq!(begun().scan(&busy.repeat(1000)), Ok(()));
        }
    }

    #[tokio::test]
    async fn knows_an_incomplete_header_block() {
        let block = [frame(HEADERS, 0, 10), frame(CONTINUATION, 0, 5), frame(CONTINUATION, END_HEADERS, 5)].concat();
        for step in 1..block.len() {
            let mut frames = begun();
            let mut seen = 0;
            for piece in block.chunks(step) {
                frames.scan(piece).unwrap();
                seen += piece.len();
                let expected = if (9..block.len()).contains(&seen) { Position::Head } else { Position::Boundary };
                assert_eq!(frames.position(), expected, "{seen} by {step}");
            }
        }
        let mut frames = begun();
        frames.scan(&frame(HEADERS, END_HEADERS, 0)).unwrap();
        assert_eq!(frames.position(), Position::Boundary);
    }
}
