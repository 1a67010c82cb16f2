//! What the parts are made with: the configuration in their own words. Checked already; nothing here can fail.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::abuse::{CeilingPolicy, SendLimits};
use crate::app::smpp;
use crate::carrier::{Carrier, ReceiptReader};
use crate::clock::Clock;
use crate::config::{Config, Countries as ConfigCountries, OnUnknown as ConfigUnknown, ProviderKind};
use crate::delivery::provider::Provider;
use crate::delivery::receipt::Receipts;
use crate::delivery::routes::{Lane, Route, Routes};
use crate::delivery::rules::{OnUnknown, Rules};
use crate::delivery::sandbox::Sandbox;
use crate::delivery::smpp::Smpp;
use crate::events::dispatch::Post;
use crate::identity::captcha::Captchas;
use crate::identity::pair::Pairs;
use crate::identity::session::Sessions;
use crate::identity::signature::Signatures;
use crate::layer::guard::Guard;
use crate::otp::catalogue::Catalogue;
use crate::otp::policy::{Countries, SendPolicy};
use crate::otp::service::OtpService;
use crate::outbound::{Callbacks, HttpProvider, Reach};
use crate::secret::SystemEntropy;
use crate::server::{Deadlines, Limits, Network, Settings, Tls};
use crate::store::Store;
use crate::surface::{oneaccess, otp};
use crate::telemetry::Observers;
use crate::verification;
use crate::verification::service::Verifications;
use crate::verification::token::PageAddresses;

pub(super) fn send_policy(config: &Config, routes: &Arc<Routes>) -> SendPolicy {
    SendPolicy {
        limits: SendLimits::new(config.limits.sends_per_number.clone()),
        ceiling: CeilingPolicy(config.delivery.messages_per_day),
        countries: match &config.delivery.countries {
            ConfigCountries::All => Countries::All,
            ConfigCountries::These(list) => Countries::Only(list.clone()),
        },
        costs: config.delivery.is_real(),
        second: config.delivery.second_channel,
        ways: Some(Arc::clone(routes) as _),
    }
}

/// The carriers of providers over HTTP, by the providers' names.
pub(super) fn http_carriers(config: &Config) -> BTreeMap<String, Arc<Carrier>> {
    let over_http = config.delivery.providers.iter().filter(|provider| provider.kind == ProviderKind::Http);
    // Each was compiled when the configuration was checked.
    let compiled = over_http.filter_map(|provider| {
        Some((provider.name.clone(), Arc::new(provider.carrier(Some(&provider.channels)).ok()?)))
    });
    compiled.collect()
}

pub(super) const fn rules(config: &Config) -> Rules {
    let delivery = &config.delivery;
    Rules {
        on_unknown: match delivery.on_unknown {
            ConfigUnknown::Wait => OnUnknown::Wait,
            ConfigUnknown::Repeat => OnUnknown::Repeat,
        },
        receipt_within: delivery.receipt_within,
        ceiling: CeilingPolicy(delivery.messages_per_day),
    }
}

/// Where receipts go, and what they are read with.
pub(super) struct Inbox {
    pub(super) receipts: Arc<dyn Receipts>,
    pub(super) described: BTreeMap<String, Arc<Carrier>>,
    pub(super) reader: Arc<ReceiptReader>,
}

/// The carriers and the ways to them, and those of them that are more than that.
pub(super) struct Carriers {
    pub(super) routes: Routes,
    pub(super) sandbox: Option<Arc<Sandbox>>,
    pub(super) smpp: Vec<Arc<Smpp>>,
}

pub(super) fn carriers(config: &Config, clock: &Arc<dyn Clock>, inbox: &Inbox, observers: &Arc<Observers>) -> Carriers {
    let Inbox { receipts, described, reader } = inbox;
    let delivery = &config.delivery;
    let (mut sandbox, mut centres) = (None, Vec::new());
    let mut lanes = Vec::new();
    for provider in &delivery.providers {
        let carrier: Arc<dyn Provider> = match provider.kind {
            ProviderKind::Sandbox => {
                let (name, channels) = (provider.name.clone(), provider.channels.clone());
                let one = Arc::new(Sandbox::new(name, channels, Arc::clone(clock), Arc::clone(receipts)));
                sandbox = Some(Arc::clone(&one));
                one
            }
            ProviderKind::Smpp => {
                let made = smpp::provider(provider, Arc::clone(receipts), Arc::clone(observers) as _);
                let Some(one) = made else { continue };
                centres.push(Arc::clone(&one));
                one
            }
            ProviderKind::Http => {
                let Some(carrier) = described.get(&provider.name) else { continue };
                Arc::new(HttpProvider::new(
                    provider.name.clone(),
                    Arc::clone(carrier),
                    Arc::clone(reader),
                    provider.http.clone().unwrap_or_default().timeout,
                    Arc::clone(clock),
                    Arc::new(SystemEntropy),
                ))
            }
        };
        let places = usize::try_from(provider.concurrency).unwrap_or(usize::MAX);
        lanes.push(Lane::new(carrier, provider.kind != ProviderKind::Sandbox, places));
    }
    let place = |name: &String| lanes.iter().position(|lane| lane.provider.name() == name);
    let routes = delivery.routes.iter().map(|route| Route {
        channel: route.channel,
        countries: match &route.countries {
            ConfigCountries::All => Vec::new(),
            ConfigCountries::These(list) => list.clone(),
        },
        prefixes: route.prefixes.clone(),
        lanes: route.providers.iter().filter_map(place).collect(),
    });
    let routes = routes.collect();
    Carriers { routes: Routes::new(lanes, routes), sandbox, smpp: centres }
}

/// What posts events, to where the configuration lets them go.
#[must_use]
pub fn callbacks(config: &Config) -> Arc<dyn Post> {
    let reach = if config.events.allow_private_callbacks { Reach::Anywhere } else { Reach::Public };
    Arc::new(Callbacks::new(reach))
}

/// The dialect that signs in. Its threads and keys come with the first call that needs them.
pub(super) fn one_access(
    config: &Config,
    store: &Arc<dyn Store>,
    clock: &Arc<dyn Clock>,
    api: &otp::Api,
    guard: &Guard,
) -> oneaccess::Api {
    let (keyring, entropy) = (store.keyring(), Arc::new(SystemEntropy));
    let pairs = Arc::new(Pairs::new(Arc::clone(store) as _, Arc::clone(&keyring)));
    let signatures = Signatures::new(Arc::clone(&pairs), Arc::clone(clock));
    Arc::new(oneaccess::Parts::new(
        Arc::clone(&api.otps),
        Arc::clone(&api.catalogue),
        Captchas::new(Arc::clone(store) as _, Arc::clone(&keyring), Arc::clone(clock), Arc::clone(&entropy) as _),
        (pairs, signatures),
        Sessions::new(Arc::clone(store) as _, Arc::clone(&keyring), Arc::clone(clock), entropy),
        Arc::clone(store) as _,
        keyring,
        guard.clone(),
        Arc::clone(clock),
        config.oneaccess.country,
    ))
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
        // By src/layer/limits.rs.
        hands_refusals: true,
    }
}

/// The service of verifications.
pub(super) fn verifier(
    store: &Arc<dyn Store>,
    otps: &Arc<OtpService>,
    catalogue: &Arc<Catalogue>,
    clock: &Arc<dyn Clock>,
    observers: &Arc<Observers>,
    base_url: &str,
) -> Arc<Verifications> {
    Arc::new(Verifications::new(verification::service::Parts {
        store: Arc::clone(store) as _,
        otp_store: Arc::clone(store) as _,
        otps: Arc::clone(otps),
        catalogue: Arc::clone(catalogue),
        keyring: store.keyring(),
        clock: Arc::clone(clock),
        entropy: Arc::new(SystemEntropy),
        pages: Arc::new(PageAddresses::new(base_url.to_owned(), store.keyring())),
        observer: Arc::clone(observers) as _,
    }))
}
