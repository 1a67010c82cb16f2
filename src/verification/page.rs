//! What a person may see and do on the page of a verification: five steps, each checked by the page's token. No step changes
//! anything unless the person does: looking is free, however often and by whomever.
//!
//! A page lives while its verification is open, and for [`AFTERMATH`] longer, so that it can show how that ended, and so that a
//! step that was made twice ends alike. From then on it is unknown: the same error, after the same work, as one that never was.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::channel::{Channel, Via};
use crate::otp::code::EnteredCode;
use crate::otp::command::{Resend, ResendError, SendError, SendRefusal, VerifyError};
use crate::otp::id::{OtpId, VerificationId};
use crate::otp::language::Language;
use crate::otp::machine::Verdict;
use crate::otp::page::{Origin, ReturnUrl};
use crate::otp::phone::{LineType, Phone};
use crate::otp::record::{Delivery, Otp, OtpStatus};
use crate::otp::store::{StoreError, WriteError};
use crate::verification::outcome::Outcome;
use crate::verification::record::Verification;
use crate::verification::service::{Verifications, WRITES};
use crate::verification::token::PageToken;

/// How long a page shows how its verification ended. An open page asks twice a minute at least, while it is seen; who comes
/// back to it within this time finds out as well.
pub const AFTERMATH: Duration = Duration::from_secs(120);
/// What is read in the place of a verification that somebody names without its proof: nothing ever lies there.
const NOWHERE: VerificationId = VerificationId::from_bytes([0; 16]);
/// The shortest time between two messages of one verification.
pub const RESEND_GAP: Duration = Duration::from_secs(30);

/// Where a verification stands, for its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is open.
    Open(Code),
    /// It ended so, less than [`AFTERMATH`] ago.
    Ended(Outcome),
}

/// Where the code of an open verification stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// None was sent: [`Verifications::begin`] sends one.
    None,
    /// It waits to leave.
    Queued,
    /// A carrier took it.
    Sent,
    /// The phone has it.
    Delivered,
    /// Its time ran out: [`Verifications::again`] sends a new one.
    Lapsed,
}

/// How the page looks.
#[derive(Clone, Debug)]
pub struct Look {
    /// What it calls who asks.
    pub name: String,
    /// The application, for the colour and the logo in [`Application::page`].
    pub application: Arc<Application>,
}

/// What the page of a verification shows.
#[derive(Clone, Debug)]
pub struct View {
    /// Where it stands.
    pub state: State,
    /// Whether the code that was entered just now was wrong.
    pub wrong: bool,
    /// How it looks.
    pub look: Look,
    /// Its language: the one asked for, else that of the number's country, else English.
    pub language: Language,
    /// The last two digits of the number, all that is shown of it; empty once it is erased.
    pub last_two: String,
    /// The channel of the newest message, or of the first one where none was sent.
    pub channel: Channel,
    /// Checks that are left of the code.
    pub attempts_left: u32,
    /// From when on a further message may be asked for; none where there will be none.
    pub resend_at: Option<UnixMillis>,
    /// Messages that may still be sent.
    pub sends_left: u32,
    /// Whether a text message may be asked for.
    pub message_offered: bool,
    /// Whether a call may be asked for.
    pub voice_offered: bool,
    /// Where the page leads to in the end.
    pub return_url: Option<ReturnUrl>,
    /// Who may show it in a frame; nobody when empty.
    pub embed_origins: Vec<Origin>,
    /// What the code is for, in a line: `12.50 EUR, Example Shop`.
    pub context: Option<String>,
    /// The present, by the gateway's clock, for what counts down.
    pub now: UnixMillis,
    /// When the code runs out; where there is none, when the verification does.
    pub expires: UnixMillis,
    /// The record itself, for the result token. Nothing else of it is shown.
    pub verification: Arc<Verification>,
}

/// Why a step was not made. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotDone {
    /// The next message may be asked for at this instant.
    TooSoon(UnixMillis),
    /// No further message may be sent.
    NoSendsLeft,
    /// There is no code to check: none was sent, or its time ran out.
    NoCode,
    /// Not on this channel: whoever opened the verification, or the number's line, does not allow it.
    NotOffered,
    /// A message may not leave now; or, where the application was deleted, nothing can be sent or checked any more.
    Send(SendRefusal),
}

/// Why there is no new view.
#[derive(Clone, Debug)]
pub enum PageError {
    /// There is no such page: it never was, or it is over.
    Gone,
    /// The step was not made; the page as it stands, and why.
    NotDone(Box<View>, NotDone),
    /// The store did not do it; the step may be tried again.
    Store(StoreError),
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// Why a code was not sent.
enum Unsent {
    Refused(SendRefusal),
    Store(StoreError),
}

impl Verifications {
    /// What the page shows. Changes nothing.
    ///
    /// # Errors
    /// [`PageError::Gone`], [`PageError::Store`].
    pub async fn look(&self, token: &PageToken) -> Result<View, PageError> {
        let verification = self.behind(token).await?;
        self.view(verification).await
    }

    /// Sends the first code, where none was sent yet. Once, however often it is asked for.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn begin(&self, token: &PageToken) -> Result<View, PageError> {
        let verification = self.behind(token).await?;
        if !verification.is_open_at(self.clock.now()) || self.current(&verification).await?.is_some() {
            return self.view(verification).await;
        }
        let via = verification.via;
        self.send_more(verification, via).await
    }

    /// Checks what the person typed.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn enter(&self, token: &PageToken, entered: EnteredCode) -> Result<View, PageError> {
        let verification = self.behind(token).await?;
        if !verification.is_open_at(self.clock.now()) {
            return self.view(verification).await;
        }
        let Some(otp) = verification.current_otp() else {
            return Err(self.not_done(verification, NotDone::NoCode).await);
        };
        let entered = entered.given_for(verification.context.clone());
        match self.otps.verify(&verification.account, otp, entered, None, None).await {
            Ok(verified) => {
                let settled = self.settle(verification.id, None).await?.ok_or(PageError::Gone)?;
                if settled.ended.is_none() && verified.verdict != Verdict::Wrong {
                    return Err(self.not_done(settled, NotDone::NoCode).await);
                }
                let mut view = self.view(settled).await?;
                view.wrong = verified.verdict == Verdict::Wrong;
                Ok(view)
            }
            Err(VerifyError::Store(error)) => Err(error.into()),
            Err(VerifyError::ApplicationGone) => {
                Err(self.not_done(verification, NotDone::Send(SendRefusal::UnknownApplication)).await)
            }
            Err(VerifyError::Answered | VerifyError::Unknown | VerifyError::Context { .. } | VerifyError::NoCode) => {
                Err(self.not_done(verification, NotDone::NoCode).await)
            }
        }
    }

    /// Sends the same code once more, on this channel where the page offers it; a new one, where its time ran out.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn again(&self, token: &PageToken, channel: Channel) -> Result<View, PageError> {
        let verification = self.behind(token).await?;
        if !verification.is_open_at(self.clock.now()) {
            return self.view(verification).await;
        }
        let view = self.view(verification).await?;
        let (via, offered) = match channel {
            Channel::Sms => (Via::Sms, view.message_offered),
            Channel::Voice => (Via::Voice, view.voice_offered),
        };
        if !offered {
            return Err(PageError::NotDone(Box::new(view), NotDone::NotOffered));
        }
        self.send_more(Verification::clone(&view.verification), via).await
    }

    /// The person says that the number is not theirs: the verification ends.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn not_me(&self, token: &PageToken) -> Result<View, PageError> {
        let verification = self.behind(token).await?;
        let ended = self.end(verification.id, Outcome::CancelledByPerson, false).await?;
        self.view(ended.ok_or(PageError::Gone)?).await
    }

    /// The verification behind a token, while there is a page of it. Whatever opens none costs a hash and one read of the store,
    /// also where the store remembers what is over: who tries tokens learns nothing from the time that an answer takes. An id
    /// without its proof is not looked at, so that nobody learns whether it is one.
    async fn behind(&self, token: &PageToken) -> Result<Verification, PageError> {
        let (id, handed_out) = token.judge(&self.keyring);
        let now = self.clock.now();
        let shown = |verification: &Verification| match &verification.ended {
            Some(ended) => now < ended.at + AFTERMATH,
            None => now < verification.expires + AFTERMATH,
        };
        let remembered = if handed_out { self.store.recall_verification(id).filter(shown) } else { None };
        let verification = match remembered {
            Some(remembered) => remembered,
            None => {
                let read = self.store.read_verification(if handed_out { id } else { NOWHERE }).await?;
                read.filter(|read| handed_out && shown(read)).ok_or(PageError::Gone)?
            }
        };
        if verification.is_open_at(now) || verification.ended.is_some() {
            return Ok(verification);
        }
        // Its time ran out, and nobody has noticed.
        self.settle(verification.id, None).await?.ok_or(PageError::Gone)
    }

    async fn current(&self, verification: &Verification) -> Result<Option<Arc<Otp>>, StoreError> {
        match verification.current_otp() {
            Some(id) => self.otps.find(&verification.account, id).await,
            None => Ok(None),
        }
    }

    /// One message more. It is counted before it is sent, in the write that only one of two callers can win, and given back
    /// where it may not leave.
    async fn send_more(&self, mut known: Verification, via: Via) -> Result<View, PageError> {
        for _ in 0..WRITES {
            let now = self.clock.now();
            if !known.is_open_at(now) {
                return self.view(known).await;
            }
            let current = self.current(&known).await?;
            if let (None, Some(_)) = (&current, known.current_otp()) {
                // Written down and, as far as anybody knows, not sent: it is counted already.
                return match self.send_code(&known, via).await {
                    Ok(()) => self.view(known).await,
                    Err(unsent) => Err(self.give_back(known, unsent).await),
                };
            }
            if known.sends_left() == 0 {
                return Err(self.not_done(known, NotDone::NoSendsLeft).await);
            }
            if let Some(at) = known.last_send.map(|last| last + RESEND_GAP).filter(|at| now < *at) {
                return Err(self.not_done(known, NotDone::TooSoon(at)).await);
            }
            let resent = current.as_ref().filter(|otp| otp.status_at(now) == OtpStatus::Active).map(|otp| otp.id);
            let mut after = known.clone();
            after.sends += 1;
            after.last_send = Some(now);
            if resent.is_none() {
                after.otps.push(OtpId::generate(now, known.number_key, known.country, &*self.entropy));
            }
            match self.store.put_verification(Some(known.clone()), Some(after.clone())).await {
                Ok(()) => {}
                Err(WriteError::Conflict) => {
                    known = self.store.verification(known.id).await?.ok_or(PageError::Gone)?;
                    continue;
                }
                Err(WriteError::Store(error)) => return Err(error.into()),
            }
            let sent = match resent {
                Some(id) => self.resend_code(&after, id, via).await,
                None => self.send_code(&after, via).await,
            };
            return match sent {
                Ok(()) => self.view(after).await,
                Err(unsent) => Err(self.give_back_to(known, after, unsent).await),
            };
        }
        Err(StoreError::Unavailable.into())
    }

    async fn send_code(&self, verification: &Verification, via: Via) -> Result<(), Unsent> {
        match self.send_planned(verification, via).await {
            Ok(()) => Ok(()),
            Err(SendError::Refused(refusal)) => Err(Unsent::Refused(refusal)),
            Err(SendError::Store(error)) => Err(Unsent::Store(error)),
            Err(SendError::Answered) => Ok(()),
        }
    }

    async fn resend_code(&self, verification: &Verification, id: OtpId, via: Via) -> Result<(), Unsent> {
        let wish = Resend { via, sender: verification.sender.clone(), caller: None };
        match self.otps.resend(&verification.account, id, wish, None).await {
            Ok(_) | Err(ResendError::Answered) => Ok(()),
            Err(ResendError::Refused(refusal)) => Err(Unsent::Refused(refusal)),
            Err(ResendError::Store(error)) => Err(Unsent::Store(error)),
            // It ended between two looks: there is nothing to send again.
            Err(ResendError::Unknown | ResendError::NotActive(_)) => Err(Unsent::Refused(SendRefusal::TooManyResends)),
            Err(ResendError::ApplicationGone) => Err(Unsent::Refused(SendRefusal::UnknownApplication)),
        }
    }

    /// The first code was written down and may not leave: it was never sent.
    async fn give_back(&self, after: Verification, unsent: Unsent) -> PageError {
        let mut before = after.clone();
        before.otps.pop();
        before.sends = before.sends.saturating_sub(1);
        before.last_send = None;
        self.give_back_to(before, after, unsent).await
    }

    async fn give_back_to(&self, before: Verification, after: Verification, unsent: Unsent) -> PageError {
        let refusal = match unsent {
            Unsent::Refused(refusal) => refusal,
            // Whether it was sent is not known: it stays written down, and is sent once by whoever asks next.
            Unsent::Store(error) => return error.into(),
        };
        // Who cannot give it back has one message less: nothing is sent that was not counted.
        let given_back = self.store.put_verification(Some(after.clone()), Some(before.clone())).await;
        let shown = if given_back.is_ok() { before } else { after };
        self.not_done(shown, NotDone::Send(refusal)).await
    }

    async fn not_done(&self, verification: Verification, why: NotDone) -> PageError {
        match self.view(verification).await {
            Ok(view) => PageError::NotDone(Box::new(view), why),
            Err(error) => error,
        }
    }

    async fn view(&self, verification: Verification) -> Result<View, PageError> {
        let now = self.clock.now();
        let applications = self.catalogue.of(&verification.account).await?;
        let reference = ApplicationRef::Id(verification.application);
        let application = applications.find(reference).cloned().unwrap_or_else(|| Arc::new(plain(&verification)));
        let otp = match &verification.ended {
            Some(ended) => ended.otp.clone().map(Arc::new),
            None => self.current(&verification).await?,
        };
        let phone = verification.number().and_then(|number| Phone::of(number).ok());
        let line = phone.as_ref().map_or(LineType::Unallocated, |phone| phone.line);
        let channel = otp.as_ref().map_or_else(|| verification.via.channel(line), |otp| otp.channel);
        // Who asked for one channel may have a reason against the other.
        let (message_offered, voice_offered) = match (verification.via, channel) {
            (Via::Sms, _) => (true, false),
            (Via::Voice, _) => (false, true),
            (Via::Auto, Channel::Sms) => {
                (true, phone.as_ref().is_some_and(|phone| self.otps.offers(phone, Channel::Voice)))
            }
            // After a call a text message, but to a line that takes none.
            (Via::Auto, Channel::Voice) => {
                let writes = phone.is_some() && Via::Auto.channel(line) == Channel::Sms;
                (writes && verification.current_otp().is_some(), true)
            }
        };
        let state = match &verification.ended {
            Some(ended) => State::Ended(ended.outcome),
            None => State::Open(otp.as_deref().map_or(Code::None, |otp| match (otp.status_at(now), otp.delivery) {
                (OtpStatus::Active, Delivery::Queued) => Code::Queued,
                (OtpStatus::Active, Delivery::Delivered) => Code::Delivered,
                (OtpStatus::Active, Delivery::Sent | Delivery::Undeliverable) => Code::Sent,
                _ => Code::Lapsed,
            })),
        };
        let name = application.page.name.as_ref().map_or_else(|| application.brand(), |name| name.as_str()).to_owned();
        let digits = verification.number().map(|number| number.as_str()).unwrap_or_default();
        let context = verification.context.as_ref();
        let (sends_left, open) = (verification.sends_left(), verification.is_open_at(now));
        let country = verification.country.and_then(Language::of_country);
        Ok(View {
            state,
            wrong: false,
            language: verification.language.or(country).unwrap_or(Language::ENGLISH),
            last_two: digits.get(digits.len().saturating_sub(2)..).unwrap_or_default().to_owned(),
            channel,
            attempts_left: otp.as_ref().map_or(application.attempts.get(), |otp| otp.attempts_left(now)),
            resend_at: (open && sends_left > 0)
                .then(|| verification.last_send.map_or(now, |last| now.max(last + RESEND_GAP))),
            sends_left,
            message_offered,
            voice_offered,
            return_url: verification.return_url.clone(),
            embed_origins: application.page.embed_origins.clone(),
            context: context.map(|context| format!("{}, {}", context.money(), context.payee.as_str())),
            now,
            expires: otp.as_ref().map_or(verification.expires, |otp| otp.expire),
            look: Look { name, application },
            verification: Arc::new(verification),
        })
    }
}

/// What the page of a verification looks like whose application was deleted: its person still sees where it stands, and may end
/// it. No site may show it in a frame.
fn plain(verification: &Verification) -> Application {
    let name = Application::default_name();
    Application::new(verification.application, 0, verification.account.clone(), name, verification.created)
}
