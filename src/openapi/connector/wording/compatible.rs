//! The wording of the compatible edition, on `/2fa/v1`: the operation ids and parameter names of tyntec's certified
//! connector, so that a flow moves by swapping its connection. Its codes and ids are text, as they are in the answers.

use crate::openapi::connector::words::Visibility::{Advanced, Important, Internal};
use crate::openapi::connector::words::{Field, Operation, Schema, Wording, action, field};

use super::entities::{
    ACCOUNT_ID, APPLICATION_ID, ATTEMPT_COUNT, CHANNELS, CONNECTION, CREATED, EXPIRE, IDEMPOTENCY_KEY, NUMBER, OTP_ID,
    OTP_STATUS, QUOTA, REFERENCE_ID, TIMESTAMP_CREATED, TIMESTAMP_EXPIRE,
};

const PATH_ID: Field =
    field("otpID", "One-Time Password ID", "The ID of the one-time password, as the send action returned it.");
const VIA: Field = field(
    "via",
    "Delivery Channel",
    "How the code is delivered. Automatic calls landlines and sends a text message to every other number.",
)
.choice(CHANNELS, "AUTO");
const SENDER: Field =
    field("sender", "Sender", "The name or number that a text message comes from, instead of the application's.")
        .named("Sender");
const CALLER: Field =
    field("caller", "Caller", "The number that a voice call shows, instead of the application's.").named("Caller");

/// The compatible edition.
pub(in crate::openapi::connector) const COMPATIBLE: Wording = Wording {
    title: "otpgate 2FA",
    description: "Send one-time passwords by text message or voice call and check them, with the operations and parameters \
        that flows made for tyntec 2FA use: an existing flow moves here by swapping its connection.",
    operations: OPERATIONS,
    schemas: SCHEMAS,
    test_connection: "GetConnection",
    applications: None,
    headers: &[("Retry-After", "Retry After")],
    answers_null: true,
};

const OPERATIONS: &[Operation] = &[
    action(
        "SendOTP",
        Important,
        "Send a one time password",
        "Makes a code and sends it to a phone number by text message or voice call.",
    )
    .source("Tyntec_SendOTP")
    .parameters(&[
        field(
            "number",
            "Phone Number",
            "The phone number of the person, in international form such as +4915112345678, or in national form together with Country.",
        ),
        field(
            "text",
            "Text",
            "The text of the message instead of the application's. It must contain {{OTP}} where the code belongs.",
        ),
        field("pinLength", "PIN Length", "The length of the code, 4 to 10, instead of the application's."),
        VIA,
        field(
            "applicationId",
            "Application ID",
            "The ID or the number of the application to use. The default application unless given.",
        ),
        field("language", "Language", "The language of the message, as a two-letter ISO 639-1 code such as en."),
        field("country", "Country", "The country of the number, as a two-letter ISO 3166-1 code such as DE."),
        field("otpCode", "OTP Code", "A code of your own instead of a generated one: 4 to 11 letters or digits."),
        SENDER,
        CALLER,
        field("referenceId", "Reference ID", "A reference of your own, which every result repeats.").advanced(),
        IDEMPOTENCY_KEY,
    ]),
    action(
        "VerifyOTP",
        Important,
        "Verify a one time password",
        "Checks the code that a person entered. As in tyntec 2FA, a wrong code is an error with the status 401, which a flow has to expect.",
    )
    .source("Tyntec_VerifyOTP")
    .parameters(&[
        PATH_ID,
        field("otpCode", "One-Time Password Code", "The code that the person entered. Leading zeros that were lost are added."),
        IDEMPOTENCY_KEY,
    ]),
    action(
        "ResendOTP",
        Advanced,
        "Send the same one time password again",
        "Sends the same code once more. The code and the time at which it expires stay as they are.",
    )
    .source("Tyntec_ResendOTP")
    .parameters(&[PATH_ID, VIA, SENDER, CALLER, IDEMPOTENCY_KEY]),
    action(
        "StatusOTP",
        Advanced,
        "Get the status of a one time password",
        "Tells where a one-time password stands and how many codes were tried.",
    )
    .source("Tyntec_StatusOTP")
    .parameters(&[PATH_ID]),
    action(
        "DeleteOTP",
        Advanced,
        "Delete a one time password",
        "Forgets a one-time password. Returns its last state; from then on its ID is unknown.",
    )
    .source("Tyntec_DeleteOTP")
    .parameters(&[PATH_ID, IDEMPOTENCY_KEY]),
    action(
        "GetConnection",
        Internal,
        "Get the connection",
        "Tells what the API key may do and how much of its quota is left; the designer tests a connection with it.",
    ),
];

const SCHEMAS: &[Schema] = &[
    Schema {
        name: "TyntecOtp",
        title: "One-Time Password",
        fields: &[
            OTP_ID,
            OTP_STATUS,
            NUMBER,
            ATTEMPT_COUNT,
            TIMESTAMP_CREATED,
            TIMESTAMP_EXPIRE,
            REFERENCE_ID,
            APPLICATION_ID,
            ACCOUNT_ID,
            CREATED,
            EXPIRE,
        ],
    },
    CONNECTION,
    QUOTA,
];
