//! tyntec's dialect, called as the certified connector calls it: its names, its cases, its types.

use serde_json::{Value, json};

use crate::support::{Client, Gateway};

const NUMBER: &str = "+4915112345678";

fn send(client: &mut Client, query: &str) -> Value {
    client.post(&format!("/2fa/v1/otp?{query}")).expect(200).json()
}

fn check(client: &mut Client, otp: &Value, code: &str) -> (u16, Value) {
    let answer = client.post(&format!("/2fa/v1/otp/{}/check?otpCode={code}", otp["otpId"].as_str().unwrap()));
    assert_eq!(answer.header("location"), None, "Logic Apps would poll it");
    assert!(answer.header("content-type").unwrap().starts_with("application/json"));
    (answer.status, answer.json())
}

fn field_types(otp: &Value) {
    let members = otp.as_object().unwrap();
    let expected = [
        "accountId",
        "applicationId",
        "attemptCount",
        "created",
        "expire",
        "number",
        "otpId",
        "otpStatus",
        "referenceId",
        "timestampCreated",
        "timestampExpire",
    ];
    let mut names: Vec<_> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, expected, "exactly the contract's eleven fields");
    for name in ["created", "expire", "attemptCount"] {
        assert!(members[name].is_u64(), "{name}");
    }
    for name in ["otpId", "accountId", "applicationId", "number", "otpStatus", "timestampCreated", "timestampExpire"] {
        assert!(members[name].is_string(), "{name}");
    }
    assert!(members["referenceId"].is_string() || members["referenceId"].is_null());
}

#[test]
fn the_five_certified_operations_with_the_connectors_parameters() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    // The connector's alias for an application is an integer, its sender and caller are capitalised, its + is a space.
    let query = "number=+4915112345678&text=Code%20%7B%7BOTP%7D%7D&pinLength=4&via=SMS&applicationId=1&language=de\
                 &country=DE&otpCode=0123&Sender=Shop&Caller=4930123456&unknown=ignored";
    let otp = send(&mut client, query);
    field_types(&otp);
    assert_eq!((otp["number"].as_str(), otp["otpStatus"].as_str()), (Some(NUMBER), Some("ACTIVE")));
    let message = gateway.server.message(NUMBER, |_| true);
    assert_eq!((message["text"].as_str(), message["sender"].as_str()), (Some("Code 0123"), Some("Shop")));

    let id = otp["otpId"].as_str().unwrap();
    let status = client.get(&format!("/2fa/v1/otp/{id}")).expect(200).json();
    assert_eq!(status, otp);
    let again = client.post(&format!("/2fa/v1/otp/{id}?via=VOICE&Caller=4930123456")).expect(200).json();
    assert_eq!(again["expire"], otp["expire"]);
    let call = gateway.server.message(NUMBER, |message| message["channel"] == "VOICE");
    assert_eq!((call["code"].as_str(), call["caller"].as_str()), (Some("0123"), Some("4930123456")));
    // An integer that lost its leading zero.
    let (status, verified) = check(&mut client, &otp, "123");
    assert_eq!(
        (status, verified["otpStatus"].as_str(), verified["attemptCount"].as_u64()),
        (200, Some("VERIFIED"), Some(1))
    );
    field_types(&verified);
    let deleted = client.delete(&format!("/2fa/v1/otp/{id}")).expect(200).json();
    assert_eq!(deleted["otpStatus"], "VERIFIED");
    let gone = client.get(&format!("/2fa/v1/otp/{id}")).expect(404).json();
    assert!(gone["message"].is_string() && gone["timestamp"].is_u64());
    assert!(gone["code"].as_str().unwrap().bytes().all(|byte| byte.is_ascii_digit()));
    client.delete(&format!("/2fa/v1/otp/{id}")).expect(404);
}

#[test]
fn every_row_of_the_verify_table() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let found = |(status, otp): (u16, Value)| {
        field_types(&otp);
        (status, otp["otpStatus"].as_str().unwrap().to_owned(), otp["attemptCount"].as_u64().unwrap())
    };
    let row = |status, otp_status: &str, attempts| (status, otp_status.to_owned(), attempts);
    // Right, and then final.
    let otp = send(&mut client, "number=4915112345678&otpCode=4711");
    assert_eq!(found(check(&mut client, &otp, "4711")), row(200, "VERIFIED", 1));
    assert_eq!(found(check(&mut client, &otp, "4711")), row(410, "VERIFIED", 1));
    assert_eq!(found(check(&mut client, &otp, "1")), row(410, "VERIFIED", 1));
    client.post(&format!("/2fa/v1/otp/{}", otp["otpId"].as_str().unwrap())).expect(401);
    // Wrong to the end, and then final, even with the right code.
    let otp = send(&mut client, "number=4915112345678&otpCode=4711");
    assert_eq!(found(check(&mut client, &otp, "1")), row(401, "ACTIVE", 1));
    assert_eq!(found(check(&mut client, &otp, "2")), row(401, "ACTIVE", 2));
    assert_eq!(found(check(&mut client, &otp, "3")), row(403, "TOO_MANY_ATTEMPTS", 3));
    assert_eq!(found(check(&mut client, &otp, "4711")), row(410, "TOO_MANY_ATTEMPTS", 3));
    // The last allowed attempt counts.
    let otp = send(&mut client, "number=4915112345678&otpCode=4711");
    check(&mut client, &otp, "1");
    check(&mut client, &otp, "2");
    assert_eq!(found(check(&mut client, &otp, "4711")), row(200, "VERIFIED", 3));
    // A wrong code carries the entity and no challenge; a wrong key carries the error and a challenge.
    let otp = send(&mut client, "number=4915112345678&otpCode=4711");
    let path = format!("/2fa/v1/otp/{}/check?otpCode=1", otp["otpId"].as_str().unwrap());
    assert_eq!(client.post(&path).expect(401).header("www-authenticate"), None);
    let stranger = Client::new(gateway.server.public, Some("wrong")).post(&path).expect(401);
    assert!(stranger.header("www-authenticate").is_some());
    assert!(stranger.json()["code"].is_string() && stranger.json().get("otpId").is_none());
    // Unknown and deleted ids, and no code at all.
    client.post("/2fa/v1/otp/018f2f3e-0000-7000-8000-000000000000/check?otpCode=1").expect(404);
    client.post("/2fa/v1/otp/nonsense/check?otpCode=1").expect(404);
    client.post(&format!("/2fa/v1/otp/{}/check", otp["otpId"].as_str().unwrap())).expect(400);
    assert_eq!(client.get(&format!("/2fa/v1/otp/{}", otp["otpId"].as_str().unwrap())).json()["attemptCount"], 1);
}

#[test]
fn a_check_without_a_code_is_refused_only_while_there_is_one_to_compare() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let path = |otp: &Value| format!("/2fa/v1/otp/{}/check", otp["otpId"].as_str().unwrap());
    let without = |client: &mut Client, otp: &Value, query: &str, status| {
        client.post(&format!("{}{query}", path(otp))).expect(status).json()
    };
    let active = send(&mut client, "number=4915112345678&otpCode=4711");
    let verified = send(&mut client, "number=4915112345679&otpCode=4711");
    assert_eq!(check(&mut client, &verified, "4711").0, 200);
    let exhausted = send(&mut client, "number=4915112345670&otpCode=4711");
    for _ in 0..3 {
        check(&mut client, &exhausted, "1");
    }
    for query in ["", "?otpCode=", "?otpCode=%ff", "?foo=1"] {
        let error = without(&mut client, &active, query, 400);
        assert_eq!(error["code"], "1011", "{query}: {error}");
        assert!(error["message"].as_str().unwrap().starts_with("otpCode "), "{error}");
        assert_eq!(error["message"].as_str().unwrap().matches("otpCode").count(), 1, "{error}");
        let found = without(&mut client, &verified, query, 410);
        assert_eq!((found["otpStatus"].as_str(), found["attemptCount"].as_u64()), (Some("VERIFIED"), Some(1)));
        let found = without(&mut client, &exhausted, query, 410);
        assert_eq!((found["otpStatus"].as_str(), found["attemptCount"].as_u64()), (Some("TOO_MANY_ATTEMPTS"), Some(3)));
        client.post(&format!("/2fa/v1/otp/018f2f3e-0000-7000-8000-000000000000/check{query}")).expect(404);
    }
    // None of it was an attempt.
    let (status, found) = check(&mut client, &active, "4711");
    assert_eq!((status, found["attemptCount"].as_u64()), (200, Some(1)));
    client.delete(&format!("/2fa/v1/otp/{}", active["otpId"].as_str().unwrap())).expect(200);
    without(&mut client, &active, "", 404);
}

#[test]
fn a_code_that_became_a_decimal_is_the_code() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for typed in ["12345.0", "12345.00", "012345.0", "%2012345.0%20"] {
        let otp = send(&mut client, "number=4915112345678&otpCode=012345&pinLength=6.0&applicationId=1.0");
        let (status, found) = check(&mut client, &otp, typed);
        assert_eq!((status, found["attemptCount"].as_u64()), (200, Some(1)), "{typed}");
    }
    let otp = send(&mut client, "number=4915112345678&otpCode=012345");
    for typed in ["12345.5", "12345.", ".0"] {
        assert_eq!(check(&mut client, &otp, typed).0 / 100, 4, "{typed}");
    }
}

#[test]
fn bare_digits_of_another_country_are_refused_and_told_how_to_be_written() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    for (number, country) in [
        ("33612345678", "DE"),
        ("447911123456", "DE"),
        ("12025550123", "DE"),
        ("4915112345678", "AT"),
        ("%2B33612345678", "DE"),
    ] {
        let error = client.post(&format!("/2fa/v1/otp?number={number}&country={country}")).expect(400).json();
        assert_eq!(error["code"], "1002", "{error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("of the country that was given") && message.contains("with +"), "{error}");
    }
    for (number, country, read) in [
        ("033612345678", "DE", "+4933612345678"),
        ("15112345678", "DE", NUMBER),
        ("4915112345678", "DE", NUMBER),
        ("33612345678", "FR", "+33612345678"),
    ] {
        let otp = send(&mut client, &format!("number={number}&country={country}"));
        assert_eq!(otp["number"], read);
    }
    let error = client.post("/2fa/v1/otp?number=%ff").expect(400).json();
    assert_eq!(error["message"], "number must be UTF-8, percent-encoded", "it is told once");
}

#[test]
fn the_document_shows_what_an_application_is_made_of() {
    let gateway = Gateway::start();
    let document = gateway.client().get("/openapi.json").expect(200).json();
    let create = &document["paths"]["/2fa/v1/application"]["post"];
    assert_ne!(create["requestBody"]["required"], true, "{create}");
    assert!(create["requestBody"]["content"]["application/json"]["schema"].is_object(), "{create}");
    let members = document["components"]["schemas"]["TyntecApplicationBody"]["properties"].as_object().unwrap();
    let mut names: Vec<_> = members.keys().map(String::as_str).collect();
    names.sort_unstable();
    let expected = ["alphaNumeric", "attempts", "caller", "expire", "name", "pinLength", "sender", "template"];
    assert_eq!(names, expected);
    let check = &document["paths"]["/2fa/v1/otp/{otpID}/check"]["post"]["parameters"];
    let code = check.as_array().unwrap().iter().find(|parameter| parameter["name"] == "otpCode").unwrap();
    assert_ne!(code["required"], true, "{code}");
}

#[test]
fn the_first_check_after_expiry_is_403_whoever_noticed_it_first() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let (code, _, stderr) = gateway.command(&["application", "edit", "default", "--expire", "30"]);
    assert_eq!(code, 0, "{stderr}");
    let mut otps = Vec::new();
    for _ in 0..100 {
        let otp = send(&mut client, "number=4915112345678&otpCode=4711");
        if otp["expire"].as_u64().unwrap() - otp["created"].as_u64().unwrap() == 30_000 {
            otps.push(otp);
        }
        if otps.len() == 2 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(otps.len(), 2, "the edit by command was seen");
    // 30 s is the shortest life that the contract allows: long enough for the sweep to notice one of them first.
    std::thread::sleep(std::time::Duration::from_secs(31));
    let [swept, asked] = &otps[..] else { unreachable!() };
    std::thread::sleep(std::time::Duration::from_secs(2));
    let status = client.get(&format!("/2fa/v1/otp/{}", asked["otpId"].as_str().unwrap())).expect(200).json();
    assert_eq!(status["otpStatus"], "EXPIRED");
    for (otp, code) in [(swept, "4711"), (asked, "")] {
        // With a code or without one.
        let (status, expired) = check(&mut client, otp, code);
        assert_eq!(
            (status, expired["otpStatus"].as_str(), expired["attemptCount"].as_u64()),
            (403, Some("EXPIRED"), Some(0))
        );
        let (status, expired) = check(&mut client, otp, "4711");
        assert_eq!((status, expired["attemptCount"].as_u64()), (410, Some(0)));
        client.post(&format!("/2fa/v1/otp/{}", otp["otpId"].as_str().unwrap())).expect(401);
    }
}

#[test]
fn lists_events_and_204() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    client.get("/2fa/v1/otp?number=4915112345678").expect(204);
    let first = send(&mut client, "number=4915112345678&otpCode=4711&referenceId=a%2Fb");
    assert_eq!(first["referenceId"], "a/b");
    let second = send(&mut client, "number=4915112345678");
    send(&mut client, "number=4915112345679");
    let list = client.get("/2fa/v1/otp?number=0151%2012345678&country=DE").expect(200).json();
    let ids: Vec<_> = list.as_array().unwrap().iter().map(|otp| otp["otpId"].clone()).collect();
    assert_eq!(ids, [second["otpId"].clone(), first["otpId"].clone()]);
    client.get("/2fa/v1/otp").expect(400);
    gateway.server.code(NUMBER);
    check(&mut client, &first, "1");
    check(&mut client, &first, "4711");
    let path = format!("/2fa/v1/otp/{}/events", first["otpId"].as_str().unwrap());
    let mut kinds = Vec::new();
    for _ in 0..100 {
        let events = client.get(&path).expect(200).json();
        let of =
            |event: &Value| (event["type"].as_str().unwrap().to_owned(), event["status"].as_str().map(str::to_owned));
        kinds = events.as_array().unwrap().iter().map(of).collect();
        if kinds.len() == 4 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    kinds.sort();
    let event = |kind: &str, status: Option<&str>| (kind.to_owned(), status.map(str::to_owned));
    assert_eq!(
        kinds,
        [
            event("CHECK_OTP_FAIL", Some("failed")),
            event("CHECK_OTP_SUCCESS", Some("success")),
            event("DELIVER_OTP_REQ", None),
            event("DELIVER_OTP_RES_SUCCESS", Some("success")),
        ]
    );
    client.get("/2fa/v1/otp/018f2f3e-0000-7000-8000-000000000000/events").expect(404);
}

#[test]
fn applications_and_their_templates() {
    let gateway = Gateway::start();
    let mut client = gateway.client();
    let list = client.get("/2fa/v1/application").expect(200).json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    let all_defaults = client.post("/2fa/v1/application").expect(200).json();
    assert!(all_defaults["name"].as_str().unwrap().starts_with("App-"));
    assert_eq!((all_defaults["pinLength"].as_u64(), all_defaults["sender"].as_str()), (Some(6), Some("VERIFY")));
    let made = client.post_json("/2fa/v1/application", &json!({"name": "Shop", "alphaNumeric": true, "more": 1}));
    let made = made.expect(200).json();
    assert_eq!((made["name"].as_str(), made["alphanumeric"].as_bool()), (Some("Shop"), Some(true)));
    let path = format!("/2fa/v1/application/{}", made["applicationId"].as_str().unwrap());
    assert_eq!(client.get(&path).expect(200).json(), made);
    let edited = client.post(&format!("{path}?pinLength=8&attempts=5&expire=60&caller=4930123&alphaNumeric=false"));
    let edited = edited.expect(200).json();
    assert_eq!((edited["pinLength"].as_u64(), edited["caller"].as_str()), (Some(8), Some("4930123")));
    assert!(client.post(&format!("{path}?deleteCaller=true")).expect(200).json()["caller"].is_null());
    for (query, code, says) in [
        ("pinLength=3", "1006", "pinLength must be 4 to 10"),
        ("pinLength=x", "1006", "pinLength must be a whole number, 4 to 10"),
        ("pinLength=-1", "1006", "pinLength must be a whole number, 4 to 10"),
        ("pinLength=5.5", "1006", "pinLength must be a whole number, 4 to 10"),
        ("expire=29", "1008", "expire must be 30 to 7200 seconds"),
        ("name=default", "1017", "name must be another name than default, which is reserved"),
        ("name=Default", "1017", "name must be another name than default, which is reserved"),
        ("name=%20DEFAULT%20", "1017", "name must be another name than default, which is reserved"),
    ] {
        let error = client.post(&format!("{path}?{query}")).expect(400).json();
        assert_eq!((error["code"].as_str(), error["message"].as_str()), (Some(code), Some(says)), "{query}");
    }
    for name in ["default", "Default", " DEFAULT "] {
        let error = client.post_json("/2fa/v1/application", &json!({"name": name})).expect(400).json();
        assert_eq!(error["code"], "1017", "{name}");
    }
    for known in ["Default", "DEFAULT", "%20default%20"] {
        assert_eq!(client.get(&format!("/2fa/v1/application/{known}")).expect(200).json()["name"], "default");
    }
    // What the contract does not know is ignored, whatever it is.
    for query in ["template=x", "foo=%ff", "%ff=1", "template=%ff&more"] {
        assert_eq!(client.post(&format!("{path}?{query}")).expect(200).json()["template"], json!({}), "{query}");
    }
    let text = "%7B%7BOTP%7D%7D%20ist%20der%20Code";
    client.post(&format!("{path}/language?language=de&text={text}")).expect(200);
    let with_both = client.post(&format!("{path}/language?language=de&text={text}&channel=VOICE")).expect(200).json();
    assert_eq!(with_both["template"], json!({"de": "{{OTP}} ist der Code", "de-voice": "{{OTP}} ist der Code"}));
    client.post(&format!("{path}/language?language=de&text=nothing")).expect(400);
    client.delete(&format!("{path}/language?language=de&channel=VOICE")).expect(200);
    client.delete(&format!("{path}/language?language=de&channel=VOICE")).expect(404);
    client.delete(&path).expect(200);
    client.get(&path).expect(404);
    client.delete("/2fa/v1/application/default").expect(400);
    client.get("/2fa/v1/application/default").expect(200);
    // Writing needs the scope admin in every dialect.
    let key = gateway.create_key(&[]);
    let mut plain = gateway.server.client(key["key"].as_str().unwrap());
    plain.get("/2fa/v1/application").expect(200);
    assert_eq!(plain.post("/2fa/v1/application").expect(403).json()["code"], "1104");
    plain.delete(&path).expect(403);
}
