//! What a person may see and do on the page of a verification: five steps, each checked by the page's token. No step changes
//! anything unless the person does: looking is free, however often and by whomever.
//!
//! A page lives while its verification is open, and for [`AFTERMATH`] longer, so that it can show how that ended, and so that a
//! step that was made twice ends alike. From then on it is unknown: the same error, after the same work, as one that never was.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::otp::channel::{Channel, Via};
use crate::otp::code::EnteredCode;
use crate::otp::command::{Resend, ResendError, SendError, SendRefusal, VerifyError};
use crate::otp::id::{OtpId, VerificationId};
use crate::otp::machine::Verdict;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::store::{StoreError, WriteError};
use crate::verification::outcome::Outcome;
use crate::verification::record::Verification;
use crate::verification::service::{Verifications, WRITES};
use crate::verification::token::PageToken;
use crate::verification::view::View;

/// How long a page shows how its verification ended. An open page asks twice a minute at least, while it is seen; who comes
/// back to it within this time finds out as well.
pub const AFTERMATH: Duration = Duration::from_secs(120);
/// What is read in the place of a verification that somebody names without its proof: nothing ever lies there.
const NOWHERE: VerificationId = VerificationId::from_bytes([0; 16]);
/// The shortest time between two messages of one verification.
pub const RESEND_GAP: Duration = Duration::from_secs(30);

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
        Ok(self.view(verification).await?)
    }

    /// Sends the first code, where none was sent yet. Once, however often it is asked for.
    ///
    /// # Errors
    /// [`PageError`].
    pub async fn begin(&self, token: &PageToken) -> Result<View, PageError> {
        let verification = self.behind(token).await?;
        if !verification.is_open_at(self.clock.now()) || self.current(&verification).await?.is_some() {
            return Ok(self.view(verification).await?);
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
            return Ok(self.view(verification).await?);
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
            return Ok(self.view(verification).await?);
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
        Ok(self.view(ended.ok_or(PageError::Gone)?).await?)
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

    /// Its code, where one was sent and is kept.
    pub(super) async fn current(&self, verification: &Verification) -> Result<Option<Arc<Otp>>, StoreError> {
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
                return Ok(self.view(known).await?);
            }
            let current = self.current(&known).await?;
            if let (None, Some(_)) = (&current, known.current_otp()) {
                // Written down and, as far as anybody knows, not sent: it is counted already.
                return match self.send_code(&known, via).await {
                    Ok(()) => Ok(self.view(known).await?),
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
                Ok(()) => Ok(self.view(after).await?),
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
            Err(error) => error.into(),
        }
    }
}
