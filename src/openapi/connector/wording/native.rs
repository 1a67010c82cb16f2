//! The wording of the connector itself, on `/v1`.

use crate::openapi::connector::words::Visibility::{Advanced, Important, Internal};
use crate::openapi::connector::words::{Field, Operation, Schema, Trigger, Wording, action, field};

use super::entities::{
    ACCOUNT_ID, APPLICATION_ID, ATTEMPT_COUNT, ATTEMPTS_LEFT, CHANNEL, CHANNELS, CONNECTION, CREATED, DELIVERY_STATUS,
    EVENTS, EXPIRE, IDEMPOTENCY_KEY, NUMBER, OTP_EVENTS, OTP_ID, OTP_STATUS, QUOTA, REFERENCE_ID, TIMESTAMP_CREATED,
    TIMESTAMP_EXPIRE,
};
use super::verifications;

const PATH_ID: Field =
    field("otpID", "OTP ID", "The ID of the one-time password, as the send action returned it.").important();
const VIA: Field = field(
    "via",
    "Delivery Channel",
    "How the code is delivered. Automatic calls landlines and sends a text message to every other number.",
)
.choice(CHANNELS, "AUTO");
const SENDER: Field = field(
    "sender",
    "Sender",
    "The name or number that a text message comes from, instead of the application's: up to 11 letters, digits and spaces, or 3 to 15 digits.",
)
.advanced();
const CALLER: Field =
    field("caller", "Caller", "The number that a voice call shows, instead of the application's: 3 to 15 digits.")
        .advanced();

/// The connector.
pub(in crate::openapi::connector) const NATIVE: Wording = Wording {
    title: "otpgate",
    description: "Send one-time passwords by text message or voice call, check the codes that people enter, and start flows \
        when a code is delivered, verified or expires. A wrong code is a result, so that it does not stop a flow.",
    operations: OPERATIONS,
    schemas: SCHEMAS,
    test_connection: "GetConnection",
    applications: Some(("ListApplications", "applicationId", "name")),
    headers: &[("Location", "Location"), ("Retry-After", "Retry After")],
    answers_null: false,
};

const OPERATIONS: &[Operation] = &[
    action(
        "SendOTP",
        Important,
        "Send a one time password",
        "Makes a code and sends it to a phone number by text message or voice call. The code expires after the time that the application sets, five minutes unless changed.",
    )
    .parameters(&[IDEMPOTENCY_KEY])
    .body("Whom to send the code to, and how."),
    action(
        "VerifyOTP",
        Important,
        "Verify a one time password",
        "Checks the code that a person entered. A wrong code is a result and not an error: Verified is then false, and OTP Status and Attempts Left tell what is possible next.",
    )
    .parameters(&[PATH_ID, IDEMPOTENCY_KEY])
    .body("The code that was entered."),
    action(
        "ResendOTP",
        Advanced,
        "Send the same one time password again",
        "Sends the same code once more, by the same channel or another one. The code and the time at which it expires stay as they are.",
    )
    .parameters(&[PATH_ID, IDEMPOTENCY_KEY])
    .body("How to send the code once more."),
    action(
        "StatusOTP",
        Advanced,
        "Get the status of a one time password",
        "Tells where a one-time password stands, how many attempts are left, and how its delivery went.",
    )
    .parameters(&[PATH_ID]),
    action(
        "DeleteOTP",
        Advanced,
        "Delete a one time password",
        "Forgets a one-time password, so that its code is no longer accepted. Returns its last state; from then on its ID is unknown.",
    )
    .parameters(&[PATH_ID, IDEMPOTENCY_KEY]),
    verifications::SEND_AND_WAIT,
    verifications::OPEN,
    verifications::GET,
    verifications::CANCEL,
    verifications::STOP,
    action(
        "WhenOTPChanges",
        Important,
        "When a one time password changes",
        "This operation triggers when a one-time password is sent, delivered, verified or deleted, when a wrong code is entered for it, or when it expires; and, where that is chosen, when a verification ends.",
    )
    .body("Which changes start the flow.")
    .trigger(Trigger {
        hint: "To see it work now, send a one-time password to your own phone.",
        content: &["OtpChange", "VerificationChange"],
        description: "What happened to the one-time password, and how it stands since; or how the verification ended.",
    }),
    action(
        "UnsubscribeOTPChanges",
        Internal,
        "Stop listening to changes",
        "Ends a subscription to changes; the platform calls it when a flow is turned off or deleted.",
    )
    .parameters(&[field("token", "Subscription", "The secret part of the subscription's address.")]),
    action(
        "ListApplications",
        Internal,
        "List applications",
        "Lists the applications of the account, for the choice of an application in a step.",
    ),
    action(
        "GetConnection",
        Internal,
        "Get the connection",
        "Tells what the API key may do and how much of its quota is left; the designer tests a connection with it.",
    ),
];

const SCHEMAS: &[Schema] = &[
    Schema {
        name: "SendBody",
        title: "Message",
        fields: &[
            field(
                "number",
                "Phone Number",
                "The phone number of the person, in international form such as +4915112345678, or in national form together with Country.",
            )
            .important(),
            VIA,
            field(
                "applicationId",
                "Application",
                "The application whose settings are used: length, lifetime and attempts of the code, sender and texts. The default application unless another is chosen.",
            )
            .application(),
            field(
                "language",
                "Language",
                "The language of the message, as a two-letter ISO 639-1 code such as en. By default the language of the number's country.",
            ),
            field(
                "country",
                "Country",
                "The country of the number, as a two-letter ISO 3166-1 code such as DE. Needed for a number in national form only.",
            ),
            field(
                "text",
                "Text",
                "The text of the message instead of the application's. It must contain {{OTP}} where the code belongs, and may contain {{SEC}}, the lifetime in seconds.",
            )
            .advanced(),
            field("pinLength", "PIN Length", "The length of the code, 4 to 10, instead of the application's.").advanced(),
            field(
                "otpCode",
                "OTP Code",
                "A code of your own instead of a generated one: 4 to 11 letters or digits.",
            )
            .advanced(),
            SENDER,
            CALLER,
            field(
                "referenceId",
                "Reference ID",
                "A reference of your own, such as a case number, which every result repeats.",
            )
            .advanced(),
            field(
                "context",
                "Payment",
                "The payment that the code confirms. The message shows it, and the code verifies only together with the same payment.",
            )
            .advanced(),
        ],
    },
    Schema {
        name: "ContextBody",
        title: "Payment",
        fields: &[
            field("amount", "Amount", "How much is paid, such as 12.50.").advanced(),
            field("currency", "Currency", "The currency, as a three-letter ISO 4217 code such as EUR.").advanced(),
            field("payee", "Payee", "Who is paid, as the person should read it.").advanced(),
        ],
    },
    Schema { name: "ResendBody", title: "Repeated Message", fields: &[VIA, SENDER, CALLER] },
    Schema {
        name: "VerifyBody",
        title: "Entered Code",
        fields: &[
            field("otpCode", "OTP Code", "The code that the person entered, as text, so that leading zeros are kept.")
                .important(),
            field(
                "maxAge",
                "Maximum Age",
                "The greatest age of the code in seconds, when less than its lifetime is wanted.",
            )
            .advanced(),
            field(
                "context",
                "Payment",
                "The payment that the code was sent for. Another amount, currency or payee is a wrong code.",
            )
            .advanced(),
        ],
    },
    Schema {
        name: "OtpEntity",
        title: "One-Time Password",
        fields: &[
            OTP_ID,
            OTP_STATUS,
            ATTEMPTS_LEFT,
            NUMBER,
            DELIVERY_STATUS,
            CHANNEL,
            TIMESTAMP_CREATED,
            TIMESTAMP_EXPIRE,
            ATTEMPT_COUNT,
            REFERENCE_ID,
            APPLICATION_ID,
            ACCOUNT_ID,
            CREATED,
            EXPIRE,
        ],
    },
    Schema {
        name: "VerdictEntity",
        title: "Verdict",
        fields: &[
            field("verified", "Verified", "Whether the code was right. It is true once for a one-time password.").important(),
            OTP_STATUS,
            ATTEMPTS_LEFT,
            OTP_ID,
            NUMBER,
            DELIVERY_STATUS,
            CHANNEL,
            TIMESTAMP_CREATED,
            TIMESTAMP_EXPIRE,
            ATTEMPT_COUNT,
            REFERENCE_ID,
            APPLICATION_ID,
            ACCOUNT_ID,
            CREATED,
            EXPIRE,
        ],
    },
    Schema {
        name: "NewSubscription",
        title: "Changes",
        fields: &[
            field("events", "Changes", "The changes that start the flow. All changes of one-time passwords unless some are chosen; how a verification ends starts it only when chosen.").labels(EVENTS),
            field(
                "applicationId",
                "Application",
                "The application whose one-time passwords and verifications start the flow. All applications unless one is chosen.",
            )
            .application(),
            field("notificationUrl", "Callback URL", "The address that changes are posted to; the platform fills it in.").callback(),
        ],
    },
    Schema {
        name: "Subscription",
        title: "Subscription",
        fields: &[
            field("subscriptionId", "Subscription ID", "The ID of the subscription."),
            field("events", "Changes", "The changes that are told.").labels(EVENTS),
            field("applicationId", "Application ID", "The application whose one-time passwords and verifications are told of; left out when it is all of them."),
            field("created", "Created (Unix Time)", "When it was made, in milliseconds since 1970.").advanced(),
            field("signingSecret", "Signing Secret", "The secret that changes are signed with, shown once.").advanced(),
        ],
    },
    Schema {
        name: "OtpChange",
        title: "Change",
        fields: &[
            field("event", "Change", "What happened: SENT, DELIVERED, UNDELIVERABLE, VERIFIED, WRONG_CODE, EXPIRED, TOO_MANY_ATTEMPTS, REPLACED or DELETED; or VERIFICATION and how it ended, such as VERIFICATION_EXPIRED.")
                .important()
                .labels(OTP_EVENTS),
            OTP_ID,
            OTP_STATUS,
            NUMBER,
            REFERENCE_ID,
            field("occurredAt", "Occurred", "When it happened, as a date and time in UTC."),
            field("detail", "Detail", "More about it in words, such as why a message will not arrive."),
            ATTEMPTS_LEFT,
            ATTEMPT_COUNT,
            DELIVERY_STATUS,
            CHANNEL,
            TIMESTAMP_CREATED,
            TIMESTAMP_EXPIRE,
            APPLICATION_ID,
            field("eventId", "Event ID", "The ID of the change, the same when it is told again.").advanced(),
            ACCOUNT_ID,
            CREATED,
            EXPIRE,
        ],
    },
    verifications::CHANGE,
    Schema {
        name: "ApplicationEntity",
        title: "Application",
        fields: &[
            field("applicationId", "Application ID", "The ID of the application.").important(),
            field("name", "Application Name", "The name of the application.").important(),
            field("applicationNumber", "Application Number", "The number of the application within the account."),
            field("accountId", "Account ID", "The account that owns the application."),
            field("pinLength", "PIN Length", "The length of generated codes."),
            field("alphanumeric", "Alphanumeric", "Whether generated codes contain letters."),
            field("attempts", "Attempts", "How many codes may be tried."),
            field("expire", "Lifetime", "The lifetime of a code in seconds."),
            field("sender", "Sender", "The name or number that text messages come from."),
            field("caller", "Caller", "The number that voice calls show."),
            field("template", "Texts", "The application's own texts, by language."),
            field("segments", "Segments", "How many messages a carrier sends for each of those texts, by language.").advanced(),
            field("alphabet", "Alphabets", "What each of those texts is written in: GSM-7 or UCS-2, by language.").advanced(),
            field("brand", "Brand", "What the texts call the sender; left out when it is the name.").advanced(),
            field("autofill", "Autofill", "What text messages end with, so that a phone fills in the code.").advanced(),
            field("verification", "Verification Page", "How its verification page looks, and where it may lead.").advanced(),
            field("created", "Created (Unix Time)", "When it was made, in milliseconds since 1970.").advanced(),
        ],
    },
    Schema {
        name: "AutofillEntity",
        title: "Autofill",
        fields: &[
            field("webOtpDomain", "WebOTP Domain", "The site that may read the code.").advanced(),
            field("smsRetrieverHash", "SMS Retriever Hash", "The hash of the Android app that may read the code.").advanced(),
        ],
    },
    Schema {
        name: "PageEntity",
        title: "Verification Page",
        fields: &[
            field("name", "Page Name", "What the page calls who asks; left out when it is the brand.").advanced(),
            field("colour", "Page Color", "The color of its button.").advanced(),
            field("hasLogo", "Page Has Logo", "Whether there is an image above it.").advanced(),
            field("returnUrls", "Return URLs", "The addresses that the page may lead to.").advanced(),
            field("embedOrigins", "Embedding Origins", "The sites that may show the page in a frame.").advanced(),
            field("linkInMessage", "Linked Messages", "Whether messages of verifications hold its address.").advanced(),
        ],
    },
    verifications::AWAITED,
    verifications::NEW,
    verifications::ENTITY,
    verifications::OUTCOME,
    CONNECTION,
    QUOTA,
];
