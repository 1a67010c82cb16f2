//! A description, checked: every template parsed, every address and pointer looked at, every credential accounted for.
//! What comes out can be used without a further question; what is wrong is said with its place.

use std::collections::BTreeMap;

use http::{HeaderName, HeaderValue, Method};

use crate::carrier::address::check_address;
use crate::carrier::answer::Answers;
use crate::carrier::authentication::Proof;
use crate::carrier::description::{Description, OneOrMore, Submission};
use crate::carrier::place::fits_header;
use crate::carrier::preset;
use crate::carrier::report::Reading;
use crate::carrier::request::{Body, Call, Node};
use crate::carrier::template::{Field, Name, Template};
use crate::carrier::values::Credentials;
use crate::otp::application::{Caller, Sender};
use crate::otp::channel::Channel;
use crate::otp::language::Language;
use crate::secret::Secret;

/// What is wrong with a description, and where: a path below the provider, such as `http.sms.form.To`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where.
    pub place: String,
    /// What, and what would be right. It shows no credential.
    pub problem: String,
}

/// What an operator says of a carrier.
#[derive(Debug, Default)]
pub struct Given<'g> {
    /// The preset, where he names one.
    pub preset: Option<&'g str>,
    /// The address: with a preset its host alone, else the whole of it or what paths are joined to.
    pub url: Option<&'g str>,
    /// What he describes himself.
    pub own: Description,
    /// Credentials, with their references resolved.
    pub credentials: Credentials,
    /// The channels it is to serve; those that are described when none are named.
    pub channels: Option<&'g [Channel]>,
}

/// A carrier that can be asked.
#[derive(Debug)]
pub struct Carrier {
    /// The channels it serves, at least one.
    pub channels: Vec<Channel>,
    pub(super) sms: Option<Call>,
    pub(super) voice: Option<Call>,
    pub(super) languages: BTreeMap<Language, String>,
    pub(super) credentials: Credentials,
    pub(super) longest_receipt: usize,
    pub(super) reading: Option<Reading>,
}

/// The longest receipt address of a carrier that names no limit.
const LONGEST_RECEIPT: usize = 2_048;
/// Header fields that are not a description's to write.
const OURS: [&str; 6] = ["host", "content-length", "transfer-encoding", "connection", "content-type", "user-agent"];

/// Collects faults while a description is compiled.
pub(super) struct Check<'c> {
    pub(super) credentials: &'c Credentials,
    pub(super) names: Vec<&'c str>,
    pub(super) faults: Vec<Fault>,
    /// What of a message the templates of a call have told so far.
    told: Vec<Field>,
}

impl Check<'_> {
    pub(super) fn wrong(&mut self, place: impl Into<String>, problem: impl Into<String>) {
        let fault = Fault { place: place.into(), problem: problem.into() };
        // Both channels have the same address.
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    pub(super) fn template(&mut self, place: &str, text: &str) -> Option<Template> {
        match Template::parse(text, &self.names) {
            Ok(template) => {
                self.note(&template);
                Some(template)
            }
            Err(error) => {
                self.wrong(place, error.to_string());
                None
            }
        }
    }

    /// Notes what a template tells of a message.
    fn note(&mut self, template: &Template) {
        let credentials = self.credentials;
        let given = |name: &str| credentials.contains_key(name);
        for hole in template.holes().filter(|hole| !hole.unless.as_deref().is_some_and(given)) {
            for name in &hole.names {
                match name {
                    Name::Field(field) => self.told.push(*field),
                    // What stands behind it is never written.
                    Name::Credential(name) if given(name) => break,
                    Name::Credential(_) => {}
                }
            }
        }
    }

    /// A template whose placeholders of credentials alone must all have one.
    pub(super) fn needed(&mut self, place: &str, text: &str) -> Option<Template> {
        let template = self.template(place, text)?;
        for hole in template.holes() {
            let given = |name: &Name| match name {
                Name::Field(_) => true,
                Name::Credential(name) => self.credentials.contains_key(&**name),
            };
            // Of several that would do, one is enough; who has been told of one is not told of the next.
            let is_told = |name: &Name| matches!(name, Name::Credential(name) if self.is_missing(name));
            let is_settled = hole.names.iter().any(|name| given(name) || is_told(name));
            if let (false, Some(Name::Credential(name))) = (is_settled, hole.names.first()) {
                let name = name.clone();
                self.missing(&name);
            }
        }
        Some(template)
    }

    /// Credentials that stand in a header must fit into one.
    pub(super) fn fits_header(&mut self, template: &Template) {
        for name in template.holes().flat_map(|hole| &hole.names) {
            let Name::Credential(name) = name else { continue };
            let plain = |secret: &Secret| secret.expose().bytes().all(|byte| (b' '..=b'~').contains(&byte));
            if !self.credentials.get(&**name).is_none_or(plain) {
                self.wrong(format!("http.credentials.{name}"), "must be visible ASCII: it stands in a header field");
            }
        }
    }

    fn is_missing(&self, name: &str) -> bool {
        let place = format!("http.credentials.{name}");
        self.faults.iter().any(|fault| fault.place == place)
    }

    pub(super) fn missing(&mut self, name: &str) {
        if !self.is_missing(name) {
            self.wrong(
                format!("http.credentials.{name}"),
                format!("missing; write it as a reference, such as {name} = \"${{env:CARRIER_SECRET}}\""),
            );
        }
    }

    pub(super) fn pointers(&mut self, place: &str, pointers: &OneOrMore) -> Vec<String> {
        for pointer in &pointers.0 {
            self.pointer(place, pointer);
        }
        pointers.0.clone()
    }

    pub(super) fn pointer(&mut self, place: &str, pointer: &str) {
        if !pointer.is_empty() && !pointer.starts_with('/') {
            self.wrong(place, "is no JSON pointer; write one such as /messages/0/id");
        }
    }
}

/// Compiles what an operator says of a carrier.
///
/// # Errors
/// Everything that is wrong with it.
pub fn compile(given: Given<'_>) -> Result<Carrier, Vec<Fault>> {
    let Given { preset, url, own, credentials, channels } = given;
    let unknown = |name: &str| Fault {
        place: "preset".to_owned(),
        problem: format!("\"{name}\" is no preset; write one of {}", preset::names().join(", ")),
    };
    let description = match preset {
        Some(name) => with_preset(preset::find(name).ok_or_else(|| vec![unknown(name)])?, &own)?,
        None => own,
    };
    let known = description.required.iter().chain(&description.optional).map(String::as_str);
    let names: Vec<_> =
        if preset.is_some() { known.collect() } else { credentials.keys().map(String::as_str).collect() };
    let mut check = Check { credentials: &credentials, names, faults: Vec::new(), told: Vec::new() };
    for name in credentials.keys() {
        if !check.names.contains(&name.as_str()) {
            let problem =
                format!("there is no such credential; {} has {}", preset.unwrap_or("it"), check.names.join(", "));
            check.wrong(format!("http.credentials.{name}"), problem);
        }
    }
    for name in description.required.iter().filter(|name| !credentials.contains_key(*name)) {
        check.missing(name);
    }
    if preset.is_some() {
        check_origins(&mut check);
    }
    let channels = served(&description, channels, preset, &mut check);
    let wanted = |channel| channels.contains(&channel);
    let described = |channel: Channel| match channel {
        Channel::Sms => description.sms.as_ref(),
        Channel::Voice => description.voice.as_ref(),
    };
    let mut call = |channel: Channel, name: &str| {
        let submission = described(channel).filter(|_| wanted(channel))?;
        compile_call(submission, channel, &format!("http.{name}"), url, preset.is_some(), &mut check)
    };
    let (sms, voice) = (call(Channel::Sms, "sms"), call(Channel::Voice, "voice"));
    let languages = languages(&description.languages, &mut check);
    let reading = description.receipts.as_ref().map(|receipts| Reading::compile(receipts, &mut check));
    let faults = check.faults;
    if !faults.is_empty() {
        return Err(faults);
    }
    let longest_receipt = description.longest_receipt.unwrap_or(LONGEST_RECEIPT);
    Ok(Carrier { channels, sms, voice, languages, credentials, longest_receipt, reading })
}

/// A preset with what an operator may change of it.
fn with_preset(mut preset: Description, own: &Description) -> Result<Description, Vec<Fault>> {
    let said = [("sms", own.sms.is_some()), ("voice", own.voice.is_some()), ("receipts", own.receipts.is_some())];
    let problem = "the preset says it; leave this out, or leave out the preset and describe the carrier";
    let faults: Vec<_> = said
        .iter()
        .filter(|(_, said)| *said)
        .map(|(name, _)| Fault { place: format!("http.{name}"), problem: problem.to_owned() })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    preset.languages.extend(own.languages.clone());
    Ok(preset)
}

fn served(
    description: &Description,
    wanted: Option<&[Channel]>,
    preset: Option<&str>,
    check: &mut Check<'_>,
) -> Vec<Channel> {
    let mut offered = Vec::new();
    offered.extend(description.sms.as_ref().map(|_| Channel::Sms));
    offered.extend(description.voice.as_ref().map(|_| Channel::Voice));
    if offered.is_empty() {
        let problem =
            format!("missing; name a preset ({}), or describe how the carrier is asked", preset::names().join(", "));
        check.wrong("http.sms", problem);
    }
    let Some(wanted) = wanted else { return offered };
    for channel in wanted.iter().filter(|channel| !offered.contains(channel) && !offered.is_empty()) {
        let problem = match preset {
            Some(preset) => format!("the preset {preset} does not offer {}", channel.as_str()),
            None => format!("nothing describes how {} is asked for", channel.as_str()),
        };
        check.wrong("channels", problem);
    }
    offered.retain(|channel| wanted.contains(channel));
    offered
}

fn languages(written: &BTreeMap<String, String>, check: &mut Check<'_>) -> BTreeMap<Language, String> {
    let mut languages = BTreeMap::new();
    for (code, name) in written {
        let place = format!("http.languages.{code}");
        let plain = (1..=35).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic());
        match code.parse::<Language>() {
            Ok(language) if plain => {
                languages.insert(language, name.clone());
            }
            Ok(_) => check.wrong(place, "must be the carrier's name of the language, such as de-DE"),
            Err(error) => check.wrong(place, format!("must be named by {error}")),
        }
    }
    languages
}

/// What messages come from and calls show, where the carrier's account says it: as what a caller may ask for.
fn check_origins(check: &mut Check<'_>) {
    let given = |name: &str| check.credentials.get(name).map(Secret::expose);
    let sender = given("sms_from").and_then(|text| Sender::parse(text).err()).map(|error| error.to_string());
    let caller = given("voice_from").and_then(|text| Caller::parse(text).err()).map(|error| error.to_string());
    for (name, problem) in [("sms_from", sender), ("voice_from", caller)] {
        if let Some(problem) = problem {
            check.wrong(format!("http.credentials.{name}"), format!("must be {problem}"));
        }
    }
}

/// A call that names nobody, or that brings no code, is not one to make.
fn check_told(channel: Channel, place: &str, check: &mut Check<'_>) {
    let told = |fields: &[Field]| check.told.iter().any(|field| fields.contains(field));
    let (code, words) = match channel {
        Channel::Sms => (told(&[Field::Text, Field::Code]), "{{text}} or {{code}}"),
        Channel::Voice => {
            (told(&[Field::Text, Field::Code, Field::SpokenCode]), "{{text}}, {{code}} or {{spoken_code}}")
        }
    };
    let number = told(&[Field::Number]);
    if !code {
        check.wrong(place, format!("the carrier is not told the code; write {words} where the message stands"));
    }
    if !number {
        check.wrong(place, "the carrier is not told whom it goes to; write {{number}} where the receiver stands");
    }
}

fn compile_call(
    submission: &Submission,
    channel: Channel,
    place: &str,
    url: Option<&str>,
    preset: bool,
    check: &mut Check<'_>,
) -> Option<Call> {
    let faults = check.faults.len();
    check.told.clear();
    let address = compile_address(submission, place, url, preset, check);
    let method = match submission.method.as_deref().unwrap_or("POST") {
        "POST" => Method::POST,
        "GET" => Method::GET,
        "PUT" => Method::PUT,
        _ => {
            check.wrong(format!("{place}.method"), "must be POST, GET or PUT");
            return None;
        }
    };
    let body = compile_body(submission, place, check);
    if method == Method::GET && !matches!(body, Some(Body::Nothing)) {
        check.wrong(format!("{place}.method"), "a GET has no body");
    }
    let headers = compile_headers(submission, place, check);
    // Where something cannot be read, it is not known what is told.
    if check.faults.len() == faults {
        check_told(channel, place, check);
    }
    let proof = submission.authentication.as_ref().and_then(|written| Proof::compile(written, place, check));
    let answers = Answers::compile(submission, place, check);
    Some(Call { method, address: address?, headers, body: body?, proof, answers })
}

fn compile_headers(submission: &Submission, place: &str, check: &mut Check<'_>) -> Vec<(HeaderName, Template)> {
    let mut headers = Vec::new();
    for (name, value) in &submission.headers {
        let place = format!("{place}.headers.{name}");
        let Ok(header) = HeaderName::try_from(name.as_str()) else {
            check.wrong(place, "is no name of a header field");
            continue;
        };
        if OURS.contains(&header.as_str()) {
            check.wrong(place, "is written by otpgate; leave it out");
            continue;
        }
        let Some(template) = check.needed(&place, value) else { continue };
        check.fits_header(&template);
        if HeaderValue::try_from(value.as_str()).is_err() || !value.is_ascii() {
            check.wrong(place, "must be visible ASCII");
        } else if !template.holes().all(fits_header) {
            check.wrong(place, "{{text}} does not fit into a header field");
        } else {
            headers.push((header, template));
        }
    }
    headers
}

fn compile_body(submission: &Submission, place: &str, check: &mut Check<'_>) -> Option<Body> {
    let Submission { form, json, xml, text, .. } = submission;
    let given = usize::from(form.is_some())
        + usize::from(json.is_some())
        + usize::from(xml.is_some())
        + usize::from(text.is_some());
    if given > 1 {
        check.wrong(place, "a request has one body: form, json, xml or text");
        return None;
    }
    if let Some(form) = form {
        let mut pairs = Vec::new();
        for (name, values) in form {
            for value in &values.0 {
                pairs.push((name.clone(), check.template(&format!("{place}.form.{name}"), value)?));
            }
        }
        return Some(Body::Form(pairs));
    }
    if let Some(json) = json {
        let place = format!("{place}.json");
        return match serde_json::from_str(json) {
            Ok(value) => Some(Body::Json(Node::compile(&value, &place, check)?)),
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                check.wrong(
                    place,
                    format!("is not JSON at line {line}, column {column}; placeholders stand within strings"),
                );
                None
            }
        };
    }
    if let Some(xml) = xml {
        return check.template(&format!("{place}.xml"), xml).map(Body::Xml);
    }
    if let Some(text) = text {
        return check.template(&format!("{place}.text"), text).map(Body::Text);
    }
    Some(Body::Nothing)
}

fn compile_address(
    submission: &Submission,
    place: &str,
    url: Option<&str>,
    preset: bool,
    check: &mut Check<'_>,
) -> Option<Template> {
    let (host_place, host) = match (url, &submission.host) {
        (Some(url), _) => ("url".to_owned(), url),
        (None, Some(host)) => (format!("{place}.host"), host.as_str()),
        (None, None) => {
            if !check.faults.iter().any(|fault| fault.place == "url") {
                check.wrong("url", "missing; write the carrier's address, such as https://api.example.com");
            }
            return None;
        }
    };
    if preset && submission.path.is_some() && (host.contains("{{") || host.contains('?')) {
        check.wrong(host_place, "must be the carrier's host, such as https://api.example.com; the preset has the rest");
        return None;
    }
    let path = submission.path.as_deref().unwrap_or_default();
    let whole = format!("{}{path}", if path.is_empty() { host } else { host.trim_end_matches('/') });
    let template = check.needed(&host_place, &whole)?;
    if let Err(problem) = check_address(&whole) {
        if !check.faults.iter().any(|fault| fault.place == host_place) {
            check.wrong(host_place, problem);
        }
        return None;
    }
    Some(template)
}
