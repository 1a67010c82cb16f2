//! The verification page over real sockets: what needs no browser to be seen. tests/clients/page.py looks at the rest.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
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
    assert!(policy.ends_with("; connect-src 'self'; form-action 'self'; frame-ancestors https://www.example.com"));
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
    assert!(!alone.header("content-security-policy").unwrap().contains("connect-src"), "there is nothing to ask for");
    // The page goes on by itself from a look of its own, by its script or by a refresh: no form leads to the site.
    let pressed = press(&mut person, &page, &format!("action=enter&code={code}")).expect(303);
    assert!(pressed.header("location").unwrap().ends_with("?said=done"));
    let going = person.get(&format!("{page}?said=done")).expect(200).body;
    let token = page.rsplit('/').next().unwrap();
    let refresh = format!("<noscript><meta http-equiv=\"refresh\" content=\"0;url={token}?to=site\"></noscript>");
    assert!(going.contains(" data-goes>") && going.contains(&refresh), "{going}");
    let still = person.get(&page).expect(200).body;
    assert!(!still.contains(" data-goes>") && !still.contains("http-equiv"));
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

#[test]
fn an_open_page_finds_out_how_it_ended_for_nothing() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let site = json!({"verification": {"embedOrigins": ["https://a.example", "https://b.example"]}});
    client
        .call("PATCH", "/v1/applications/default", &[("Content-Type", "application/json")], &site.to_string())
        .expect(200);
    let (id, page) = open(&mut client, &json!({"number": NUMBER}));
    gateway.server.code(NUMBER);
    let shown = person.get(&page).expect(200);
    assert!(shown.body.contains("<body data-open "), "{}", shown.body);
    let path = format!("/v1/verifications/{id}");
    // What the page's script asks.
    let asks = [("Sec-Fetch-Dest", "empty"), ("Sec-Fetch-Site", "same-origin")];
    // The sandbox shows a message a moment before its OTP says that it arrived.
    let before = loop {
        let before = client.get(&path).expect(200).json();
        if before["otp"]["deliveryStatus"] == "DELIVERED" {
            break before;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    };
    for _ in 0..100 {
        let asked = person.call("HEAD", &page, &asks, "").expect(200);
        assert_eq!((asked.header("verification-state"), asked.body.as_str()), (Some("open"), ""));
    }
    assert_eq!(client.get(&path).expect(200).json(), before);
    // Nothing was charged: an address that opens nothing is still missed, and not yet refused.
    person.get("/verify/x").expect(404);
    client.delete(&path).expect(204);
    let asked = person.call("HEAD", &page, &asks, "").expect(200);
    assert_eq!(asked.header("verification-state"), Some("ended"));
    // The look that follows tells whoever may show it, with one result for all of them.
    let ended = person.call("GET", &page, &[("Sec-Fetch-Dest", "iframe")], "").expect(200);
    assert!(!ended.body.contains("data-open") && ended.body.contains("data-outcome=\"CANCELLED_BY_FLOW\""));
    assert!(ended.body.contains("data-origin=\"https://a.example https://b.example\""), "{}", ended.body);
    let token = ended.body.split("data-result=\"").nth(1).unwrap().split('"').next().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&claims).unwrap();
    assert_eq!(claims["aud"], json!(["https://a.example", "https://b.example"]));
    // What is over says so in the frame as well, in our own words.
    let over = person.get("/verify/x").expect(404);
    assert!(over.header("x-frame-options").is_none());
    assert!(!over.header("content-security-policy").unwrap().contains("frame-ancestors"));
}

#[test]
fn a_page_sends_on_no_other_channel_than_was_asked_for() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let sent = |number: &str| {
        let path = format!("/sandbox/messages?number={}", number.replace('+', "%2B"));
        gateway.server.admin_client().get(&path).expect(200).json().as_array().unwrap().len()
    };
    for (number, via, refused, right, channel) in [
        ("+4915112345601", "SMS", "voice", "again", "SMS"),
        ("+4915112345602", "VOICE", "again", "voice", "VOICE"),
        ("+493012345678", "AUTO", "again", "voice", "VOICE"),
        ("+4915112345603", "AUTO", "", "voice", "VOICE"),
    ] {
        let (id, page) = open(&mut client, &json!({"number": number, "via": via, "send": "on_open"}));
        let shown = person.get(&page).expect(200).body;
        assert!(!shown.contains(&format!("value=\"{refused}\"")), "{via}: {shown}");
        if !refused.is_empty() {
            let answer = press(&mut person, &page, &format!("action={refused}")).expect(303);
            assert!(answer.header("location").unwrap().ends_with("?said=trouble"), "{answer:?}");
            let seen = client.get(&format!("/v1/verifications/{id}")).expect(200).json();
            assert_eq!((&seen["sendsLeft"], sent(number)), (&json!(3), 0), "{via}: {seen}");
        }
        press(&mut person, &page, &format!("action={right}")).expect(303);
        assert_eq!(gateway.server.message(number, |_| true)["channel"], channel, "{via}");
        assert_eq!(sent(number), 1);
    }
}

#[test]
fn a_return_address_cannot_lead_out_of_a_path() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let site = json!({"verification": {"returnUrls": ["https://x.example/app/"]}});
    client
        .call("PATCH", "/v1/applications/default", &[("Content-Type", "application/json")], &site.to_string())
        .expect(200);
    for below in ["..%2fother", "%2e%2e%2Fother", "..%5cother", "..;/other", "x/%2E%2e;y/..;/other", "..%252fother"] {
        let body = json!({"number": NUMBER, "returnUrl": format!("https://x.example/app/{below}")});
        let refused = client.post_json("/v1/verifications", &body).expect(400).json();
        assert_eq!(refused["errors"][0]["pointer"], "/returnUrl", "{below}: {refused}");
    }
    open(&mut client, &json!({"number": NUMBER, "returnUrl": "https://x.example/app/a;b=1/done?from=..%2fother"}));
}

#[test]
fn no_page_weighs_more_than_20_kb() {
    let gateway = Gateway::start();
    let (mut client, mut person) = (gateway.client(), anybody(&gateway));
    let mut logo = Vec::new();
    let mut encoder = png::Encoder::new(&mut logo, 4, 4);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.write_header().unwrap().write_image_data(&[0; 16]).unwrap();
    logo.resize(8 * 1_024, 0);
    let origins = |letters: usize| -> Vec<_> {
        (10..30).map(|index| format!("https://{index}{}.example", "a".repeat(letters))).collect()
    };
    let application = |name: &str, page_name: &str, letters: usize| {
        json!({"name": name, "verification": {
            "name": page_name, "colour": "#ffff00", "logo": STANDARD.encode(&logo), "returnUrls": ["https://www.example.com"],
            "embedOrigins": origins(letters),
        }})
    };
    // 20 origins of 52 bytes are one byte each too long; of 51 they fit, in one call with the largest logo.
    let problem = client.post_json("/v1/applications", &application("long", "Shop", 34)).expect(400).json();
    assert_eq!(problem["errors"][0]["pointer"], "/verification/embedOrigins", "{problem}");
    assert!(problem.to_string().contains("at most 1024 characters together"), "{problem}");
    let words: Vec<_> = origins(34).into_iter().flat_map(|origin| ["--embed-origin".to_owned(), origin]).collect();
    let words: Vec<_> =
        ["application", "edit", "default"].into_iter().chain(words.iter().map(String::as_str)).collect();
    let (code, _, err) = gateway.command(&words);
    assert!(code == 65 && err.contains("--embed-origin") && err.contains("1024"), "{code} {err}");

    let mut opened = 0;
    let mut pages = |application: &Value, language: &str, payee: &str, reference: &str| {
        let id = client.post_json("/v1/applications", application).expect(200).json()["applicationId"].clone();
        opened += 1;
        let (_, page) = open(
            &mut client,
            &json!({
                "number": format!("+49151123457{opened:02}"), "applicationId": id, "language": language,
                "returnUrl": format!("https://www.example.com/{}", "a".repeat(1_900)), "referenceId": reference,
                "context": {"amount": "123456789012.1234", "currency": "EUR", "payee": payee},
            }),
        );
        let framed = [("Sec-Fetch-Dest", "iframe")];
        let looks = ["", "?said=wrong", "?said=trouble"].map(|query| person.get(&format!("{page}{query}")).expect(200));
        press(&mut person, &page, "action=not_me").expect(303);
        let ended = person.call("GET", &page, &framed, "").expect(200);
        assert!(ended.body.contains("data-result=\"ey"), "{}", ended.body);
        for answer in looks.iter().chain([&ended]) {
            let head: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
            let weight = answer.body.len() + head + "HTTP/1.1 200 OK\r\n\r\n".len();
            assert!(weight <= 20_000, "{language}: {weight} bytes");
        }
        looks[0].body.contains("<img src=\"data:image/png;base64,")
    };
    let longest = "\u{10ffff}".repeat(256);
    for language in ["ta", "ml", "my", "km", "en"] {
        pages(&application(language, &"&".repeat(64), 33), language, &"&".repeat(64), &longest);
    }
    // What a shop has: its logo stays.
    assert!(pages(&application("shop", "Example Shop", 14), "en", "Example Shop", "order 7"));
    assert!(pages(&application("laden", "Example Shop", 14), "de", "Example Shop", "order 7"));
}
