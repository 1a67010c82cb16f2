//! When the write of a setting is a conflict, and what an erasure makes of an OTP. Pure; every adapter asks here, inside
//! its own transaction.

use std::sync::Arc;

use crate::access::connection::Connection;
use crate::clock::UnixMillis;
use crate::events::subscription::{SUBSCRIPTIONS_PER_ACCOUNT, Subscription};
use crate::otp::application::Application;
use crate::otp::record::{Otp, OtpStatus};
use crate::otp::store::OtpChange;

/// Whether `after` may take the place of `before` among `kept`, the applications of its account.
///
/// A new one needs an id that nobody has; a changed one must still be what `before` says. Aliases are unique, and
/// there is one default application.
pub(super) fn application(kept: &[Application], before: Option<&Application>, after: &Application) -> bool {
    let place = match before {
        None => kept.iter().all(|other| other.id != after.id),
        Some(before) => before.id == after.id && before.account == after.account && kept.contains(before),
    };
    let clashes = |other: &Application| other.alias == after.alias || (other.is_default() && after.is_default());
    place && !kept.iter().any(|other| other.id != after.id && clashes(other))
}

/// Whether `after` may take the place of `before`, where `kept` is what has its id now.
pub(super) fn connection(kept: Option<&Connection>, before: Option<&Connection>, after: &Connection) -> bool {
    kept == before && before.is_none_or(|before| before.id == after.id)
}

/// Whether `after` may take the place of `before` among `kept`, the subscriptions of its account: its callback is its own,
/// and there are not too many of them.
pub(super) fn subscription(kept: &[Subscription], before: Option<&Subscription>, after: &Subscription) -> bool {
    let place = match before {
        None => kept.len() < SUBSCRIPTIONS_PER_ACCOUNT && kept.iter().all(|other| other.id != after.id),
        Some(before) => before.id == after.id && kept.contains(before),
    };
    place && !kept.iter().any(|other| other.id != after.id && other.callback == after.callback)
}

/// What a connection is looked up by: the names of its keys, and the public identifiers of the dialects. They differ in
/// length (12 and 24 characters), so that none can stand in for another.
pub(super) fn names(connection: &Connection) -> impl Iterator<Item = &str> {
    let keys = connection.keys.iter().map(|key| key.name.as_str());
    keys.chain([connection.access_key_id.as_str(), connection.client_id.as_str()])
}

/// What an erasure at `now` makes of an OTP: one that can still be checked goes, a final one loses its number.
pub(super) fn erased(mut otp: Otp, now: UnixMillis) -> OtpChange {
    otp.expire_now(now);
    if otp.status == OtpStatus::Active {
        OtpChange::Delete
    } else if otp.erase_number() {
        OtpChange::Put(Arc::new(otp))
    } else {
        OtpChange::Keep
    }
}
