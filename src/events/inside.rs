//! The subscription that the gateway has with itself: news of codes that were sent for a verification. It is in no list and no
//! count, has no bound that loses anything, and nobody can end it; its rows are told to a port instead of being posted.

use crate::events::queue::Notice;
use crate::events::subscription::SubscriptionId;
use crate::otp::news::EventName;
use crate::otp::record::Otp;
use crate::otp::store::{Later, StoreError};

/// Its id. No subscription is ever given it, and no text names it.
pub const INSIDE: SubscriptionId = SubscriptionId::from_bytes([0; 8]);

/// Hears of news inside the gateway.
pub trait Inside: Send + Sync + 'static {
    /// Hears of it. At least once; what fails is told again.
    fn hear<'a>(&'a self, notice: &'a Notice) -> Later<'a, Result<(), StoreError>>;
}

/// Whether news of `otp` is told inside: of what can end the verification that it was sent for.
#[must_use]
pub const fn concerns(otp: &Otp, name: EventName) -> bool {
    let ends = !matches!(name, EventName::Sent | EventName::Delivered | EventName::WrongCode);
    otp.verification.is_some() && ends
}
