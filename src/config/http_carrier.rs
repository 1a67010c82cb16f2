//! `[delivery.providers.http]`: what a provider of type http says beyond its preset and its address. Credentials are written
//! as references, `${env:NAME}` or `${file:PATH}`, which are resolved when the configuration is read and never shown.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::time::Duration;

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use toml::Value;
use zeroize::Zeroizing;

use super::delivery::Provider;
use super::duration;
use super::kind::Wrong;
use crate::carrier::compile::Given;
use crate::carrier::description::{Receipts, Submission};
use crate::carrier::{Carrier, Description, Fault, compile};
use crate::otp::channel::Channel;
use crate::secret::Secret;

/// The longest credential, in bytes: a private key of 16,384 bits has 13 KB.
const CREDENTIAL_BYTES: usize = 16 * 1024;
/// The longest deadline.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(60);

/// What a provider of type http says.
#[derive(Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpCarrier {
    /// The carrier's credentials, and what else of an account its preset asks for, by name.
    pub credentials: BTreeMap<String, Credential>,
    /// From a message to its answer, 1 s to 60 s; 10 s by default. Whoever has not answered by then may have taken it.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// What the carrier calls languages: ISO 639-1 → its own name. Added to the preset's.
    pub languages: BTreeMap<String, String>,
    /// How it is asked to send a text message; with a preset, none.
    pub sms: Option<Submission>,
    /// How it is asked to call; with a preset, none.
    pub voice: Option<Submission>,
    /// How its receipts are read; with a preset, none.
    pub receipts: Option<Receipts>,
}

impl Default for HttpCarrier {
    fn default() -> Self {
        Self {
            credentials: BTreeMap::new(),
            timeout: Duration::from_secs(10),
            languages: BTreeMap::new(),
            sms: None,
            voice: None,
            receipts: None,
        }
    }
}

impl HttpCarrier {
    /// What is wrong with the shape of `value`, by its place below the table.
    pub(super) fn check(value: &Value) -> Vec<Wrong> {
        let read = serde_path_to_error::deserialize::<_, Self>(value.clone());
        let problem = match read {
            Ok(read) if read.timeout < Duration::from_secs(1) || read.timeout > LONGEST_TIMEOUT => {
                return vec![(".timeout".to_owned(), "must be a duration from 1s to 1m, such as \"10s\"".to_owned())];
            }
            Ok(_) => return Vec::new(),
            Err(error) => error,
        };
        let path = problem.path().to_string();
        let below = if path == "." { String::new() } else { format!(".{path}") };
        vec![(below, problem.inner().message().trim().replace('\n', "; "))]
    }

    /// Resolves the references to credentials. The name of each that cannot be resolved, with the reason.
    pub(super) fn resolve(&mut self, environment: &[(OsString, OsString)]) -> Vec<(String, String)> {
        let resolved = self
            .credentials
            .iter_mut()
            .map(|(name, credential)| credential.resolve(environment).err().map(|problem| (name.clone(), problem)));
        resolved.flatten().collect()
    }
}

impl Provider {
    /// The carrier of a provider of type http, ready to be asked. `channels`: those it is to serve; all that are described
    /// when none are named.
    ///
    /// # Errors
    /// Everything that is wrong with its description.
    pub fn carrier(&self, channels: Option<&[Channel]>) -> Result<Carrier, Vec<Fault>> {
        let http = self.http.clone().unwrap_or_default();
        let given = |(name, credential): (String, Credential)| {
            Some((name, credential.value)).filter(|(_, value)| !value.expose().is_empty())
        };
        compile(Given {
            preset: self.preset.as_deref(),
            url: self.url.as_ref().map(super::SecretUrl::expose),
            credentials: http.credentials.into_iter().filter_map(given).collect(),
            own: Description {
                languages: http.languages,
                sms: http.sms,
                voice: http.voice,
                receipts: http.receipts,
                ..Description::default()
            },
            channels,
        })
    }
}

/// A credential: as it is written, and what that stands for.
#[derive(Clone, PartialEq)]
pub struct Credential {
    written: Secret,
    value: Secret,
}

impl Credential {
    fn resolve(&mut self, environment: &[(OsString, OsString)]) -> Result<(), String> {
        let written = self.written.expose();
        let value = Zeroizing::new(match reference(written) {
            Some(("env", name)) => {
                let found = environment.iter().find(|(known, _)| known == name);
                let value = found.and_then(|(_, value)| value.to_str()).map(str::to_owned);
                value.ok_or_else(|| format!("there is no environment variable {name}, or it is not UTF-8"))?
            }
            Some(("file", path)) => std::fs::read_to_string(path)
                .map_err(|error| format!("{path} cannot be read: {error}; name a file that holds the credential"))?,
            _ if written.contains("${") => {
                return Err("must be one reference, ${env:NAME} or ${file:PATH}, and nothing else".to_owned());
            }
            _ => written.to_owned(),
        });
        let value = Secret::new(value.trim().to_owned());
        match value.expose().len() {
            0 => Err("is empty; leave it out, or write what the carrier gave you".to_owned()),
            1..=CREDENTIAL_BYTES => {
                self.value = value;
                Ok(())
            }
            _ => Err(format!("is longer than {CREDENTIAL_BYTES} bytes")),
        }
    }
}

/// Kind and name of a reference.
fn reference(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix("${")?.strip_suffix('}')?.split_once(':')
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong = |_| serde::de::Error::custom("write a text, such as \"${env:CARRIER_SECRET}\"");
        let written = Secret::new(String::deserialize(deserializer).map_err(wrong)?);
        Ok(Self { written, value: Secret::default() })
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = self.written.expose();
        serializer.serialize_str(if reference(written).is_some() { written } else { "***" })
    }
}

impl Serialize for HttpCarrier {
    /// What an operator described himself may hold a secret anywhere, so it is only said to be there.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("timeout", &duration::write(self.timeout))?;
        for (name, there) in
            [("sms", self.sms.is_some()), ("voice", self.voice.is_some()), ("receipts", self.receipts.is_some())]
        {
            if there {
                map.serialize_entry(name, "***")?;
            }
        }
        map.serialize_entry("languages", &self.languages)?;
        map.serialize_entry("credentials", &self.credentials)?;
        map.end()
    }
}

impl fmt::Debug for HttpCarrier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.credentials.keys().collect();
        formatter.debug_struct("HttpCarrier").field("credentials", &names).finish_non_exhaustive()
    }
}
