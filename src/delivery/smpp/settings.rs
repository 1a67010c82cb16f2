//! What an SMPP provider is told: who it is to the message centre, how fast it may go, how long it waits. Checked where
//! the configuration is; knows no address and no socket.

use std::time::Duration;

use crate::secret::Secret;

/// How an SMPP provider works. Every value is in its range.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What logs, metrics and reports call it.
    pub name: String,
    /// Who binds: 1 to 15 bytes of ASCII (SMPP 3.4, section 5.2.1).
    pub system_id: String,
    /// How it proves it: up to 8 bytes of ASCII (section 5.2.2).
    pub password: Secret,
    /// What kind of system binds, up to 12 bytes of ASCII; usually empty.
    pub system_type: String,
    /// Whether one connection carries both directions.
    pub mode: Mode,
    /// Connections at once; pairs, where a connection carries one direction.
    pub connections: usize,
    /// Submits without an answer on one connection, 1 to 1,000.
    pub window: usize,
    /// Submits a second over all connections; none: as fast as the window lets them.
    pub per_second: Option<u32>,
    /// From the first packet to the centre's answer to the bind.
    pub bind: Duration,
    /// For the answer to a submit, the wait for a place in the window included.
    pub submit: Duration,
    /// A link on which nothing came for so long is asked whether it lives.
    pub enquire_link: Duration,
    /// For the answer to that.
    pub enquire_link_answer: Duration,
    /// The SMS application service, up to 5 bytes of ASCII; usually empty.
    pub service_type: String,
    /// The source's type of number, where it does not follow from the sender.
    pub source_ton: Option<u8>,
    /// The source's numbering plan, where it does not follow from the sender.
    pub source_npi: Option<u8>,
    /// The data coding of texts in the default alphabet of GSM: usually 0, which is the centre's own default.
    pub data_coding: u8,
    /// How the parts of a long message name their whole.
    pub reference: ReferenceWidth,
    /// Whether the centre is told how long the code lives.
    pub validity_period: bool,
    /// How receipts write a message's id.
    pub receipt_ids: ReceiptIds,
}

/// Which sessions are bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One that sends and receives.
    Transceiver,
    /// A transmitter and a receiver: for centres that know no transceiver.
    Pair,
}

/// The width of the reference in the header of a long message's parts (3GPP TS 23.040, sections 9.2.3.24.1 and .8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReferenceWidth {
    /// One byte: every phone and centre knows it, and a part holds 153 septets or 67 units.
    Eight,
    /// Two bytes: fewer collisions at one phone, and a part holds 152 septets or 66 units.
    Sixteen,
}

/// How the text of a receipt writes the id that the answer to the submit gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReceiptIds {
    /// As the answer did; case and leading zeros aside.
    Same,
    /// In decimal, where the answer had hexadecimal.
    Decimal,
    /// In hexadecimal, where the answer had decimal.
    Hexadecimal,
}
