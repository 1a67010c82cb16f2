//! What subscribers are told of verifications: how one ended. A store asks here, with what a write found and what it leaves, so
//! that no caller has to name the event, and none is told twice. Must not know who is told, or how.

use crate::events::fanout::Announcement;
use crate::events::queue::Other;
use crate::otp::id::OtpId;
use crate::otp::news::EventName;
use crate::verification::outcome::Outcome;
use crate::verification::record::Verification;

/// What is told when `before` becomes `after`; nothing unless that ends it.
#[must_use]
pub fn news(before: Option<&Verification>, after: Option<&Verification>) -> Option<Announcement> {
    let after = after.filter(|_| before.is_some_and(|before| before.ended.is_none()))?;
    let ended = after.ended.as_ref()?;
    let name = match ended.outcome {
        Outcome::Verified => EventName::VerificationVerified,
        Outcome::Expired => EventName::VerificationExpired,
        Outcome::TooManyAttempts => EventName::VerificationTooManyAttempts,
        Outcome::Undeliverable => EventName::VerificationUndeliverable,
        // Which of the two is in its state.
        Outcome::CancelledByPerson | Outcome::CancelledByFlow => EventName::VerificationCancelled,
    };
    // Without where the outcome is posted and where the page leads to: nobody is told of them.
    let told = Verification { callback: None, return_url: None, ..after.clone() };
    // A record of texts and numbers can always be written.
    let record = rmp_serde::to_vec(&told).ok()?;
    // Behind what is told of its code.
    let line = after.current_otp().unwrap_or_else(|| OtpId::from_bytes(after.id.bytes()));
    let other = Other { line, number_key: after.number_key, record };
    Some(Announcement { account: after.account.clone(), application: after.application, name, at: ended.at, other })
}

/// The verification that is told of, as it ended.
#[must_use]
pub fn told(other: &Other) -> Option<Verification> {
    rmp_serde::from_slice(&other.record).ok()
}
