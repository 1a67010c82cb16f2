//! What the page of a verification shows, read from its record, its code's and its application's. Knows no step and no markup.

use std::sync::Arc;

use crate::clock::UnixMillis;
use crate::otp::application::{Application, ApplicationRef};
use crate::otp::channel::{Channel, Via};
use crate::otp::language::Language;
use crate::otp::page::{Origin, ReturnUrl};
use crate::otp::phone::{LineType, Phone};
use crate::otp::record::{Delivery, OtpStatus};
use crate::otp::store::StoreError;
use crate::verification::outcome::Outcome;
use crate::verification::page::RESEND_GAP;
use crate::verification::record::Verification;
use crate::verification::service::Verifications;

/// Where a verification stands, for its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is open.
    Open(Code),
    /// It ended so, less than [`AFTERMATH`](crate::verification::page::AFTERMATH) ago.
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

impl Verifications {
    /// The page of a verification as it stands.
    pub(super) async fn view(&self, verification: Verification) -> Result<View, StoreError> {
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
