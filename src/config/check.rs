//! What must fit together: defaults that depend on the provider, settings that demand others. The files are next door.
//! Knows nothing of how the values were read.

use std::time::Duration;

use toml::Value;

use super::Config;
use super::delivery::{Countries, ProviderKind};
use super::duration;
use super::fault::{ConfigError, Fault};
use super::files::{authority_fault, check_certificate, check_files};
use super::smpp::SmppUrl;
use super::sources::Tree;
use crate::abuse::SendLimits;
use crate::otp::channel::Channel;
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
    narrow_channels(&mut config, &tree);
    let mut faults = Vec::new();
    check_admin(&mut config, &tree, &mut faults);
    check_files(&config, &tree, &mut faults);
    check_drain(&config, &tree, &mut faults);
    check_public_url(&config, &tree, &mut faults);
    check_providers(&config, &tree, &mut faults);
    check_carriers(&mut config, &tree, &mut faults);
    check_countries(&config, &tree, &mut faults);
    check_routes(&config, &tree, &mut faults);
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

fn check_providers(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    let delivery = &config.delivery;
    if delivery.providers.is_empty() {
        faults.push(
            tree.fault("delivery.providers", "empty; name at least one provider, or leave it out for the sandbox"),
        );
    }
    if delivery.is_real() && tree.get("delivery.countries").is_none() {
        faults.push(tree.fault(
            "delivery.countries",
            "missing; with a real provider say which countries are sent to, such as [\"DE\", \"AT\"], or \"all\"",
        ));
    }
    for (index, provider) in delivery.providers.iter().enumerate() {
        let mut wrong = |key: &str, problem: String| {
            faults.push(tree.fault(&format!("delivery.providers[{index}].{key}"), problem));
        };
        let plain = provider.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !plain || provider.name.len() > 32 {
            wrong("name", "must be 1 to 32 letters, digits, - or _".to_owned());
        }
        if delivery.providers.iter().take(index).any(|other| other.name == provider.name) {
            wrong("name", format!("\"{}\" is taken; each provider has a name of its own", provider.name));
        }
        if provider.channels.is_empty() {
            wrong("channels", "empty; write [\"SMS\"], [\"VOICE\"] or both".to_owned());
        }
        if provider.kind != ProviderKind::Smpp && provider.smpp.is_some() {
            wrong("smpp", "only a provider of type smpp has it; leave it out".to_owned());
        }
        let schemes: &[&str] = match provider.kind {
            ProviderKind::Sandbox => &[],
            // Its description is checked as a whole, with its address.
            ProviderKind::Http => continue,
            ProviderKind::Smpp => &["smpp", "smpps"],
        };
        match &provider.url {
            Some(_) if schemes.is_empty() => wrong("url", "the sandbox has none; leave it out".to_owned()),
            Some(url) if !schemes.contains(&url.scheme()) => {
                wrong("url", format!("must begin with {}://", schemes.join(":// or ")));
            }
            None if provider.kind == ProviderKind::Smpp => {
                wrong("url", "missing; write smpp://user:password@host:port, or smpps:// with TLS".to_owned());
            }
            Some(url) if provider.kind == ProviderKind::Smpp => {
                if let Err(problem) = SmppUrl::parse(url) {
                    wrong("url", problem);
                }
            }
            _ => {}
        }
        if provider.kind == ProviderKind::Smpp && provider.channels.contains(&Channel::Voice) {
            wrong("channels", "SMPP carries text messages only; write [\"SMS\"], or leave it out".to_owned());
        }
        let authority = provider.smpp.as_ref().and_then(|smpp| smpp.ca_file.as_deref());
        if let Some(problem) = authority.and_then(authority_fault) {
            wrong("smpp.ca_file", problem);
        }
        let http = [("preset", provider.preset.is_some()), ("http", provider.http.is_some())];
        for (key, _) in http.iter().filter(|(_, given)| *given) {
            wrong(key, "only a provider of type http has one; leave it out".to_owned());
        }
    }
}

/// Providers of type http: credentials are there, and what is described can be asked.
fn check_carriers(config: &mut Config, tree: &Tree, faults: &mut Vec<Fault>) {
    for (index, provider) in config.delivery.providers.iter_mut().enumerate() {
        if provider.kind != ProviderKind::Http {
            continue;
        }
        let at = |key: &str| format!("delivery.providers[{index}].{key}");
        let unresolved = provider.http.as_mut().map(|http| http.resolve(&tree.environment)).unwrap_or_default();
        for (name, problem) in &unresolved {
            faults.push(tree.fault(&at(&format!("http.credentials.{name}")), problem));
        }
        let named = tree.get("delivery.providers").and_then(|providers| providers.get(index)?.get("channels"));
        let wanted = named.map(|_| provider.channels.clone());
        match provider.carrier(wanted.as_deref()) {
            Ok(carrier) => provider.channels = carrier.channels,
            // One fault for a credential: that it cannot be resolved says more than that it is missing.
            Err(found) => faults.extend(
                found
                    .iter()
                    .filter(|fault| {
                        !unresolved.iter().any(|(name, _)| fault.place == format!("http.credentials.{name}"))
                    })
                    .map(|fault| tree.fault(&at(&fault.place), &fault.problem)),
            ),
        }
    }
}

/// A carrier that can serve one channel only is not asked for the other: what was not said of channels means what it can.
fn narrow_channels(config: &mut Config, tree: &Tree) {
    let given = tree.get("delivery.providers").and_then(Value::as_array).cloned().unwrap_or_default();
    for (provider, given) in config.delivery.providers.iter_mut().zip(given) {
        if provider.kind == ProviderKind::Smpp && given.get("channels").is_none() {
            provider.channels = vec![Channel::Sms];
        }
    }
}

/// Countries that are sent to: some, and no route for others.
fn check_countries(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    let delivery = &config.delivery;
    if matches!(&delivery.countries, Countries::These(these) if these.is_empty()) {
        let words = "empty, so that nothing would be sent; write countries such as [\"DE\", \"AT\"], or \"all\"";
        return faults.push(tree.fault("delivery.countries", words));
    }
    for (index, route) in delivery.routes.iter().enumerate() {
        let Countries::These(these) = &route.countries else { continue };
        if these.is_empty() {
            let words = "empty; write the countries that the route is for, or leave it out for all of them";
            faults.push(tree.fault(&format!("delivery.routes[{index}].countries"), words));
        }
        for (place, country) in these.iter().enumerate() {
            if !delivery.countries.allow(Some(*country)) {
                let path = format!("delivery.routes[{index}].countries[{place}]");
                let country = country.as_str();
                let words = format!("nothing is sent to {country}; add it to delivery.countries, or take it out here");
                faults.push(tree.fault(&path, words));
            }
        }
    }
}

fn check_routes(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    let delivery = &config.delivery;
    for (index, route) in delivery.routes.iter().enumerate() {
        for (place, name) in route.providers.iter().enumerate() {
            let path = format!("delivery.routes[{index}].providers[{place}]");
            let Some(provider) = delivery.providers.iter().find(|provider| provider.name == *name) else {
                let names: Vec<_> = delivery.providers.iter().map(|provider| provider.name.as_str()).collect();
                let words = format!("there is no provider \"{name}\"; there are: {}", names.join(", "));
                faults.push(tree.fault(&path, words));
                continue;
            };
            if let Some(channel) = route.channel.filter(|channel| !provider.channels.contains(channel)) {
                let words = format!("\"{name}\" does not offer {}; add it to its channels", channel.as_str());
                faults.push(tree.fault(&path, words));
            }
        }
    }
    let offered = |channel| delivery.providers.iter().any(|provider| provider.channels.contains(channel));
    if let Some(channel) = delivery.second_channel.as_ref().filter(|channel| !offered(channel)) {
        let words = format!("no provider offers {}; name one that does, or write \"none\"", channel.as_str());
        faults.push(tree.fault("delivery.second_channel", words));
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
mod tests {
    use super::*;
    use crate::config::Sources;
    use crate::config::sources::Flags;

    const REAL: &str =
        "[[delivery.providers]]\nname = \"carrier\"\ntype = \"smpp\"\nurl = \"smpp://user:hunter2@host:2775\"\n";

    fn assembled(text: &str) -> (Config, String) {
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
    fn countries_are_some_and_routes_lead_to_them() {
        let given = |countries: &str, route: &str| {
            assembled(&format!(
                "public_url = \"https://a.example\"\n[delivery]\ncountries = {countries}\n{REAL}\
                 [[delivery.routes]]\nproviders = [\"carrier\"]\n{route}"
            ))
            .1
        };
        assert_eq!(given("[\"DE\", \"AT\"]", "countries = [\"AT\"]\n"), "");
        assert_eq!(given("\"all\"", "countries = [\"FR\"]\n"), "");
        let faults = given("[]", "");
        assert!(faults.contains("/a.toml:3:1: delivery.countries: empty, so that nothing would be sent"), "{faults}");
        let faults = given("[\"DE\"]", "countries = [\"DE\", \"FR\"]\n");
        assert!(faults.contains(":10:20: delivery.routes[0].countries[1]: nothing is sent to FR"), "{faults}");
        let faults = given("[\"DE\"]", "countries = []\n");
        assert!(faults.contains("delivery.routes[0].countries: empty; write the countries"), "{faults}");
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
    fn providers_are_checked_one_by_one() {
        let (_, faults) = assembled(
            "[[delivery.providers]]\nname = \"a b\"\ntype = \"sandbox\"\nurl = \"https://h\"\npreset = \"x\"\nchannels = []\n[[delivery.providers]]\nname = \"a b\"\ntype = \"sandbox\"\n",
        );
        for expected in [
            ":2:1: delivery.providers[0].name",
            ":4:1: delivery.providers[0].url",
            ":5:1: delivery.providers[0].preset",
            ":6:1: delivery.providers[0].channels",
            ":8:1: delivery.providers[1].name: \"a b\" is taken",
        ] {
            assert!(faults.contains(expected), "{expected} in {faults}");
        }
        assert!(assembled("[delivery]\nproviders = []\n").1.contains("name at least one provider"));
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
