//! The verification page over real sockets: what needs no browser to be seen. tests/clients/page.py looks at the rest.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::support::{Answer, Client, Gateway, Options, Server};

const NUMBER: &str = "+4915112345678";
const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// Header fields, a body, and the status that they are refused with.
type Refused<'a> = (&'a [(&'a str, &'a str)], &'a str, u16);

/// Opens a verification; its id and the path of its page.
fn open(client: &mut Client, body: &Value) -> (String, String) {
    let opened = client.post_json("/v1/verifications", body).expect(201).json();
    let url = opened["pageUrl"].as_str().unwrap();
    let path = format!("/{}", url.splitn(4, '/').nth(3).unwrap());
    (opened["verificationId"].as_str().unwrap().to_owned(), path)
}

fn press(client: &mut Client, page: &str, form: &str) -> Answer {
    client.call("POST", page, &[FORM], form)
}

fn anybody(gateway: &Gateway) -> Client {
    Client::new(gateway.server.public, None)
}

#[test]
fn a_page_verifies_without_a_key_and_leads_back_to_itself() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let (id, page) = open(&mut client, &json!({"number": NUMBER, "language": "de"}));
    let shown = person.get(&page).expect(200);
    assert!(shown.header("content-type").unwrap().starts_with("text/html"));
    assert!(shown.body.contains("lang=\"de\"") && shown.body.contains("••• 78") && !shown.body.contains("5678"));
    for (name, value) in [
        ("referrer-policy", "no-referrer"),
        ("cache-control", "no-store"),
        ("x-frame-options", "DENY"),
        ("permissions-policy", "otp-credentials=(self)"),
        ("x-content-type-options", "nosniff"),
    ] {
        assert_eq!(shown.header(name), Some(value));
    }
    let policy = shown.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'") && policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert!(shown.header("set-cookie").is_none() && shown.header("ratelimit").is_none());

    let code = gateway.server.code(NUMBER);
    let wrong = if code == "000000" { "111111" } else { "000000" };
    let token = page.rsplit('/').next().unwrap();
    let refused = press(&mut person, &page, &format!("action=enter&turn=3.2&code={wrong}")).expect(303);
    assert_eq!(refused.header("location"), Some(format!("{token}?said=wrong").as_str()));
    assert!(person.get(&format!("{page}?said=wrong")).expect(200).body.contains("Verbleibende Versuche: 2"));
    // The same form again, as a second press sends it, is not a second try; another form with the same code is.
    press(&mut person, &page, &format!("action=enter&turn=3.2&code={wrong}")).expect(303);
    let attempts = |client: &mut Client| {
        let path = format!("/v1/verifications/{id}");
        client.get(&path).expect(200).json()["otp"]["attemptCount"].as_u64().unwrap()
    };
    assert_eq!(attempts(&mut client), 1);
    press(&mut person, &page, &format!("action=enter&turn=2.2&code={wrong}")).expect(303);
    assert_eq!(attempts(&mut client), 2);
    for _ in 0..2 {
        let right = press(&mut person, &page, &format!("action=enter&turn=1.2&code={code}")).expect(303);
        assert_eq!(right.header("location"), Some(token));
    }
    let state = client.get(&format!("/v1/verifications/{id}")).expect(200).json();
    assert_eq!((state["state"].as_str(), state["verified"].as_bool()), (Some("VERIFIED"), Some(true)));
    assert!(person.get(&page).expect(200).body.contains("Ihre Nummer ist bestätigt."));
}

#[test]
fn looking_changes_nothing_and_a_form_is_looked_at_first() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let (id, page) = open(&mut client, &json!({"number": NUMBER, "send": "on_open"}));
    let path = format!("/v1/verifications/{id}");
    let before = client.get(&path).expect(200).json();
    for round in 0..50 {
        assert_eq!(person.get(&page).expect(200).status, 200);
        assert!(person.call("HEAD", &page, &[], "").expect(200).body.is_empty());
        person.call("GET", &page, &[("Sec-Purpose", "prefetch")], "").expect(200);
        person.get(&format!("{page}?action=begin&round={round}")).expect(200);
    }
    let forms: [Refused<'_>; 8] = [
        (&[("Content-Type", "text/plain")], "action=not_me", 415),
        (&[("Content-Type", "application/json")], "{\"action\":\"not_me\"}", 415),
        (&[], "action=not_me", 415),
        (&[FORM], "action=everything", 400),
        (&[FORM], "", 400),
        (&[FORM, ("Sec-Fetch-Site", "cross-site")], "action=not_me", 403),
        (&[FORM, ("Sec-Fetch-Site", "same-site")], "action=not_me", 403),
        (&[FORM, ("Origin", "https://evil.example")], "action=not_me", 403),
    ];
    for (headers, body, status) in forms {
        let refused = person.call("POST", &page, headers, body).expect(status);
        assert!(refused.header("content-type").unwrap().starts_with("text/html"), "{refused:?}");
    }
    press(&mut person, &page, &format!("action=not_me&code={}", "1".repeat(2_048))).expect(413);
    person.call("DELETE", &page, &[], "").expect(405);
    assert_eq!(client.get(&path).expect(200).json(), before);
    assert!(gateway.server.admin_client().get("/sandbox/messages").expect(200).json().as_array().unwrap().is_empty());
    for _ in 0..2 {
        press(&mut person, &page, "action=begin").expect(303);
    }
    gateway.server.code(NUMBER);
    assert_eq!(gateway.server.admin_client().get("/sandbox/messages").expect(200).json().as_array().unwrap().len(), 1);
    person
        .call("POST", &page, &[FORM, ("Sec-Fetch-Site", "same-origin"), ("Origin", "null")], "action=not_me")
        .expect(303);
    assert_eq!(client.get(&path).expect(200).json()["state"], "CANCELLED_BY_PERSON");
}

#[test]
fn what_is_no_page_is_answered_alike_and_charged_to_the_guard() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let (_, page) = open(&mut client, &json!({"number": NUMBER}));
    let folder = page.rsplit_once('/').unwrap().0.to_owned();
    let last = if page.ends_with('A') { 'B' } else { 'A' };
    let near = format!("{}{last}", &page[..page.len() - 1]);
    let mut seen = Vec::new();
    for path in [near, format!("{folder}/x"), format!("{folder}/{}", "A".repeat(43)), format!("{folder}/%C3%A4%FF")] {
        for method in ["GET", "POST"] {
            let answer = person.call(method, &path, &[FORM, ("Accept-Language", "fr")], "action=enter&code=123456");
            seen.push(answer.expect(404).body);
        }
    }
    assert!(seen.iter().all(|body| *body == seen[0] && body.contains("lang=\"fr\"")));
    let refused = (0..40).map(|_| person.get(&format!("{folder}/x"))).last().unwrap().expect(429);
    assert!(refused.header("retry-after").unwrap().parse::<u64>().unwrap() >= 1);
    // Whoever has the address is not kept from it by who guesses at the same one.
    person.get(&page).expect(200);
    assert!(!gateway.server.log().contains(&page[page.len() - 20..]), "no address in the log");
}

#[test]
fn the_key_of_results_is_public_and_outlives_a_restart() {
    let gateway = Gateway::start();
    let keys = |server: &Server| Client::new(server.public, None).get("/.well-known/jwks.json").expect(200);
    let first = keys(&gateway.server);
    assert_eq!(first.header("access-control-allow-origin"), Some("*"));
    assert_eq!(first.json()["keys"].as_array().unwrap().len(), 1);
    gateway.stop_then(|data, config| {
        let options = Options { config: config.to_owned(), ..Options::default() };
        // On another port: that is another issuer, and the same key.
        assert_eq!(keys(&Server::start(data, &options)).body, first.body);
    });
}

#[test]
fn a_result_goes_to_the_site_that_was_named() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let site = json!({"verification": {"returnUrls": ["https://www.example.com"], "embedOrigins": ["https://www.example.com"]}});
    client
        .call("PATCH", "/v1/applications/default", &[("Content-Type", "application/json")], &site.to_string())
        .expect(200);
    let body = json!({"number": NUMBER, "returnUrl": "https://www.example.com/done?order=7", "referenceId": "order 7"});
    let (id, page) = open(&mut client, &body);
    let policy = person.get(&page).expect(200).header("content-security-policy").unwrap().to_owned();
    assert!(policy.contains("form-action 'self' https://www.example.com; frame-ancestors https://www.example.com"));
    // Nothing has ended: the way back is not open yet.
    assert!(person.get(&format!("{page}?to=site")).expect(200).header("location").is_none());
    let code = gateway.server.code(NUMBER);
    let framed = [FORM, ("Sec-Fetch-Dest", "iframe"), ("Sec-Fetch-Site", "same-origin")];
    let stays = person.call("POST", &page, &framed, &format!("action=enter&code={code}")).expect(303);
    assert!(page.ends_with(stays.header("location").unwrap()), "a frame tells its parent, and does not lead it away");
    assert!(
        person
            .call("GET", &page, &framed[1..], "")
            .expect(200)
            .body
            .contains("data-origin=\"https://www.example.com\"")
    );
    let alone = person.call("GET", &page, &[("Sec-Fetch-Dest", "document")], "").expect(200);
    assert!(!alone.body.contains("data-result"), "a page on its own holds no result");
    // With script the page goes on by itself, from a page of its own; without it the form leads there.
    let scripted = press(&mut person, &page, &format!("action=enter&by=script&code={code}")).expect(303);
    assert!(scripted.header("location").unwrap().ends_with("?said=done"));
    assert!(person.get(&format!("{page}?said=done")).expect(200).body.contains("data-goes"));
    assert!(!person.get(&page).expect(200).body.contains(" data-goes>"));
    let without = press(&mut person, &page, &format!("action=enter&code={code}")).expect(303);
    assert!(without.header("location").unwrap().starts_with("https://www.example.com/done?order=7&otpgate_result=ey"));
    let left = person.get(&format!("{page}?to=site")).expect(303);
    let address = left.header("location").unwrap();
    let token = address.strip_prefix("https://www.example.com/done?order=7&otpgate_result=").unwrap();
    let part = |index: usize| -> Value {
        let part = token.split('.').nth(index).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    };
    let (head, claims) = (part(0), part(1));
    assert_eq!((head["alg"].as_str(), head["typ"].as_str()), (Some("ES256"), Some("verification-result+jwt")));
    assert_eq!((claims["sub"].as_str(), claims["outcome"].as_str()), (Some(id.as_str()), Some("VERIFIED")));
    assert_eq!(
        (claims["aud"].as_str(), claims["referenceId"].as_str()),
        (Some("https://www.example.com"), Some("order 7"))
    );
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 60);
    assert!(!claims.to_string().contains("5112345"), "no number in an address: {claims}");
}
