//! A connection to a message centre, and the bind that makes a session of it. Knows no submit.

use bytes::BytesMut;
use rusmpp::Pdu;
use rusmpp::pdus::{BindReceiver, BindTransceiver, BindTransmitter};
use rusmpp::types::COctetString;
use rusmpp::values::{InterfaceVersion, Npi, Ton};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::delivery::smpp::answer::status;
use crate::delivery::smpp::dial::Wire;
use crate::delivery::smpp::settings::Settings;
use crate::delivery::smpp::wire::{Frames, command, put};

/// The number of the bind, the first PDU of every session.
const BIND_SEQUENCE: u32 = 1;

/// Which way messages go on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Both ways.
    Transceiver,
    /// To the centre.
    Transmitter,
    /// From it.
    Receiver,
}

impl Role {
    /// Whether submits go on it.
    pub(super) const fn sends(self) -> bool {
        !matches!(self, Self::Receiver)
    }
}

/// Why there is no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BindError {
    /// The centre said so, with this status.
    Refused(u32),
    /// The connection broke, or what came was not SMPP.
    Lost,
    /// A setting does not fit its field; not where it was checked.
    Malformed,
}

/// A connection, in its two directions, with what was read of it and not used.
pub(super) struct Connection {
    /// What comes in.
    pub(super) reader: ReadHalf<Box<dyn Wire>>,
    /// What goes out.
    pub(super) writer: WriteHalf<Box<dyn Wire>>,
    /// Read, and not yet cut into PDUs.
    pub(super) inbox: BytesMut,
    /// Cuts it.
    pub(super) frames: Frames,
}

impl Connection {
    /// Takes over a socket.
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        let (reader, writer) = tokio::io::split(wire);
        Self { reader, writer, inbox: BytesMut::new(), frames: Frames::new() }
    }

    /// Binds. What came behind the answer stays in the inbox.
    ///
    /// # Errors
    /// [`BindError`]; the connection is of no use then.
    pub(super) async fn bind(&mut self, settings: &Settings, role: Role) -> Result<(), BindError> {
        let mut bytes = BytesMut::new();
        put(&mut bytes, status::OK, BIND_SEQUENCE, bind(settings, role).ok_or(BindError::Malformed)?);
        self.writer.write_all(&bytes).await.map_err(|_| BindError::Lost)?;
        self.writer.flush().await.map_err(|_| BindError::Lost)?;
        loop {
            while let Some(frame) = self.frames.next(&mut self.inbox).map_err(|_| BindError::Lost)? {
                // The answer to the bind, or a "not understood"; whatever else comes now is none of ours.
                if frame.command & command::ANSWER != 0 && frame.sequence == BIND_SEQUENCE {
                    return match (frame.command, frame.status) {
                        (command::GENERIC_NACK, status::OK) => Err(BindError::Refused(status::INVALID_COMMAND)),
                        (_, status::OK) => Ok(()),
                        (_, status) => Err(BindError::Refused(status)),
                    };
                }
            }
            if self.reader.read_buf(&mut self.inbox).await.map_err(|_| BindError::Lost)? == 0 {
                return Err(BindError::Lost);
            }
        }
    }

    /// Writes what is left and closes.
    pub(super) async fn close(&mut self, left: &mut BytesMut) {
        // Who closed first does not take it.
        let _ = self.writer.write_all_buf(left).await;
        let _ = self.writer.shutdown().await;
    }
}

fn bind(settings: &Settings, role: Role) -> Option<Pdu> {
    let system_id: COctetString<1, 16> = settings.system_id.parse().ok()?;
    let password: COctetString<1, 9> = settings.password.expose().parse().ok()?;
    let system_type: COctetString<1, 13> = settings.system_type.parse().ok()?;
    let (version, ton, npi) = (InterfaceVersion::Smpp3_4, Ton::Unknown, Npi::Unknown);
    let range = COctetString::empty();
    Some(match role {
        Role::Transceiver => BindTransceiver::new(system_id, password, system_type, version, ton, npi, range).into(),
        Role::Transmitter => BindTransmitter::new(system_id, password, system_type, version, ton, npi, range).into(),
        Role::Receiver => BindReceiver::new(system_id, password, system_type, version, ton, npi, range).into(),
    })
}
