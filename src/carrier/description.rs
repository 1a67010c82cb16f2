//! A carrier as it is written: the words of the configuration and of the presets. Plain data; `compile` checks it.

use std::collections::BTreeMap;

use serde::Deserialize;

/// A carrier: how each channel is asked, and how its receipts are read.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Description {
    /// The credentials it cannot do without, by name. Only in presets: a description of one's own uses what is given.
    pub required: Vec<String>,
    /// Credentials that may be given. Only in presets.
    pub optional: Vec<String>,
    /// The longest address that it takes for receipts, in bytes.
    pub longest_receipt: Option<usize>,
    /// What it calls the languages that it speaks: ISO 639-1 → its own name.
    pub languages: BTreeMap<String, String>,
    /// How it is asked to send a text message.
    pub sms: Option<Submission>,
    /// How it is asked to call.
    pub voice: Option<Submission>,
    /// How its receipts are read. None: it sends none.
    pub receipts: Option<Receipts>,
}

/// How a message is submitted. Every text but names and pointers is a template.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Submission {
    /// Where, up to the path: `https://api.example.com`. The provider's `url` replaces it.
    pub host: Option<String>,
    /// The rest of the address.
    pub path: Option<String>,
    /// `POST` by default, or `GET` or `PUT`.
    pub method: Option<String>,
    /// Header fields.
    pub headers: BTreeMap<String, String>,
    /// The body, a form. A pair with several values is written several times.
    pub form: Option<BTreeMap<String, OneOrMore>>,
    /// The body, a JSON text. Placeholders stand within strings; a member that is nothing but a placeholder without a value
    /// is left out.
    pub json: Option<String>,
    /// The body, an XML text.
    pub xml: Option<String>,
    /// The body, a plain text.
    pub text: Option<String>,
    /// How the request proves whose it is, beyond headers.
    pub authentication: Option<Authentication>,
    /// What the answers mean, the first that fits. What fits none has its usual meaning.
    pub answers: Vec<AnswerRule>,
    /// JSON pointers to the carrier's id for the message. Where one is named, an answer without it is unknown.
    pub id: OneOrMore,
    /// JSON pointers to its error code.
    pub error: OneOrMore,
}

/// A request's proof. The texts are templates.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "scheme", rename_all = "lowercase", deny_unknown_fields)]
pub enum Authentication {
    /// HTTP Basic (RFC 7617).
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: String,
    },
    /// A bearer token made for each request: an RS256 JSON Web Token with `application_id` (Vonage).
    Jwt {
        /// The application's id.
        application: String,
        /// The credential that holds its private key, PKCS #8 PEM.
        key: String,
    },
    /// A signed query (Unimatrix). Where the secret is not given, the access key alone serves.
    Unimatrix {
        /// The credential that holds the access key's secret.
        secret: String,
    },
    /// The headers of Standard Webhooks.
    Webhook {
        /// The credential that holds the secret, `whsec_…`.
        secret: String,
    },
}

/// What an answer means.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRule {
    /// Statuses: `"2xx"`, `"404"`. Every status when empty.
    #[serde(default)]
    pub status: OneOrMore,
    /// A JSON pointer into the body.
    pub member: Option<String>,
    /// What stands there. Anything when empty.
    #[serde(default)]
    pub values: OneOrMore,
    /// What it means.
    pub means: Meaning,
}

/// What an answer may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Meaning {
    /// The carrier has the message.
    Taken,
    /// It certainly does not have it and never will: the message is at fault.
    Refused,
    /// It certainly does not have it and may later: the carrier, the account or the pace is at fault.
    Retryable,
    /// Nobody knows.
    Unknown,
}

/// How receipts are read. Receipts in JSON are read as they are; a form's or a query's pairs become an object of strings.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Receipts {
    /// A JSON pointer to the list of receipts, where one request brings several.
    pub list: Option<String>,
    /// JSON pointers to the carrier's id for the message.
    pub id: OneOrMore,
    /// JSON pointers to the ticket, where the carrier gives it back.
    pub ticket: OneOrMore,
    /// JSON pointers to the state; the first that is there counts.
    pub state: OneOrMore,
    /// JSON pointers to the error code.
    pub error: OneOrMore,
    /// States that say: the phone has it; a call was answered and the code spoken.
    pub delivered: OneOrMore,
    /// States that say: it will not arrive. Every other one says that it is on its way.
    pub failed: OneOrMore,
    /// States that say delivered only where a JSON pointer leads to something, such as the time when a call was answered;
    /// else it was not.
    pub proof: BTreeMap<String, String>,
    /// How they are signed. Checked where the key is given.
    pub signature: Option<Signature>,
}

/// How receipts are signed.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signature {
    /// Which way.
    pub scheme: SignatureScheme,
    /// The credential that holds the key.
    pub key: String,
}

/// The ways to sign receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SignatureScheme {
    /// `X-Twilio-Signature`: HMAC-SHA-1 over the address and the sorted parameters.
    Twilio,
    /// A bearer token (HS256 JSON Web Token with `payload_hash`), or the parameter `sig` by HMAC-SHA-256.
    Vonage,
    /// The headers of Standard Webhooks.
    Standard,
}

/// A text, or a list of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OneOrMore(pub Vec<String>);

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            One(String),
            More(Vec<Self>),
        }
        fn flat(written: Written, texts: &mut Vec<String>) {
            match written {
                Written::Number(number) => texts.push(number.to_string()),
                Written::One(text) => texts.push(text),
                Written::More(more) => more.into_iter().for_each(|one| flat(one, texts)),
            }
        }
        let written = Written::deserialize(deserializer)
            .map_err(|_| serde::de::Error::custom("write a text, or a list of texts"))?;
        let mut texts = Vec::new();
        flat(written, &mut texts);
        Ok(Self(texts))
    }
}
