//! Opening a verification, in writes that a crash may cut off anywhere: whatever is missing then is done by whoever comes
//! next, once. Knows no step of the person.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::UnixMillis;
use crate::events::signing::SigningSecret;
use crate::idempotency::{Answer, CallKey, Keep, Settled, Ticket};
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::channel::Via;
use crate::otp::command::{Behalf, Send, SendError, SendRefusal, Terms};
use crate::otp::id::{NumberKey, OtpId, VerificationId};
use crate::otp::phone::Phone;
use crate::otp::record::{Otp, Recipient};
use crate::otp::store::{StoreError, WriteError};
use crate::secret::Secret;
use crate::verification::claim::{Claimed, claim, sending};
use crate::verification::record::{Callback, Expiry, FirstSend, Verification};
use crate::verification::service::{OpenError, Opened, Verifications, WRITES, Wish, sealed_for};

impl Verifications {
    /// Opens a verification, and has its first code sent unless that waits for the person. Once for the call of `ticket`.
    ///
    /// # Errors
    /// [`OpenError`].
    pub async fn open(&self, wish: Wish, ticket: Option<&Ticket>) -> Result<Opened, OpenError> {
        let number_key = NumberKey::of(&self.keyring, &wish.account, &wish.phone.number);
        let mut id = VerificationId::generate(self.clock.now(), number_key, &*self.entropy);
        // Before the application is asked: it may have changed since, and what was answered stays the same.
        if let Some(ticket) = ticket {
            let (of_call, known) = self.claimed(ticket, id).await?;
            if let Some(known) = known {
                return self.opened_before(known).await;
            }
            id = of_call;
        }
        let application = self.may_open(&wish).await?;
        let (made, secret) = self.draft(id, number_key, wish, &application);
        match self.store.put_verification(None, Some(made.clone())).await {
            Ok(()) => {}
            Err(WriteError::Store(error)) => return Err(error.into()),
            // The same call, at the same time, in another process.
            Err(WriteError::Conflict) => {
                let known = self.store.verification(made.id).await?.ok_or(StoreError::Unavailable)?;
                return self.opened_before(known).await;
            }
        }
        self.send_first(&made).await?;
        self.observer.opened();
        Ok(Opened { verification: made, secret, repeated: false })
    }

    /// The application whose settings hold, where it lets that be sent. Asked also where nothing is sent yet: whoever asks is
    /// there now, and can choose another way.
    async fn may_open(&self, wish: &Wish) -> Result<Arc<Application>, OpenError> {
        let applications = self.catalogue.of(&wish.account).await?;
        let unknown = OpenError::Refused(SendRefusal::UnknownApplication);
        let application = applications.find(wish.application).cloned().ok_or(unknown)?;
        if wish.return_url.as_ref().is_some_and(|url| !application.page.may_lead_to(url)) {
            return Err(OpenError::ReturnUrlNotAllowed);
        }
        self.otps.may_send(&wish.phone, wish.via).map_err(OpenError::Refused)?;
        let channel = wish.via.channel(wish.phone.line);
        let (_, text) = application.templates.choose(wish.language, wish.phone.country, channel);
        if text.shows_context() && wish.context.is_none() {
            return Err(OpenError::Refused(SendRefusal::ContextNeeded));
        }
        Ok(application)
    }

    /// The id of the verification that the call of `ticket` opens, `offered` where it has none yet; and the verification, where
    /// the call opened it before.
    async fn claimed(
        &self,
        ticket: &Ticket,
        offered: VerificationId,
    ) -> Result<(VerificationId, Option<Verification>), OpenError> {
        let (call, mut ended) = (ticket.call, None);
        for _ in 0..WRITES {
            match claim(&*self.otp_store, &self.keyring, call, offered, ended, self.clock.now()).await? {
                Claimed::New => return Ok((offered, None)),
                Claimed::Reused => {
                    ticket.settle(Settled::Reused);
                    return Err(OpenError::Answered);
                }
                Claimed::Before(id) => match self.store.verification(id).await? {
                    Some(known) if self.holds(&call, &known) => return Ok((id, Some(known))),
                    Some(_) => ended = Some(id),
                    // The first try of the call ended before it wrote its verification, or was refused.
                    None => return Ok((id, None)),
                },
            }
        }
        Err(StoreError::Unavailable.into())
    }

    /// Whether a call that comes again is answered with `known`. A loop of the platform that asks again after the first
    /// verification ended wants a new one; but each step that waits has a callback of its own, so the same one is never meant
    /// anew.
    fn holds(&self, call: &CallKey, known: &Verification) -> bool {
        !call.while_active() || known.callback.is_some() || known.is_open_at(self.clock.now())
    }

    /// What a call is answered that was made before.
    async fn opened_before(&self, known: Verification) -> Result<Opened, OpenError> {
        if known.is_open_at(self.clock.now()) {
            self.make_good(&known).await?;
        }
        let secret = known.callback.as_ref().and_then(|callback| self.open_secret(known.id, callback));
        let secret = secret.map(|secret| secret.to_text());
        Ok(Opened { verification: known, secret, repeated: true })
    }

    /// Sends the code of an open verification, where a crash came before that. A code that was sent is not asked for again: what
    /// may not leave by now did then. Where it may not leave, the verification stays: whoever wrote it may be at it still.
    async fn make_good(&self, known: &Verification) -> Result<(), OpenError> {
        let Some(otp) = known.current_otp() else { return Ok(()) };
        if self.otp_store.answer(sending(&self.keyring, otp).key).await?.is_some() {
            return Ok(());
        }
        match self.send_planned(known, known.via).await {
            Ok(()) | Err(SendError::Answered) => Ok(()),
            Err(SendError::Refused(refusal)) => Err(OpenError::Waits(refusal)),
            Err(SendError::Store(error)) => Err(error.into()),
        }
    }

    /// Sends the code of a verification that this call has written down. Where it may not leave, nothing is left of either.
    async fn send_first(&self, made: &Verification) -> Result<(), OpenError> {
        if made.otps.is_empty() {
            return Ok(());
        }
        match self.send_planned(made, made.via).await {
            Ok(()) => Ok(()),
            Err(SendError::Refused(refusal)) => {
                // A conflict: it has moved on, so somebody else sent its code.
                match self.store.put_verification(Some(made.clone()), None).await {
                    Ok(()) | Err(WriteError::Conflict) => Err(OpenError::Refused(refusal)),
                    Err(WriteError::Store(error)) => Err(error.into()),
                }
            }
            Err(SendError::Store(error)) => Err(error.into()),
            Err(SendError::Answered) => Ok(()),
        }
    }

    /// Sends the code that a verification was written down with. Once, however often it is tried.
    pub(super) async fn send_planned(&self, verification: &Verification, via: Via) -> Result<(), SendError> {
        let (Some(otp), Some(number)) = (verification.current_otp(), verification.number()) else { return Ok(()) };
        // A number that was read before reads again.
        let Ok(phone) = Phone::of(number) else { return Err(SendError::Store(StoreError::Unavailable)) };
        let behalf = Behalf { verification: verification.id, otp, until: verification.expires };
        let wish = Send {
            account: verification.account.clone(),
            phone,
            application: ApplicationRef::Id(verification.application),
            via,
            language: verification.language,
            text: None,
            code: None,
            pin_length: None,
            sender: verification.sender.clone(),
            caller: None,
            reference: verification.reference.clone(),
            terms: Terms { context: verification.context.clone(), behalf: Some(behalf), ..Terms::default() },
        };
        let ticket = Arc::new(Ticket::new(sending(&self.keyring, otp)));
        // Nobody reads it: what is kept is that it happened.
        let render = |_: &Otp| Answer { status: 200, media_type: "".into(), body: bytes::Bytes::new() };
        match self.otps.send(wish, Some(Keep { ticket, render: Arc::new(render) })).await {
            Ok(_) | Err(SendError::Answered) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn draft(
        &self,
        id: VerificationId,
        number_key: NumberKey,
        wish: Wish,
        application: &Application,
    ) -> (Verification, Option<Secret>) {
        let now = self.clock.now();
        let usual = Expiry::default().get().max(application.expire.get());
        let expiry = wish.expiry.map_or(usual, Expiry::get);
        let (callback, secret) = match wish.callback {
            Some(url) => {
                let secret = SigningSecret::generate(&*self.entropy);
                let sealed = self.seal(id, &url, &secret, now);
                (Some(sealed), Some(secret.to_text()))
            }
            None => (None, None),
        };
        let mut made = Verification {
            id,
            account: wish.account,
            connection: wish.connection,
            application: application.id,
            recipient: Recipient::Number(wish.phone.number),
            number_key,
            country: wish.phone.country,
            via: wish.via,
            language: wish.language,
            sender: wish.sender,
            reference: wish.reference,
            context: wish.context,
            return_url: wish.return_url,
            created: now,
            expires: now + Duration::from_secs(expiry.into()),
            first: wish.first,
            sends_allowed: wish.sends.get(),
            sends: 0,
            last_send: None,
            otps: Vec::new(),
            ended: None,
            callback,
        };
        if made.first == FirstSend::Now {
            made.otps.push(OtpId::generate(now, number_key, made.country, &*self.entropy));
            (made.sends, made.last_send) = (1, Some(now));
        }
        (made, secret)
    }

    fn seal(&self, id: VerificationId, url: &Secret, secret: &SigningSecret, now: UnixMillis) -> Callback {
        Callback {
            url: self.keyring.seal(&sealed_for(id, b"url"), url.expose().as_bytes()),
            secret: self.keyring.seal(&sealed_for(id, b"secret"), secret.bytes()),
            tries: 0,
            due: now,
            over: false,
        }
    }
}
