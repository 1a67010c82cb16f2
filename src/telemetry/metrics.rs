//! The metrics: every time series that can be resolved is resolved once, so that counting is one atomic addition.
//! Knows the words of `labels` and nothing of who counts.

use std::borrow::Cow;
use std::fmt;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::labels::{
    AuthRefusal, Courier, Label, QuotaVerdict, Receipt, Repetition, SendOutcome, SmppReceived, SmppSubmit, StatusClass,
    Submission, Verification, VerifyOutcome, Webhook,
};

/// Upper ends in seconds: a status is answered in under a millisecond, a send waits for a disk.
const LATENCY: [f64; 13] = [0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

type Labels = Vec<(&'static str, Cow<'static, str>)>;
type Counters = Family<Labels, Counter>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

fn latency() -> Histogram {
    Histogram::new(LATENCY)
}

/// One counter for each word of a label, resolved. Clones count together.
#[derive(Clone, Debug)]
pub struct Tally<L> {
    counters: Box<[Counter]>,
    label: std::marker::PhantomData<L>,
}

impl<L: Label> Tally<L> {
    fn of(family: &Counters, more: &Labels) -> Self {
        let resolve = |label: &L| {
            let mut labels = more.clone();
            labels.push((L::NAME, Cow::Borrowed(label.word())));
            family.get_or_create_owned(&labels)
        };
        Self { counters: L::ALL.iter().map(resolve).collect(), label: std::marker::PhantomData }
    }

    /// Counts one.
    pub fn add(&self, label: L) {
        if let Some(counter) = self.counters.get(label.index()) {
            counter.inc();
        }
    }

    /// The count so far.
    #[must_use]
    pub fn get(&self, label: L) -> u64 {
        self.counters.get(label.index()).map_or(0, |counter| counter.get())
    }
}

/// The requests of one route in one dialect.
#[derive(Clone, Debug)]
pub struct RouteMetrics {
    requests: Tally<StatusClass>,
    seconds: Histogram,
}

impl RouteMetrics {
    /// Counts a request that was answered with `status` after `seconds`.
    pub fn add(&self, status: u16, seconds: f64) {
        self.requests.add(StatusClass::of(status));
        self.seconds.observe(seconds);
    }
}

/// What is counted of one provider.
#[derive(Clone, Debug)]
pub struct ProviderMetrics {
    /// Its answers to submissions.
    pub submissions: Tally<Submission>,
    /// Its receipts.
    pub receipts: Tally<Receipt>,
    /// 1 while its circuit is open.
    pub circuit_open: Gauge,
}

/// Whether a number that somebody else keeps may go down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// It only grows. The name gets `_total`.
    Counter,
    /// It goes up and down.
    Gauge,
}

/// A number that somebody else keeps: read when the metrics are rendered.
struct Source {
    name: &'static str,
    help: &'static str,
    kind: SourceKind,
    read: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl fmt::Debug for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name)
    }
}

impl Collector for Source {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        match self.kind {
            SourceKind::Counter => {
                let metric = ConstCounter::new((self.read)());
                metric.encode(encoder.encode_descriptor(self.name, self.help, None, metric.metric_type())?)
            }
            SourceKind::Gauge => {
                let metric = ConstGauge::new(i64::try_from((self.read)()).unwrap_or(i64::MAX));
                metric.encode(encoder.encode_descriptor(self.name, self.help, None, metric.metric_type())?)
            }
        }
    }
}

/// All metrics of the process. The fields are handles that count without a look-up.
#[derive(Debug)]
pub struct Metrics {
    registry: Mutex<Registry>,
    requests: Counters,
    seconds: Histograms,
    submissions: Counters,
    receipts: Counters,
    circuits: Family<Labels, Gauge>,
    /// Deliveries.
    pub deliveries: Tally<Courier>,
    /// Tries to tell subscribers of events.
    pub webhooks: Tally<Webhook>,
    /// Verifications.
    pub verifications: Tally<Verification>,
    /// Tries to tell who waits for one.
    pub verification_tries: Tally<Webhook>,
    /// Refused authentications.
    pub auth_refusals: Tally<AuthRefusal>,
    /// The quota's verdicts.
    pub quota: Tally<QuotaVerdict>,
    /// Calls that came again under a key that is known.
    pub repetitions: Tally<Repetition>,
    /// Submits by SMPP.
    pub smpp_submits: Tally<SmppSubmit>,
    /// What message centres sent.
    pub smpp_received: Tally<SmppReceived>,
    /// SMPP links that were bound again.
    pub smpp_rebinds: Counter,
    /// Sends and resends.
    pub sends: Tally<SendOutcome>,
    /// Verdicts on codes.
    pub verifies: Tally<VerifyOutcome>,
    /// How often four fifths of a day's messages were used up.
    pub ceilings_near: Counter,
}

impl Metrics {
    /// Registers everything, with the build's version. All counters stand at zero and are there from the start.
    #[must_use]
    pub fn new(version: &'static str) -> Self {
        let mut registry = Registry::with_prefix("otpgate");
        registry.register("build", "The version that runs", Info::new(vec![("version", version)]));
        let mut counters = |name, help| {
            let family = Counters::default();
            registry.register(name, help, family.clone());
            family
        };
        let requests = counters("http_requests", "Requests answered, by dialect, route template and class of status");
        let auth_refusals = Tally::of(&counters("auth_refusals", "Refused authentications, by cause"), &Labels::new());
        let quota = Tally::of(&counters("quota_calls", "Authenticated calls, by the quota's verdict"), &Labels::new());
        let repeated = "Calls under a known idempotency key, or of a known run, by outcome";
        let repetitions = Tally::of(&counters("repeated_calls", repeated), &Labels::new());
        let sends = Tally::of(&counters("otp_sends", "Sends and resends, by outcome"), &Labels::new());
        let verifies = Tally::of(&counters("otp_verifies", "Checks of a code, by outcome"), &Labels::new());
        let deliveries = Tally::of(&counters("deliveries", "Deliveries, by outcome"), &Labels::new());
        let submissions = counters("provider_submissions", "Submissions to providers, by how they were answered");
        let receipts = counters("provider_receipts", "Receipts of providers, by what they said");
        let webhooks = Tally::of(&counters("webhook_tries", "Tries to tell of an event, by outcome"), &Labels::new());
        let opened = "Verifications that were opened, and how they ended";
        let verifications = Tally::of(&counters("verifications", opened), &Labels::new());
        let waited = "Tries to tell who waits for a verification, by outcome";
        let verification_tries = Tally::of(&counters("verification_tries", waited), &Labels::new());
        let smpp_submits = Tally::of(&counters("smpp_submits", "Submits by SMPP, by outcome"), &Labels::new());
        let smpp_received = Tally::of(&counters("smpp_received", "What message centres sent"), &Labels::new());
        let smpp_rebinds = Counter::default();
        registry.register("smpp_rebinds", "SMPP links that were bound again", smpp_rebinds.clone());
        let seconds = Histograms::new_with_constructor(latency);
        registry.register(
            "http_request_seconds",
            "From request to answer, by dialect and route template",
            seconds.clone(),
        );
        let ceilings_near = Counter::default();
        let near = "Accounts' messages of a day to a country of which four fifths were used up";
        registry.register("ceilings_near", near, ceilings_near.clone());
        let circuits = Family::<Labels, Gauge>::default();
        let open = "1 while a provider is left alone because it failed again and again";
        registry.register("provider_circuit_open", open, circuits.clone());
        Self {
            registry: Mutex::new(registry),
            requests,
            seconds,
            submissions,
            receipts,
            circuits,
            deliveries,
            webhooks,
            verifications,
            verification_tries,
            auth_refusals,
            quota,
            repetitions,
            smpp_submits,
            smpp_received,
            smpp_rebinds,
            sends,
            verifies,
            ceilings_near,
        }
    }

    /// The handles of a route, by its template. To be asked for once a route, when the router is built.
    #[must_use]
    pub fn route(&self, dialect: &'static str, route: &str) -> RouteMetrics {
        let labels = vec![("dialect", Cow::Borrowed(dialect)), ("route", Cow::Owned(route.to_owned()))];
        RouteMetrics {
            requests: Tally::of(&self.requests, &labels),
            seconds: self.seconds.get_or_create_owned(&labels),
        }
    }

    /// The handles of a provider, by its name in the configuration.
    #[must_use]
    pub fn provider(&self, name: &str) -> ProviderMetrics {
        let labels = vec![("provider", Cow::Owned(name.to_owned()))];
        ProviderMetrics {
            submissions: Tally::of(&self.submissions, &labels),
            receipts: Tally::of(&self.receipts, &labels),
            circuit_open: self.circuits.get_or_create_owned(&labels),
        }
    }

    /// Adds a number that somebody else keeps (open connections, the outbox' backlog); `read` is called at every render.
    pub fn add_source(
        &self,
        name: &'static str,
        help: &'static str,
        kind: SourceKind,
        read: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        self.registry.lock().register_collector(Box::new(Source { name, help, kind, read: Box::new(read) }));
    }

    /// Everything in the Prometheus text format (`application/openmetrics-text; version=1.0.0; charset=utf-8`).
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::with_capacity(16 * 1_024);
        // Writing into a string does not fail.
        let _ = encode(&mut text, &self.registry.lock());
        text
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn what_is_counted_is_rendered_and_all_is_there_from_the_start() {
        let metrics = Metrics::new("1.2.3");
        let backlog = Arc::new(AtomicU64::new(0));
        let kept = Arc::clone(&backlog);
        metrics.add_source("outbox_backlog", "Messages that are not settled", SourceKind::Gauge, move || {
            kept.load(Ordering::Relaxed)
        });
        metrics.add_source("connections_accepted", "Connections", SourceKind::Counter, || 5);
        let text = metrics.render();
        assert!(text.contains("otpgate_build_info{version=\"1.2.3\"} 1"), "{text}");
        assert!(text.contains("otpgate_auth_refusals_total{cause=\"unknown\"} 0"), "{text}");
        assert!(text.ends_with("# EOF\n"), "{text}");

        metrics.auth_refusals.add(AuthRefusal::Unknown);
        metrics.route("native", "/v1/otp/{otpID}").add(429, 0.001);
        metrics.route("native", "/v1/otp/{otpID}").add(404, 0.2);
        metrics.deliveries.add(Courier::Sent);
        backlog.store(7, Ordering::Relaxed);
        let text = metrics.render();
        for line in [
            "otpgate_auth_refusals_total{cause=\"unknown\"} 1",
            "otpgate_http_requests_total{dialect=\"native\",route=\"/v1/otp/{otpID}\",status=\"4xx\"} 2",
            "otpgate_http_request_seconds_count{dialect=\"native\",route=\"/v1/otp/{otpID}\"} 2",
            "otpgate_deliveries_total{outcome=\"sent\"} 1",
            "otpgate_outbox_backlog 7",
            "otpgate_connections_accepted_total 5",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        assert_eq!(metrics.auth_refusals.get(AuthRefusal::Unknown), 1);
    }
}
