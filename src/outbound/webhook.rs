//! Posts events: judges callback addresses, and sends them as they are.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Uri};
use http_body_util::Full;

use crate::events::dispatch::{CallbackFault, Letter, Post, Posted, Proof};
use crate::events::subscription::CALLBACK_BYTES;
use crate::otp::store::Later;
use crate::outbound::client::{Client, SendError};
use crate::outbound::connect::{ConnectError, Reach, resolve};

/// How long a name may take when an address is judged: a subscriber waits for it.
const JUDGEMENT: Duration = Duration::from_secs(2);
/// Who calls.
const AGENT: &str = concat!("otpgate/", env!("CARGO_PKG_VERSION"));

/// Posts events to callbacks.
pub struct Callbacks {
    client: Client,
    reach: Reach,
}

impl Callbacks {
    /// Where `reach` is [`Reach::Anywhere`], events go to private addresses too, and over plain HTTP.
    #[must_use]
    pub fn new(reach: Reach) -> Self {
        Self { client: Client::new(reach), reach }
    }
}

impl Post for Callbacks {
    fn judge<'a>(&'a self, url: &'a str) -> Later<'a, Result<(), CallbackFault>> {
        Box::pin(async move {
            let uri = parse(url, self.reach)?;
            let host = uri.host().unwrap_or_default();
            if self.reach == Reach::Anywhere || literal(host).is_some() {
                return Ok(());
            }
            // A name that cannot be resolved today may be tomorrow; each post looks again.
            match tokio::time::timeout(JUDGEMENT, resolve(self.reach, host, 443, true)).await {
                Ok(Err(ConnectError::NotPublic)) => Err(CallbackFault::Private),
                _ => Ok(()),
            }
        })
    }

    fn post(&self, letter: Letter) -> Later<'_, Posted> {
        Box::pin(async move {
            let Some(request) = request(letter, self.reach) else {
                return Posted::NoAnswer("its address is not allowed any more");
            };
            match self.client.send(request).await {
                Ok(answer) => {
                    Posted::Answered { status: answer.status.as_u16(), retry_after: retry_after(&answer.headers) }
                }
                Err(SendError::NotConnected(why)) => Posted::NoAnswer(why),
                Err(SendError::TooSlow) => Posted::NoAnswer("it did not answer in time"),
                Err(SendError::Broken) => Posted::NoAnswer("the connection broke before it answered"),
            }
        })
    }

    fn ask(&self, letter: Letter) -> Later<'_, Result<Vec<u8>, &'static str>> {
        Box::pin(async move {
            let request = request(letter, self.reach).ok_or("its address is not allowed")?;
            match self.client.send(request).await {
                Ok(answer) if answer.status == http::StatusCode::OK => Ok(answer.body.to_vec()),
                Ok(_) => Err("it did not answer with 200"),
                Err(SendError::NotConnected(why)) => Err(why),
                Err(SendError::TooSlow) => Err("it did not answer in time"),
                Err(SendError::Broken) => Err("the connection broke before it answered"),
            }
        })
    }
}

fn request(letter: Letter, reach: Reach) -> Option<Request<Full<Bytes>>> {
    let uri = parse(letter.url.expose(), reach).ok()?;
    let request = Request::post(uri).header(CONTENT_TYPE, "application/json").header(USER_AGENT, AGENT);
    let request = match letter.proof {
        Proof::Signature { timestamp, signature } => request
            .header("webhook-id", letter.id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature),
        Proof::Bearer(token) => {
            let mut token = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            token.set_sensitive(true);
            request.header(AUTHORIZATION, token)
        }
    };
    request.body(Full::new(Bytes::from(letter.body))).ok()
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// An address that will be sent byte for byte as it was given, and may be called as far as it says itself.
fn parse(text: &str, reach: Reach) -> Result<Uri, CallbackFault> {
    if text.len() > CALLBACK_BYTES {
        return Err(CallbackFault::TooLong);
    }
    // A fragment is never sent, so the address would not be the one that was given.
    if !text.is_ascii() || text.contains('#') {
        return Err(CallbackFault::Malformed);
    }
    let uri: Uri = text.parse().map_err(|_| CallbackFault::Malformed)?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(CallbackFault::Malformed);
    };
    match scheme {
        "https" => {}
        "http" if reach == Reach::Anywhere => {}
        _ => return Err(CallbackFault::Scheme),
    }
    if authority.as_str().contains('@') {
        return Err(CallbackFault::User);
    }
    let host = authority.host();
    let bare = authority.as_str() == host;
    if host.is_empty() || !bare && authority.port_u16().is_none_or(|port| port == 0) {
        return Err(CallbackFault::Malformed);
    }
    let rest = text.get(scheme.len() + 3 + authority.as_str().len()..).unwrap_or_default();
    let target = uri.path_and_query().map_or("", |target| target.as_str());
    if target != rest && target.strip_prefix('/') != Some(rest) {
        return Err(CallbackFault::Malformed);
    }
    match literal(host) {
        Some(address) if !reach.admits(address, true) => Err(CallbackFault::Private),
        _ => Ok(uri),
    }
}

/// The address that a host is, where it is no name.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_byte_for_byte_or_refused() {
        for good in [
            "https://example.com",
            "https://example.com/",
            "https://example.com?a=b",
            "https://EXAMPLE.com:443/a%2Fb/%7e/../x;y?sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a%3D+b%20c&&=?/",
            "https://[2606:4700::1111]:8443/x",
            "https://1.1.1.1/x",
        ] {
            let uri = parse(good, Reach::Public).unwrap();
            let target = uri.path_and_query().unwrap().as_str();
            assert!(good.ends_with(target.trim_start_matches('/')), "{good}: {target}");
        }
        for (bad, fault) in [
            ("", CallbackFault::Malformed),
            ("/v1", CallbackFault::Malformed),
            ("example.com", CallbackFault::Malformed),
            ("https://", CallbackFault::Malformed),
            ("https:///x", CallbackFault::Malformed),
            ("https://a/b c", CallbackFault::Malformed),
            ("https://a/ä", CallbackFault::Malformed),
            ("https://ä/", CallbackFault::Malformed),
            ("https://a/\r\nx", CallbackFault::Malformed),
            ("https://a/#x", CallbackFault::Malformed),
            ("https://a:0/", CallbackFault::Malformed),
            ("https://a:/", CallbackFault::Malformed),
            ("https://a:65536/", CallbackFault::Malformed),
            ("http://example.com/", CallbackFault::Scheme),
            ("ftp://example.com/", CallbackFault::Scheme),
            ("https://user:password@example.com/", CallbackFault::User),
            ("https://user@example.com/", CallbackFault::User),
            ("https://127.0.0.1/", CallbackFault::Private),
            ("https://[::1]:443/", CallbackFault::Private),
            ("https://[::ffff:10.0.0.1]/", CallbackFault::Private),
            ("https://169.254.169.254/latest", CallbackFault::Private),
        ] {
            assert_eq!(parse(bad, Reach::Public).err(), Some(fault), "{bad}");
        }
        assert_eq!(parse(&format!("https://a/{}", "x".repeat(4_086)), Reach::Public).err(), None);
        let long = format!("https://a/{}", "x".repeat(4_087));
        assert_eq!(parse(&long, Reach::Public).err(), Some(CallbackFault::TooLong));
        assert!(parse("http://127.0.0.1:1/x", Reach::Anywhere).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_refused_however_it_is_written() {
        let callbacks = Callbacks::new(Reach::Public);
        for host in ["localhost", "127.1", "2130706433", "0x7f.0.0.1", "0"] {
            let url = format!("https://{host}/x");
            assert_eq!(callbacks.judge(&url).await, Err(CallbackFault::Private), "{url}");
            let letter = |url: &str| Letter {
                url: crate::secret::Secret::new(url.to_owned()),
                id: "i".to_owned(),
                proof: Proof::Signature { timestamp: 1, signature: String::new() },
                body: Vec::new(),
            };
            let refused = Posted::NoAnswer("its name leads to addresses that are not public");
            assert_eq!(callbacks.post(letter(&url)).await, refused, "{url}");
        }
        assert_eq!(callbacks.judge("https://name.invalid/x").await, Ok(()), "it may be there tomorrow");
    }
}
