//! `otpgate serve`: reads the configuration, opens the store, starts the gateway and waits for its end.

use std::io::Write;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{Backing, Ended, Gateway, StartError};
use crate::cli::first::first_key;
use crate::cli::once::show_once;
use crate::cli::store::open;
use crate::cli::{CliError, DataArgs, Environment, StoreAt};
use crate::config::{Config, Flags, LogFormat, Sources, StoreUrl};
use crate::otp::store::StoreError;
use crate::server::BindError;
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
    // With a configuration the operator makes his own keys, and so does who shares a store: many gateways may be its first.
    let unconfigured = match &backing {
        Backing::Sqlite(store) if config.file.is_none() => Some(Arc::clone(store)),
        _ => None,
    };
    let signal = Signal::listen().map_err(|error| CliError::Internal(format!("no signals: {error}")))?;
    let gateway = Gateway::start(config, backing).await.map_err(not_started)?;
    let scheme = if config.tls.files().is_some() { "https" } else { "http" };
    let base_url = format!("{scheme}://{}", gateway.public());
    if let Some(store) = unconfigured {
        first_key(config, &store, &base_url, &format!("http://{}", gateway.admin()), out).await?;
    }
    // A server that ended quietly with its reader would be missed: who starts it hears that it did not stay.
    show_once(&format!("listening on {base_url}\n"), "give it one that somebody reads, or /dev/null", out)?;
    match gateway.run(signal.wait()).await {
        Ended::Drained(0) => Ok(()),
        Ended::Drained(cut) => {
            tracing::warn!(connections = cut, "connections were cut at the end of the drain");
            Ok(())
        }
        Ended::StoreFailed => Err(CliError::store(StoreAt::of(config), StoreError::Failed)),
    }
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
