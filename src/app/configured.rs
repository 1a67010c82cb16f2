//! What the parts are made with: the configuration in their own words. Checked already; nothing here can fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::abuse::{CeilingPolicy, SendLimits};
use crate::carrier::{Carrier, ReceiptDesk};
use crate::clock::Clock;
use crate::config::{Config, Countries as ConfigCountries, ProviderKind};
use crate::delivery::provider::Provider;
use crate::delivery::sandbox::Sandbox;
use crate::otp::service::{Countries, SendPolicy};
use crate::outbound::HttpProvider;
use crate::secret::SystemEntropy;
use crate::server::{Deadlines, Limits, Network, Settings, Tls};

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

/// The carriers of providers over HTTP, by the providers' names.
pub(super) fn carriers(config: &Config) -> BTreeMap<String, Arc<Carrier>> {
    let over_http = config.delivery.providers.iter().filter(|provider| provider.kind == ProviderKind::Http);
    // Each was compiled when the configuration was checked.
    let compiled = over_http.filter_map(|provider| {
        Some((provider.name.clone(), Arc::new(provider.carrier(Some(&provider.channels)).ok()?)))
    });
    compiled.collect()
}

pub(super) fn providers(
    config: &Config,
    clock: &Arc<dyn Clock>,
    carriers: &BTreeMap<String, Arc<Carrier>>,
    desk: &Arc<ReceiptDesk>,
) -> (Option<Arc<Sandbox>>, Vec<Arc<dyn Provider>>) {
    let mut sandbox = None;
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for provider in &config.delivery.providers {
        match provider.kind {
            ProviderKind::Sandbox => {
                let one = Arc::new(Sandbox::offering(Arc::clone(clock), provider.channels.clone()));
                sandbox = Some(Arc::clone(&one));
                providers.push(one);
            }
            ProviderKind::Http => {
                let Some(carrier) = carriers.get(&provider.name) else { continue };
                providers.push(Arc::new(HttpProvider::new(
                    provider.name.clone(),
                    Arc::clone(carrier),
                    Arc::clone(desk),
                    provider.http.clone().unwrap_or_default().timeout,
                    Arc::clone(clock),
                    Arc::new(SystemEntropy),
                )));
            }
            // Refused when the configuration is checked.
            ProviderKind::Smpp => {}
        }
    }
    (sandbox, providers)
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
