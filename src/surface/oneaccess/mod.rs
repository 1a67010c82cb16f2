//! OneAccess' SDK API, `/api/v2`: its verification codes, with the puzzle before them and the sessions after them.
//!
//! A client names itself by `X-client-id`, which is public; the operator allows that connection by connection. What the
//! rest of the product does (passwords, social accounts, organisations, forms) is refused by name.

mod chinese;
mod client;
mod countries;
mod error;
mod puzzle;
mod session;
mod sms;
mod text;

use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use http::Method;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::access::nonce::NonceStore;
use crate::clock::Clock;
use crate::idempotency::Operation;
use crate::identity::captcha::Captchas;
use crate::identity::pair::Pairs;
use crate::identity::session::Sessions;
use crate::identity::signature::Signatures;
use crate::layer::Request;
use crate::layer::guard::Guard;
use crate::otp::catalogue::Catalogue;
use crate::otp::phone::{Country, Phone, PhoneError};
use crate::otp::service::OtpService;
use crate::secret::Keyring;
use crate::surface::oneaccess::countries::Written;

pub use error::{ONE_ACCESS, OneAccess};

/// Where the dialect is spoken.
pub const PREFIX: &str = "/api/v2/";

/// What the handlers call, shared: every request clones it.
pub type Api = Arc<Parts>;

/// The parts of [`Api`].
pub struct Parts {
    /// The domain.
    pub otps: Arc<OtpService>,
    /// Its applications.
    pub catalogue: Arc<Catalogue>,
    /// Puzzles.
    pub captchas: Captchas,
    /// Pairs of keys.
    pub pairs: Arc<Pairs>,
    /// What is encrypted with them.
    pub signatures: Signatures,
    /// Sessions.
    pub sessions: Sessions,
    /// Nonces that were spent.
    pub nonces: Arc<dyn NonceStore>,
    /// Makes the keys of nonces.
    pub keyring: Arc<Keyring>,
    /// Is charged for signatures that prove nothing.
    pub guard: Guard,
    /// The present.
    pub clock: Arc<dyn Clock>,
    /// The country that a number without `+` is read in.
    pub preferred: Country,
    countries: Written,
}

impl Parts {
    /// The parts, with the list of countries that follows from `preferred`.
    #[must_use]
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a port or a part of its own; the composition root names them"
    )]
    pub fn new(
        otps: Arc<OtpService>,
        catalogue: Arc<Catalogue>,
        captchas: Captchas,
        (pairs, signatures): (Arc<Pairs>, Signatures),
        sessions: Sessions,
        nonces: Arc<dyn NonceStore>,
        keyring: Arc<Keyring>,
        guard: Guard,
        clock: Arc<dyn Clock>,
        preferred: Country,
    ) -> Self {
        let countries = Written::new(preferred);
        Self {
            otps,
            catalogue,
            captchas,
            pairs,
            signatures,
            sessions,
            nonces,
            keyring,
            guard,
            clock,
            preferred,
            countries,
        }
    }
}

/// The routes of the dialect that are offered.
#[must_use]
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(client::server_date))
        .routes(routes!(client::public_key))
        .routes(routes!(client::country_codes))
        .routes(routes!(puzzle::pose))
        .routes(routes!(puzzle::solve))
        .routes(routes!(sms::send))
        .routes(routes!(sms::verify))
        .routes(routes!(session::login))
        .routes(routes!(session::confirm))
        .routes(routes!(session::mobile))
        .routes(routes!(session::refresh))
        .routes(routes!(session::logout))
}

/// Below these the identity product has operations that are not offered: at the word itself and everything under it. More precise
/// routes win.
const NOT_OFFERED: [&str; 23] = [
    "sdk/login",
    "sdk/mfa",
    "sdk/pwd",
    "sdk/password",
    "sdk/forget-password",
    "sdk/social",
    "sdk/register",
    "sdk/register-form",
    "sdk/org",
    "sdk/orgs",
    "sdk/organization",
    "sdk/organizations",
    "sdk/user",
    "sdk/users",
    "sdk/email",
    "sdk/qrcode",
    "sdk/form",
    "sdk/agreement",
    "sdk/idtoken",
    "sdk/token",
    "sdk/oauth2",
    "sdk/saml",
    "tenant",
];

/// The routes of what is not offered.
pub fn not_offered() -> Router {
    NOT_OFFERED.iter().fold(Router::new(), |router, words| {
        ["", "/", "/{*rest}"]
            .iter()
            .fold(router, |router, rest| router.route(&format!("/api/v2/{words}{rest}"), any(client::not_offered)))
    })
}

/// Which of the routes are done once.
pub(super) fn operation(method: &Method, path: &str) -> Option<Operation> {
    match (method.as_str(), path.strip_prefix("/api/v2/sdk/")?) {
        ("POST", "sms/send") => Some(Operation::Send),
        ("POST", "sms/verify" | "login/mobile-verify-code" | "mfa/sms") => Some(Operation::Verify),
        _ => None,
    }
}

/// The header fields that belong to what a request asks for: a code confirms one session and no other.
pub(super) fn fields(request: &Request) -> Vec<u8> {
    request.headers().get("x-state-token").map(|value| value.as_bytes().to_vec()).unwrap_or_default()
}

/// A mobile number as this dialect writes it.
struct Mobile(Phone);

impl Mobile {
    /// With `+` a whole number, without it a national number of the preferred country.
    fn parse(text: &str, preferred: Country) -> Result<Self, String> {
        let country = (!text.trim_start().starts_with('+')).then_some(preferred);
        Phone::parse(text, country).map(Self).map_err(|error| match error {
            // Other dialects know other forms: whoever wrote one of those here would send to a stranger.
            PhoneError::NotANumber | PhoneError::OtherCountry => {
                format!("a phone number: with + and its country calling code, or a national number of {preferred}")
            }
            other => other.to_string(),
        })
    }

    /// How the number stands in the record of a puzzle.
    fn canonical(&self) -> String {
        self.0.number.as_str().to_owned()
    }

    /// Whom a puzzle is solved for: a number in one form, however it is written; else the text, in lower case.
    fn sender(text: &str, preferred: Country) -> String {
        Self::parse(text, preferred).map_or_else(|_| text.trim().to_lowercase(), |mobile| mobile.canonical())
    }
}

/// What every client sends. Only the first two are looked at.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
struct ClientHeaders {
    /// The client id of a connection that may be opened by it; or send an API key.
    #[param(rename = "X-client-id", nullable = false)]
    client_id: Option<String>,
    /// The language of errors: zh or en.
    #[param(rename = "X-L", nullable = false, example = "en")]
    language: Option<String>,
}

/// Which session a call is about.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
struct StateHeader {
    /// The session's token.
    #[param(rename = "X-state-token")]
    state_token: String,
}

/// What ends a session.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "only its description is used")]
struct SignatureHeader {
    /// The encrypted text, Base64.
    #[param(rename = "X-signature")]
    signature: String,
}
