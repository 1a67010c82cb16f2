//! What must fit together: defaults that depend on the provider, settings that demand others. The files and the delivery section
//! are next door.
//! Knows nothing of how the values were read.

use std::time::Duration;

use toml::Value;

use super::Config;
use super::delivery::ProviderKind;
use super::delivery_check;
use super::duration;
use super::fault::{ConfigError, Fault};
use super::files::{authority_fault, check_certificate, check_files};
use super::sources::Tree;
use crate::abuse::SendLimits;
use crate::secret::Secret;

/// What counts as a token: what one guesses must not be.
const TOKEN_CHARACTERS: usize = 16;
/// Messages a day per account and country where real carriers are paid.
const REAL_MESSAGES_PER_DAY: i64 = 1_000;

/// The configuration, where it came from, and what is wrong with it.
struct Assembled {
    config: Config,
    tree: Tree,
    faults: Vec<Fault>,
}

/// What the configuration is read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To serve by it, or to say whether one could.
    Serve,
    /// For a command beside a server, which works also while the server's certificate is being renewed.
    Beside,
}

/// Turns what was given into the effective configuration.
pub(super) fn finish(tree: Tree, purpose: Purpose) -> Result<Config, ConfigError> {
    let Assembled { config, tree, mut faults } = assemble(tree)?;
    if purpose == Purpose::Serve {
        check_certificate(&config, &tree, &mut faults);
    }
    faults.extend(unavailable(&config, &tree));
    if faults.is_empty() { Ok(config) } else { Err(ConfigError { faults }) }
}

/// Everything but the question whether this version can do it.
fn assemble(mut tree: Tree) -> Result<Assembled, ConfigError> {
    if is_real(&tree) {
        real_defaults(&mut tree);
    }
    let table = Value::Table(tree.table.clone());
    let mut config: Config = serde_path_to_error::deserialize(table).map_err(|error| {
        let path = error.path().to_string();
        ConfigError { faults: vec![tree.fault(&path, error.inner().message().trim().replace('\n', "; "))] }
    })?;
    config.file.clone_from(&tree.file);
    if let Some(url) = &mut config.public_url {
        url.truncate(url.trim_end_matches('/').len());
    }
    delivery_check::narrow_channels(&mut config, &tree);
    let mut faults = Vec::new();
    check_admin(&mut config, &tree, &mut faults);
    check_files(&config, &tree, &mut faults);
    check_drain(&config, &tree, &mut faults);
    check_public_url(&config, &tree, &mut faults);
    delivery_check::check(&mut config, &tree, &mut faults);
    check_store(&config, &tree, &mut faults);
    Ok(Assembled { config, tree, faults })
}

fn is_real(tree: &Tree) -> bool {
    let providers = tree.get("delivery.providers").and_then(Value::as_array);
    providers.is_some_and(|providers| {
        providers
            .iter()
            .any(|provider| provider.get("type").and_then(Value::as_str) != Some(ProviderKind::Sandbox.as_str()))
    })
}

/// The defaults where messages cost money.
fn real_defaults(tree: &mut Tree) {
    let place = tree.place("delivery.providers");
    if tree.get("limits.sends_per_number").is_none() {
        let rates =
            Value::try_from(SendLimits::for_real_carriers().rates()).unwrap_or_else(|_| Value::Array(Vec::new()));
        tree.set("limits.sends_per_number", rates, place.clone());
    }
    if tree.get("delivery.messages_per_day").is_none() {
        tree.set("delivery.messages_per_day", Value::Integer(REAL_MESSAGES_PER_DAY), place);
    }
}

fn check_admin(config: &mut Config, tree: &Tree, faults: &mut Vec<Fault>) {
    if config.admin_token.is_some() && config.admin_token_file.is_some() {
        faults.push(tree.fault("admin_token_file", "admin_token is given as well; give one of the two"));
    }
    let mut key = "admin_token";
    if let Some(file) = &config.admin_token_file {
        key = "admin_token_file";
        match std::fs::read_to_string(file) {
            Ok(text) => config.admin_token = Some(Secret::new(text.trim().to_owned())),
            Err(error) => {
                return faults.push(tree.fault(
                    key,
                    format!("{} cannot be read: {error}; name a file that holds the token", file.display()),
                ));
            }
        }
    }
    let make_one =
        format!("{TOKEN_CHARACTERS} or more characters without white space; make one with: openssl rand -hex 32");
    match &config.admin_token {
        Some(token) => {
            let token = token.expose();
            if token.len() < TOKEN_CHARACTERS || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                faults.push(tree.fault(key, format!("the token must be {make_one}")));
            }
        }
        None if !config.admin_listen.ip().to_canonical().is_loopback() => {
            faults.push(tree.fault(
                "admin_token",
                format!("missing; an admin listener on {} demands one: {make_one}", config.admin_listen),
            ));
        }
        None => {}
    }
    if config.admin_listen == config.listen && config.listen.port() != 0 {
        faults.push(tree.fault(
            "admin_listen",
            format!("{} is the public listener's address; give the admin listener a port of its own", config.listen),
        ));
    }
}

/// A drain that announces itself until it is over would cut everything and finish nothing.
fn check_drain(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    let (delay, timeout) = (config.server.drain_delay, config.server.drain_timeout);
    // Without a delay any time will do, also none: then everything is to be cut at once.
    if !delay.is_zero() && delay >= timeout {
        let (delay, timeout) = (duration::write(delay), duration::write(timeout));
        faults.push(tree.fault(
            "server.drain_delay",
            format!(
                "a delay of {delay} leaves nothing of server.drain_timeout ({timeout}) to finish what runs; \
                 write a shorter delay, or a longer timeout"
            ),
        ));
    }
}

fn check_public_url(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    let cause = if config.delivery.is_real() {
        "a real provider's receipts, callbacks and links"
    } else if !config.listen.ip().to_canonical().is_loopback() {
        "a listener beyond the loopback"
    } else {
        return;
    };
    if config.public_url.is_none() {
        faults.push(tree.fault(
            "public_url",
            format!("missing; {cause} must know the address that callers use, such as https://otp.example.com"),
        ));
    }
}

/// How long a call may wait for a shared store.
fn check_store(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    if config.store.timeout < Duration::from_millis(10) {
        faults.push(tree.fault("store.timeout", "it must be a duration from 10ms to 10s"));
    }
    if let Some(problem) = config.store.ca_file.as_deref().and_then(authority_fault) {
        faults.push(tree.fault("store.ca_file", problem));
    }
}

/// What the file may say and this version cannot do.
fn unavailable(config: &Config, tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, provider) in config.delivery.providers.iter().enumerate() {
        if !provider.kind.is_available() {
            let name = provider.kind.as_str();
            faults.push(tree.fault(
                &format!("delivery.providers[{index}].type"),
                format!("\"{name}\" is not available in this version; write \"sandbox\""),
            ));
        }
    }
    faults
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::sources::Flags;
    use crate::otp::channel::Channel;

    pub(in crate::config) const REAL: &str =
        "[[delivery.providers]]\nname = \"carrier\"\ntype = \"smpp\"\nurl = \"smpp://user:hunter2@host:2775\"\n";

    pub(in crate::config) fn assembled(text: &str) -> (Config, String) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.toml");
        std::fs::write(&file, text).unwrap();
        let tree = Sources { file: Some(file), ..Sources::default() }.read().unwrap();
        let Assembled { config, tree, mut faults } = assemble(tree).unwrap();
        faults.extend(unavailable(&config, &tree));
        let faults = ConfigError { faults }.to_string();
        (config, faults.replace(directory.path().to_str().unwrap(), ""))
    }

    #[test]
    fn nothing_given_is_the_default() {
        assert_eq!(Config::load(Sources::default()).unwrap(), Config::default());
    }

    #[test]
    fn a_real_provider_needs_countries_and_an_address_and_changes_two_defaults() {
        let (config, faults) = assembled(REAL);
        let rates: Vec<_> = config.limits.sends_per_number.iter().map(ToString::to_string).collect();
        assert_eq!(rates, ["1/30s", "5/10m", "10/1d"]);
        assert_eq!(config.delivery.messages_per_day, Some(1_000));
        assert!(faults.contains("/a.toml: public_url: missing"), "{faults}");
        assert!(faults.contains("/a.toml: delivery.countries: missing"), "{faults}");
        assert_eq!(config.delivery.providers[0].channels, [Channel::Sms]);
        assert!(!config.effective_redacted().contains("hunter2"), "{}", config.effective_redacted());

        let given = format!(
            "public_url = \"https://a.example/\"\n[limits]\nsends_per_number = []\n[delivery]\ncountries = \"all\"\nmessages_per_day = \"none\"\n{REAL}"
        );
        let (config, faults) = assembled(&given);
        assert_eq!((config.limits.sends_per_number.len(), config.delivery.messages_per_day), (0, None));
        assert_eq!(faults, "");
        assert_eq!(config.public_url.as_deref(), Some("https://a.example"));
    }

    #[test]
    fn what_is_open_to_others_is_guarded() {
        let (_, faults) = assembled("listen = \"0.0.0.0:80\"\nadmin_listen = \"[::]:81\"\n");
        assert!(faults.contains("public_url: missing") && faults.contains("admin_token: missing"), "{faults}");
        let (_, faults) = assembled("listen = \"[::ffff:127.0.0.1]:80\"\nadmin_listen = \"127.0.0.2:81\"\n");
        assert_eq!(faults, "");
        let (_, faults) = assembled("admin_token = \"short\"\n");
        assert!(
            faults.contains("/a.toml:1:1: admin_token: the token must be") && !faults.contains("\"short\""),
            "{faults}"
        );
        let (_, faults) = assembled("admin_listen = \"127.0.0.1:8080\"\n");
        assert!(faults.contains("public listener's address"), "{faults}");
    }

    #[test]
    fn another_store_needs_a_master_key_and_files_must_be_there() {
        let (_, faults) =
            assembled("[store]\nurl = \"redis://user:hunter2@host\"\n[tls]\ncertificate = \"/nowhere/c.pem\"\n");
        for expected in [
            "master_key_file: missing",
            "/a.toml:4:1: tls.certificate: /nowhere/c.pem cannot be read",
            "tls.key is missing",
        ] {
            assert!(faults.contains(expected), "{expected} in {faults}");
        }
        assert!(!faults.contains("hunter2"));
    }

    #[test]
    fn a_drain_has_time_left_to_finish_in() {
        for (delay, timeout, fits) in [
            ("0s", "0s", true),
            ("29s", "30s", true),
            ("30s", "30s", false),
            ("1m", "30s", false),
            ("1ms", "0s", false),
        ] {
            let (_, faults) =
                assembled(&format!("[server]\ndrain_timeout = \"{timeout}\"\ndrain_delay = \"{delay}\"\n"));
            let told = format!(
                "/a.toml:3:1: server.drain_delay: a delay of {delay} leaves nothing of server.drain_timeout ({timeout})"
            );
            assert!(if fits { faults.is_empty() } else { faults.starts_with(&told) }, "{faults}");
        }
    }

    #[test]
    fn only_who_serves_asks_whether_a_certificate_and_a_key_are_a_pair() {
        let directory = tempfile::tempdir().unwrap();
        let (file, path) = (directory.path().join("a.toml"), |name: &str| directory.path().join(name));
        std::fs::write(path("c.pem"), rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap().cert.pem())
            .unwrap();
        std::fs::write(path("c.key"), "x").unwrap();
        std::fs::write(&file, format!("[tls]\ncertificate = {:?}\nkey = {:?}\n", path("c.pem"), path("c.key")))
            .unwrap();
        let sources = || Sources { file: Some(file.clone()), ..Sources::default() };
        let error = Config::load(sources()).unwrap_err();
        assert_eq!(error.faults.len(), 1, "{error}");
        let said = error.to_string();
        assert!(said.contains("a.toml:3:1: tls.key: ") && said.contains("c.key: holds no private key; name"), "{said}");
        assert!(Config::load_beside(sources()).is_ok());
        // A file that is not there is told once.
        std::fs::remove_file(path("c.pem")).unwrap();
        assert_eq!(Config::load(sources()).unwrap_err().faults.len(), 1);
    }

    #[test]
    fn flags_win_and_name_themselves() {
        let flags = Flags {
            listen: Some("127.0.0.1:0".to_owned()),
            store: Some("redis://host".to_owned()),
            ..Flags::default()
        };
        let environment =
            vec![("OTPGATE_LISTEN".into(), "127.0.0.1:1".into()), ("OTPGATE_STORE_URL".into(), "sqlite".into())];
        let error = Config::load(Sources { flags, environment, ..Sources::default() }).unwrap_err().to_string();
        assert!(error.contains("master_key_file: missing; a store other than sqlite"), "{error}");
        assert!(!error.contains("OTPGATE_LISTEN"), "{error}");
    }
}
