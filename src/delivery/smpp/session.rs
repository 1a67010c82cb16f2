//! One bound session: a state machine over one connection, in one task. It writes submits and reads their answers, takes
//! receipts and acknowledges what was kept, asks an idle centre whether it lives, and unbinds.
//!
//! Nothing here waits but the loop itself, so that a centre that does not read, or a store that does not answer, never
//! keeps it from noticing the rest. Knows no address and no retry: what ended it is the link's matter.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use rusmpp::Pdu;
use rusmpp::pdus::{DeliverSmResp, SubmitSm};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::delivery::receipt::{About, Fate, Report, Ticket};
use crate::delivery::smpp::answer::{Submitted, judge, status, words};
use crate::delivery::smpp::connection::Connection;
use crate::delivery::smpp::receipt::{self, Delivered};
use crate::delivery::smpp::shared::{Received, Shared};
use crate::delivery::smpp::stop::stopped;
use crate::delivery::smpp::window::{Answer, Claim, Open, Window};
use crate::delivery::smpp::wire::{Frame, Reader, command, put};

/// Receipts that are being kept at once. With more the session stops reading: the centre is held up, not our memory.
const RECEIPTS_IN_WORK: usize = 256;
/// Bytes that wait to be written, from which on nothing is taken in that would add to them.
const OUTBOX_BYTES: usize = 64 * 1_024;
/// Bytes that are asked of the socket at once.
const READ_BYTES: usize = 8 * 1_024;
/// How long an unanswered submit may hold its place, in deadlines of submits: a centre that forgets them would use up
/// the window. The link is cut then (the response timer of SMPP 3.4, section 7.2).
const FORSAKEN_AFTER: u32 = 6;
/// The part of a submit's deadline after which a centre that takes no byte is given up: whose submit did not leave learns
/// that before they lose patience, and can go elsewhere.
const STUCK_PART: u32 = 2;
/// How long a session that is to end waits for what is open.
const DRAIN: Duration = Duration::from_secs(4);
/// How long it waits for the answer to its unbind.
const UNBIND: Duration = Duration::from_secs(1);

/// A submit for a session.
pub(super) struct Job {
    /// The PDU.
    pub(super) pdu: Box<SubmitSm>,
    /// The message's name, where receipts were asked for.
    pub(super) ticket: Option<Ticket>,
    /// Whether it may still be written.
    pub(super) claim: Arc<Claim>,
    /// Its place in the window.
    pub(super) place: OwnedSemaphorePermit,
    /// Who waits for the answer.
    pub(super) reply: oneshot::Sender<Answer>,
}

/// Why a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// It was told to.
    Stopped,
    /// The centre ended it, or the connection broke, or either could not go on.
    Lost(&'static str),
}

/// How the end of a session goes on.
enum Phase {
    Working,
    /// No new submits; what is open is waited for until then.
    Draining(Instant),
    /// The answer to the unbind is waited for until then.
    Unbinding(Instant),
}

/// What was done with something that a centre reported.
enum Kept {
    /// A receipt: its number, and whether it was kept.
    Receipt(u32, bool),
    /// What a late answer said; nobody waits for an acknowledgement.
    Late,
}

/// A bound session.
pub(super) struct Session<'a> {
    shared: &'a Shared,
    connection: Connection,
    window: Window,
    outbox: BytesMut,
    /// Bytes that were put into the outbox, and bytes that left it.
    put: u64,
    written: u64,
    unflushed: bool,
    /// Since when the outbox has not moved.
    stuck: Instant,
    in_work: FuturesUnordered<BoxFuture<'static, Kept>>,
    /// When the centre was last heard.
    heard: Instant,
    /// The `enquire_link` that is open, and since when.
    asked: Option<(u32, Instant)>,
    phase: Phase,
}

impl<'a> Session<'a> {
    /// A session over a connection that is bound.
    pub(super) fn new(shared: &'a Shared, connection: Connection) -> Self {
        let now = Instant::now();
        Self {
            shared,
            connection,
            // The bind had the first number.
            window: Window::after(1),
            outbox: BytesMut::new(),
            put: 0,
            written: 0,
            unflushed: false,
            stuck: now,
            in_work: FuturesUnordered::new(),
            heard: now,
            asked: None,
            phase: Phase::Working,
        }
    }

    /// Works until the link is lost, or until `stop` turns true and what was open is done.
    pub(super) async fn run(mut self, mut jobs: mpsc::Receiver<Job>, stop: &mut watch::Receiver<bool>) -> Ended {
        let ended = loop {
            if let Err(ended) = self.take_frames().and_then(|()| self.step()) {
                break ended;
            }
            let may_read = self.may_take();
            let may_send = matches!(self.phase, Phase::Working) && self.outbox.len() < OUTBOX_BYTES;
            if may_read {
                self.connection.inbox.reserve(READ_BYTES);
            }
            let alarm = self.alarm();
            tokio::select! {
                read = self.connection.reader.read_buf(&mut self.connection.inbox), if may_read => match read {
                    Ok(1..) => self.heard = Instant::now(),
                    Ok(0) => break Ended::Lost("the message centre closed the connection"),
                    Err(_) => break Ended::Lost("the connection broke"),
                },
                pushed = push(&mut self.connection.writer, &mut self.outbox), if self.is_moving() => match pushed {
                    Ok(0) => self.unflushed = false,
                    Ok(count) => {
                        self.written += u64::try_from(count).unwrap_or_default();
                        self.stuck = Instant::now();
                        self.unflushed = true;
                    }
                    Err(_) => break Ended::Lost("the connection broke"),
                },
                Some(kept) = self.in_work.next(), if !self.in_work.is_empty() => self.acknowledge(&kept),
                Some(job) = jobs.recv(), if may_send => self.submit(job),
                () = tokio::time::sleep_until(alarm) => {}
                () = stopped(stop), if matches!(self.phase, Phase::Working) => {
                    self.phase = Phase::Draining(Instant::now() + DRAIN);
                    jobs.close();
                    while let Ok(job) = jobs.try_recv() {
                        let _ = job.reply.send(Answer::NotSent);
                    }
                }
            }
        };
        jobs.close();
        while let Ok(job) = jobs.try_recv() {
            let _ = job.reply.send(Answer::NotSent);
        }
        // What could still be said is said, up to the first submit that counts as not sent; who closed first reads nothing.
        if let Some(unsent) = self.window.end(self.written) {
            self.outbox.truncate(usize::try_from(unsent - self.written).unwrap_or_default());
        }
        let _ = tokio::time::timeout(UNBIND, self.connection.close(&mut self.outbox)).await;
        ended
    }

    /// Whether what comes in has room: places among the receipts, and in the outbox for the acknowledgements.
    fn may_take(&self) -> bool {
        self.in_work.len() < RECEIPTS_IN_WORK && self.outbox.len() < OUTBOX_BYTES
    }

    /// Whether something has still to reach the centre.
    fn is_moving(&self) -> bool {
        !self.outbox.is_empty() || self.unflushed
    }

    fn take_frames(&mut self) -> Result<(), Ended> {
        while self.may_take() {
            match self.connection.frames.next(&mut self.connection.inbox) {
                Ok(None) => break,
                Ok(Some(frame)) => self.take(&frame)?,
                Err(_) => {
                    self.say(status::INVALID_LENGTH, 0, Pdu::GenericNack);
                    return Err(Ended::Lost("the message centre sent what is no PDU"));
                }
            }
        }
        Ok(())
    }

    /// What the time asks for.
    fn step(&mut self) -> Result<(), Ended> {
        let settings = &self.shared.settings;
        let now = Instant::now();
        if self.is_moving() && now >= self.stuck + settings.submit / STUCK_PART {
            return Err(Ended::Lost("the message centre does not read"));
        }
        match self.phase {
            Phase::Working => {}
            Phase::Draining(until) => {
                if now >= until || (self.window.is_empty() && self.in_work.is_empty()) {
                    let number = self.window.number();
                    self.say(status::OK, number, Pdu::Unbind);
                    self.phase = Phase::Unbinding(now + UNBIND);
                }
            }
            Phase::Unbinding(until) if now >= until => return Err(Ended::Stopped),
            Phase::Unbinding(_) => {}
        }
        if let Some(since) = self.window.oldest()
            && now >= since + settings.submit * FORSAKEN_AFTER
        {
            return Err(Ended::Lost("the message centre does not answer submits"));
        }
        match self.asked {
            // Its answer may lie behind receipts that have no room.
            Some((number, _)) if !self.may_take() => self.asked = Some((number, now)),
            Some((_, since)) if now >= since + settings.enquire_link_answer => {
                return Err(Ended::Lost("the message centre does not answer enquire_link"));
            }
            Some(_) => {}
            None if now >= self.heard + settings.enquire_link => {
                let number = self.window.number();
                self.say(status::OK, number, Pdu::EnquireLink);
                self.asked = Some((number, now));
            }
            None => {}
        }
        Ok(())
    }

    /// When the time asks for something next.
    fn alarm(&mut self) -> Instant {
        let settings = &self.shared.settings;
        let life = match self.asked {
            Some((_, since)) => since + settings.enquire_link_answer,
            None => self.heard + settings.enquire_link,
        };
        let phase = match self.phase {
            Phase::Working => None,
            Phase::Draining(until) | Phase::Unbinding(until) => Some(until),
        };
        let oldest = self.window.oldest().map(|since| since + settings.submit * FORSAKEN_AFTER);
        let others = [self.is_moving().then(|| self.stuck + settings.submit / STUCK_PART), phase, oldest];
        others.into_iter().flatten().fold(life, Instant::min)
    }

    fn say(&mut self, status: u32, sequence: u32, pdu: impl Into<Pdu>) {
        if !self.is_moving() {
            self.stuck = Instant::now();
        }
        let before = self.outbox.len();
        put(&mut self.outbox, status, sequence, pdu);
        self.put += u64::try_from(self.outbox.len() - before).unwrap_or_default();
    }

    fn submit(&mut self, job: Job) {
        // Whoever lost patience took it back; whoever is gone will have it tried anew.
        if job.reply.is_closed() || !job.claim.take() {
            return;
        }
        let number = self.window.number();
        let begins = self.put;
        self.say(status::OK, number, *job.pdu);
        let open = Open { begins, since: Instant::now(), ticket: job.ticket, reply: job.reply, _place: job.place };
        self.window.open(number, open);
    }

    fn take(&mut self, frame: &Frame) -> Result<(), Ended> {
        let number = frame.sequence;
        match frame.command {
            command::SUBMIT_SM_RESP => self.answered(frame),
            command::DELIVER_SM => self.delivered(frame),
            command::ENQUIRE_LINK => self.say(status::OK, number, Pdu::EnquireLinkResp),
            command::ENQUIRE_LINK_RESP | command::GENERIC_NACK
                if self.asked.is_some_and(|(asked, _)| asked == number) =>
            {
                self.asked = None;
            }
            command::GENERIC_NACK => self.answered(frame),
            command::UNBIND => {
                self.say(status::OK, number, Pdu::UnbindResp);
                return Err(Ended::Lost("the message centre unbound"));
            }
            command::UNBIND_RESP if matches!(self.phase, Phase::Unbinding(_)) => return Err(Ended::Stopped),
            command::ALERT_NOTIFICATION => {}
            // An answer to nothing that we asked.
            answer if answer & command::ANSWER != 0 => {}
            _ => self.say(status::INVALID_COMMAND, number, Pdu::GenericNack),
        }
        Ok(())
    }

    fn answered(&mut self, frame: &Frame) {
        // A number that is not open: answered before, or never asked.
        let Some(open) = self.window.close(frame.sequence) else { return };
        let id = receipt::name_of_answer(Reader(&frame.body).text(), self.shared.settings.receipt_ids);
        let status = match (frame.command, frame.status) {
            // "Not understood" is no success, whatever the status says.
            (command::GENERIC_NACK, status::OK) => status::SYSTEM_ERROR,
            (_, status) => status,
        };
        let Err(Answer::Given(status, id)) = open.reply.send(Answer::Given(status, id)) else { return };
        // Nobody waits any more: it counts as unknown, and what is known now goes the way of receipts.
        let Some(ticket) = open.ticket else { return };
        let fate = match judge(status) {
            Submitted::Taken => Fate::OnItsWay,
            Submitted::Refused => Fate::Failed(words(status)),
            Submitted::Throttled | Submitted::Failed | Submitted::Unknown => return,
        };
        if let Some(id) = id {
            self.shared.late.lock().remember(id, ticket);
        }
        let keeping = self.shared.keep(Report { about: About::Ticket(ticket), fate });
        self.in_work.push(Box::pin(async move {
            keeping.await;
            Kept::Late
        }));
    }

    fn delivered(&mut self, frame: &Frame) {
        let number = frame.sequence;
        match receipt::read(&frame.body, self.shared.settings.receipt_ids) {
            Delivered::Receipt(id, fate) => {
                self.shared.observer.received(match fate {
                    Fate::Delivered => Received::Delivered,
                    Fate::Failed(_) => Received::Failed,
                    Fate::OnItsWay => Received::OnItsWay,
                });
                let about = self.shared.late.lock().ticket(&id).map_or(About::Carrier(id), About::Ticket);
                let keeping = self.shared.keep(Report { about, fate });
                self.in_work.push(Box::pin(async move { Kept::Receipt(number, keeping.await) }));
            }
            Delivered::Message => {
                self.shared.observer.received(Received::Message);
                self.say(status::OK, number, DeliverSmResp::default());
            }
            Delivered::Unreadable => {
                self.shared.observer.received(Received::Unreadable);
                // Not a temporary error: it would come again, and be as unreadable.
                self.say(status::REJECTED, number, DeliverSmResp::default());
            }
        }
    }

    fn acknowledge(&mut self, kept: &Kept) {
        if let Kept::Receipt(number, kept) = *kept {
            if !kept {
                self.shared.observer.received(Received::NotKept);
            }
            let status = if kept { status::OK } else { status::TEMPORARY };
            self.say(status, number, DeliverSmResp::default());
        }
    }
}

/// Writes some of what is there: so many bytes. Where nothing is, what a TLS layer holds back goes out, and it is 0.
async fn push(writer: &mut (impl AsyncWrite + Unpin), bytes: &mut BytesMut) -> io::Result<usize> {
    if bytes.is_empty() {
        writer.flush().await?;
        return Ok(0);
    }
    match writer.write_buf(bytes).await? {
        0 => Err(io::ErrorKind::WriteZero.into()),
        count => Ok(count),
    }
}
