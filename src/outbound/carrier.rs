//! The provider that reaches a carrier over HTTP: one request a message, within one deadline. What to ask and what the answer
//! means is the carrier's description; whether anything was sent at all is known here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::{DATE, RETRY_AFTER};
use http_body_util::Full;

use crate::carrier::answer::Answer;
use crate::carrier::authentication::Moment;
use crate::carrier::{Carrier, ReceiptReader};
use crate::clock::Clock;
use crate::delivery::provider::{Failure, Outgoing, Provider, Receipt};
use crate::otp::channel::Channel;
use crate::otp::store::Later;
use crate::outbound::client::{Client, SendError};
use crate::outbound::connect::Reach;
use crate::secret::Entropy;

/// Connections to a carrier that wait for the next message: those of a busy provider are not opened anew for each.
const IDLE_CONNECTIONS: usize = 64;

/// A provider over HTTP.
pub struct HttpProvider {
    name: String,
    carrier: Arc<Carrier>,
    reader: Arc<ReceiptReader>,
    client: Client,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

impl HttpProvider {
    /// A provider of this name. `timeout` is for everything: name, connection, request and answer.
    #[must_use]
    pub fn new(
        name: String,
        carrier: Arc<Carrier>,
        reader: Arc<ReceiptReader>,
        timeout: Duration,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let client = Client::with(Reach::Encrypted, timeout, IDLE_CONNECTIONS);
        Self { name, carrier, reader, client, clock, entropy }
    }

    async fn submit(&self, message: Outgoing) -> Result<Receipt, Failure> {
        let addresses = self.reader.addresses(&self.name, message.ticket);
        let moment = Moment { now: self.clock.now(), entropy: &*self.entropy };
        let request = self.carrier.request(&message, addresses, &moment);
        let request = request.map_err(|unwritable| Failure::Refused(unwritable.0.to_owned()))?;
        let mut wire = Request::new(Full::new(Bytes::from_owner(request.body)));
        *wire.method_mut() = request.method;
        *wire.uri_mut() = request.uri;
        wire.headers_mut().extend(request.headers);
        // A connection that takes long to open must not carry a code past its life.
        let sending = tokio::time::timeout(message.life, self.client.send(wire));
        let answer = match sending.await.unwrap_or(Err(SendError::TooSlow)) {
            Ok(answer) => answer,
            // Nothing left: the next one may have it at once.
            Err(SendError::NotConnected(why)) => {
                tracing::debug!(provider = self.name, why, "a carrier was not reached");
                return Err(Failure::Retryable(Duration::ZERO));
            }
            Err(SendError::TooSlow | SendError::Broken) => return Err(Failure::Unknown),
        };
        let field = |name| answer.headers.get(name).and_then(|value| value.to_str().ok());
        let judged = Answer {
            status: answer.status.as_u16(),
            retry_after: field(RETRY_AFTER).and_then(|text| wait(text.trim(), field(DATE))),
            body: &answer.body,
            whole: answer.whole,
        };
        if matches!(judged.status, 401..=403) {
            let status = judged.status;
            tracing::warn!(
                provider = self.name,
                status,
                "a carrier refuses: see the provider's credentials and credit"
            );
        }
        tracing::debug!(provider = self.name, status = judged.status, "a carrier answered");
        self.carrier.judge(&message, &judged)
    }
}

/// What `Retry-After` asks for (RFC 9110 section 10.2.3): seconds, or a date, which is counted from the carrier's own.
fn wait(text: &str, date: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let read = |text| jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp());
    let (until, now) = (read(text)?, read(date?)?);
    u64::try_from(until.duration_since(now).as_secs()).ok().map(Duration::from_secs)
}

impl Provider for HttpProvider {
    fn name(&self) -> &str {
        &self.name
    }

    fn channels(&self) -> &[Channel] {
        &self.carrier.channels
    }

    fn deliver(&self, message: Outgoing) -> Later<'_, Result<Receipt, Failure>> {
        Box::pin(self.submit(message))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_is_in_seconds_or_until_a_date() {
        let seconds = |text: &str, date| wait(text, date).map(|wait| wait.as_secs());
        let date = "Sun, 22 Nov 2026 06:00:00 GMT";
        assert_eq!(seconds("7", None), Some(7));
        assert_eq!(seconds("Sun, 22 Nov 2026 06:01:30 GMT", Some(date)), Some(90));
        for (text, date) in [
            ("Sun, 22 Nov 2026 06:01:30 GMT", None),
            ("Sun, 22 Nov 2026 05:59:59 GMT", Some(date)),
            ("soon", Some(date)),
            ("-1", Some(date)),
            ("", None),
        ] {
            assert_eq!(seconds(text, date), None, "{text}");
        }
    }
}
