//! What the parts are made with: the configuration in their own words. Checked already; nothing here can fail.

use std::sync::Arc;

use crate::abuse::{CeilingPolicy, SendLimits};
use crate::clock::Clock;
use crate::config::{Config, Countries as ConfigCountries, ProviderKind};
use crate::delivery::provider::Provider;
use crate::delivery::sandbox::Sandbox;
use crate::events::dispatch::Post;
use crate::identity::captcha::Captchas;
use crate::identity::pair::Pairs;
use crate::identity::session::Sessions;
use crate::identity::signature::Signatures;
use crate::layer::guard::Guard;
use crate::otp::service::{Countries, SendPolicy};
use crate::outbound::{Callbacks, Reach};
use crate::secret::SystemEntropy;
use crate::server::{Deadlines, Limits, Network, Settings, Tls};
use crate::store::sqlite::SqliteStore;
use crate::surface::{oneaccess, otp};

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

pub(super) fn providers(config: &Config, clock: &Arc<dyn Clock>) -> (Option<Arc<Sandbox>>, Vec<Arc<dyn Provider>>) {
    let mut sandbox = None;
    let mut providers: Vec<Arc<dyn Provider>> = Vec::new();
    for provider in &config.delivery.providers {
        match provider.kind {
            ProviderKind::Sandbox => {
                let one = Arc::new(Sandbox::offering(Arc::clone(clock), provider.channels.clone()));
                sandbox = Some(Arc::clone(&one));
                providers.push(one);
            }
            // Refused when the configuration is checked.
            ProviderKind::Http | ProviderKind::Smpp => {}
        }
    }
    (sandbox, providers)
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
    store: &Arc<SqliteStore>,
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
    }
}
