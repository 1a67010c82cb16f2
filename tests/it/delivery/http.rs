//! What each preset sends, at the wire, against a carrier that checks it as that carrier's public documentation has it.

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::support::carrier::{Carrier, form};
use crate::support::receiver::Received;
use crate::support::{Gateway, Options};

const NUMBER: &str = "+4915112345678";
const CODE: &str = "904217";
/// What the carriers are told to begin receipt addresses with.
const PUBLIC: &str = "https://otp.example.com";

/// A gateway whose only provider is this one; `lines` are those of the provider's own table, and what the file says after it.
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

/// Waits until the delivery of an OTP stands so.
pub(super) fn wait_for(gateway: &Gateway, otp: &str, delivery: &str) {
    let mut client = gateway.client();
    for _ in 0..1_500 {
        if client.get(&format!("/v1/otp/{otp}")).expect(200).json()["deliveryStatus"] == delivery {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    panic!("it is never {delivery}: {}", client.get(&format!("/v1/otp/{otp}")).body);
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
    ticket(sent["callbackUrl"].take().as_str().unwrap());
    assert_eq!(sent["reference"].take().as_str().unwrap().len(), 50);
    let text = sent["message"].take();
    assert!(text.as_str().unwrap().contains(CODE), "{text}");
    assert_eq!(
        sent,
        json!({
            "to": NUMBER, "from": "Shop", "message": null, "validity": "4", "reference": null,
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

/// `POST https://rest.nexmo.com/sms/json` and `POST https://api.nexmo.com/v1/calls`, by Vonage's SDKs.
#[test]
fn vonage_is_asked_as_its_documentation_says() {
    let carrier = Carrier::start(|request, count| match request.line.contains("/v1/calls") {
        true => {
            (201, json!({"uuid": format!("63f61863-4a51-4f6b-86e1-{count:012x}"), "status": "started"}).to_string())
        }
        false => {
            let message = json!({"to": "x", "message-id": format!("{count:016X}"), "status": "0"});
            (200, json!({"message-count": "1", "messages": [message]}).to_string())
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let (file, public) = rsa_key(folder.path());
    let lines = format!(
        "preset = \"vonage\"\nurl = \"{}\"\n[delivery.providers.http.credentials]\napi_key = \"abcd\"\n\
         api_secret = \"${{env:VONAGE_SECRET}}\"\napplication = \"app-1\"\nprivate_key = \"${{file:{file}}}\"\n",
        carrier.url("")
    );
    let gateway = gateway(&lines, &[("VONAGE_SECRET", "s=cr&t")]);
    for (text, kind) in [("Code {{OTP}}", "text"), ("Код {{OTP}}", "unicode")] {
        send(&gateway, &json!({"via": "SMS", "sender": "+4930111", "text": text}));
        let count = if kind == "text" { 1 } else { 2 };
        let request = carrier.wait(|seen| seen.len() == count)[count - 1].clone();
        assert_eq!(request.line, "POST /sms/json HTTP/1.1");
        assert_eq!(request.header("authorization"), basic("abcd", "s=cr&t"));
        let sent = pairs(&request);
        let names: Vec<_> = sent.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["callback", "client-ref", "from", "text", "to", "ttl", "type"]);
        assert_eq!((value(&sent, "to"), value(&sent, "from")), (&NUMBER[1..], "4930111"));
        assert_eq!(value(&sent, "type"), kind);
        assert_eq!(value(&sent, "text"), text.replace("{{OTP}}", CODE));
        assert_ne!(value(&sent, "client-ref"), ticket(value(&sent, "callback")));
        assert_eq!(value(&sent, "client-ref").len(), 50);
        assert!(value(&sent, "callback").len() <= 100);
        assert!((290_000..=300_000).contains(&value(&sent, "ttl").parse::<u32>().unwrap()));
    }
    send(&gateway, &json!({"via": "VOICE", "language": "fr", "caller": "+4930222"}));
    let request = carrier.wait(|seen| seen.len() == 3)[2].clone();
    assert_eq!(request.line, "POST /v1/calls HTTP/1.1");
    let mut sent = request.json();
    ticket(sent["event_url"][0].take().as_str().unwrap());
    assert_eq!(
        sent,
        json!({
            "to": [{"type": "phone", "number": &NUMBER[1..]}],
            "from": {"type": "phone", "number": "4930222"},
            "ncco": [{
                "action": "talk", "language": "fr-FR",
                "text": "Votre code de vérification est : 9, 0, 4, 2, 1, 7. Je répète : 9, 0, 4, 2, 1, 7.",
            }],
            "event_url": [null], "event_method": "POST",
        })
    );
    let token = request.header("authorization").strip_prefix("Bearer ").unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let parts: Vec<Value> =
        signed.split('.').map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()).collect();
    assert_eq!(parts[0], json!({"alg": "RS256", "typ": "JWT"}));
    assert_eq!(parts[1]["application_id"], "app-1");
    assert!(parts[1]["exp"].as_u64().unwrap() > parts[1]["iat"].as_u64().unwrap());
    assert_eq!(parts[1]["jti"].as_str().unwrap().len(), 32);
}

/// A private key in PEM, and its public half.
fn rsa_key(folder: &std::path::Path) -> (String, Vec<u8>) {
    let key = KeyPair::generate(KeySize::Rsa2048).unwrap();
    let der: Pkcs8V1Der<'_> = key.as_der().unwrap();
    let body = STANDARD.encode(der.as_ref());
    let lines: Vec<_> = body.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    let file = folder.join("private.key");
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"));
    std::fs::write(&file, pem).unwrap();
    (file.to_str().unwrap().to_owned(), key.public_key().as_ref().to_vec())
}

/// `POST https://{account}.api.infobip.com/sms/3/messages` and `/tts/3/advanced`, by Infobip's API clients.
#[test]
fn infobip_is_asked_as_its_documentation_says() {
    let carrier = Carrier::start(|_, count| {
        let status = json!({"groupId": 1, "groupName": "PENDING", "id": 26, "name": "PENDING_ACCEPTED"});
        (200, json!({"bulkId": "b", "messages": [{"messageId": format!("id-{count}"), "status": status}]}).to_string())
    });
    let lines = format!(
        "preset = \"infobip\"\nurl = \"{}\"\nhttp = {{ credentials = {{ apikey = \"key-1\", sms_from = \"Info\" }} }}\n",
        carrier.url("")
    );
    let gateway = gateway(&lines, &[]);
    send(&gateway, &json!({"via": "SMS", "sender": "Shop", "text": "\"}]},{{OTP}}\\"}));
    let request = first(&carrier);
    assert_eq!(request.line, "POST /sms/3/messages HTTP/1.1");
    assert_eq!(request.header("authorization"), "App key-1");
    let mut sent = request.json();
    let message = &mut sent["messages"][0];
    let life = message["options"]["validityPeriod"]["amount"].take();
    assert!((290..300).contains(&life.as_u64().unwrap()), "{life}");
    ticket(message["webhooks"]["delivery"]["url"].take().as_str().unwrap());
    assert_eq!(message["webhooks"]["callbackData"].take().as_str().unwrap().len(), 50);
    assert_eq!(
        sent,
        json!({"messages": [{
            "sender": "Info",
            "destinations": [{"to": &NUMBER[1..]}],
            "content": {"text": format!("\"}}]}},{CODE}\\")},
            "options": {"validityPeriod": {"amount": null, "timeUnit": "SECONDS"}},
            "webhooks": {"delivery": {"url": null}, "contentType": "application/json", "callbackData": null},
        }]})
    );
    send(&gateway, &json!({"via": "VOICE", "language": "pt", "caller": "4930222"}));
    let request = carrier.wait(|seen| seen.len() == 2)[1].clone();
    assert_eq!(request.line, "POST /tts/3/advanced HTTP/1.1");
    let mut sent = request.json();
    let message = &mut sent["messages"][0];
    ticket_of(&message["notifyUrl"].take());
    assert_eq!(message["callbackData"].take().as_str().unwrap().len(), 50);
    assert_eq!(
        sent,
        json!({"messages": [{
            "from": "4930222", "destinations": [{"to": &NUMBER[1..]}], "language": "pt-pt", "validityPeriod": 4,
            "text": "O seu código de verificação é: 9, 0, 4, 2, 1, 7. Repito: 9, 0, 4, 2, 1, 7.",
            "notifyUrl": null, "notifyContentType": "application/json", "notifyContentVersion": 2, "callbackData": null,
        }]})
    );
}

fn ticket_of(address: &Value) -> String {
    ticket(address.as_str().unwrap())
}

/// `POST https://api.unimtx.com/?action=sms.message.send&accessKeyId=…`, by unimtx.com/docs/api.
#[test]
fn unimatrix_is_asked_as_its_documentation_says() {
    let carrier = Carrier::start(|_, count| {
        let message = json!({"id": format!("{count:032x}"), "to": "x"});
        (200, json!({"code": "0", "message": "Success", "data": {"recipients": 1, "messages": [message]}}).to_string())
    });
    let url = carrier.url("");
    let lines = format!(
        "preset = \"unimatrix\"\nurl = \"{url}\"\nchannels = [\"SMS\"]\n[delivery.providers.http.credentials]\n\
         access_key_id = \"key&id\"\naccess_key_secret = \"${{env:UNIMTX_SECRET}}\"\nsignature = \"Shop\"\n"
    );
    let signed = gateway(&lines, &[("UNIMTX_SECRET", "hush")]);
    send(&signed, &json!({"via": "SMS", "text": "Code {{OTP}}"}));
    let request = first(&carrier);
    let query = request.line.strip_prefix("POST /?").and_then(|line| line.strip_suffix(" HTTP/1.1")).unwrap();
    let (plain, signature) = query.rsplit_once("&signature=").unwrap();
    let names: Vec<_> = plain.split('&').map(|pair| pair.split('=').next().unwrap()).collect();
    assert_eq!(names, ["accessKeyId", "action", "algorithm", "nonce", "timestamp"]);
    assert!(plain.starts_with("accessKeyId=key%26id&action=sms.message.send&algorithm=hmac-sha256&nonce="), "{plain}");
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, b"hush"), plain.as_bytes());
    assert_eq!(signature, tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    assert_eq!(request.json(), json!({"to": NUMBER, "signature": "Shop", "text": format!("Code {CODE}")}));

    // An access key that may be used without a signature.
    let plain = Carrier::start(|_, _| (200, json!({"code": "0", "data": {"messages": [{"id": "a"}]}}).to_string()));
    let lines = format!(
        "preset = \"unimatrix\"\nurl = \"{}\"\nhttp = {{ credentials = {{ access_key_id = \"id\" }} }}\n",
        plain.url("/")
    );
    let simple = gateway(&lines, &[]);
    send(&simple, &json!({"via": "SMS", "text": "Code {{OTP}}"}));
    let request = first(&plain);
    assert_eq!(request.line, "POST /?action=sms.message.send&accessKeyId=id HTTP/1.1");
    assert_eq!(request.json(), json!({"to": NUMBER, "text": format!("Code {CODE}")}));
}

/// A service of the operator's own: Standard Webhooks 1.0.
#[test]
fn a_webhook_is_signed_by_standard_webhooks() {
    let carrier = Carrier::start(|_, _| (204, String::new()));
    let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    let lines = format!(
        "preset = \"webhook\"\nurl = \"{}\"\nhttp = {{ credentials = {{ secret = \"{secret}\" }} }}\n",
        carrier.url("/otp?a=b")
    );
    let gateway = gateway(&lines, &[]);
    let otp = send(&gateway, &json!({"via": "SMS", "sender": "Shop", "language": "de"}));
    let request = first(&carrier);
    assert_eq!(request.line, "POST /otp?a=b HTTP/1.1");
    assert_eq!(request.signed_by(secret), 1);
    let mut sent = request.json();
    ticket_of(&sent["receiptUrl"].take());
    assert_eq!(sent["id"].take(), request.id());
    assert!(sent["text"].take().as_str().unwrap().contains(CODE));
    assert!((290..300).contains(&sent["lifeSeconds"].take().as_u64().unwrap()));
    assert_eq!(
        sent,
        json!({
            "type": "message", "id": null, "channel": "SMS", "number": NUMBER, "sender": "Shop", "language": "de",
            "text": null, "code": CODE, "lifeSeconds": null, "receiptUrl": null,
        })
    );
    // It answered without an id of its own, which it need not have: the message was taken.
    wait_for(&gateway, &otp, "SENT");
    send(&gateway, &json!({"via": "VOICE"}));
    let sent = carrier.wait(|seen| seen.len() == 2)[1].json();
    assert_eq!((&sent["channel"], &sent["spokenCode"]), (&json!("VOICE"), &json!("9, 0, 4, 2, 1, 7")));
    assert!(sent.get("caller").is_none(), "{sent}");
}
