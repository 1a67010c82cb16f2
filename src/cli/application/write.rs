//! `otpgate application create`, `edit` and `delete`.

use std::io::Write;

use clap::Args;

use super::settings::{SettingArgs, parse_kept_place, parse_name};
use super::{find, json, lines, parse_reference};
use crate::cli::desk::{WRITES, next_alias};
use crate::cli::{CliError, Desk};
use crate::otp::application::{
    APPLICATIONS_PER_ACCOUNT, Application, ApplicationName, ApplicationRef, DEFAULT_NAME, names_the_default,
};
use crate::otp::channel::Channel;
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::language::Language;
use crate::otp::store::WriteError;

/// The flags of `application create`.
#[derive(Debug, Args)]
pub struct CreateArgs {
    /// What it is called: 1 to 64 characters
    #[arg(long, value_parser = parse_name)]
    pub name: ApplicationName,
    /// What it is to be.
    #[command(flatten)]
    pub settings: SettingArgs,
    // The heading of the page's flags holds for all that follow, unless they say otherwise.
    /// Print a JSON object
    #[arg(long, help_heading = None::<&str>)]
    pub json: bool,
}

/// The arguments of `application edit`.
#[derive(Debug, Args)]
pub struct EditArgs {
    /// The application: its id, its number, or default
    #[arg(value_name = "APPLICATION", value_parser = parse_reference)]
    pub application: ApplicationRef,
    /// What it is called from now on: 1 to 64 characters
    #[arg(long, value_parser = parse_name)]
    pub name: Option<ApplicationName>,
    /// What is to change.
    #[command(flatten)]
    pub settings: SettingArgs,
    /// Drop a text: en for text messages, en-voice for calls; may be repeated
    #[arg(long, value_name = "LANGUAGE[-voice]", value_parser = parse_kept_place, help_heading = None::<&str>)]
    pub drop_template: Vec<(Language, Channel)>,
    /// Print a JSON object
    #[arg(long, help_heading = None::<&str>)]
    pub json: bool,
}

/// The arguments of `application delete`.
#[derive(Debug, Args)]
pub struct DeleteArgs {
    /// The application: its id or its number
    #[arg(value_name = "APPLICATION", value_parser = parse_reference)]
    pub application: ApplicationRef,
}

/// Creates an application and prints it.
///
/// # Errors
/// [`CliError::Data`] for a reserved name or one application too many; [`CliError::StoreFailed`].
pub async fn create(
    args: CreateArgs,
    account: &AccountId,
    desk: &Desk<'_>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    refuse_reserved(&args.name)?;
    // Every account's first application is its default one.
    desk.default_application(account).await?;
    for _ in 0..WRITES {
        let applications = desk.applications_of(account).await?;
        if applications.len() >= APPLICATIONS_PER_ACCOUNT {
            return Err(CliError::Data(format!(
                "the account \"{account}\" has {APPLICATIONS_PER_ACCOUNT} applications, the most there may be; delete one first"
            )));
        }
        let id = ApplicationId::generate(desk.entropy);
        let mut application =
            Application::new(id, next_alias(&applications), account.clone(), args.name.clone(), desk.now());
        args.settings.apply(&mut application).map_err(CliError::Data)?;
        match desk.applications.put_application(None, application.clone()).await {
            Ok(()) => {
                print("is made", &application, args.json, out)?;
                if !args.json {
                    writeln!(out, "\nName it in a send as applicationId, by its id or its number.")?;
                }
                return Ok(());
            }
            Err(WriteError::Conflict) => {}
            Err(error) => return Err(desk.not_written(error)),
        }
    }
    Err(desk.not_written(WriteError::Conflict))
}

/// Changes an application and prints it.
///
/// # Errors
/// [`CliError::Data`] when there is none, or the change is not allowed; [`CliError::StoreFailed`].
pub async fn edit(args: EditArgs, account: &AccountId, desk: &Desk<'_>, out: &mut dyn Write) -> Result<(), CliError> {
    for _ in 0..WRITES {
        let before = find(args.application, account, desk).await?;
        let mut after = before.clone();
        if let Some(name) = args.name.as_ref().filter(|name| **name != before.name) {
            if before.is_default() {
                return Err(CliError::Data(
                    "the default application keeps its name; make another one: otpgate application create --name NAME"
                        .to_owned(),
                ));
            }
            refuse_reserved(name)?;
            after.name.clone_from(name);
        }
        for (language, channel) in &args.drop_template {
            if !after.templates.drop_one(*language, *channel) {
                return Err(CliError::Data(format!(
                    "--drop-template: there is no template {language} for {}; see: otpgate application show {}",
                    channel.as_str(),
                    before.id
                )));
            }
        }
        args.settings.apply(&mut after).map_err(CliError::Data)?;
        if after == before {
            return print("is as it was", &after, args.json, out);
        }
        match desk.applications.put_application(Some(before), after.clone()).await {
            Ok(()) => return print("is changed", &after, args.json, out),
            Err(WriteError::Conflict) => {}
            Err(error) => return Err(desk.not_written(error)),
        }
    }
    Err(desk.not_written(WriteError::Conflict))
}

/// Deletes an application.
///
/// # Errors
/// [`CliError::Data`] when there is none, or it is the default one; [`CliError::StoreFailed`].
pub async fn delete(
    args: DeleteArgs,
    account: &AccountId,
    desk: &Desk<'_>,
    out: &mut dyn Write,
) -> Result<(), CliError> {
    let application = find(args.application, account, desk).await?;
    if application.is_default() {
        return Err(CliError::Data(
            "the default application cannot be deleted; change it: otpgate application edit default".to_owned(),
        ));
    }
    // Whoever else deleted it meanwhile did the same.
    desk.applications.delete_application(account, application.id).await.map_err(|error| desk.failed(error))?;
    Ok(writeln!(
        out,
        "The application \"{}\" ({}) is deleted. Its one-time passwords can still be read.",
        application.name.as_str(),
        application.id
    )?)
}

fn refuse_reserved(name: &ApplicationName) -> Result<(), CliError> {
    if names_the_default(name.as_str()) {
        return Err(CliError::Data(format!(
            "--name: \"{DEFAULT_NAME}\" is reserved for the account's first application; choose another name"
        )));
    }
    Ok(())
}

fn print(done: &str, application: &Application, as_json: bool, out: &mut dyn Write) -> Result<(), CliError> {
    if as_json {
        return Ok(writeln!(out, "{:#}", json(application))?);
    }
    writeln!(out, "The application \"{}\" {done}.\n", application.name.as_str())?;
    Ok(out.write_all(lines(application).as_bytes())?)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use super::super::tests::application;
    use crate::cli::fake::Fake;

    fn json(text: &str) -> serde_json::Value {
        serde_json::from_str(text).unwrap()
    }

    #[tokio::test]
    async fn an_application_is_made_shown_changed_and_deleted() {
        let fake = Fake::new();
        assert!(application(&fake, &["list"]).await.unwrap().contains("key create --account default"));
        let made = json(
            &application(
                &fake,
                &[
                    "create",
                    "--name",
                    "Shop",
                    "--pin-length",
                    "8",
                    "--expire",
                    "10m",
                    "--caller",
                    "+4930123",
                    "--template",
                    "en=Code {{OTP}}",
                    "--template",
                    "de-voice=Der Code: {{OTP}}",
                    "--json",
                ],
            )
            .await
            .unwrap(),
        );
        assert_eq!(
            (made["pinLength"].as_u64(), made["expire"].as_u64(), made["alias"].as_u64()),
            (Some(8), Some(600), Some(2))
        );
        assert_eq!(made["template"], serde_json::json!({ "en": "Code {{OTP}}", "de-voice": "Der Code: {{OTP}}" }));
        fake.conflicts.store(2, Ordering::SeqCst);
        let text = application(
            &fake,
            &["edit", "2", "--name", "Store", "--no-sender", "--alphanumeric", "--drop-template", "en"],
        )
        .await
        .unwrap();
        assert!(
            text.contains("is changed") && text.contains("digits and letters") && text.contains("sender       none"),
            "{text}"
        );
        let shown =
            json(&application(&fake, &["show", made["applicationId"].as_str().unwrap(), "--json"]).await.unwrap());
        assert_eq!(
            (shown["name"].as_str(), shown["pinLength"].as_u64(), shown["sender"].is_null()),
            (Some("Store"), Some(8), true)
        );
        assert_eq!(shown["template"], serde_json::json!({ "de-voice": "Der Code: {{OTP}}" }));
        assert!(application(&fake, &["edit", "2"]).await.unwrap().contains("is as it was"));
        assert_eq!(json(&application(&fake, &["list", "--json"]).await.unwrap()).as_array().unwrap().len(), 2);
        application(&fake, &["delete", "2"]).await.unwrap();
        assert_eq!(application(&fake, &["delete", "2"]).await.unwrap_err().exit_code(), 65);
    }

    #[tokio::test]
    async fn what_is_not_allowed_says_what_is() {
        let fake = Fake::new();
        application(&fake, &["create", "--name", "Shop"]).await.unwrap();
        for (line, code, expected) in [
            (&["create", "--name", "default"][..], 65, "is reserved"),
            (&["edit", "default", "--name", "other"], 65, "keeps its name"),
            (&["edit", "2", "--name", "default"], 65, "is reserved"),
            (&["create", "--name", "Default"], 65, "is reserved"),
            (&["edit", "2", "--name", " DEFAULT "], 65, "is reserved"),
            (&["edit", "2", "--drop-template", "xx"], 65, "no template xx"),
            (&["edit", "2", "--template", "xx={{OTP}}"], 64, "ISO 639-1"),
            (&["edit", "2", "--drop-template", "fr"], 65, "no template fr"),
            (&["delete", "default"], 65, "cannot be deleted"),
            (&["show", "7"], 65, "no application with the number 7"),
            (&["show", "shop"], 64, "an application id"),
            (&["edit", "2", "--template", "en=no code"], 64, "{{OTP}}"),
            (&["edit", "2", "--template", "english={{OTP}}"], 64, "en-voice"),
            (&["edit", "2", "--pin-length", "3"], 64, "4 to 10"),
            (&["edit", "2", "--expire", "29"], 64, "30 to 7200"),
            (&["edit", "2", "--sender", "TwelveLetters"], 64, "1 to 11"),
        ] {
            let error = application(&fake, line).await.unwrap_err();
            assert_eq!(error.exit_code(), code, "{line:?}");
            assert!(error.to_string().contains(expected), "{line:?}: {error}");
        }
    }
}
