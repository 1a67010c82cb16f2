//! A carrier over HTTP that others could have built: it takes submissions, each number is treated as a test says, and what
//! came is kept byte for byte.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::receiver::{Received, Receiver, Reply};

/// What a carrier does with a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Conduct {
    /// Takes it, in its own words.
    Take,
    /// Answers this status with this JSON.
    Answer(u16, String),
    /// Answers 429; asks for so many seconds, where it asks for any.
    Throttle(Option<u64>),
    /// Answers 200 and something that is no answer.
    Garbage,
    /// Answers as if it took it, a byte a second.
    Drip,
    /// Reads it and closes the connection.
    Reset,
    /// Reads it and says nothing more.
    Hang,
    /// Sends it elsewhere.
    Redirect(String),
    /// Answers 200 and never stops.
    Endless,
    /// Answers 200 and a web page.
    Page,
}

type Words = dyn Fn(&Received, usize) -> (u16, String) + Send + Sync;

/// A running carrier.
pub(crate) struct Carrier {
    receiver: Receiver,
    conducts: Arc<Mutex<(Conduct, HashMap<String, Conduct>)>>,
}

impl Carrier {
    /// One that takes everything. `taken` words its answer to the n-th submission, from 1: status and JSON.
    pub(crate) fn start(taken: impl Fn(&Received, usize) -> (u16, String) + Send + Sync + 'static) -> Self {
        let conducts = Arc::new(Mutex::new((Conduct::Take, HashMap::new())));
        let (told, count, taken) = (Arc::clone(&conducts), AtomicUsize::new(0), Box::new(taken) as Box<Words>);
        let receiver = Receiver::with(move |request| {
            let (usual, special) = &*told.lock().unwrap();
            let conduct = number(request).and_then(|number| special.get(&number).cloned()).unwrap_or(usual.clone());
            let (status, body) = taken(request, count.fetch_add(1, Ordering::SeqCst) + 1);
            reply(conduct, status, &body)
        });
        Self { receiver, conducts }
    }

    /// From now on it treats submissions to `number` (digits, without `+`) so.
    pub(crate) fn treat(&self, number: &str, conduct: Conduct) {
        self.conducts.lock().unwrap().1.insert(number.to_owned(), conduct);
    }

    /// From now on it treats everything else so.
    pub(crate) fn treat_all(&self, conduct: Conduct) {
        self.conducts.lock().unwrap().0 = conduct;
    }

    /// An address on it.
    pub(crate) fn url(&self, target: &str) -> String {
        self.receiver.url(target)
    }

    /// Every submission so far.
    pub(crate) fn seen(&self) -> Vec<Received> {
        self.receiver.seen()
    }

    /// Waits until `enough` is there.
    pub(crate) fn wait(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        self.receiver.wait(enough)
    }

    /// How often each number was submitted.
    pub(crate) fn submissions(&self) -> HashMap<String, usize> {
        let mut counts = HashMap::new();
        for number in self.seen().iter().filter_map(number) {
            *counts.entry(number).or_default() += 1;
        }
        counts
    }
}

fn reply(conduct: Conduct, status: u16, body: &str) -> Reply {
    let answer = |status: u16, extra: &str, media_type: &str, body: &str| {
        let length = body.len();
        format!("HTTP/1.1 {status} Said\r\nContent-Type: {media_type}\r\n{extra}Content-Length: {length}\r\n\r\n{body}")
    };
    match conduct {
        Conduct::Take => Reply::Raw(answer(status, "", "application/json", body)),
        Conduct::Answer(status, body) => Reply::Raw(answer(status, "", "application/json", &body)),
        Conduct::Throttle(seconds) => {
            let extra = seconds.map(|seconds| format!("Retry-After: {seconds}\r\n")).unwrap_or_default();
            Reply::Raw(answer(429, &extra, "application/json", "{}"))
        }
        Conduct::Garbage => Reply::Raw(answer(200, "", "application/json", "{\"messages\": [{\"sta")),
        Conduct::Drip => Reply::Drip(answer(status, "", "application/json", body)),
        Conduct::Reset => Reply::Close,
        Conduct::Hang => Reply::Nothing,
        Conduct::Redirect(to) => Reply::Raw(answer(307, &format!("Location: {to}\r\n"), "text/plain", "")),
        Conduct::Endless => Reply::Endless,
        Conduct::Page => Reply::Raw(answer(200, "", "text/html", "<html><body>Welcome</body></html>")),
    }
}

/// The digits of the number that a submission goes to: the first member or parameter that carriers name so.
pub(crate) fn number(request: &Received) -> Option<String> {
    let query = request.line.split(' ').nth(1).and_then(|target| target.split_once('?')).map(|(_, query)| query);
    let found = match serde_json::from_str::<Value>(&request.body) {
        Ok(body) => destination(&body),
        Err(_) => form(&request.body)
            .into_iter()
            .chain(form(query.unwrap_or_default()))
            .find_map(|(name, value)| is_destination(&name).then_some(value)),
    };
    found.map(|number| number.trim_start_matches('+').to_owned())
}

fn is_destination(name: &str) -> bool {
    ["to", "To", "number"].contains(&name)
}

fn destination(value: &Value) -> Option<String> {
    match value {
        Value::Object(members) => members.iter().find_map(|(name, value)| match value {
            Value::String(text) if is_destination(name) => Some(text.clone()),
            // Vonage writes who calls before who is called, in the same words.
            Value::Object(_) if name == "from" => None,
            _ => destination(value),
        }),
        Value::Array(values) => values.iter().find_map(destination),
        _ => None,
    }
}

/// The pairs of a form, decoded.
pub(crate) fn form(text: &str) -> Vec<(String, String)> {
    let decode = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_encoding::percent_decode_str(&spaced).decode_utf8().unwrap().into_owned()
    };
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}
