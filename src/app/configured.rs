//! What the parts are made with: the configuration in their own words. Checked already; nothing here can fail.

use std::sync::Arc;

use crate::abuse::{CeilingPolicy, SendLimits};
use crate::app::smpp;
use crate::clock::Clock;
use crate::config::{Config, Countries as ConfigCountries, ProviderKind};
use crate::delivery::provider::Provider;
use crate::delivery::receipt::Receipts;
use crate::delivery::sandbox::Sandbox;
use crate::delivery::smpp::Smpp;
use crate::otp::service::{Countries, SendPolicy};
use crate::server::{Deadlines, Limits, Network, Settings, Tls};
use crate::telemetry::Observers;

pub(super) fn send_policy(config: &Config) -> SendPolicy {
    SendPolicy {
        limits: SendLimits::new(config.limits.sends_per_number.clone()),
        ceiling: CeilingPolicy(config.delivery.messages_per_day),
        countries: match &config.delivery.countries {
            ConfigCountries::All => Countries::All,
            ConfigCountries::These(list) => Countries::Only(list.clone()),
        },
    }
}

/// Who delivers, and those of them that are more than that.
pub(super) struct Providers {
    pub(super) all: Vec<Arc<dyn Provider>>,
    pub(super) sandbox: Option<Arc<Sandbox>>,
    pub(super) smpp: Vec<Arc<Smpp>>,
}

pub(super) fn providers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    receipts: &Arc<dyn Receipts>,
    observers: &Arc<Observers>,
) -> Providers {
    let mut made = Providers { all: Vec::new(), sandbox: None, smpp: Vec::new() };
    for provider in &config.delivery.providers {
        match provider.kind {
            ProviderKind::Sandbox => {
                let one = Arc::new(Sandbox::offering(Arc::clone(clock), provider.channels.clone()));
                made.sandbox = Some(Arc::clone(&one));
                made.all.push(one);
            }
            ProviderKind::Smpp => {
                if let Some(one) = smpp::provider(provider, Arc::clone(receipts), Arc::clone(observers) as _) {
                    made.smpp.push(Arc::clone(&one));
                    made.all.push(one);
                }
            }
            // Refused when the configuration is checked.
            ProviderKind::Http => {}
        }
    }
    made
}

pub(super) fn settings(config: &Config, tls: Option<Tls>) -> Settings {
    let defaults = Limits::default();
    let server = &config.server;
    Settings {
        limits: Limits {
            connections: usize::try_from(server.max_connections).unwrap_or(usize::MAX),
            header_bytes: usize::try_from(server.header_bytes).unwrap_or(defaults.header_bytes),
            ..defaults
        },
        deadlines: Deadlines {
            first_byte: server.first_byte,
            handshake: server.handshake,
            headers: server.headers,
            idle: server.idle,
            body: server.body,
            write: server.write,
            ..Deadlines::default()
        },
        // Checked with the configuration.
        trusted_proxies: config.trusted_proxies.iter().filter_map(|text| text.parse::<Network>().ok()).collect(),
        tls,
    }
}
