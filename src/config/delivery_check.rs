//! What must fit together in the delivery section: providers and what their kind demands, countries that are sent to, routes
//! that lead somewhere. Knows nothing of the other sections, nor of how the values were read.

use toml::Value;

use super::Config;
use super::delivery::{Countries, ProviderKind};
use super::fault::Fault;
use super::files::authority_fault;
use super::smpp::SmppUrl;
use super::sources::Tree;
use crate::otp::channel::Channel;

/// Everything that is wrong with it. Where carriers over HTTP are described, their credentials are looked up.
pub(super) fn check(config: &mut Config, tree: &Tree, faults: &mut Vec<Fault>) {
    providers(config, tree, faults);
    carriers(config, tree, faults);
    countries(config, tree, faults);
    routes(config, tree, faults);
}

fn providers(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
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
fn carriers(config: &mut Config, tree: &Tree, faults: &mut Vec<Fault>) {
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
pub(super) fn narrow_channels(config: &mut Config, tree: &Tree) {
    let given = tree.get("delivery.providers").and_then(Value::as_array).cloned().unwrap_or_default();
    for (provider, given) in config.delivery.providers.iter_mut().zip(given) {
        if provider.kind == ProviderKind::Smpp && given.get("channels").is_none() {
            provider.channels = vec![Channel::Sms];
        }
    }
}

/// Countries that are sent to: some, and no route for others.
fn countries(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
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

fn routes(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
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

#[cfg(test)]
mod tests {
    use crate::config::check::tests::{REAL, assembled};

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
}
