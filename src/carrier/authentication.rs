//! How a request proves whose it is, where a header with a credential is not enough: Basic, bearer tokens, a token signed for
//! each request, a signed query, a signed webhook.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use aws_lc_rs::{hmac, rsa};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::header::AUTHORIZATION;
use http::{HeaderName, HeaderValue};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

use crate::carrier::compile::Check;
use crate::carrier::description::Authentication;
use crate::carrier::place::{Place, Unwritable};
use crate::carrier::request::header;
use crate::carrier::signature::{standard_key, standard_tag};
use crate::carrier::template::Template;
use crate::carrier::values::Values;
use crate::clock::UnixMillis;
use crate::secret::{Entropy, to_hex};

/// Seconds that a token is good for.
const TOKEN_SECONDS: u64 = 300;

/// When a request is made, and what is random about it.
pub struct Moment<'m> {
    /// The present.
    pub now: UnixMillis,
    /// For nonces.
    pub entropy: &'m dyn Entropy,
}

impl Moment<'_> {
    fn nonce(&self) -> String {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        to_hex(&bytes)
    }
}

/// A request's proof, ready to be made.
pub(super) enum Proof {
    Basic { user: Template, password: Template },
    Bearer(Template),
    Jwt { application: Template, key: rsa::KeyPair },
    Unimatrix(Option<hmac::Key>),
    Webhook(hmac::Key),
}

impl fmt::Debug for Proof {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Proof(***)")
    }
}

impl Proof {
    pub(super) fn compile(written: &Authentication, place: &str, check: &mut Check<'_>) -> Option<Self> {
        let place = format!("{place}.authentication");
        match written {
            Authentication::Basic { user, password } => {
                let user = check.needed(&format!("{place}.user"), user);
                let password = check.needed(&format!("{place}.password"), password);
                Some(Self::Basic { user: user?, password: password? })
            }
            Authentication::Bearer { token } => {
                let token = check.needed(&format!("{place}.token"), token)?;
                check.fits_header(&token);
                Some(Self::Bearer(token))
            }
            Authentication::Jwt { application, key } => {
                let application = check.needed(&format!("{place}.application"), application);
                let Some(secret) = check.credentials.get(key) else {
                    check.missing(key);
                    return None;
                };
                let der = PrivatePkcs8KeyDer::from_pem_slice(secret.expose().as_bytes()).ok();
                let Some(pair) = der.and_then(|der| RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).ok()) else {
                    let problem =
                        "is no RSA private key; write a PEM file that begins with -----BEGIN PRIVATE KEY-----";
                    check.wrong(format!("http.credentials.{key}"), problem);
                    return None;
                };
                Some(Self::Jwt { application: application?, key: pair })
            }
            Authentication::Unimatrix { secret } => {
                let secret = check.credentials.get(secret);
                Some(Self::Unimatrix(
                    secret.map(|secret| hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())),
                ))
            }
            Authentication::Webhook { secret } => {
                let Some(given) = check.credentials.get(secret) else {
                    check.missing(secret);
                    return None;
                };
                let key = standard_key(given);
                if key.is_none() {
                    let problem = "must be whsec_ and 24 to 64 bytes in Base64, as Standard Webhooks has it";
                    check.wrong(format!("http.credentials.{secret}"), problem);
                }
                key.map(Self::Webhook)
            }
        }
    }

    /// Adds the proof to a request that is otherwise complete.
    pub(super) fn add(
        &self,
        address: &mut Zeroizing<String>,
        headers: &mut Vec<(HeaderName, HeaderValue)>,
        body: &[u8],
        values: &Values<'_>,
        moment: &Moment<'_>,
    ) -> Result<(), Unwritable> {
        let text = |template| Ok(Place::Text.write(template, values)?.unwrap_or_default());
        let seconds = moment.now.0 / 1_000;
        match self {
            Self::Basic { user, password } => {
                let pair = Zeroizing::new(format!("{}:{}", *text(user)?, *text(password)?));
                let encoded = Zeroizing::new(STANDARD.encode(&*pair));
                headers.push((AUTHORIZATION, header(&Zeroizing::new(format!("Basic {}", *encoded)))?));
            }
            Self::Bearer(token) => {
                headers.push((AUTHORIZATION, header(&Zeroizing::new(format!("Bearer {}", *text(token)?)))?));
            }
            Self::Jwt { application, key } => {
                let claims = serde_json::json!({
                    "application_id": &**text(application)?,
                    "iat": seconds,
                    "exp": seconds + TOKEN_SECONDS,
                    "jti": moment.nonce(),
                });
                let head = URL_SAFE_NO_PAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
                let signed = format!("{head}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), signed.as_bytes(), &mut signature)
                    .map_err(|_| Unwritable("its token cannot be signed"))?;
                let token = format!("Bearer {signed}.{}", URL_SAFE_NO_PAD.encode(&signature));
                headers.push((AUTHORIZATION, header(&Zeroizing::new(token))?));
            }
            Self::Unimatrix(None) => {}
            Self::Unimatrix(Some(key)) => {
                let fields = format!("algorithm=hmac-sha256&nonce={}&timestamp={seconds}", moment.nonce());
                let (path, query) = address.split_once('?').unwrap_or((address, ""));
                let mut pairs: Vec<_> =
                    query.split('&').chain(fields.split('&')).filter(|pair| !pair.is_empty()).collect();
                pairs.sort_unstable();
                let signed = pairs.join("&");
                let signature = to_hex(hmac::sign(key, signed.as_bytes()).as_ref());
                *address = Zeroizing::new(format!("{path}?{signed}&signature={signature}"));
            }
            Self::Webhook(key) => {
                let id = values.message.ticket.to_string();
                let signature = format!("v1,{}", STANDARD.encode(standard_tag(key, &id, seconds, body)));
                headers.push((HeaderName::from_static("webhook-timestamp"), header(&seconds.to_string())?));
                headers.push((HeaderName::from_static("webhook-signature"), header(&signature)?));
                headers.push((HeaderName::from_static("webhook-id"), header(&id)?));
            }
        }
        Ok(())
    }
}
