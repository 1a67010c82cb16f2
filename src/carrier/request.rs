//! A message → the request that submits it: address, header, body. Knows no connection.

use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderName, HeaderValue, Method, Uri};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::carrier::answer::Answers;
use crate::carrier::authentication::{Moment, Proof};
use crate::carrier::compile::{Carrier, Check};
use crate::carrier::place::{Place, Unwritable, push_form};
use crate::carrier::template::Template;
use crate::carrier::values::Values;
use crate::delivery::provider::Outgoing;
use crate::otp::channel::Channel;

/// Who calls.
const AGENT: HeaderValue = HeaderValue::from_static(concat!("otpgate/", env!("CARGO_PKG_VERSION")));

/// How one channel is asked.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) address: Template,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) body: Body,
    pub(super) proof: Option<Proof>,
    pub(super) answers: Answers,
}

/// A request's body.
#[derive(Debug)]
pub(super) enum Body {
    Nothing,
    Form(Vec<(String, Template)>),
    Json(Node),
    Xml(Template),
    Text(Template),
}

/// A JSON text with templates for strings.
#[derive(Debug)]
pub(super) enum Node {
    Fixed(Value),
    Text(Template),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// A request, ready to be sent. It holds a code, so it shows nothing.
pub struct Request {
    /// `POST`, `GET` or `PUT`.
    pub method: Method,
    /// The absolute address.
    pub uri: Uri,
    /// The header fields.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body. It wipes itself.
    pub body: Zeroizing<Vec<u8>>,
}

/// Where receipts go.
#[derive(Clone, Debug)]
pub struct ReceiptAddresses {
    /// Of this message.
    pub own: String,
    /// Of every message of the carrier.
    pub shared: String,
}

impl Carrier {
    pub(super) const fn call(&self, channel: Channel) -> Option<&Call> {
        match channel {
            Channel::Sms => self.sms.as_ref(),
            Channel::Voice => self.voice.as_ref(),
        }
    }

    /// The request that submits `message`.
    ///
    /// # Errors
    /// [`Unwritable`]: this carrier cannot be asked to send this message.
    pub fn request(
        &self,
        message: &Outgoing,
        addresses: ReceiptAddresses,
        moment: &Moment<'_>,
    ) -> Result<Request, Unwritable> {
        let call = self.call(message.channel).ok_or(Unwritable("this carrier does not offer the channel"))?;
        let values = Values {
            message,
            credentials: &self.credentials,
            locale: self.languages.get(&message.language).map(String::as_str),
            receipt: Some(addresses.own).filter(|address| address.len() <= self.longest_receipt),
            shared_receipt: addresses.shared,
        };
        let (media_type, body) = call.body.write(&values)?;
        let mut headers = vec![(USER_AGENT, AGENT)];
        headers.extend(media_type.map(|media_type| (CONTENT_TYPE, HeaderValue::from_static(media_type))));
        for (name, template) in &call.headers {
            let Some(value) = Place::Header.write(template, &values)? else { continue };
            headers.push((name.clone(), header(&value)?));
        }
        let mut address = Place::Address.write(&call.address, &values)?.unwrap_or_default();
        if let Some(proof) = &call.proof {
            proof.add(&mut address, &mut headers, &body, &values, moment)?;
        }
        let uri = address.parse().map_err(|_| Unwritable("its address at the carrier cannot be written"))?;
        Ok(Request { method: call.method.clone(), uri, headers, body })
    }
}

/// A header field that no log of ours shows.
pub(super) fn header(value: &str) -> Result<HeaderValue, Unwritable> {
    let mut value = HeaderValue::from_str(value).map_err(|_| Unwritable("a header field cannot be written"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Body {
    fn write(&self, values: &Values<'_>) -> Result<(Option<&'static str>, Zeroizing<Vec<u8>>), Unwritable> {
        let bytes = |text: Option<Zeroizing<String>>| text.map(|text| Zeroizing::new(text.as_bytes().to_vec()));
        Ok(match self {
            Self::Nothing => (None, Zeroizing::default()),
            Self::Form(pairs) => {
                let mut written = Vec::with_capacity(pairs.len());
                for (name, template) in pairs {
                    if let Some(value) = Place::Form.write(template, values)? {
                        written.push((name, value));
                    }
                }
                let room = written.iter().map(|(name, value)| name.len() * 3 + value.len() + 2).sum();
                let mut form = Zeroizing::new(String::with_capacity(room));
                for (name, value) in &written {
                    if !form.is_empty() {
                        form.push('&');
                    }
                    push_form(&mut form, name);
                    form.push('=');
                    form.push_str(value);
                }
                (Some("application/x-www-form-urlencoded"), bytes(Some(form)).unwrap_or_default())
            }
            Self::Json(node) => {
                let mut bytes = Zeroizing::new(Vec::with_capacity(node.room(values) + 64));
                node.write(&mut bytes, values)?;
                (Some("application/json"), bytes)
            }
            Self::Xml(template) => {
                (Some("application/xml"), bytes(Place::Xml.write(template, values)?).unwrap_or_default())
            }
            Self::Text(template) => {
                (Some("text/plain; charset=utf-8"), bytes(Place::Text.write(template, values)?).unwrap_or_default())
            }
        })
    }
}

impl Node {
    pub(super) fn compile(value: &Value, place: &str, check: &mut Check<'_>) -> Option<Self> {
        Some(match value {
            Value::String(text) => Self::Text(check.template(place, text)?),
            Value::Array(values) => {
                Self::List(values.iter().map(|value| Self::compile(value, place, check)).collect::<Option<_>>()?)
            }
            Value::Object(members) => {
                let compiled = members.iter().map(|(name, value)| {
                    Some((name.clone(), Self::compile(value, &format!("{place}.{name}"), check)?))
                });
                Self::Object(compiled.collect::<Option<_>>()?)
            }
            other => Self::Fixed(other.clone()),
        })
    }

    /// Bytes that it takes at most, so that it is written in one piece.
    fn room(&self, values: &Values<'_>) -> usize {
        match self {
            Self::Fixed(value) => value.to_string().len() + 1,
            Self::Text(template) => {
                let written = Place::Json.write(template, values).ok().flatten();
                written.map_or(0, |text| text.len() * 6) + 3
            }
            Self::List(nodes) => nodes.iter().map(|node| node.room(values)).sum::<usize>() + 2,
            Self::Object(members) => {
                members.iter().map(|(name, node)| name.len() * 6 + 4 + node.room(values)).sum::<usize>() + 2
            }
        }
    }

    /// Whether anything was written: not so where it is a lone placeholder without a value.
    fn write(&self, bytes: &mut Vec<u8>, values: &Values<'_>) -> Result<bool, Unwritable> {
        match self {
            Self::Fixed(value) => push(bytes, value),
            Self::Text(template) => {
                let Some(text) = Place::Json.write(template, values)? else { return Ok(false) };
                let is_number = template.lone().is_some_and(|hole| hole.number) && text.parse::<u64>().is_ok();
                if is_number {
                    bytes.extend_from_slice(text.as_bytes());
                } else {
                    push(bytes, &**text);
                }
            }
            Self::List(nodes) => {
                bytes.push(b'[');
                let mut first = true;
                for node in nodes {
                    let length = bytes.len();
                    if !first {
                        bytes.push(b',');
                    }
                    if node.write(bytes, values)? {
                        first = false;
                    } else {
                        bytes.truncate(length);
                    }
                }
                bytes.push(b']');
            }
            Self::Object(members) => {
                bytes.push(b'{');
                let mut first = true;
                for (name, node) in members {
                    let length = bytes.len();
                    if !first {
                        bytes.push(b',');
                    }
                    push(bytes, name);
                    bytes.push(b':');
                    if node.write(bytes, values)? {
                        first = false;
                    } else {
                        bytes.truncate(length);
                    }
                }
                bytes.push(b'}');
            }
        }
        Ok(true)
    }
}

/// JSON of a value that is in memory: this cannot fail.
fn push<T: serde::Serialize + ?Sized>(bytes: &mut Vec<u8>, value: &T) {
    let _ = serde_json::to_writer(bytes, value);
}
