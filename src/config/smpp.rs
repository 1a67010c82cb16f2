//! How a provider of type `smpp` talks to its message centre: `[delivery.providers.smpp]`, and what its `url` holds. Knows
//! no protocol.

use std::path::PathBuf;
use std::time::Duration;

use http::uri::Authority;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::secret_url::SecretUrl;
use super::{duration, limit};
use crate::secret::Secret;

/// The ports that are meant where none is named: the registered one, and the usual one with TLS.
const PORT: u16 = 2_775;
const TLS_PORT: u16 = 3_550;
/// Bytes of a user and of a password (SMPP 3.4, sections 5.2.1 and 5.2.2, less their terminators).
const USER_BYTES: usize = 15;
const PASSWORD_BYTES: usize = 8;

/// `[delivery.providers.smpp]`: how an SMPP provider works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Smpp {
    /// Whether one connection carries both directions.
    pub mode: SmppMode,
    /// Connections at once (pairs in the mode `pair`), 1 to 16.
    pub connections: u8,
    /// Submits without an answer on one connection, 1 to 1,000.
    pub window: u16,
    /// Submits a second over all connections, 1 to 10,000; none: as the window lets them.
    #[serde(with = "limit")]
    pub per_second: Option<u32>,
    /// From dialling to the answer to the bind.
    #[serde(with = "duration")]
    pub bind: Duration,
    /// For the answer to a submit.
    #[serde(with = "duration")]
    pub submit: Duration,
    /// How long a link may be silent before it is asked whether it lives.
    #[serde(with = "duration")]
    pub enquire_link: Duration,
    /// For the answer to that.
    #[serde(with = "duration")]
    pub enquire_link_answer: Duration,
    /// What kind of system binds, up to 12 characters.
    pub system_type: String,
    /// The SMS application service, up to 5 characters.
    pub service_type: String,
    /// The source's type of number; none: by the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ton: Option<u8>,
    /// The source's numbering plan; none: by the sender.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_npi: Option<u8>,
    /// The data coding of texts in GSM's alphabet.
    pub data_coding: u8,
    /// Whether the parts of long messages have a reference of 16 bits instead of 8.
    pub wide_reference: bool,
    /// Whether the centre is told how long the code lives.
    pub validity_period: bool,
    /// How the texts of receipts write ids.
    pub receipt_ids: SmppReceiptIds,
    /// The PEM file with the authorities that a centre with TLS is trusted by; none: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
}

impl Default for Smpp {
    fn default() -> Self {
        Self {
            mode: SmppMode::Transceiver,
            connections: 1,
            window: 10,
            per_second: None,
            bind: Duration::from_secs(10),
            submit: Duration::from_secs(10),
            enquire_link: Duration::from_secs(30),
            enquire_link_answer: Duration::from_secs(10),
            system_type: String::new(),
            service_type: String::new(),
            source_ton: None,
            source_npi: None,
            data_coding: 0,
            wide_reference: false,
            validity_period: true,
            receipt_ids: SmppReceiptIds::Same,
            ca_file: None,
        }
    }
}

/// Whether one connection carries both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmppMode {
    /// It does.
    Transceiver,
    /// A transmitter and a receiver.
    Pair,
}

/// How the texts of receipts write the ids that submits were answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SmppReceiptIds {
    /// Alike, but for case and leading zeros.
    Same,
    /// In decimal what was hexadecimal.
    Decimal,
    /// In hexadecimal what was decimal.
    Hexadecimal,
}

/// A message centre, as `smpp://user:password@host:port` or `smpps://…` names it. User and password are percent-decoded; that
/// there is no password is said by an empty one.
#[derive(Clone, Debug, PartialEq)]
pub struct SmppUrl {
    /// Whether the connection has TLS.
    pub tls: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The `system_id`: 1 to 15 bytes of visible ASCII.
    pub system_id: String,
    /// The password: up to 8 bytes of ASCII.
    pub password: Secret,
}

impl SmppUrl {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong, in words that hold nothing of it.
    pub fn parse(url: &SecretUrl) -> Result<Self, String> {
        let form = || "write smpp://user:password@host:port, or smpps:// with TLS".to_owned();
        let (scheme, rest) = url.expose().split_once("://").ok_or_else(form)?;
        let tls = scheme == "smpps";
        let (user, place) = rest.rsplit_once('@').ok_or_else(|| format!("has no user; {}", form()))?;
        let no_password =
            || "has no password; write smpp://user:password@host:port, or smpp://user:@host for none".to_owned();
        let (user, password) = user.split_once(':').ok_or_else(no_password)?;
        let place = place.strip_suffix('/').unwrap_or(place);
        if place.contains(['/', '?', '#']) {
            return Err(format!("a message centre has no path; {}", form()));
        }
        let place: Authority = place.parse().map_err(|_| form())?;
        let port = match place.as_str().strip_prefix(place.host()) {
            Some("") => {
                if tls {
                    TLS_PORT
                } else {
                    PORT
                }
            }
            _ => place.port_u16().filter(|port| *port != 0).ok_or("its port must be a number from 1 to 65535")?,
        };
        let host = place.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        let field = |text: &str, bytes: usize| {
            let decoded = percent_decode_str(text).decode_utf8().ok()?.into_owned();
            (decoded.len() <= bytes && decoded.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' '))
                .then_some(decoded)
        };
        let system_id = field(user, USER_BYTES).filter(|user| !user.is_empty());
        let system_id = system_id.ok_or_else(|| format!("its user must be 1 to {USER_BYTES} characters of ASCII"))?;
        let password = field(password, PASSWORD_BYTES)
            .ok_or_else(|| format!("its password must be at most {PASSWORD_BYTES} characters of ASCII"))?;
        Ok(Self { tls, host, port, system_id, password: Secret::new(password) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<SmppUrl, String> {
        SmppUrl::parse(&SecretUrl::parse(text).unwrap())
    }

    #[test]
    fn an_address_is_read_with_its_user_and_password() {
        for (text, tls, host, port, user, password) in [
            ("smpp://user:password@host:2775", false, "host", 2_775, "user", "password"),
            ("smpps://user:p%40ss%2Fw%3A@smsc.example.com", true, "smsc.example.com", 3_550, "user", "p@ss/w:"),
            ("smpp://u:p@[2001:db8::1]:5000/", false, "2001:db8::1", 5_000, "u", "p"),
            ("smpp://u:@[::1]", false, "::1", 2_775, "u", ""),
            ("smpp://fifteen-letters:p:@ss@10.0.0.1:1", false, "10.0.0.1", 1, "fifteen-letters", "p:@ss"),
        ] {
            let url = parse(text).unwrap();
            let read = (url.tls, url.host.as_str(), url.port, url.system_id.as_str(), url.password.expose());
            assert_eq!(read, (tls, host, port, user, password), "{text}");
        }
    }

    #[test]
    fn what_no_centre_can_be_is_refused_without_showing_it() {
        for (text, problem) in [
            ("smpp://host:2775", "has no user"),
            ("smpp://hunter2@host", "has no password; write smpp://user:password@host:port, or smpp://user:@host"),
            ("smpp://:hunter2@host", "its user must be 1 to 15"),
            ("smpp://sixteen-letters-:hunter2@host", "its user must be 1 to 15"),
            ("smpp://%C3%A4:hunter2@host", "its user"),
            ("smpp://u:hunter2hunter2@host", "its password must be at most 8"),
            ("smpp://u:%FFhunter2@host", "its password"),
            ("smpp://u:hunter2@host:0", "its port"),
            ("smpp://u:hunter2@host:70000", "its port"),
            ("smpp://u:hunter2@host/path", "has no path"),
            ("smpp://u:hunter2@[::1", "write smpp://"),
        ] {
            let wrong = parse(text).unwrap_err();
            assert!(wrong.contains(problem) && !wrong.contains("hunter2"), "{text}: {wrong}");
        }
    }
}
