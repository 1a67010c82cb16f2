//! `otpgate application`: how an account's codes look, live and are worded. Knows no storage.

use std::fmt::Write as _;
use std::io::Write;

use clap::{Args, Subcommand};

use crate::cli::{CliError, DataArgs, Desk};
use crate::otp::application::{Application, ApplicationRef, Applications, Caller, Sender};
use crate::otp::autofill::{RetrieverHash, WebOtpDomain};
use crate::otp::id::AccountId;
use crate::otp::page::{Colour, Origin, PageName, ReturnPrefix};
use crate::otp::segment::Extent;
use crate::otp::wording;

pub mod page;
pub mod settings;
pub mod show;
pub mod write;

/// The arguments of `application`.
#[derive(Debug, Args)]
pub struct ApplicationArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ApplicationCommand,
    /// Whose applications
    #[arg(long, global = true, default_value = "default", help_heading = "Data")]
    pub account: AccountId,
    /// Where the data are.
    #[command(flatten)]
    pub data: DataArgs,
}

/// What can be done with applications.
#[derive(Debug, Subcommand)]
pub enum ApplicationCommand {
    /// List an account's applications
    List(show::ListArgs),
    /// Show one application with its templates
    Show(show::ShowArgs),
    /// Create an application
    Create(write::CreateArgs),
    /// Change an application; what is not named stays
    Edit(write::EditArgs),
    /// Delete an application; the default one cannot be deleted
    Delete(write::DeleteArgs),
}

/// Runs one of them.
///
/// # Errors
/// [`CliError::Data`] for what names no application or is not allowed, [`CliError::StoreFailed`].
pub async fn run(
    command: ApplicationCommand,
    account: &AccountId,
    desk: &Desk<'_>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    match command {
        ApplicationCommand::List(args) => show::list(args, account, desk, out).await,
        ApplicationCommand::Show(args) => show::show(args, account, desk, out).await,
        ApplicationCommand::Create(args) => write::create(args, account, desk, out).await,
        ApplicationCommand::Edit(args) => write::edit(args, account, desk, out).await,
        ApplicationCommand::Delete(args) => write::delete(args, account, desk, out).await,
    }
}

/// Reads an id, a number or `default`, as a flag's value.
fn parse_reference(text: &str) -> Result<ApplicationRef, String> {
    ApplicationRef::parse(text).map_err(|error| error.to_string())
}

/// The application that an operator means.
async fn find(reference: ApplicationRef, account: &AccountId, desk: &Desk<'_>) -> Result<Application, CliError> {
    let applications = Applications::new(desk.applications_of(account).await?);
    let found = applications.find(reference).map(|application| Application::clone(application));
    found.ok_or_else(|| {
        let named = match reference {
            ApplicationRef::Default => "default application".to_owned(),
            ApplicationRef::Id(id) => format!("application {id}"),
            ApplicationRef::Alias(alias) => format!("application with the number {alias}"),
        };
        CliError::Data(format!(
            "the account \"{account}\" has no {named}; see: otpgate application list --account {account}"
        ))
    })
}

/// An application as `--json` writes it.
fn json(application: &Application) -> serde_json::Value {
    let extents: serde_json::Map<_, _> = wording::extents(application)
        .map(|(name, Extent { alphabet, units, segments })| {
            (name, serde_json::json!({ "alphabet": alphabet.as_str(), "units": units, "segments": segments }))
        })
        .collect();
    serde_json::json!({
        "applicationId": application.id,
        "alias": application.alias,
        "account": application.account,
        "name": application.name,
        "pinLength": application.pin_length,
        "alphanumeric": application.alphanumeric,
        "attempts": application.attempts,
        "expire": application.expire,
        "sender": application.sender,
        "caller": application.caller,
        "template": application.templates,
        "extent": extents,
        "brand": application.brand,
        "autofill": {
            "webOtpDomain": application.autofill.webotp_domain,
            "smsRetrieverHash": application.autofill.retriever_hash,
        },
        "verification": {
            "name": application.page.name,
            "colour": application.page.colour,
            "logo": application.page.logo,
            "returnUrls": application.page.return_urls,
            "embedOrigins": application.page.embed_origins,
            "linkInMessage": application.page.link_in_message,
        },
        "created": application.created.to_rfc3339(),
    })
}

/// An application in lines.
fn lines(application: &Application) -> String {
    let mut text = String::new();
    for (name, value) in [
        ("id", application.id.to_string()),
        ("number", application.alias.to_string()),
        ("account", application.account.to_string()),
        ("name", application.name.as_str().to_owned()),
        ("pin length", application.pin_length.get().to_string()),
        ("characters", if application.alphanumeric { "digits and letters" } else { "digits" }.to_owned()),
        ("attempts", application.attempts.get().to_string()),
        ("expire", format!("{} s", application.expire.get())),
        ("sender", application.sender.as_ref().map_or("none", Sender::as_str).to_owned()),
        ("caller", application.caller.as_ref().map_or("none", Caller::as_str).to_owned()),
        ("brand", application.brand().to_owned()),
        ("WebOTP", application.autofill.webotp_domain.as_ref().map_or("none", WebOtpDomain::as_str).to_owned()),
        ("SMS hash", application.autofill.retriever_hash.as_ref().map_or("none", RetrieverHash::as_str).to_owned()),
        ("page name", application.page.name.as_ref().map_or_else(|| application.brand(), PageName::as_str).to_owned()),
        ("page colour", application.page.colour.as_ref().map_or("none", Colour::as_str).to_owned()),
        ("page logo", if application.page.logo.is_some() { "there is one" } else { "none" }.to_owned()),
        ("page link", if application.page.link_in_message { "in messages" } else { "in answers alone" }.to_owned()),
        ("return URLs", listed(application.page.return_urls.iter().map(ReturnPrefix::as_str))),
        ("frames", listed(application.page.embed_origins.iter().map(Origin::as_str))),
        ("created", application.created.to_rfc3339()),
    ] {
        let _ = writeln!(text, "  {name:<12} {value}");
    }
    for (name, template) in application.templates.named() {
        let _ = writeln!(text, "  {:<12} {}", name, template.as_str().escape_debug());
    }
    for (name, extent) in wording::extents(application) {
        let segments = if extent.segments == 1 { "segment" } else { "segments" };
        let alphabet = extent.alphabet.as_str();
        let _ = writeln!(text, "  {name:<12} takes {} {segments} of {alphabet}", extent.segments);
    }
    if application.templates.is_empty() {
        let _ = writeln!(text, "  {:<12} the ones built in", "templates");
    }
    text
}

fn listed<'a>(words: impl Iterator<Item = &'a str>) -> String {
    let all: Vec<_> = words.collect();
    if all.is_empty() { "none".to_owned() } else { all.join(" ") }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::cli::fake::Fake;
    use crate::cli::{Cli, Command};
    use clap::Parser as _;

    /// Runs one command line on a fake store: what it printed.
    pub(crate) async fn application(fake: &Fake, line: &[&str]) -> Result<String, CliError> {
        let words = ["otpgate", "application"].iter().chain(line);
        let parsed = Cli::try_parse_from(words).map_err(|error| CliError::Usage(error.to_string()))?;
        let Command::Application(args) = parsed.command else { panic!("{line:?}") };
        let mut out = Vec::new();
        run(args.command, &args.account, &fake.desk(), &mut out).await?;
        Ok(String::from_utf8(out).unwrap())
    }
}
