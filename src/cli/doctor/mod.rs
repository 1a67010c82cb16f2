//! `otpgate doctor`: everything that keeps the gateway from starting, or from keeping what it was given, one line each with what
//! to do about it. Changes nothing.
//!
//! - `machine`: the data directory, its disk, the certificate; `shared`: what a shared store says of itself

mod machine;
mod shared;

use std::io::Write;

use clap::Args;

use crate::cli::{CliError, DataArgs, Environment};
use crate::config::{Config, StoreUrl};

/// The arguments of `doctor`.
#[derive(Debug, Args)]
#[command(after_help = "Each line begins with ok, note or WRONG. Exits 1 where anything is wrong.")]
pub struct DoctorArgs {
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

/// How a finding is to be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Weight {
    Ok,
    Note,
    Wrong,
}

/// What was found: one line.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Finding {
    weight: Weight,
    text: String,
}

impl Finding {
    fn ok(text: impl Into<String>) -> Self {
        Self { weight: Weight::Ok, text: text.into() }
    }

    fn note(text: impl Into<String>) -> Self {
        Self { weight: Weight::Note, text: text.into() }
    }

    fn wrong(text: impl Into<String>) -> Self {
        Self { weight: Weight::Wrong, text: text.into() }
    }
}

/// Looks at everything.
///
/// # Errors
/// [`CliError::Findings`] where anything is wrong.
pub fn run(args: DoctorArgs, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let findings = match args.data.load(environment) {
        // Without a configuration there is nothing to look at.
        Err(error) => error.to_string().lines().map(Finding::wrong).collect(),
        Ok(config) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.map_err(|error| CliError::Internal(format!("no runtime: {error}")))?;
            runtime.block_on(all(&config))
        }
    };
    CliError::unless_gone(print(&findings, out))?;
    match findings.iter().filter(|finding| finding.weight == Weight::Wrong).count() {
        0 => Ok(()),
        1 => Err(CliError::Findings("1 thing is wrong".to_owned())),
        wrong => Err(CliError::Findings(format!("{wrong} things are wrong"))),
    }
}

fn print(findings: &[Finding], out: &mut dyn Write) -> std::io::Result<()> {
    for Finding { weight, text } in findings {
        let weight = match weight {
            Weight::Ok => "ok   ",
            Weight::Note => "note ",
            Weight::Wrong => "WRONG",
        };
        writeln!(out, "{weight} {text}")?;
    }
    Ok(())
}

async fn all(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::ok("configuration: every value is in its range, and they fit together")];
    match &config.store.url {
        StoreUrl::Sqlite => findings.extend(machine::store(config)),
        StoreUrl::Redis(url) => findings.extend(shared::store(config, url).await),
    }
    findings.extend(machine::certificate(config));
    findings.extend(public_url(config));
    findings
}

/// Where carriers and people are sent.
fn public_url(config: &Config) -> Option<Finding> {
    let loopback = config.listen.ip().is_loopback();
    match &config.public_url {
        None if config.delivery.is_real() => Some(Finding::wrong(
            "public_url: it is not set, so carriers are told the listen address for their receipts; set it to what they reach",
        )),
        None if !loopback => Some(Finding::note(
            "public_url: it is not set, so links begin with the listen address; set it to what callers reach",
        )),
        None => None,
        Some(url) if url.starts_with("http://") && !loopback => Some(Finding::wrong(format!(
            "public_url: {url} travels in the clear, with codes and keys in it; put TLS before it and say https://"
        ))),
        Some(url) => Some(Finding::ok(format!("public_url: {url}"))),
    }
}
