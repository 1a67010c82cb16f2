//! The command line: what may be said, and which file does it. Knows the words, not the work.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | done; or a drain that was asked for is over; or who read what was printed has seen enough |
//! | 1 | the linted connector breaks a rule; `doctor` found something wrong |
//! | 64 | the command line is wrong |
//! | 65 | a value is wrong or names nothing: no such connection or application, no phone number |
//! | 66 | there is no store: the data directory holds none, or the shared one was emptied or another one took its place |
//! | 67 | the shared store refuses the user or the password, or the user lacks a right |
//! | 68 | the shared store is not reached, or the address is wrong: no Redis, a replica, no such database or primary |
//! | 69 | a listener's address is in use; or the server that `health` asked is not ready |
//! | 70 | an internal fault: please report it |
//! | 71 | the shared store is a cluster that is down, or whose slots are not assigned |
//! | 72 | the shared store is too old |
//! | 73 | the data directory, or what is to be written, cannot be made, read or written |
//! | 74 | the store failed, at a command or while serving |
//! | 75 | another server holds the data directory |
//! | 76 | a newer otpgate wrote the data |
//! | 77 | the master key is not the data's |
//! | 78 | the configuration is wrong |
//! | 79 | a copy into the store was not finished |
//! | 80 | the shared store's certificate is not trusted |
//!
//! What a command prints goes to stdout; what went wrong goes to stderr, one line a fault: what, where, and what would be
//! right.

use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::config::{Config, ConfigError, Flags, Sources};

pub mod application;
pub mod backup;
pub mod banner;
pub mod check_config;
pub mod connector;
pub mod copy;
pub mod desk;
pub mod doctor;
pub mod erase;
pub mod error;
#[cfg(test)]
mod fake;
pub mod first;
pub mod health;
pub mod keep;
pub mod key;
pub mod once;
pub mod openapi;
pub mod progress;
pub mod provider;
pub mod serve;
pub mod store;
pub mod webhooks;

pub use desk::Desk;
pub use error::{CliError, StoreAt};
use store::Absent;

/// The variables of the process: names and values.
pub type Environment = Vec<(OsString, OsString)>;

/// A self-hosted gateway for one-time passwords.
#[derive(Debug, Parser)]
#[command(name = "otpgate", version, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the API, until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Create, list, rotate and revoke API keys, also while the server runs
    Key(key::KeyArgs),
    /// List, show, create, edit and delete applications, also while the server runs
    Application(Box<application::ApplicationArgs>),
    /// List and end subscriptions, rotate their secrets, replay events that nobody took
    Webhooks(webhooks::WebhooksArgs),
    /// List who delivers, and where receipts go
    Provider(provider::ProviderArgs),
    /// Print the OpenAPI document
    Openapi(openapi::OpenapiArgs),
    /// Write the files that Power Platform and Logic Apps import, or lint a connector's
    Connector(connector::ConnectorArgs),
    /// Check a configuration file and print what is in effect
    CheckConfig(check_config::CheckConfigArgs),
    /// Back the embedded store up into one file, also while the server runs
    Backup(backup::BackupArgs),
    /// Put a backup into a data directory whose server is stopped
    Restore(backup::RestoreArgs),
    /// Say what is wrong with the configuration, the store, the disk and the certificate, and what to do
    Doctor(doctor::DoctorArgs),
    /// Ask the server on this machine whether it is ready
    Health(health::HealthArgs),
    /// Erase a phone number from everything that is kept of it
    Erase(erase::EraseArgs),
    /// Copy a store into another; make a shared one ours again after it was emptied
    Store(keep::StoreArgs),
}

impl Command {
    /// Whether it may make the embedded store: only what puts the first thing into it, or prepares its default application for
    /// the first start. Whoever looks for something, or ends it, and finds no store is in the wrong directory, and would be told
    /// that all is well.
    fn absent(&self) -> Absent {
        match self {
            Self::Key(args) if matches!(args.command, key::KeyCommand::Create(_)) => Absent::Make,
            Self::Application(args) if matches!(args.command, application::ApplicationCommand::Create(_)) => {
                Absent::Make
            }
            Self::Application(args) if matches!(args.command, application::ApplicationCommand::Edit(_)) => {
                Absent::MakeAndSay
            }
            _ => Absent::Refuse,
        }
    }
}

/// Where the data are: the same three flags for every command that needs them.
#[derive(Clone, Debug, Default, Args)]
pub struct DataArgs {
    /// The configuration, a TOML file; otpgate.example.toml lists what it may say
    #[arg(long, global = true, value_name = "FILE", help_heading = "Data")]
    pub config: Option<PathBuf>,
    /// Where the embedded store lies [default: ./otpgate-data]
    #[arg(long, global = true, value_name = "DIR", help_heading = "Data")]
    pub data_dir: Option<PathBuf>,
    /// Which store: sqlite, or redis://host:port [default: sqlite]
    #[arg(long, global = true, value_name = "STORE", help_heading = "Data")]
    pub store: Option<String>,
}

impl DataArgs {
    /// The effective configuration, for a command beside a server.
    ///
    /// # Errors
    /// [`ConfigError`] with everything that is wrong.
    pub fn load(self, environment: Environment) -> Result<Config, ConfigError> {
        let flags = Flags { data_dir: self.data_dir, store: self.store, ..Flags::default() };
        Config::load_beside(Sources { file: self.config, environment, flags })
    }
}

/// Runs the command line `arguments` (the program's name first) and says how it went.
pub fn main(arguments: impl IntoIterator<Item = OsString>, environment: Environment) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors, and go to stdout.
            let code = if error.use_stderr() { 64 } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    // Not locked: a server's threads write to it as well.
    let mut out = std::io::stdout();
    match run(cli, environment, &mut out).and_then(|()| Ok(out.flush()?)) {
        Ok(()) | Err(CliError::ReaderGone) => ExitCode::SUCCESS,
        Err(error) => {
            // Where stderr is gone there is nobody to tell.
            for line in error.to_string().lines() {
                let _ = writeln!(std::io::stderr(), "otpgate: {line}");
            }
            ExitCode::from(error.exit_code())
        }
    }
}

fn run(cli: Cli, environment: Environment, out: &mut dyn Write) -> Result<(), CliError> {
    let absent = cli.command.absent();
    match cli.command {
        Command::Serve(args) => serve::run(args, environment, out),
        Command::Openapi(args) => openapi::run(args, out),
        Command::Connector(args) => connector::run(args, out),
        Command::CheckConfig(args) => check_config::run(args, environment, out),
        Command::Backup(args) => backup::run(args, environment, out),
        Command::Restore(args) => backup::run_restore(args, environment, out),
        Command::Doctor(args) => doctor::run(args, environment, out),
        Command::Health(args) => health::run(args, environment, out),
        Command::Key(args) => {
            let config = args.data.clone().load(environment)?;
            at_desk(&config, absent, async |desk| key::run(args.command, &config.quota, desk, out).await)
        }
        Command::Application(args) => {
            let config = args.data.clone().load(environment)?;
            at_desk(&config, absent, async |desk| application::run(args.command, &args.account, desk, out).await)
        }
        Command::Webhooks(args) => {
            let config = args.data.clone().load(environment)?;
            let post = crate::app::callbacks(&config);
            at_desk(&config, absent, async |desk| webhooks::run(args.command, &*post, desk, out).await)
        }
        Command::Provider(args) => {
            let config = args.data.clone().load(environment)?;
            at_desk(&config, absent, async |desk| provider::run(&args.command, &config, desk, out))
        }
        Command::Erase(args) => {
            let config = args.data.clone().load(environment)?;
            at_desk(&config, absent, async |desk| erase::run(args, desk, out).await)
        }
        Command::Store(args) => keep::run(args, environment, out),
    }
}

/// Opens the store, runs one command on it, and closes it.
fn at_desk(
    config: &Config,
    absent: Absent,
    command: impl AsyncFnOnce(&Desk<'_>) -> Result<(), CliError>,
) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| CliError::Internal(format!("no runtime: {error}")))?;
    runtime.block_on(async {
        let opened = store::open_store(config, absent).await?;
        let clock = crate::clock::SystemClock::new();
        command(&opened.desk(&clock, StoreAt::of(config))).await
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn what_may_be_replayed_is_named_both_ways() {
        let said = Cli::try_parse_from(["otpgate", "webhooks", "replay"]).unwrap_err().to_string();
        assert!(said.contains("<SUBSCRIPTION|--all>"), "{said}");
    }

    #[test]
    fn only_the_page_s_flags_stand_under_its_heading() {
        let cli = Cli::command();
        for (word, ids) in [("create", &["json"][..]), ("edit", &["json", "drop_template"])] {
            let command = cli.find_subcommand("application").and_then(|found| found.find_subcommand(word)).unwrap();
            let heading = |id: &str| {
                let found = command.get_arguments().find(|argument| argument.get_id() == id).unwrap();
                found.get_help_heading().map(str::to_owned)
            };
            assert_eq!(heading("page_name").as_deref(), Some("Verification page"), "{word}");
            assert!(ids.iter().all(|id| heading(id).is_none()), "{word}");
        }
    }

    #[test]
    fn only_what_makes_the_first_thing_makes_a_store() {
        for (line, absent) in [
            ("key create --name n", Absent::Make),
            ("application create --name n", Absent::Make),
            ("key list", Absent::Refuse),
            ("application edit default", Absent::MakeAndSay),
            ("application list", Absent::Refuse),
            ("webhooks dead", Absent::Refuse),
            ("provider list", Absent::Refuse),
            ("erase --number +4915112345678", Absent::Refuse),
        ] {
            let words = std::iter::once("otpgate").chain(line.split(' '));
            assert_eq!(Cli::try_parse_from(words).unwrap().command.absent(), absent, "{line}");
        }
    }

    #[test]
    fn the_same_three_flags_are_taken_before_and_after_the_last_word() {
        for line in ["otpgate key --data-dir d create --name n", "otpgate key create --name n --data-dir d"] {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap();
            let Command::Key(args) = cli.command else { panic!("{line}") };
            assert_eq!(args.data.data_dir, Some(PathBuf::from("d")), "{line}");
        }
    }

    #[test]
    fn the_fixed_command_lines_parse() {
        for line in [
            "serve",
            "serve --config f --listen 127.0.0.1:8080 --admin-listen 127.0.0.1:8081 --data-dir d --store sqlite",
            "key create --name N --account a --calls 100 --period 60 --unlimited --scopes send,verify --allow-simple --allow-client-id --json",
            "key list --json",
            "key rotate con_0123456789abcdef --overlap 24h --json",
            "key revoke con_0123456789abcdef",
            "application list --account a",
            "application show default --json",
            "application create --name Shop --pin-length 8 --alphanumeric --attempts 5 --expire 10m --sender Shop --caller +4930123 --template en={{OTP}} --template en-voice={{OTP}}",
            "application edit default --no-sender --no-caller --no-alphanumeric --drop-template en-voice",
            "application delete 3",
            "openapi",
            "openapi --format 2.0",
            "connector export --host otp.example.com --out DIR --scheme http --compatible",
            "connector lint FILE PROPERTIES --json",
            "check-config f",
            "backup --to f --data-dir d",
            "restore --from f --data-dir d --force",
            "doctor --config f --store redis://h",
            "health --config f --listen 127.0.0.1:8080",
            "erase --number +4915112345678",
            "webhooks list --account a --json",
            "webhooks create --format oneaccess --callback https://a/b --connection con_0123456789abcdef --events SENT,VERIFIED",
            "webhooks rotate sub_0123456789abcdef --overlap 24h --json",
            "webhooks delete sub_0123456789abcdef",
            "webhooks dead",
            "webhooks dead sub_0123456789abcdef --limit 5 --json",
            "webhooks replay sub_0123456789abcdef --event 0193517a-5c00-7000-8000-0123456789ab",
            "webhooks replay --all",
            "provider list --json",
            "store init --store redis://h",
            "store copy --from sqlite:d --to redis://h --master-key-file f",
        ] {
            let words = std::iter::once("otpgate").chain(line.split(' '));
            assert!(Cli::try_parse_from(words).is_ok(), "{line}");
        }
        for line in [
            "",
            "serve now",
            "key create",
            "key create --name n --calls 0",
            "key create --name n --calls 10001",
            "key create --name n --period 3601",
            "key create --name n --scopes fly",
            "key rotate a --overlap soon",
            "openapi --format 4",
            "connector export --out DIR",
            "connector export --host h",
            "connector lint",
            "application create --name n --template en",
            "webhooks replay",
            "webhooks replay sub_0123456789abcdef --all",
            "webhooks rotate con_0123456789abcdef",
        ] {
            let words = std::iter::once("otpgate").chain(line.split_ascii_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
