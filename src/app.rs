//! The composition root: from a configuration and an open store to a gateway that serves. The only file that names
//! concrete adapters; nobody but the command line and the tests imports it.

mod backing;
mod configured;
mod figures;
mod life;
mod page;
mod smpp;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::access::authenticator::Authenticator;
use crate::access::nonce;
pub use crate::app::backing::Backing;
use crate::app::backing::{follow, quota, sweep};
pub use crate::app::configured::callbacks;
use crate::app::configured::{
    Carriers, Inbox, carriers, http_carriers, one_access, rules, send_policy, settings, verifier,
};
use crate::app::figures::{quota_sources, readiness_source, smpp_sources, sources, store_sources};
pub use crate::app::life::{Ended, Gateway};
use crate::app::page::page;
use crate::app::smpp::Links;
use crate::carrier::ReceiptReader;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::delivery::courier::Courier;
use crate::delivery::desk::Desk;
use crate::delivery::receipt::Receipts;
use crate::events::backoff::Backoff;
use crate::events::dispatch::Dispatcher;
use crate::events::subscriptions::Subscriptions;
use crate::identity;
use crate::layer::finish::Room;
use crate::layer::guard::{Guard, GuardSettings};
use crate::openapi;
use crate::otp::answer::KeptAnswers;
use crate::otp::catalogue::Catalogue;
use crate::otp::housekeeping;
use crate::otp::service::OtpService;
use crate::secret::SystemEntropy;
use crate::server::{BindError, Drain, Listener, Server, Settings, Tls, TlsError};
use crate::stack::{Parts, finish, stack};
use crate::surface::admin::{Admin, TokenGate};
use crate::surface::open::{Document, Open, Readiness};
use crate::surface::{
    DIALECTS, admin, asked, body_bytes, carried, keyed, oneaccess, open, otp, receipts, tyntec, unimatrix,
    verifications, webhooks,
};
use crate::telemetry::{Metrics, Observers};
use crate::verification::callback::Callbacks;
use crate::verification::settler::Settler;
use crate::verification::token::PageAddresses;

/// From the warmed start to the end of its work: what is touched later is needed.
const SETTLED: Duration = Duration::from_secs(1);
/// Why the gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener could not be bound.
    #[error("{key}: {error}")]
    Bind {
        /// The setting.
        key: &'static str,
        /// What is wrong.
        error: BindError,
    },
    /// The certificate or its key cannot be used.
    #[error("tls: {0}")]
    Tls(#[from] TlsError),
    /// Results of verifications cannot be signed.
    #[error("{0}")]
    Key(#[from] crate::surface::page::KeyError),
}

impl Gateway {
    /// Loads the certificate, binds both listeners and begins to serve. `store` is open, `config` is checked.
    ///
    /// # Errors
    /// [`StartError`]; nothing serves then.
    pub async fn start(config: &Config, backing: Backing) -> Result<Self, StartError> {
        // Before any port is taken: the files may have changed since the configuration was checked.
        let tls = config.tls.files().map(|(certificate, key)| Tls::load(certificate, key)).transpose()?;
        let bind = |key, address| Listener::bind(address).map_err(|error| StartError::Bind { key, error });
        let public = bind("listen", config.listen)?;
        let admin_listener = bind("admin_listen", config.admin_listen)?;
        let (public_address, admin_address) = (public.address(), admin_listener.address());

        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let metrics = Arc::new(Metrics::new(env!("CARGO_PKG_VERSION")));
        let observers = Arc::new(Observers::new(Arc::clone(&metrics)));
        let store = backing.store();
        let (quota, rings) = quota(&backing, &clock).await;
        let catalogue = Arc::new(Catalogue::new(Arc::clone(&store) as _, Arc::clone(&clock), Arc::new(SystemEntropy)));
        let desk = Arc::new(Desk {
            store: Arc::clone(&store) as _,
            keyring: store.keyring(),
            clock: Arc::clone(&clock),
            rules: rules(config),
            observer: Arc::clone(&observers) as _,
        });
        let receipts = desk as Arc<dyn Receipts>;
        let base_url = config.base_url(public_address);
        let described = http_carriers(config);
        let reader = ReceiptReader::new(store.keyring(), Arc::clone(&clock), base_url.clone(), described.clone());
        let inbox = Inbox { receipts: Arc::clone(&receipts), described, reader: Arc::new(reader) };
        let Carriers { routes, sandbox, smpp } = carriers(config, &clock, &inbox, &observers);
        let reader = Arc::clone(&inbox.reader);
        let routes = Arc::new(routes);
        let service = OtpService::new(
            Arc::clone(&store) as _,
            Arc::clone(&catalogue),
            store.keyring(),
            Arc::clone(&clock),
            Arc::new(SystemEntropy),
            send_policy(config, &routes),
            Arc::clone(&observers) as _,
        );
        let service = Arc::new(service);
        let verifying = verifier(&store, &service, &catalogue, &clock, &observers, &base_url);
        let guard = Guard::new(GuardSettings {
            failures: config.guard.failures,
            refill: config.guard.refill,
            addresses: usize::try_from(config.guard.keys).unwrap_or(usize::MAX),
        });
        let authenticator = Arc::new(Authenticator::new(
            Arc::clone(&store) as _,
            Arc::clone(&store) as _,
            store.keyring(),
            Arc::clone(&clock),
        ));
        let readiness = Readiness::default();
        let api = Arc::new(otp::Parts {
            otps: service,
            catalogue: Arc::clone(&catalogue),
            quota: Arc::clone(&quota),
            clock: Arc::clone(&clock),
        });
        let callbacks = callbacks(config);
        let hooks = Arc::new(webhooks::Parts {
            subscriptions: Subscriptions::new(
                Arc::clone(&store) as _,
                store.keyring(),
                Arc::clone(&clock),
                Arc::new(SystemEntropy),
            ),
            catalogue: Arc::clone(&catalogue),
            post: Arc::clone(&callbacks),
            guard: guard.clone(),
            base_url: base_url.clone(),
        });
        let asked_for = Arc::new(verifications::Parts {
            verifications: Arc::clone(&verifying),
            post: Arc::clone(&callbacks),
            guard: guard.clone(),
            base_url: base_url.clone(),
        });
        let oneaccess = one_access(config, &store, &clock, &api, &guard);
        let keyed_routes = otp::routes().merge(tyntec::routes()).merge(unimatrix::routes()).with_state(api);
        let keyed_routes = keyed_routes.merge(webhooks::keyed().with_state(Arc::clone(&hooks)));
        let keyed_routes = keyed_routes.merge(verifications::keyed().with_state(Arc::clone(&asked_for)));
        let (keyed_routes, _) = keyed_routes.merge(oneaccess::routes().with_state(oneaccess)).split_for_parts();
        let keyed_routes = keyed_routes.merge(oneaccess::not_offered());
        let capability_routes = webhooks::capabilities().with_state(hooks);
        let capability_routes = capability_routes.merge(verifications::capabilities().with_state(asked_for));
        let (capability_routes, _) = capability_routes.split_for_parts();
        let arrivals = Arc::new(receipts::Parts { reader, receipts, guard: guard.clone() });
        let capability_routes = capability_routes.merge(receipts::capabilities(arrivals));
        let pages_url = base_url.clone();
        let page_routes = page(&*store, &verifying, &clock, &guard, &base_url)?;
        let open_routes = open::routes(Open {
            readiness: readiness.clone(),
            document: Document::new({
                let base_url = base_url.clone();
                move || document(&base_url).map(|document| openapi::text(&document).into())
            }),
            connector: Document::new({
                let base_url = base_url.clone();
                move || connector(&base_url).map(Into::into)
            }),
            page: Document::new(move || {
                let page = openapi::page(&document(&base_url)?);
                page.inspect_err(|error| tracing::error!(%error, "the reference page cannot be made"))
                    .ok()
                    .map(Into::into)
            }),
        });
        let rooms = [Room::new(), Room::new()];
        let gateway = stack(Parts {
            dialects: DIALECTS,
            keyed,
            body_bytes,
            authenticator: Arc::clone(&authenticator),
            guard: guard.clone(),
            rooms: rooms.clone(),
            quota: Arc::clone(&quota),
            clock: Arc::clone(&clock),
            observer: Arc::clone(&observers) as _,
            auth_observer: Arc::clone(&observers) as _,
            quota_observer: Arc::clone(&observers) as _,
            carried,
            operations: asked,
            answers: Arc::new(KeptAnswers::new(Arc::clone(&store) as _, store.keyring(), Arc::clone(&clock))),
            keyring: store.keyring(),
            idempotency_observer: Arc::clone(&observers) as _,
            keyed_routes: finish(keyed_routes),
            open_routes: finish(
                open_routes.merge(capability_routes).merge(page_routes).merge(unimatrix::other_methods()),
            ),
        });

        let drain = Drain::new();
        let server = Server::new(settings(config, tls.clone()), &drain);
        let admin_server = Server::new(Settings::default(), &drain);
        let courier = Arc::new(Courier {
            outbox: Arc::clone(&store) as _,
            store: Arc::clone(&store) as _,
            catalogue,
            keyring: store.keyring(),
            clock: Arc::clone(&clock),
            routes,
            rules: rules(config),
            pages: Arc::new(PageAddresses::new(pages_url, store.keyring())),
            observer: Arc::clone(&observers) as _,
        });
        let dispatcher = Arc::new(Dispatcher {
            queue: Arc::clone(&store) as _,
            subscriptions: Arc::clone(&store) as _,
            connections: Arc::clone(&store) as _,
            keyring: store.keyring(),
            clock: Arc::clone(&clock),
            entropy: Arc::new(SystemEntropy),
            backoff: Backoff::new(config.events.retries.clone()),
            wording: Arc::new(webhooks::Worder),
            post: Arc::clone(&callbacks),
            inside: Arc::new(Settler(Arc::clone(&verifying))),
            observer: Arc::clone(&observers) as _,
        });
        let teller = Arc::new(Callbacks {
            verifications: verifying,
            store: Arc::clone(&store) as _,
            backoff: Backoff::new(config.events.retries.clone()),
            wording: Arc::new(verifications::Worder),
            post: callbacks,
            retention: config.store.retention(),
        });
        sources(&metrics, &store, &server, &guard, &authenticator);
        store_sources(&metrics, &backing);
        if let Some(rings) = &rings {
            quota_sources(&metrics, &rings.quota);
        }
        smpp_sources(&metrics, &smpp);
        readiness_source(&metrics, &readiness);
        let links = Links::start(&smpp);

        let (stop, stopped) = watch::channel(false);
        let nonces_stopped = stopped.clone();
        let courier = tokio::spawn(courier.run(stopped.clone()));
        let dispatcher = tokio::spawn(dispatcher.run(stopped.clone()));
        let teller = tokio::spawn(teller.run(stopped.clone()));
        let mut tasks = JoinSet::new();
        tasks.spawn(housekeeping::run(Arc::clone(&store) as _, Arc::clone(&clock), config.store.retention(), stopped));
        if let Some(tls) = tls {
            let every = config.tls.reload;
            tasks.spawn(async move { tls.watch(every).await });
        }
        tasks.spawn(sweep(rings.as_ref().map(|rings| Arc::clone(&rings.quota)), guard));
        tasks.spawn(nonce::sweep(Arc::clone(&store) as _, Arc::clone(&clock), nonces_stopped));
        tasks.spawn(identity::store::sweep(Arc::clone(&store) as _, Arc::clone(&clock)));
        tasks.spawn(async {
            let _ = tokio::task::spawn_blocking(crate::otp::phone::warm).await;
            // Whoever started it has their first answers by then.
            tokio::time::sleep(SETTLED).await;
            let _ = tokio::task::spawn_blocking(crate::footprint::release).await;
        });
        let admin_routes = admin::routes(Admin { metrics: Arc::new(move || metrics.render()), sandbox });
        tasks.spawn(admin_server.serve(admin_listener, TokenGate::new(admin_routes, config.admin_token.clone())));
        tasks.spawn(server.serve(public, gateway));
        // Whoever is told that calls are accepted finds it ready.
        readiness.set(*store.reachable().borrow());
        let follower = tokio::spawn(follow(store.reachable(), readiness.clone()));

        Ok(Self {
            public: public_address,
            admin: admin_address,
            store,
            rings,
            readiness,
            follower,
            drain,
            drain_delay: config.server.drain_delay,
            drain_timeout: config.server.drain_timeout,
            rooms,
            stop,
            courier,
            dispatcher,
            teller,
            links,
            tasks,
        })
    }
}

/// The OpenAPI document; that it can be made is held by a test.
fn document(base_url: &str) -> Option<serde_json::Value> {
    let document = openapi::document(openapi::Format::V31, Some(base_url));
    document.inspect_err(|error| tracing::error!(%error, "the OpenAPI document cannot be made")).ok()
}

/// The connector's definition, for the gateway's own address.
fn connector(base_url: &str) -> Option<String> {
    use openapi::connector::{Edition, Place, Publisher, definition, definition_text};
    let made = || {
        let place = Place::of_url(base_url).map_err(|error| error.to_string())?;
        let publisher = Publisher::new(&place, None, None, None).map_err(|error| error.to_string())?;
        let definition = definition(Edition::Native, &place, &publisher).map_err(|error| error.to_string())?;
        Ok::<_, String>(definition_text(Edition::Native, &definition))
    };
    made().inspect_err(|error| tracing::error!(%error, "the connector's definition cannot be made")).ok()
}
