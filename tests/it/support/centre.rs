//! A message centre: an SMPP server that keeps what was submitted and does what a test says. It reads and writes PDUs by
//! `rusmpp`'s own codec, which is none of the gateway's reading side.
//!
//! A test hands it a closure that turns each submit into acts: answer, wait, send a receipt, cut the link, write garbage.
//! It runs on a thread of its own, so that blocking tests and asynchronous ones can have it. Receipts that were not
//! acknowledged are sent again, and over the next link when theirs is cut, as real centres do.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use rusmpp::pdus::{BindReceiverResp, BindTransceiverResp, BindTransmitterResp, DeliverSm, SubmitSm, SubmitSmResp};
use rusmpp::tlvs::MessageDeliveryRequestTlvValue;
use rusmpp::tokio_codec::CommandCodec;
use rusmpp::types::{COctetString, OctetString};
use rusmpp::values::{DataCoding, EsmClass, Npi, Ton};
use rusmpp::{Command, CommandStatus, Pdu};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::{Encoder as _, FramedRead};

/// How long the centre waits before it sends a receipt again that was not taken.
const AGAIN: Duration = Duration::from_millis(100);

/// What the centre does about a submit, one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// Nothing for so long.
    Wait(Duration),
    /// Answers the submit with this status and, where that is 0, this id.
    Answer(u32, String),
    /// Answers another number than the submit's.
    AnswerAs(u32, u32, String),
    /// Sends a receipt by its text, as SMPP 3.4's appendix B has it: id, word, error.
    Receipt(String, &'static str, &'static str),
    /// Sends this.
    Deliver(Box<DeliverSm>),
    /// Writes these bytes.
    Raw(Vec<u8>),
    /// Closes the connection.
    Cut,
}

/// A submit, as it came in.
#[derive(Clone, Debug)]
pub(crate) struct Submit {
    /// Which connection it came on, from 0.
    pub link: usize,
    /// Its number on that connection.
    pub sequence: u32,
    /// Type of number, numbering plan, address.
    pub source: (u8, u8, String),
    /// The same of whom it goes to.
    pub destination: (u8, u8, String),
    pub esm_class: u8,
    pub data_coding: u8,
    pub registered: u8,
    pub service_type: String,
    pub validity: String,
    /// The bytes of `short_message`, a header included.
    pub bytes: Vec<u8>,
    /// The id that the centre would give it by itself: unique.
    pub id: String,
}

impl Submit {
    fn of(link: usize, sequence: u32, id: u32, pdu: &SubmitSm) -> Self {
        Self {
            link,
            sequence,
            source: (pdu.source_addr_ton.into(), pdu.source_addr_npi.into(), pdu.source_addr.as_str().to_owned()),
            destination: (pdu.dest_addr_ton.into(), pdu.dest_addr_npi.into(), pdu.destination_addr.as_str().to_owned()),
            esm_class: pdu.esm_class.into(),
            data_coding: pdu.data_coding.into(),
            registered: pdu.registered_delivery.into(),
            service_type: pdu.service_type.value().as_str().to_owned(),
            validity: pdu.validity_period.as_str().to_owned(),
            bytes: pdu.short_message().as_ref().to_vec(),
            id: format!("{id:08X}"),
        }
    }
}

/// How the centre behaves apart from submits; may be changed while it runs.
#[derive(Clone, Debug)]
pub(crate) struct Manners {
    /// The status that binds are answered with; none: they are not answered.
    pub bind: Option<u32>,
    /// Whether `enquire_link` is answered.
    pub answers_enquire: bool,
    /// Whether new connections are closed at once.
    pub closes: bool,
    /// Whether anything is read once a link is bound.
    pub reads: bool,
}

impl Default for Manners {
    fn default() -> Self {
        Self { bind: Some(0), answers_enquire: true, closes: false, reads: true }
    }
}

/// What came in besides submits.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// User, password, system type, command of each bind.
    pub binds: Vec<(String, String, String, u32)>,
    pub unbinds: usize,
    pub enquiries: usize,
    pub enquiry_answers: usize,
    /// The statuses of generic_nacks.
    pub nacks: Vec<u32>,
    /// Acknowledgements of what was delivered: number and status.
    pub acks: Vec<(u32, u32)>,
    /// The most submits that were open at once on a link.
    pub most_open: usize,
}

type Script = Box<dyn Fn(&Submit) -> Vec<Act> + Send + Sync>;

enum Out {
    Pdu(Box<Command>),
    Raw(Vec<u8>),
    Cut,
}

struct Link {
    receives: bool,
    out: mpsc::UnboundedSender<Out>,
}

struct State {
    script: Script,
    manners: Mutex<Manners>,
    submits: Mutex<Vec<Submit>>,
    seen: Mutex<Seen>,
    links: Mutex<BTreeMap<usize, Link>>,
    /// Receipts that were not acknowledged yet.
    unacknowledged: Mutex<HashMap<u32, DeliverSm>>,
    next_link: AtomicUsize,
    next_id: AtomicU32,
    next_delivery: AtomicU32,
}

/// A running message centre. Gone with its connections when it is dropped.
pub(crate) struct Centre {
    address: SocketAddr,
    state: Arc<State>,
    runtime: Option<tokio::runtime::Runtime>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

impl Centre {
    /// One that takes everything and sends no receipts.
    pub(crate) fn start() -> Self {
        Self::with(|submit| vec![Act::Answer(0, submit.id.clone())])
    }

    /// One that does this about each submit.
    pub(crate) fn with(script: impl Fn(&Submit) -> Vec<Act> + Send + Sync + 'static) -> Self {
        Self::on(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), None, script)
    }

    /// One at this address, with TLS where there is an acceptor.
    pub(crate) fn on(
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
        script: impl Fn(&Submit) -> Vec<Act> + Send + Sync + 'static,
    ) -> Self {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            manners: Mutex::default(),
            submits: Mutex::default(),
            seen: Mutex::default(),
            links: Mutex::default(),
            unacknowledged: Mutex::default(),
            next_link: AtomicUsize::new(0),
            next_id: AtomicU32::new(1),
            next_delivery: AtomicU32::new(1),
        });
        let (tell, told) = std::sync::mpsc::channel();
        let kept = Arc::clone(&state);
        runtime.spawn(async move {
            let listener = TcpListener::bind(address).await.unwrap();
            tell.send(listener.local_addr().unwrap()).unwrap();
            loop {
                let Ok((socket, _)) = listener.accept().await else { continue };
                if lock(&kept.manners).closes {
                    continue;
                }
                let _ = socket.set_nodelay(true);
                let (kept, tls) = (Arc::clone(&kept), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(kept, socket).await,
                        Some(tls) => {
                            if let Ok(socket) = tls.accept(socket).await {
                                serve(kept, socket).await;
                            }
                        }
                    }
                });
            }
        });
        let address = told.recv().unwrap();
        Self { address, state, runtime: Some(runtime) }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address with a user and a password, as the configuration has it.
    pub(crate) fn url(&self) -> String {
        format!("smpp://otpgate:secret08@{}", self.address)
    }

    /// Changes how it behaves.
    pub(crate) fn behave(&self, change: impl FnOnce(&mut Manners)) {
        change(&mut lock(&self.state.manners));
    }

    /// Everything that was submitted.
    pub(crate) fn submits(&self) -> Vec<Submit> {
        lock(&self.state.submits).clone()
    }

    /// How often something was submitted.
    pub(crate) fn count(&self) -> usize {
        lock(&self.state.submits).len()
    }

    /// What else came in.
    pub(crate) fn seen(&self) -> Seen {
        lock(&self.state.seen).clone()
    }

    /// Links that are bound.
    pub(crate) fn links(&self) -> usize {
        lock(&self.state.links).len()
    }

    /// Receipts that were sent and not acknowledged with success.
    pub(crate) fn unacknowledged(&self) -> usize {
        lock(&self.state.unacknowledged).len()
    }

    /// Sends something to the newest link that receives; its number.
    pub(crate) fn deliver(&self, pdu: DeliverSm) -> u32 {
        deliver(&self.state, pdu)
    }

    /// Writes these bytes on every link.
    pub(crate) fn write(&self, bytes: &[u8]) {
        for link in lock(&self.state.links).values() {
            let _ = link.out.send(Out::Raw(bytes.to_vec()));
        }
    }

    /// Sends a PDU on every link.
    pub(crate) fn send(&self, status: u32, sequence: u32, pdu: &Pdu) {
        for link in lock(&self.state.links).values() {
            let command = Command::new(CommandStatus::from(status), sequence, pdu.clone());
            let _ = link.out.send(Out::Pdu(Box::new(command)));
        }
    }

    /// Closes every connection.
    pub(crate) fn cut(&self) {
        for link in lock(&self.state.links).values() {
            let _ = link.out.send(Out::Cut);
        }
    }
}

impl Drop for Centre {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A receipt by its text.
pub(crate) fn receipt(id: &str, word: &str, error: &str) -> DeliverSm {
    let text = format!(
        "id:{id} sub:001 dlvrd:001 submit date:2611220601 done date:2611220602 stat:{word} err:{error} text:Your code"
    );
    message(4, text.as_bytes())
}

/// A `deliver_sm` of this class and text.
pub(crate) fn message(esm_class: u8, text: &[u8]) -> DeliverSm {
    DeliverSm::builder()
        .source_addr_ton(Ton::International)
        .source_addr_npi(Npi::Isdn)
        .source_addr("4915112345678".parse().unwrap())
        .destination_addr("ACME".parse().unwrap())
        .esm_class(EsmClass::from(esm_class))
        .data_coding(DataCoding::from(0))
        .short_message(OctetString::from_slice(text).unwrap())
        .build()
}

/// The same with an optional parameter.
pub(crate) fn with_parameter(mut pdu: DeliverSm, value: MessageDeliveryRequestTlvValue) -> DeliverSm {
    pdu.push_tlv(value);
    pdu
}

fn deliver(state: &State, pdu: DeliverSm) -> u32 {
    let number = state.next_delivery.fetch_add(1, Ordering::Relaxed);
    lock(&state.unacknowledged).insert(number, pdu.clone());
    send_delivery(state, number, pdu);
    number
}

fn send_delivery(state: &State, number: u32, pdu: DeliverSm) {
    let command = Command::new(CommandStatus::EsmeRok, number, pdu);
    let links = lock(&state.links);
    if let Some(link) = links.values().rev().find(|link| link.receives) {
        let _ = link.out.send(Out::Pdu(Box::new(command)));
    }
}

async fn serve<S: AsyncRead + AsyncWrite + Send + 'static>(state: Arc<State>, socket: S) {
    let id = state.next_link.fetch_add(1, Ordering::Relaxed);
    let (reader, mut writer) = tokio::io::split(socket);
    let (out, mut outgoing) = mpsc::unbounded_channel::<Out>();
    let writing = tokio::spawn(async move {
        let mut bytes = BytesMut::new();
        while let Some(next) = outgoing.recv().await {
            match next {
                Out::Pdu(command) => CommandCodec::new().encode(*command, &mut bytes).unwrap(),
                Out::Raw(raw) => bytes.extend_from_slice(&raw),
                Out::Cut => break,
            }
            if writer.write_all_buf(&mut bytes).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
        let _ = writer.shutdown().await;
    });
    // A cut ends the reading too.
    let reading = read(&state, id, FramedRead::new(reader, CommandCodec::new()), &out);
    tokio::select! {
        () = reading => {}
        _ = writing => {}
    }
    lock(&state.links).remove(&id);
}

async fn read<R: AsyncRead + Unpin>(
    state: &Arc<State>,
    id: usize,
    mut pdus: FramedRead<R, CommandCodec>,
    out: &mpsc::UnboundedSender<Out>,
) {
    let open = Arc::new(AtomicUsize::new(0));
    while let Some(Ok(command)) = pdus.next().await {
        let number = command.sequence_number();
        let answer = |pdu: Pdu| {
            let _ = out.send(Out::Pdu(Box::new(Command::new(CommandStatus::EsmeRok, number, pdu))));
        };
        let system_id: COctetString<1, 16> = "centre".parse().unwrap();
        let bound = match command.pdu() {
            Some(Pdu::BindTransceiver(bind)) => {
                let parts = [bind.system_id.as_str(), bind.password.as_str(), bind.system_type.as_str()];
                let answer: Pdu = BindTransceiverResp::builder().system_id(system_id).build().into();
                Some((parts.map(str::to_owned), answer, true))
            }
            Some(Pdu::BindTransmitter(bind)) => {
                let parts = [bind.system_id.as_str(), bind.password.as_str(), bind.system_type.as_str()];
                let answer: Pdu = BindTransmitterResp::builder().system_id(system_id).build().into();
                Some((parts.map(str::to_owned), answer, false))
            }
            Some(Pdu::BindReceiver(bind)) => {
                let parts = [bind.system_id.as_str(), bind.password.as_str(), bind.system_type.as_str()];
                let answer: Pdu = BindReceiverResp::builder().system_id(system_id).build().into();
                Some((parts.map(str::to_owned), answer, true))
            }
            _ => None,
        };
        if let Some(([user, password, kind], answer, receives)) = bound {
            lock(&state.seen).binds.push((user, password, kind, u32::from(command.id())));
            let Manners { bind, reads, .. } = lock(&state.manners).clone();
            let Some(status) = bind else { continue };
            if status != 0 {
                // No body, as SMPP 3.4 has it where a bind is refused.
                let _ = out.send(Out::Raw(head(u32::from(command.id()) | 0x8000_0000, status, number)));
                let _ = out.send(Out::Cut);
                continue;
            }
            let _ = out.send(Out::Pdu(Box::new(Command::new(CommandStatus::EsmeRok, number, answer))));
            lock(&state.links).insert(id, Link { receives, out: out.clone() });
            if receives {
                let waiting: Vec<_> =
                    lock(&state.unacknowledged).iter().map(|(number, pdu)| (*number, pdu.clone())).collect();
                for (number, pdu) in waiting {
                    send_delivery(state, number, pdu);
                }
            }
            if !reads {
                std::future::pending::<()>().await;
            }
            continue;
        }
        match command.pdu() {
            Some(Pdu::SubmitSm(pdu)) => {
                let submit = Submit::of(id, number, state.next_id.fetch_add(1, Ordering::Relaxed), pdu);
                let acts = (state.script)(&submit);
                lock(&state.submits).push(submit);
                let now_open = open.fetch_add(1, Ordering::SeqCst) + 1;
                {
                    let mut seen = lock(&state.seen);
                    seen.most_open = seen.most_open.max(now_open);
                }
                let (state, out, open) = (Arc::clone(state), out.clone(), Arc::clone(&open));
                // In order where nothing waits; in the order of their waits else.
                let first_wait = acts.iter().position(|act| matches!(act, Act::Wait(_))).unwrap_or(acts.len());
                let (at_once, later) = acts.split_at(first_wait);
                for act in at_once {
                    perform(&state, &out, &open, number, act.clone());
                }
                if !later.is_empty() {
                    let later = later.to_vec();
                    tokio::spawn(async move {
                        for act in later {
                            match act {
                                Act::Wait(span) => tokio::time::sleep(span).await,
                                act => perform(&state, &out, &open, number, act),
                            }
                        }
                    });
                }
            }
            Some(Pdu::DeliverSmResp(_)) => acknowledged(state, number, command.status().into()),
            Some(Pdu::EnquireLink) => {
                lock(&state.seen).enquiries += 1;
                if lock(&state.manners).answers_enquire {
                    answer(Pdu::EnquireLinkResp);
                }
            }
            Some(Pdu::EnquireLinkResp) => lock(&state.seen).enquiry_answers += 1,
            Some(Pdu::GenericNack) => lock(&state.seen).nacks.push(command.status().into()),
            Some(Pdu::Unbind) => {
                lock(&state.seen).unbinds += 1;
                answer(Pdu::UnbindResp);
                let _ = out.send(Out::Cut);
            }
            _ => {}
        }
    }
}

fn perform(state: &State, out: &mpsc::UnboundedSender<Out>, open: &AtomicUsize, number: u32, act: Act) {
    let answer = |number: u32, status: u32, id: &str| {
        // Before it is written: whoever reads it may submit again at once.
        let _ = open.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |open| open.checked_sub(1));
        let _ = out.send(if status == 0 {
            let body = SubmitSmResp::builder().message_id(id.parse().unwrap()).build();
            Out::Pdu(Box::new(Command::new(CommandStatus::EsmeRok, number, body)))
        } else {
            Out::Raw(head(0x8000_0004, status, number))
        });
    };
    match act {
        Act::Wait(_) => {}
        Act::Answer(status, id) => answer(number, status, &id),
        Act::AnswerAs(other, status, id) => answer(other, status, &id),
        Act::Receipt(id, word, error) => {
            deliver(state, receipt(&id, word, error));
        }
        Act::Deliver(pdu) => {
            deliver(state, *pdu);
        }
        Act::Raw(bytes) => {
            let _ = out.send(Out::Raw(bytes));
        }
        Act::Cut => {
            let _ = out.send(Out::Cut);
        }
    }
}

fn acknowledged(state: &Arc<State>, number: u32, status: u32) {
    lock(&state.seen).acks.push((number, status));
    let Some(pdu) = lock(&state.unacknowledged).get(&number).cloned() else { return };
    // ESME_RX_T_APPN: later. Anything else is the end of it.
    if status == 0x64 {
        let state = Arc::clone(state);
        tokio::spawn(async move {
            tokio::time::sleep(AGAIN).await;
            send_delivery(&state, number, pdu);
        });
    } else {
        lock(&state.unacknowledged).remove(&number);
    }
}

/// A PDU without a body.
pub(crate) fn head(command: u32, status: u32, sequence: u32) -> Vec<u8> {
    [16, command, status, sequence].iter().flat_map(|word| word.to_be_bytes()).collect()
}
