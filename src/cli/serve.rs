//! `otpgate serve`: reads the configuration, opens the store, starts the gateway and waits for its end.

use std::io::Write;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::access::connection::{NewConnection, QuotaSetting};
use crate::access::key::ApiKey;
use crate::access::scope::Scopes;
use crate::app::{Backing, Ended, Gateway, StartError};
use crate::cli::banner::{FirstStart, first_start};
use crate::cli::key::create::create;
use crate::cli::store::{desk, open};
use crate::cli::{CliError, DataArgs, Environment};
use crate::clock::SystemClock;
use crate::config::{Config, Flags, LogFormat, Sources, StoreUrl};
use crate::otp::id::AccountId;
use crate::otp::store::StoreError;
use crate::server::BindError;
use crate::store::Store;
use crate::store::sqlite::Mode;
use crate::telemetry;

/// The flags of `serve`. They win over the file and the environment.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Where the API is served [default: 127.0.0.1:8080]
    #[arg(long, value_name = "IP:PORT")]
    pub listen: Option<String>,
    /// Where the console, the metrics and the sandbox's messages are served [default: 127.0.0.1:8081]
    #[arg(long, value_name = "IP:PORT")]
    pub admin_listen: Option<String>,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

impl ServeArgs {
    /// The effective configuration.
    ///
    /// # Errors
    /// [`CliError::Config`] with everything that is wrong.
    pub fn load(self, environment: Environment) -> Result<Config, CliError> {
        let DataArgs { config: file, data_dir, store } = self.data;
        let flags = Flags { listen: self.listen, admin_listen: self.admin_listen, data_dir, store };
        Ok(Config::load(Sources { file, environment, flags })?)
    }
}

/// Serves until it is told to stop.
///
/// # Errors
/// [`CliError`], one variant a cause.
pub fn run(args: ServeArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let config = args.load(environment)?;
    telemetry::init_log(config.log.format == LogFormat::Json, &config.log.level)
        .map_err(|error| CliError::Internal(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads(&config)).enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Internal(format!("no runtime: {error}")))?;
    let ended = runtime.block_on(serve(&config, out));
    // Nothing that still runs may hold the end up: everything that matters is durable by now.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    ended
}

/// How many threads serve.
fn threads(config: &Config) -> usize {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    match (usize::try_from(config.server.threads), &config.store.url) {
        (Ok(threads @ 1..), _) => threads,
        (_, StoreUrl::Redis(_)) => (processors / 2).max(1),
        (_, StoreUrl::Sqlite) => processors,
    }
}

async fn serve(config: &Config, out: &mut dyn Write) -> Result<(), CliError> {
    let backing = open(config, Mode::Server).await?;
    // Who shares a store makes keys with the command line: many gateways may be the first to start.
    let embedded = matches!(backing, Backing::Sqlite(_));
    let store = backing.store();
    let first = embedded && store.first_start();
    let signal = Signal::listen().map_err(|error| CliError::Internal(format!("no signals: {error}")))?;
    let gateway = Gateway::start(config, backing).await.map_err(not_started)?;
    // With a configuration the operator makes his own keys.
    if first && config.file.is_none() {
        let key = first_key(config, &*store).await?;
        let scheme = if config.tls.files().is_some() { "https" } else { "http" };
        let base_url = format!("{scheme}://{}", gateway.public());
        let admin_url = format!("http://{}", gateway.admin());
        let made = FirstStart { base_url: &base_url, admin_url: &admin_url, key: key.expose() };
        write!(out, "{}", first_start(&made))?;
    }
    drop(store);
    let scheme = if config.tls.files().is_some() { "https" } else { "http" };
    writeln!(out, "listening on {scheme}://{}", gateway.public())?;
    out.flush()?;
    match gateway.run(signal.wait()).await {
        Ended::Drained(0) => Ok(()),
        Ended::Drained(cut) => {
            tracing::warn!(connections = cut, "connections were cut at the end of the drain");
            Ok(())
        }
        Ended::StoreFailed => Err(CliError::store(config.data_dir.clone(), StoreError::Failed)),
    }
}

/// The connection of the first start, with the configured quota.
async fn first_key(config: &Config, store: &dyn Store) -> Result<ApiKey, CliError> {
    let keyring = store.keyring();
    let clock = SystemClock::new();
    let desk = desk(store, &keyring, &clock, &config.data_dir);
    let wish = NewConnection {
        account: AccountId::default_account(),
        name: "first".to_owned(),
        quota: QuotaSetting {
            calls: config.quota.calls,
            period: u32::try_from(config.quota.period.as_secs()).unwrap_or(u32::MAX),
            unlimited: false,
        },
        scopes: Scopes::default(),
        allow_simple: false,
        allow_client_id: false,
    };
    Ok(create(&wish, &desk).await?.1.key)
}

fn not_started(error: StartError) -> CliError {
    match error {
        StartError::Bind { key, error } => {
            let flag = if key == "listen" { "--listen" } else { "--admin-listen" };
            match error {
                BindError::AddressInUse(address) => CliError::PortInUse { key, address: address.to_string(), flag },
                error => CliError::Listener { key, problem: error.to_string(), flag },
            }
        }
        StartError::Tls(error) => CliError::Tls(error.to_string()),
        StartError::Key(error) => CliError::Internal(error.to_string()),
    }
}

/// SIGTERM and SIGINT.
struct Signal {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signal {
    fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn wait(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
