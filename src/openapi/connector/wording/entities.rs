//! The words of the schemas that both editions' operations answer with, and of fields that they share.

use crate::openapi::connector::words::{Field, Schema, field};

/// The channels that may be asked for.
pub(super) const CHANNELS: &[(&str, &str)] = &[("AUTO", "Automatic"), ("SMS", "Text message"), ("VOICE", "Voice call")];
/// Where a one-time password stands.
const STATUSES: &[(&str, &str)] = &[
    ("ACTIVE", "Active"),
    ("VERIFIED", "Verified"),
    ("EXPIRED", "Expired"),
    ("TOO_MANY_ATTEMPTS", "Too many attempts"),
];
/// The channels of a message.
const MESSAGE_CHANNELS: &[(&str, &str)] = &[("SMS", "Text message"), ("VOICE", "Voice call")];
/// How delivery stands.
const DELIVERIES: &[(&str, &str)] =
    &[("QUEUED", "Queued"), ("SENT", "Sent"), ("DELIVERED", "Delivered"), ("UNDELIVERABLE", "Undeliverable")];

/// What a flow may be started by.
pub(super) const EVENTS: &[(&str, &str)] = &[
    ("SENT", "Sent"),
    ("DELIVERED", "Delivered"),
    ("UNDELIVERABLE", "Undeliverable"),
    ("VERIFIED", "Verified"),
    ("WRONG_CODE", "Wrong code"),
    ("EXPIRED", "Expired"),
    ("TOO_MANY_ATTEMPTS", "Too many attempts"),
    ("REPLACED", "Replaced"),
    ("DELETED", "Deleted"),
    ("VERIFICATION_VERIFIED", "Verification ended: verified"),
    ("VERIFICATION_EXPIRED", "Verification ended: expired"),
    ("VERIFICATION_TOO_MANY_ATTEMPTS", "Verification ended: too many attempts"),
    ("VERIFICATION_UNDELIVERABLE", "Verification ended: undeliverable"),
    ("VERIFICATION_CANCELLED", "Verification ended: cancelled"),
];
/// What may happen to a one-time password, and how a verification may end.
pub(super) const OTP_EVENTS: &[(&str, &str)] = EVENTS.split_at(9).0;
pub(super) const VERIFICATION_EVENTS: &[(&str, &str)] = EVENTS.split_at(9).1;

pub(super) const IDEMPOTENCY_KEY: Field = field(
    "Idempotency-Key",
    "Idempotency Key",
    "A text of your own that makes this call safe to repeat: within 24 hours the same key returns the first result and does nothing again. Leave it empty in a flow, where repeats of a step are recognized anyway.",
)
.advanced();

pub(super) const OTP_ID: Field =
    field("otpId", "OTP ID", "The ID of the one-time password, which the other actions ask for.").important();
pub(super) const OTP_STATUS: Field = field(
    "otpStatus",
    "OTP Status",
    "Where the one-time password stands: ACTIVE, VERIFIED, EXPIRED or TOO_MANY_ATTEMPTS.",
)
.important()
.labels(STATUSES);
pub(super) const ATTEMPTS_LEFT: Field =
    field("attemptsLeft", "Attempts Left", "How many more codes may be tried.").important();
pub(super) const NUMBER: Field =
    field("number", "Phone Number", "The phone number it was sent to, in international form with a plus sign.");
pub(super) const ATTEMPT_COUNT: Field = field("attemptCount", "Attempt Count", "How many codes were tried so far.");
pub(super) const DELIVERY_STATUS: Field = field(
    "deliveryStatus",
    "Delivery Status",
    "How delivery of the newest message stands: QUEUED, SENT, DELIVERED or UNDELIVERABLE.",
)
.labels(DELIVERIES);
pub(super) const CHANNEL: Field =
    field("channel", "Channel", "The channel of the newest message: SMS or VOICE.").labels(MESSAGE_CHANNELS);
pub(super) const REFERENCE_ID: Field =
    field("referenceId", "Reference ID", "Your own reference, when one was given to the send action.");
pub(super) const APPLICATION_ID: Field =
    field("applicationId", "Application ID", "The ID of the application it was sent for.").advanced();
pub(super) const ACCOUNT_ID: Field =
    field("accountId", "Account ID", "The account that owns the one-time password.").advanced();
pub(super) const TIMESTAMP_CREATED: Field =
    field("timestampCreated", "Created", "When it was sent, as a date and time in UTC.");
pub(super) const TIMESTAMP_EXPIRE: Field =
    field("timestampExpire", "Expires", "When it expires, as a date and time in UTC.");
pub(super) const CREATED: Field =
    field("created", "Created (Unix Time)", "When it was sent, in milliseconds since 1970.").advanced();
pub(super) const EXPIRE: Field =
    field("expire", "Expires (Unix Time)", "When it expires, in milliseconds since 1970.").advanced();

/// The connection test's answer.
pub(super) const CONNECTION: Schema = Schema {
    name: "ConnectionEntity",
    title: "Connection",
    fields: &[
        field("connectionId", "Connection ID", "The ID of the connection that the API key belongs to."),
        field("name", "Connection Name", "What the operator of the gateway calls the connection."),
        field("accountId", "Account ID", "The account that the connection acts for."),
        field("scopes", "Scopes", "What the API key may be used for."),
        field("quota", "Quota", "The quota of the connection; left out when it is lifted."),
    ],
};

/// A part of it.
pub(super) const QUOTA: Schema = Schema {
    name: "QuotaEntity",
    title: "Quota",
    fields: &[
        field("calls", "Calls", "How many calls are admitted in any period."),
        field("period", "Period", "The period in seconds."),
        field("remaining", "Remaining Calls", "How many calls are left now."),
        field("resetsIn", "Resets In", "The seconds until there is one more call."),
    ],
};
