//! A carrier's receipts → reports. What it posts is looked at only after its address, and its signature where there is a key,
//! proved whose it is; a state that is not known says that the message is on its way.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::Value;

use crate::carrier::answer::{find, plain_code};
use crate::carrier::compile::{Carrier, Check};
use crate::carrier::description::Receipts;
use crate::carrier::signature::{Posted, Verifier};
use crate::clock::UnixMillis;
use crate::delivery::receipt::{About, CarrierId, Fate, Report, Ticket};
use crate::secret::Keyring;

/// Reports in one request.
pub const REPORTS: usize = 1_000;
/// Pairs of a form or a query.
const PAIRS: usize = 200;

/// How receipts are read.
#[derive(Debug)]
pub(super) struct Reading {
    list: Option<String>,
    id: Vec<String>,
    ticket: Vec<String>,
    state: Vec<String>,
    error: Vec<String>,
    delivered: Vec<String>,
    failed: Vec<String>,
    proof: BTreeMap<String, String>,
    verifier: Option<Verifier>,
}

/// A receipt's request.
pub struct Incoming<'i> {
    /// The whole address that it was sent to, as the carrier has it.
    pub address: &'i str,
    /// Its query.
    pub query: &'i str,
    /// Its header.
    pub headers: &'i HeaderMap,
    /// Its body.
    pub body: &'i [u8],
}

/// Why a receipt is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// Its address was never handed out.
    Unknown,
    /// Its carrier did not sign it.
    Forged,
    /// It names no message, or is no receipt.
    Malformed,
    /// It brings more than [`REPORTS`].
    TooMany,
}

impl Reading {
    pub(super) fn compile(written: &Receipts, check: &mut Check<'_>) -> Self {
        let place = |name: &str| format!("http.receipts.{name}");
        if let Some(list) = &written.list {
            check.pointer(&place("list"), list);
        }
        for (state, pointer) in &written.proof {
            check.pointer(&place(&format!("proof.{state}")), pointer);
        }
        if written.state.0.is_empty() {
            check.wrong(place("state"), "missing; write the JSON pointer to a receipt's state");
        }
        let verifier = written.signature.as_ref().and_then(|signature| {
            let key = check.credentials.get(&signature.key)?;
            let verifier = Verifier::new(signature.scheme, key);
            if verifier.is_none() {
                let problem = "must be whsec_ and 24 to 64 bytes in Base64, as Standard Webhooks has it";
                check.wrong(format!("http.credentials.{}", signature.key), problem);
            }
            verifier
        });
        Self {
            list: written.list.clone(),
            id: check.pointers(&place("id"), &written.id),
            ticket: check.pointers(&place("ticket"), &written.ticket),
            state: check.pointers(&place("state"), &written.state),
            error: check.pointers(&place("error"), &written.error),
            delivered: written.delivered.0.clone(),
            failed: written.failed.0.clone(),
            proof: written.proof.clone(),
            verifier,
        }
    }

    fn report(&self, receipt: &Value, about: Option<Ticket>, keyring: &Keyring) -> Option<Report> {
        let state = find(receipt, &self.state)?;
        let own = || Ticket::read(keyring, &find(receipt, &self.ticket)?).map(About::Ticket);
        let carrier = || CarrierId::parse(&find(receipt, &self.id)?).map(About::Carrier);
        let about = about.map(About::Ticket).or_else(own).or_else(carrier)?;
        Some(Report { about, fate: self.fate(receipt, &state) })
    }

    fn fate(&self, receipt: &Value, state: &str) -> Fate {
        let is = |states: &[String]| states.iter().any(|known| known.eq_ignore_ascii_case(state));
        let failed = || {
            let code = find(receipt, &self.error).and_then(|code| plain_code(&code)).filter(|code| code != "0");
            let state = plain_code(state).unwrap_or_default();
            Fate::Failed(match code {
                Some(code) => format!("the carrier says: {state}, {code}"),
                None => format!("the carrier says: {state}"),
            })
        };
        if is(&self.delivered) {
            let proof = self.proof.iter().find(|(known, _)| known.eq_ignore_ascii_case(state));
            let proved = proof.is_none_or(|(_, pointer)| find(receipt, std::slice::from_ref(pointer)).is_some());
            return if proved { Fate::Delivered } else { failed() };
        }
        if is(&self.failed) { failed() } else { Fate::OnItsWay }
    }
}

impl Carrier {
    /// What a request to one of its receipt addresses reports. `ticket`: what the address names, where it names a message.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(
        &self,
        incoming: &Incoming<'_>,
        ticket: Option<Ticket>,
        keyring: &Keyring,
        now: UnixMillis,
    ) -> Result<Vec<Report>, Unreadable> {
        let reading = self.reading.as_ref().ok_or(Unreadable::Unknown)?;
        let text = std::str::from_utf8(incoming.body).map_err(|_| Unreadable::Malformed);
        let json =
            serde_json::from_slice::<Value>(incoming.body).ok().filter(|value| value.is_object() || value.is_array());
        let pairs = match &json {
            Some(_) => Vec::new(),
            None if incoming.body.is_empty() => decode(incoming.query)?,
            None => decode(text?)?,
        };
        if let Some(verifier) = &reading.verifier {
            let Incoming { address, headers, body, .. } = *incoming;
            if !verifier.accepts(&Posted { address, headers, pairs: &pairs, body }, now) {
                return Err(Unreadable::Forged);
            }
        }
        let document = json.unwrap_or_else(|| object(pairs));
        let list = reading.list.as_deref().and_then(|pointer| document.pointer(pointer)).unwrap_or(&document);
        let receipts = match list {
            Value::Array(receipts) => receipts.as_slice(),
            one => std::slice::from_ref(one),
        };
        if receipts.len() > REPORTS {
            return Err(Unreadable::TooMany);
        }
        let reports: Vec<_> = receipts.iter().filter_map(|receipt| reading.report(receipt, ticket, keyring)).collect();
        // Of a batch what can be read counts; a carrier that repeats the rest for ever helps nobody.
        if reports.is_empty() { Err(Unreadable::Malformed) } else { Ok(reports) }
    }
}

/// Pairs as an object of strings; of two with one name the first counts.
fn object(pairs: Vec<(String, String)>) -> Value {
    let mut members = serde_json::Map::new();
    for (name, value) in pairs {
        members.entry(name).or_insert(Value::String(value));
    }
    Value::Object(members)
}

/// `application/x-www-form-urlencoded`, in order.
fn decode(text: &str) -> Result<Vec<(String, String)>, Unreadable> {
    let word = |text: &str| {
        let spaced = text.replace('+', " ");
        let decoded = percent_encoding::percent_decode_str(&spaced).decode_utf8();
        decoded.map(std::borrow::Cow::into_owned).map_err(|_| Unreadable::Malformed)
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    let pairs: Vec<_> = pairs.take(PAIRS + 1).map(|pair| pair.split_once('=').unwrap_or((pair, ""))).collect();
    if pairs.len() > PAIRS {
        return Err(Unreadable::TooMany);
    }
    pairs.into_iter().map(|(name, value)| Ok((word(name)?, word(value)?))).collect()
}
