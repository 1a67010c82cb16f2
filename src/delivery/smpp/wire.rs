//! SMPP on the wire: PDUs cut out of a stream by their length, their headers, their fields. Knows no session.
//!
//! What is sent is encoded by `rusmpp`. What comes in is read here, field by field and leniently: centres leave out a
//! terminator or put an accent into an address, and a receipt that cannot be read is a code whose fate is not known. A
//! body that cannot be read costs one PDU, not the link, because PDUs are cut by their length before they are read.

use std::io;

use bytes::{BufMut as _, BytesMut};
use rusmpp::encode::Length as _;
use rusmpp::encode::owned::Encode as _;
use rusmpp::{Command, CommandStatus, Pdu};
use tokio_util::codec::{Decoder as _, LengthDelimitedCodec};

/// Bytes of a PDU that are read; more closes the link. The standard's largest field, `message_payload`, has 64 KiB.
pub(super) const PDU_BYTES: usize = 64 * 1_024;
/// Bytes of a header (SMPP 3.4, section 3.2).
const HEADER_BYTES: usize = 16;

/// The commands that are told apart (section 5.1.2.1).
pub(super) mod command {
    pub(crate) const GENERIC_NACK: u32 = 0x8000_0000;
    pub(crate) const SUBMIT_SM_RESP: u32 = 0x8000_0004;
    pub(crate) const DELIVER_SM: u32 = 0x0000_0005;
    pub(crate) const UNBIND: u32 = 0x0000_0006;
    pub(crate) const UNBIND_RESP: u32 = 0x8000_0006;
    pub(crate) const ENQUIRE_LINK: u32 = 0x0000_0015;
    pub(crate) const ENQUIRE_LINK_RESP: u32 = 0x8000_0015;
    pub(crate) const ALERT_NOTIFICATION: u32 = 0x0000_0102;
    /// Set in the command of every answer.
    pub(crate) const ANSWER: u32 = 0x8000_0000;
}

/// A PDU that came in.
pub(super) struct Frame {
    /// What it is.
    pub(super) command: u32,
    /// How it went, in an answer.
    pub(super) status: u32,
    /// What it answers, or what its answer has to name.
    pub(super) sequence: u32,
    /// The rest, unread.
    pub(super) body: BytesMut,
}

/// Cuts PDUs out of a stream.
pub(super) struct Frames(LengthDelimitedCodec);

impl Frames {
    pub(super) fn new() -> Self {
        let mut builder = LengthDelimitedCodec::builder();
        // The length counts itself.
        Self(builder.max_frame_length(PDU_BYTES).length_adjustment(-4).num_skip(4).new_codec())
    }

    /// The next PDU in `bytes`; none where it is not there yet.
    ///
    /// # Errors
    /// Where the length is none that a PDU can have: nothing after it can be found any more.
    pub(super) fn next(&mut self, bytes: &mut BytesMut) -> io::Result<Option<Frame>> {
        let Some(mut body) = self.0.decode(bytes)? else { return Ok(None) };
        let head = (body.len() >= HEADER_BYTES - 4).then(|| body.split_to(HEADER_BYTES - 4));
        let mut reader = Reader(head.as_deref().unwrap_or_default());
        match (reader.u32(), reader.u32(), reader.u32()) {
            (Some(command), Some(status), Some(sequence)) => Ok(Some(Frame { command, status, sequence, body })),
            _ => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

/// Appends a PDU.
pub(super) fn put(bytes: &mut BytesMut, status: u32, sequence: u32, pdu: impl Into<Pdu>) {
    let command = Command::new(CommandStatus::from(status), sequence, pdu);
    let length = command.length() + 4;
    bytes.reserve(length);
    // What we send is shorter than what we read.
    bytes.put_u32(u32::try_from(length).unwrap_or_default());
    command.encode(bytes);
}

/// Reads fields. Every method is none where there are too few bytes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.bytes(2)?.try_into().ok().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.bytes(4)?.try_into().ok().map(u32::from_be_bytes)
    }

    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    /// A text that ends with a zero, or with the PDU.
    pub(super) fn text(&mut self) -> &'a [u8] {
        let end = self.0.iter().position(|byte| *byte == 0);
        let text = self.bytes(end.unwrap_or(self.0.len())).unwrap_or_default();
        if end.is_some() {
            self.bytes(1);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pdus_are_cut_by_their_length_and_their_bodies_left_alone() {
        let mut bytes = BytesMut::new();
        put(&mut bytes, 0, 7, Pdu::EnquireLink);
        put(&mut bytes, 0x58, 8, Pdu::GenericNack);
        assert_eq!(bytes[..16], [0, 0, 0, 16, 0, 0, 0, 0x15, 0, 0, 0, 0, 0, 0, 0, 7]);
        let mut frames = Frames::new();
        let mut part = bytes.split_to(15);
        assert!(frames.next(&mut part).unwrap().is_none());
        part.unsplit(bytes);
        let first = frames.next(&mut part).unwrap().unwrap();
        assert_eq!((first.command, first.status, first.sequence), (command::ENQUIRE_LINK, 0, 7));
        let second = frames.next(&mut part).unwrap().unwrap();
        assert_eq!((second.command, second.status, second.sequence), (command::GENERIC_NACK, 0x58, 8));
        assert!(frames.next(&mut part).unwrap().is_none());
    }

    #[test]
    fn a_length_that_no_pdu_has_is_an_error() {
        for length in [0_u32, 3, 4, 15, 65_537 + 4, u32::MAX] {
            let mut bytes = BytesMut::from(&length.to_be_bytes()[..]);
            bytes.extend_from_slice(&[0; 64]);
            assert!(Frames::new().next(&mut bytes).is_err(), "{length}");
        }
        let mut whole = BytesMut::from(&(65_536_u32).to_be_bytes()[..]);
        whole.extend_from_slice(&vec![0; 65_532]);
        assert!(Frames::new().next(&mut whole).unwrap().is_some());
    }

    #[test]
    fn fields_are_read_within_their_bounds() {
        let mut reader = Reader(b"ab\0\x01\x02\x03c");
        assert_eq!(
            (reader.text(), reader.u8(), reader.u16(), reader.text()),
            (&b"ab"[..], Some(1), Some(0x203), &b"c"[..])
        );
        assert_eq!((reader.u8(), reader.u16(), reader.bytes(1), reader.text()), (None, None, None, &b""[..]));
    }
}
