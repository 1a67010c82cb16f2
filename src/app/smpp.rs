//! SMPP providers, made of the configuration, and what they are stopped with.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::config::{Provider, SmppMode, SmppReceiptIds, SmppUrl};
use crate::delivery::receipt::Receipts;
use crate::delivery::smpp::{Mode, ReceiptIds, ReferenceWidth, Settings, Smpp, SmppObserver};
use crate::outbound::CentreDialer;
use crate::secret::SystemEntropy;

/// How long links may take to end: they wait for what is open, and for the answer to their unbind.
const PATIENCE: Duration = Duration::from_secs(6);

/// The provider of this section. Its address was checked; one that does not read is none.
pub(super) fn provider(
    section: &Provider,
    receipts: Arc<dyn Receipts>,
    observer: Arc<dyn SmppObserver>,
) -> Option<Arc<Smpp>> {
    let url = SmppUrl::parse(section.url.as_ref()?).ok()?;
    let options = section.smpp.clone().unwrap_or_default();
    let dialer = match url.tls {
        true => CentreDialer::secure(url.host, url.port, options.ca_file),
        false => CentreDialer::plain(url.host, url.port),
    };
    let settings = Settings {
        name: section.name.clone(),
        system_id: url.system_id,
        password: url.password,
        system_type: options.system_type,
        mode: match options.mode {
            SmppMode::Transceiver => Mode::Transceiver,
            SmppMode::Pair => Mode::Pair,
        },
        connections: options.connections.into(),
        window: options.window.into(),
        per_second: options.per_second,
        bind: options.bind,
        submit: options.submit,
        enquire_link: options.enquire_link,
        enquire_link_answer: options.enquire_link_answer,
        service_type: options.service_type,
        source_ton: options.source_ton,
        source_npi: options.source_npi,
        data_coding: options.data_coding,
        reference: if options.wide_reference { ReferenceWidth::Sixteen } else { ReferenceWidth::Eight },
        validity_period: options.validity_period,
        receipt_ids: match options.receipt_ids {
            SmppReceiptIds::Same => ReceiptIds::Same,
            SmppReceiptIds::Decimal => ReceiptIds::Decimal,
            SmppReceiptIds::Hexadecimal => ReceiptIds::Hexadecimal,
        },
    };
    Some(Arc::new(Smpp::new(settings, Arc::new(dialer), receipts, observer, Arc::new(SystemEntropy))))
}

/// Links that are kept up.
pub(super) struct Links {
    stop: watch::Sender<bool>,
    working: JoinSet<()>,
}

impl Links {
    /// Brings the links of these providers up.
    pub(super) fn start(providers: &[Arc<Smpp>]) -> Self {
        let (stop, stopped) = watch::channel(false);
        let mut working = JoinSet::new();
        for provider in providers {
            working.spawn(Arc::clone(provider).run(stopped.clone()));
        }
        Self { stop, working }
    }

    /// Ends them, once nobody submits any more: what is open is waited for, within bounds.
    pub(super) async fn end(mut self) {
        self.stop.send_replace(true);
        let ending = async { while self.working.join_next().await.is_some() {} };
        if tokio::time::timeout(PATIENCE, ending).await.is_err() {
            tracing::warn!("SMPP links did not end in time; what was open on them is unknown");
        }
    }
}
