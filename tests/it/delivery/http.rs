//! What each preset sends, at the wire, against a carrier that checks it as that carrier's public documentation has it.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::carrier::{Carrier, form};
use crate::support::receiver::Received;
use crate::support::{Gateway, Options};

const NUMBER: &str = "+4915112345678";
const CODE: &str = "904217";
/// What the carriers are told to begin receipt addresses with.
const PUBLIC: &str = "https://otp.example.com";

/// A gateway whose only provider is this one; `lines` are those of the provider's own table.
pub(super) fn gateway(lines: &str, environment: &[(&str, &str)]) -> Gateway {
    let config = format!(
        "public_url = \"{PUBLIC}\"\n[limits]\nsends_per_number = []\n[delivery]\ncountries = \"all\"\nmessages_per_day = \"none\"\n\
         [[delivery.providers]]\nname = \"carrier\"\ntype = \"http\"\n{lines}"
    );
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    let environment = environment.iter().map(own).collect();
    Gateway::with_options(&Options { config, environment, ..Options::default() })
}

/// Sends one message and gives the OTP's id.
pub(super) fn send(gateway: &Gateway, extra: &Value) -> String {
    let mut body = json!({"number": NUMBER, "otpCode": CODE});
    body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
    gateway.client().post_json("/v1/otp", &body).expect(200).json()["otpId"].as_str().unwrap().to_owned()
}

fn first(carrier: &Carrier) -> Received {
    carrier.wait(|seen| !seen.is_empty())[0].clone()
}

/// The ticket in a receipt address, once everything around it is right.
fn ticket(address: &str) -> String {
    let ticket = address.strip_prefix(&format!("{PUBLIC}/v1/receipts/carrier/")).unwrap_or_else(|| panic!("{address}"));
    assert_eq!(ticket.len(), 50, "{address}");
    ticket.to_owned()
}

fn basic(user: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
}

/// The pairs of a form, sorted.
fn pairs(request: &Received) -> Vec<(String, String)> {
    assert_eq!(request.header("content-type"), "application/x-www-form-urlencoded");
    let mut pairs = form(&request.body);
    pairs.sort();
    pairs
}

fn value<'p>(pairs: &'p [(String, String)], name: &str) -> &'p str {
    &pairs.iter().find(|(known, _)| known == name).unwrap_or_else(|| panic!("no {name} in {pairs:?}")).1
}

/// `POST https://api.twilio.com/2010-04-01/Accounts/{AccountSid}/Messages.json` and `Calls.json`, by twilio-oai.
#[test]
fn twilio_is_asked_as_its_documentation_says() {
    let carrier =
        Carrier::start(|_, count| (201, json!({"sid": format!("SM{count:032x}"), "status": "queued"}).to_string()));
    let lines = format!(
        "preset = \"twilio\"\nurl = \"{}\"\n[delivery.providers.http.credentials]\naccount = \"AC0123\"\n\
         token = \"${{env:TWILIO_TOKEN}}\"\nvoice_from = \"+4930111\"\n",
        carrier.url("")
    );
    let gateway = gateway(&lines, &[("TWILIO_TOKEN", "a:token")]);
    send(&gateway, &json!({"via": "SMS", "sender": "Shop & Co", "text": "Ihr Code: {{OTP}} + \"mehr\" für 5€\n"}));
    let request = first(&carrier);
    assert_eq!(request.line, "POST /2010-04-01/Accounts/AC0123/Messages.json HTTP/1.1");
    assert_eq!(request.header("authorization"), basic("AC0123", "a:token"));
    let sent = pairs(&request);
    let names: Vec<_> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["Body", "From", "StatusCallback", "To", "ValidityPeriod"]);
    assert_eq!(value(&sent, "To"), NUMBER);
    assert_eq!(value(&sent, "From"), "Shop & Co");
    assert_eq!(value(&sent, "Body"), format!("Ihr Code: {CODE} + \"mehr\" für 5€\n"));
    ticket(value(&sent, "StatusCallback"));
    assert!((290..300).contains(&value(&sent, "ValidityPeriod").parse::<u32>().unwrap()));

    send(&gateway, &json!({"via": "VOICE", "language": "de", "caller": "+4930222", "text": "A <b> & \"c\": {{OTP}}"}));
    let request = carrier.wait(|seen| seen.len() == 2)[1].clone();
    assert_eq!(request.line, "POST /2010-04-01/Accounts/AC0123/Calls.json HTTP/1.1");
    let sent = pairs(&request);
    let names: Vec<_> = sent.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["From", "StatusCallback", "StatusCallbackEvent", "To", "Twiml"]);
    assert_eq!((value(&sent, "To"), value(&sent, "From")), (NUMBER, "+4930111"));
    let spoken = "9, 0, 4, 2, 1, 7";
    assert_eq!(
        value(&sent, "Twiml"),
        format!(
            "<Response><Pause length=\"1\"/><Say language=\"de-DE\">A &lt;b&gt; &amp; &quot;c&quot;: {spoken}</Say></Response>"
        )
    );
    assert_ne!(ticket(value(&sent, "StatusCallback")), "");
}

/// `POST https://api.tyntec.com/messaging/v1/sms` and `/tts/v1/calls`, by tyntec's api-collection.
#[test]
fn tyntec_is_asked_as_its_documentation_says() {
    let carrier = Carrier::start(|request, count| {
        let id = format!("e74db8d4-77ad-4671-8feb-{count:012x}");
        let voice = request.line.contains("/tts/");
        (
            200,
            if voice {
                json!({"callId": id, "status": "starting"})
            } else {
                json!({"requestId": id, "status": "ACCEPTED"})
            }
            .to_string(),
        )
    });
    let lines = format!(
        "preset = \"tyntec\"\nurl = \"{}\"\nhttp = {{ credentials = {{ apikey = \"${{env:TYNTEC_KEY}}\" }} }}\n",
        carrier.url("/")
    );
    let gateway = gateway(&lines, &[("TYNTEC_KEY", "k-1")]);
    send(&gateway, &json!({"via": "SMS", "sender": "Shop"}));
    let request = first(&carrier);
    assert_eq!(request.line, "POST /messaging/v1/sms HTTP/1.1");
    assert_eq!((request.header("apikey"), request.header("content-type")), ("k-1", "application/json"));
    let mut sent = request.json();
    let ticket = ticket(sent["callbackUrl"].take().as_str().unwrap());
    let text = sent["message"].take();
    assert!(text.as_str().unwrap().contains(CODE), "{text}");
    assert_eq!(
        sent,
        json!({
            "to": NUMBER, "from": "Shop", "message": null, "validity": "4", "reference": ticket,
            "callbackUrl": null, "callbackMethod": "POST",
        })
    );
    send(&gateway, &json!({"via": "VOICE", "language": "de", "caller": "+4930222"}));
    let request = carrier.wait(|seen| seen.len() == 2)[1].clone();
    assert_eq!(request.line, "POST /tts/v1/calls HTTP/1.1");
    let mut sent = request.json();
    assert_eq!(
        sent["message"].take(),
        "Ihr Bestätigungscode lautet: 9, 0, 4, 2, 1, 7. Ich wiederhole: 9, 0, 4, 2, 1, 7."
    );
    assert!(sent["eventsUrl"].take().as_str().unwrap().starts_with(PUBLIC));
    assert_eq!(
        sent,
        json!({"to": &NUMBER[1..], "from": "4930222", "message": null, "language": "de_de", "eventsUrl": null})
    );
}
