//! The words of verifications: the step that waits, and what surrounds it.

use crate::openapi::connector::words::Visibility::{Advanced, Important, Internal};
use crate::openapi::connector::words::{Awaited, Field, Operation, Schema, action, field};

use super::entities::{CHANNELS, IDEMPOTENCY_KEY, VERIFICATION_EVENTS};

/// Where a verification stands.
const STATES: &[(&str, &str)] = &[
    ("OPEN", "Open"),
    ("VERIFIED", "Verified"),
    ("EXPIRED", "Expired"),
    ("TOO_MANY_ATTEMPTS", "Too many attempts"),
    ("UNDELIVERABLE", "Undeliverable"),
    ("CANCELLED_BY_PERSON", "Cancelled by the person"),
    ("CANCELLED_BY_FLOW", "Cancelled by the flow"),
];
/// When the first message leaves.
const FIRST: &[(&str, &str)] = &[("now", "At once"), ("on_open", "When the person asks for it")];

const PATH_ID: Field =
    field("verificationID", "Verification ID", "The ID of the verification, as the action that opened it returned it.")
        .important();

pub(super) const SEND_AND_WAIT: Operation = action(
    "SendOTPAndWait",
    Important,
    "Send one time password and wait",
    "Sends a code to a phone number and pauses the flow until the person entered it on a page of the gateway, said that the number is not theirs, or the time ran out. The person gets to the page by the link in the text message, so turn on links in messages for the application first. Verified tells whether the code was right.",
)
.parameters(&[IDEMPOTENCY_KEY])
.body("Whom to verify, and how.")
.awaited(Awaited { content: &["VerificationOutcome"], description: "How the verification ended." });
pub(super) const STOP: Operation = action(
    "StopWaiting",
    Internal,
    "Stop waiting for a verification",
    "Ends a verification that a flow waits for; the platform calls it when the run is cancelled.",
)
.parameters(&[field("token", "Wait", "The secret part of the address that ends the wait.")]);
pub(super) const OPEN: Operation = action(
    "OpenVerification",
    Advanced,
    "Open a verification page",
    "Sends a code to a phone number and returns the address of a page on which the person enters it, to be passed on by mail or chat. The flow goes on at once.",
)
.parameters(&[IDEMPOTENCY_KEY])
.body("Whom to verify, and how.");
pub(super) const GET: Operation = action(
    "GetVerification",
    Advanced,
    "Get a verification",
    "Tells where a verification stands, and how it ended once it did.",
)
.parameters(&[PATH_ID]);
pub(super) const CANCEL: Operation = action(
    "CancelVerification",
    Advanced,
    "Cancel a verification",
    "Ends a verification that is open, so that its code is no longer accepted. A flow that waits for it goes on.",
)
.parameters(&[PATH_ID]);

pub(super) const NEW: Schema = Schema {
    name: "NewVerification",
    title: "New Verification",
    fields: &[
        field(
            "number",
            "Phone Number",
            "The phone number of the person, in international form such as +4915112345678, or in national form together with Country.",
        )
        .important(),
        field(
            "via",
            "Delivery Channel",
            "How the code is delivered. Automatic calls landlines and sends a text message to every other number.",
        )
        .choice(CHANNELS, "AUTO"),
        field(
            "applicationId",
            "Application",
            "The application whose settings are used: length, lifetime and attempts of the code, texts, and the look of the page. The default application unless another is chosen.",
        )
        .application(),
        field(
            "language",
            "Language",
            "The language of the message and the page, as a two-letter ISO 639-1 code such as en. By default the language of the number's country.",
        ),
        field(
            "country",
            "Country",
            "The country of the number, as a two-letter ISO 3166-1 code such as DE. Needed for a number in national form only.",
        ),
        field(
            "expiry",
            "Expiry",
            "How long the person has, in seconds, 60 to 86400. Ten minutes unless changed, or as long as the application's codes live.",
        ),
        field("sends", "Sends", "How many messages may be sent, 1 to 5, further ones included. Three unless changed.")
            .advanced(),
        field("send", "First Send", "When the first message leaves: at once, or when the person asks for it on the page.")
            .choice(FIRST, "now")
            .advanced(),
        field(
            "returnUrl",
            "Return URL",
            "Where the page leads the person in the end: an https address that the application allows.",
        )
        .advanced(),
        field(
            "sender",
            "Sender",
            "The name or number that a text message comes from, instead of the application's: up to 11 letters, digits and spaces, or 3 to 15 digits.",
        )
        .advanced(),
        field(
            "referenceId",
            "Reference ID",
            "A reference of your own, such as a case number, which every result repeats.",
        )
        .advanced(),
        field(
            "context",
            "Payment",
            "The payment that the code confirms. The message and the page show it.",
        )
        .advanced(),
    ],
};
pub(super) const AWAITED: Schema = Schema {
    name: "AwaitedVerification",
    title: "Awaited Verification",
    fields: &[
        field("verification", "Verification", "Whom to verify, and how."),
        field("callback", "Callback URL", "The address that the outcome is posted to; the platform fills it in.")
            .callback(),
    ],
};

const ID: Field =
    field("verificationId", "Verification ID", "The ID of the verification, which the other actions ask for.");
const STATE: Field = field(
    "state",
    "State",
    "OPEN, or how it ended: VERIFIED, EXPIRED, TOO_MANY_ATTEMPTS, UNDELIVERABLE, CANCELLED_BY_PERSON or CANCELLED_BY_FLOW.",
)
.important()
.labels(STATES);
const VERIFIED: Field =
    field("verified", "Verified", "Whether the person entered the right code, and so holds the number.").important();
const NUMBER: Field =
    field("number", "Phone Number", "The phone number that was verified, in international form with a plus sign.");
const REFERENCE_ID: Field =
    field("referenceId", "Reference ID", "Your own reference, when one was given to the action that opened it.");
const CREATED: Field = field("timestampCreated", "Opened", "When it was opened, as a date and time in UTC.");
const EXPIRE: Field = field("timestampExpire", "Expires", "When its time runs out, as a date and time in UTC.");
const ENDED: Field = field("timestampEnded", "Ended", "When it ended, as a date and time in UTC.");
const OTP: Field = field("otp", "One-Time Password", "The one-time password, as it stands or as it stood at the end.");
const APPLICATION_ID: Field =
    field("applicationId", "Application ID", "The ID of the application whose settings were used.").advanced();
const ACCOUNT_ID: Field = field("accountId", "Account ID", "The account that owns the verification.").advanced();

pub(super) const OUTCOME: Schema = Schema {
    name: "VerificationOutcome",
    title: "Outcome",
    fields: &[VERIFIED, STATE, NUMBER, REFERENCE_ID, ENDED, OTP, CREATED, EXPIRE, ID, APPLICATION_ID, ACCOUNT_ID],
};
/// What a subscriber is told: beside what it shares with a changed one-time password, whose words hold there.
pub(super) const CHANGE: Schema = Schema {
    name: "VerificationChange",
    title: "Verification Change",
    fields: &[
        field("event", "Change", "How it ended.").important().labels(VERIFICATION_EVENTS),
        field("verified", "Verification Verified", "Whether the person entered the right code. Only when a verification ended."),
        field(
            "state",
            "Verification State",
            "How the verification ended: VERIFIED, EXPIRED, TOO_MANY_ATTEMPTS, UNDELIVERABLE, CANCELLED_BY_PERSON or CANCELLED_BY_FLOW. Only when a verification ended.",
        )
        .labels(STATES),
        field("verificationId", "Verification ID", "The ID of the verification. Only when a verification ended."),
        field("timestampEnded", "Verification Ended", "When the verification ended, as a date and time in UTC."),
        field("otp", "Verification One-Time Password", "The one-time password of the verification, as it stood at the end."),
        NUMBER,
        REFERENCE_ID,
        field("occurredAt", "Occurred", "When it ended, as a date and time in UTC."),
        CREATED,
        EXPIRE,
        APPLICATION_ID,
        field("eventId", "Event ID", "The ID of the change, the same when it is told again.").advanced(),
        ACCOUNT_ID,
    ],
};
pub(super) const ENTITY: Schema = Schema {
    name: "VerificationEntity",
    title: "Verification",
    fields: &[
        field(
            "pageUrl",
            "Page URL",
            "The address of the page on which the person enters the code. Pass it to that person alone; it is left out once the verification ended.",
        )
        .important(),
        VERIFIED,
        STATE,
        ID.important(),
        NUMBER,
        REFERENCE_ID,
        field("sendsLeft", "Sends Left", "How many more messages may be sent."),
        CREATED,
        EXPIRE,
        ENDED,
        OTP,
        APPLICATION_ID,
        ACCOUNT_ID,
        field("signingSecret", "Signing Secret", "The secret that the call to the callback is signed with.").advanced(),
    ],
};
