//! A carrier's SMPP 3.4 interface: text messages out, receipts back, over links that are kept up.
//!
//! - `settings`: what the provider is told
//! - `dial`: the port to the socket
//! - `link`: dial, bind, work, begin anew; `connection`: the bind; `session`: one bound connection; `window`: its submits
//! - `wire`, `receipt`: what comes in; `encode`, `address`, `answer`: what goes out, and what is said to it
//! - `pace`: submits a second
//!
//! A message is submitted once. What was not written is tried elsewhere, what was written and not answered is unknown: this
//! provider never submits it again by itself. Knows no route, no OTP, and not how its sockets come to be.

mod address;
mod answer;
mod connection;
mod dial;
mod encode;
mod link;
mod pace;
mod receipt;
mod session;
mod settings;
mod shared;
mod stop;
mod window;
mod wire;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use rusmpp::pdus::SubmitSm;
use rusmpp::types::{COctetString, EmptyOrFullCOctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, RegisteredDelivery, ServiceType, Ton};
use tokio::sync::{oneshot, watch};
use tokio::time::Instant;

pub use self::answer::Submitted;
pub use self::dial::{Dial, NoWire, Wire};
pub use self::settings::{Mode, ReceiptIds, ReferenceWidth, Settings};
pub use self::shared::{Received, SmppObserver};

use self::address::Address;
use self::answer::{failure, judge, words};
use self::connection::Role;
use self::encode::{Encoded, Reference, encode};
use self::link::{Entrance, Link};
use self::pace::Pace;
use self::session::Job;
use self::shared::Shared;
use self::window::{Answer, Claim};
use crate::delivery::provider::{Failure, Outgoing, Provider, Reached, Receipt};
use crate::delivery::receipt::{CarrierId, Receipts, Ticket};
use crate::otp::channel::Channel;
use crate::otp::segment::Alphabet;
use crate::otp::store::Later;
use crate::secret::Entropy;

/// The data coding of UCS-2 (SMPP 3.4, section 5.2.19).
const UCS2: u8 = 8;
/// A header of user data stands before the text (section 5.2.12).
const ESM_HEADER: u8 = 0b0100_0000;
/// A receipt is asked for when a message's fate is final, whichever it is (section 5.2.17).
const FINAL_RECEIPT: u8 = 1;

/// Text messages by SMPP.
pub struct Smpp {
    shared: Shared,
    dial: Arc<dyn Dial>,
    links: Vec<Link>,
    pace: Option<Pace>,
    /// The reference of the last long message.
    reference: AtomicU16,
    /// Spreads messages over links that are as free as each other.
    turn: AtomicUsize,
}

impl Smpp {
    /// A provider whose links are not up yet: [`Smpp::run`] brings them up.
    #[must_use]
    pub fn new(
        settings: Settings,
        dial: Arc<dyn Dial>,
        receipts: Arc<dyn Receipts>,
        observer: Arc<dyn SmppObserver>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let roles: &[Role] = match settings.mode {
            Mode::Transceiver => &[Role::Transceiver],
            Mode::Pair => &[Role::Transmitter, Role::Receiver],
        };
        let links = (0..settings.connections).flat_map(|_| roles).map(|role| Link::new(*role)).collect();
        // Where it begins is drawn, so that a restart does not repeat what a phone still puts together.
        let mut reference = [0; 2];
        entropy.fill(&mut reference);
        Self {
            pace: settings.per_second.map(Pace::new),
            shared: Shared {
                settings,
                receipts,
                observer,
                entropy,
                bound: AtomicU64::new(0),
                late: Default::default(),
            },
            dial,
            links,
            reference: AtomicU16::new(u16::from_be_bytes(reference)),
            turn: AtomicUsize::new(0),
        }
    }

    /// Keeps the links up until `stop` turns true; then takes no more, waits for what is open (4 seconds at most),
    /// unbinds and closes.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        let links = self.links.iter().map(|link| link.run(&self.shared, &*self.dial, stop.clone()));
        futures_util::future::join_all(links).await;
    }

    /// Sessions that are to be bound.
    #[must_use]
    pub fn sessions(&self) -> u64 {
        u64::try_from(self.links.len()).unwrap_or(u64::MAX)
    }

    /// Sessions that are bound.
    #[must_use]
    pub fn bound(&self) -> u64 {
        self.shared.bound.load(Ordering::Relaxed)
    }

    /// Submits that are open, or about to be, over all links.
    #[must_use]
    pub fn open_submits(&self) -> u64 {
        let used = |entrance: Entrance| self.shared.settings.window.saturating_sub(entrance.places.available_permits());
        let used: usize = self.links.iter().filter_map(Link::entrance).map(used).sum();
        u64::try_from(used).unwrap_or(u64::MAX)
    }

    /// The bound link with the most places free.
    fn entrance(&self) -> Option<Entrance> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % self.links.len().max(1);
        let (before, from) = self.links.split_at_checked(first)?;
        from.iter().chain(before).filter_map(Link::entrance).max_by_key(|entrance| entrance.places.available_permits())
    }

    async fn submit(&self, message: &Outgoing) -> Result<Receipt, Failure> {
        let number = self.reference.fetch_add(1, Ordering::Relaxed);
        let reference = match self.shared.settings.reference {
            ReferenceWidth::Eight => Reference::Eight(number.to_be_bytes()[1]),
            ReferenceWidth::Sixteen => Reference::Sixteen(number),
        };
        let encoded = encode(&message.text, message.code.expose(), reference)
            .map_err(|_| Failure::Refused("the text is too long".to_owned()))?;
        let template = self.template(message, &encoded)?;
        let entrance = self.entrance().ok_or(Failure::Retryable(Duration::ZERO))?;
        let last = encoded.parts.len().saturating_sub(1);
        let mut carrier = None;
        for (index, part) in encoded.parts.iter().enumerate() {
            let mut pdu = template.clone();
            let text =
                OctetString::from_slice(part).map_err(|_| Failure::Refused("the text is too long".to_owned()))?;
            pdu.set_short_message(text);
            // A receipt for the last part stands for the message: a report has one name, and a phone that has the last
            // part has most likely had the others, which were taken before it.
            let ticket = (index == last).then_some(message.ticket);
            let receipts = if index == last { FINAL_RECEIPT } else { 0 };
            pdu.registered_delivery = RegisteredDelivery::from(receipts);
            match self.submit_part(&entrance, pdu, ticket, message.life).await {
                Ok(id) => carrier = id,
                Err(failure) if index == 0 => return Err(failure),
                // A part is under way already: submitted again, it would arrive twice.
                Err(_) => return Err(Failure::Unknown),
            }
        }
        Ok(Receipt { reach: Reached::Taken, carrier })
    }

    /// What all parts of a message have in common.
    fn template(&self, message: &Outgoing, encoded: &Encoded) -> Result<SubmitSm, Failure> {
        let settings = &self.shared.settings;
        let source = Address::of_sender(message.sender.as_ref(), settings.source_ton, settings.source_npi);
        let destination = Address::of_number(&message.number);
        let unfit = |what: &str| Failure::Refused(format!("the {what} fits no SMPP field"));
        let address = |text: &str, what| text.parse::<COctetString<1, 21>>().map_err(|_| unfit(what));
        let service: COctetString<1, 6> = settings.service_type.parse().map_err(|_| unfit("service_type"))?;
        let validity: EmptyOrFullCOctetString<17> = match settings.validity_period {
            true => validity(message.life).parse().map_err(|_| unfit("validity_period"))?,
            false => EmptyOrFullCOctetString::empty(),
        };
        let coding = match encoded.alphabet {
            Alphabet::Gsm7 => settings.data_coding,
            Alphabet::Ucs2 => UCS2,
        };
        // Not the crate's default class, which names an acknowledgement.
        let class = if encoded.parts.len() > 1 { ESM_HEADER } else { 0 };
        Ok(SubmitSm::builder()
            .service_type(ServiceType::new(service))
            .source_addr_ton(Ton::from(source.ton))
            .source_addr_npi(Npi::from(source.npi))
            .source_addr(address(&source.text, "sender")?)
            .dest_addr_ton(Ton::from(destination.ton))
            .dest_addr_npi(Npi::from(destination.npi))
            .destination_addr(address(&destination.text, "number")?)
            .esm_class(EsmClass::from(class))
            .validity_period(validity)
            .data_coding(DataCoding::from(coding))
            .build())
    }

    async fn submit_part(
        &self,
        entrance: &Entrance,
        pdu: SubmitSm,
        ticket: Option<Ticket>,
        life: Duration,
    ) -> Result<Option<CarrierId>, Failure> {
        let outcome = self.submit_within(entrance, pdu, ticket, life).await;
        self.shared.observer.submitted(match &outcome {
            Ok((status, _)) => judge(*status),
            Err(Failure::Unknown) => Submitted::Unknown,
            Err(_) => Submitted::Failed,
        });
        let (status, id) = outcome?;
        if let Some(failure) = failure(status) {
            let status = words(status);
            tracing::debug!(provider = self.shared.settings.name, status, "a submit was refused");
            return Err(failure);
        }
        Ok(id)
    }

    /// The status that one submit was answered with, within the deadline of submits.
    async fn submit_within(
        &self,
        entrance: &Entrance,
        pdu: SubmitSm,
        ticket: Option<Ticket>,
        life: Duration,
    ) -> Result<(u32, Option<CarrierId>), Failure> {
        let not_sent = || Failure::Retryable(Duration::ZERO);
        let began = Instant::now();
        let until = began + self.shared.settings.submit;
        // A code that ended while it waited is not sent.
        let leave = until.min(began + life);
        let place = tokio::time::timeout_at(leave, Arc::clone(&entrance.places).acquire_owned()).await;
        // The window stayed full, or the link ended: nothing was sent.
        let place = place.map_err(|_| not_sent())?.map_err(|_| not_sent())?;
        if let Some(pace) = &self.pace {
            // It waits in its place: who comes later does not overtake. What would wait too long is the courier's to
            // keep, who keeps it over a restart and may take another carrier.
            let now = Instant::now();
            let wait = pace.take(now, leave.saturating_duration_since(now)).map_err(Failure::Retryable)?;
            tokio::time::sleep(wait).await;
        }
        let (reply, mut answer) = oneshot::channel();
        let claim = Arc::new(Claim::default());
        let job = Job { pdu: Box::new(pdu), ticket, claim: Arc::clone(&claim), place, reply };
        entrance.jobs.try_send(job).map_err(|_| not_sent())?;
        let given = match tokio::time::timeout_at(until, &mut answer).await {
            Ok(given) => given.ok(),
            // The session had no room for it.
            Err(_) if claim.take() => Some(Answer::NotSent),
            Err(_) => {
                // From here on an answer is a late one; one that came in this moment is not.
                answer.close();
                answer.try_recv().ok()
            }
        };
        match given {
            Some(Answer::Given(status, id)) => Ok((status, id)),
            Some(Answer::NotSent) => Err(not_sent()),
            Some(Answer::Lost) | None => Err(Failure::Unknown),
        }
    }
}

/// A relative time (SMPP 3.4, section 7.1.1): `YYMMDDhhmmss000R`, whole seconds, at least one; at most 99 days.
fn validity(life: Duration) -> String {
    let seconds = life.as_secs().clamp(1, 99 * 86_400 + 86_399);
    let (days, seconds) = (seconds / 86_400, seconds % 86_400);
    format!("0000{days:02}{:02}{:02}{:02}000R", seconds / 3_600, seconds / 60 % 60, seconds % 60)
}

impl Provider for Smpp {
    fn name(&self) -> &str {
        &self.shared.settings.name
    }

    fn channels(&self) -> &[Channel] {
        &[Channel::Sms]
    }

    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>> {
        Box::pin(async move { self.submit(&message).await })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_validity_is_written_as_the_standard_has_it() {
        for (seconds, expected) in [
            (0, "000000000001000R"),
            (300, "000000000500000R"),
            (7_199, "000000015959000R"),
            (90_061, "000001010101000R"),
            (u64::MAX, "000099235959000R"),
        ] {
            assert_eq!(validity(Duration::from_secs(seconds)), expected);
        }
        assert_eq!(validity(Duration::from_millis(59_999)), "000000000059000R");
    }
}
