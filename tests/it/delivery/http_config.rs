//! What an operator may write of a carrier over HTTP, and what is refused, each with its place; a carrier that has no preset;
//! where its console is told to send receipts.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use super::http::{gateway, send};
use crate::support::BINARY;
use crate::support::carrier::Carrier;

const HEAD: &str = "public_url = \"https://otp.example.com\"\n[delivery]\ncountries = \"all\"\n[[delivery.providers]]\nname = \"carrier\"\ntype = \"http\"\n";

/// What `check-config` says of a file: exit code, stdout, stderr.
fn check(folder: &Path, text: &str, environment: &[(&str, &str)]) -> (i32, String, String) {
    let file = folder.join("a.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(BINARY);
    command.args(["check-config", "a.toml"]).env_clear().envs(environment.iter().copied()).current_dir(folder);
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

#[test]
fn every_fault_of_a_carrier_is_named_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let sms = |lines: &str| format!("url = \"https://h\"\n[delivery.providers.http.sms]\n{lines}");
    let credentials = |lines: &str| format!("preset = \"twilio\"\n[delivery.providers.http.credentials]\n{lines}");
    for (lines, place, expected) in [
        ("preset = \"twillio\"\n".to_owned(), ":7:1: delivery.providers[0].preset", "write one of infobip, twilio, tyntec, unimatrix, vonage, webhook"),
        ("preset = \"twilio\"\n".to_owned(), "delivery.providers[0].http.credentials.account", "missing"),
        ("preset = \"twilio\"\n".to_owned(), "delivery.providers[0].http.credentials.token", "${env:CARRIER_SECRET}"),
        (credentials("account = \"a\"\ntoken = \"${env:NOT_THERE}\"\n"), ":10:1: delivery.providers[0].http.credentials.token", "no environment variable NOT_THERE"),
        (credentials("account = \"a\"\ntoken = \"${file:/nowhere/t}\"\n"), ":10:1:", "/nowhere/t cannot be read"),
        (credentials("account = \"a\"\ntoken = \"x${env:A}\"\n"), ":10:1:", "must be one reference"),
        (credentials("account = \"a\"\ntoken = \"${env:EMPTY}\"\n"), ":10:1:", "is empty"),
        (credentials("account = \"a\"\ntoken = \"t\"\ntokne = \"t\"\n"), ":11:1: delivery.providers[0].http.credentials.tokne", "there is no such credential; twilio has account, token, "),
        (credentials("account = 5\ntoken = \"t\"\n"), "delivery.providers[0].http.credentials.account", "write a text"),
        ("preset = \"infobip\"\nhttp = { credentials = { apikey = \"a\" } }\n".to_owned(), "delivery.providers[0].url", "missing; write the carrier's address"),
        ("preset = \"infobip\"\nurl = \"https://h\"\nhttp = { credentials = { apikey = \"a\\nb\" } }\n".to_owned(), "http.credentials.apikey", "must be visible ASCII"),
        ("preset = \"unimatrix\"\nchannels = [\"SMS\", \"VOICE\"]\nhttp = { credentials = { access_key_id = \"a\" } }\n".to_owned(), ":8:1: delivery.providers[0].channels", "the preset unimatrix does not offer VOICE"),
        ("preset = \"vonage\"\nhttp = { credentials = { api_key = \"a\", api_secret = \"b\", application = \"c\", private_key = \"d\" } }\n".to_owned(), "http.credentials.private_key", "no RSA private key"),
        ("preset = \"vonage\"\nhttp = { credentials = { api_key = \"a\" } }\n".to_owned(), "http.credentials.api_secret", "missing"),
        ("preset = \"webhook\"\nurl = \"https://h/x\"\nhttp = { credentials = { secret = \"whsec_short\" } }\n".to_owned(), "http.credentials.secret", "must be whsec_"),
        ("preset = \"twilio\"\nurl = \"https://h/?a=b\"\nhttp = { credentials = { account = \"a\", token = \"t\" } }\n".to_owned(), ":8:1: delivery.providers[0].url", "must be the carrier's host"),
        ("preset = \"twilio\"\nurl = \"http://1.1.1.1\"\nhttp = { credentials = { account = \"a\", token = \"t\" } }\n".to_owned(), ":8:1: delivery.providers[0].url", "plain http would show secrets"),
        ("preset = \"twilio\"\nurl = \"ftp://h\"\nhttp = { credentials = { account = \"a\", token = \"t\" } }\n".to_owned(), ":8:1: delivery.providers[0].url", "must be an address such as"),
        ("preset = \"twilio\"\nurl = \"https://u:hunter2@h\"\nhttp = { credentials = { account = \"a\", token = \"t\" } }\n".to_owned(), "delivery.providers[0].url", "has a user in it"),
        ("preset = \"twilio\"\nhttp = { timeout = \"2m\", credentials = { account = \"a\", token = \"t\" } }\n".to_owned(), "delivery.providers[0].http.timeout", "from 1s to 1m"),
        ("preset = \"twilio\"\nhttp = { tiemout = \"2s\" }\n".to_owned(), "delivery.providers[0].http", "unknown field `tiemout`"),
        ("preset = \"twilio\"\nhttp = { languages = { deu = \"de-DE\" }, credentials = { account = \"a\", token = \"t\" } }\n".to_owned(), "http.languages.deu", "ISO 639-1"),
        ("preset = \"twilio\"\n[delivery.providers.http.sms]\nform = { a = \"b\" }\n".to_owned(), "http.sms", "leave out the preset"),
        ("url = \"https://h\"\n".to_owned(), "http.sms", "name a preset (infobip, twilio, "),
        (sms("json = '{\"to\": {{number}}}'\n"), ":9:1: delivery.providers[0].http.sms.json", "is not JSON at line 1, column 9"),
        (sms("json = '{\"to\": \"{{nubmer}}\"}'\n"), ":9:1: delivery.providers[0].http.sms.json", "{{nubmer}} is no placeholder; write one of number, text, "),
        (sms("form = { to = \"{{number\" }\n"), "http.sms.form.to", "a {{ without }}"),
        (sms("form = { to = \"{{number|shout}}\" }\n"), "http.sms.form.to", "|shout is no filter"),
        (sms("form = { a = \"b\" }\ntext = \"c\"\n"), "http.sms", "one body"),
        (sms("method = \"DELETE\"\n"), "http.sms.method", "POST, GET or PUT"),
        (sms("method = \"GET\"\ntext = \"a\"\n"), "http.sms.method", "a GET has no body"),
        (sms("headers = { Host = \"a\" }\n"), "http.sms.headers.Host", "is written by otpgate"),
        (sms("headers = { \"a b\" = \"c\" }\n"), "http.sms.headers.a b", "no name of a header field"),
        (sms("headers = { a = \"{{text}}\" }\n"), "http.sms.headers.a", "does not fit into a header field"),
        (sms("headers = { a = \"ä\" }\n"), "http.sms.headers.a", "visible ASCII"),
        (sms("id = \"messages.0\"\n"), "http.sms.id", "no JSON pointer"),
        (sms("answers = [{ status = \"2x\", means = \"taken\" }]\n"), "http.sms.answers[0].status", "a class such as \"2xx\""),
        (sms("answers = [{ values = [\"a\"], means = \"taken\" }]\n"), "http.sms.answers[0].values", "name the member"),
        (sms("answers = [{ means = \"fine\" }]\n"), "http.sms.answers", "unknown variant `fine`"),
        (sms("authentication = { scheme = \"basic\", user = \"{{user}}\", password = \"p\" }\n"), "http.sms.authentication.user", "{{user}} is no placeholder"),
        (sms("json = '{\"to\": \"{{number}}\"}'\n"), "delivery.providers[0].http.sms", "not told the code; write {{text}} or {{code}}"),
        (sms("json = '{\"to\": \"{{number}}\", \"say\": \"{{spoken_code}}\"}'\n"), "delivery.providers[0].http.sms", "not told the code"),
        (sms("json = '{\"text\": \"{{text}}\"}'\n"), "delivery.providers[0].http.sms", "not told whom it goes to; write {{number}}"),
        (sms("form = { to = \"{{number}}\", text = \"{{fixed or text}}\" }\n[delivery.providers.http.credentials]\nfixed = \"a\"\n"), "delivery.providers[0].http.sms", "not told the code"),
        ("url = \"https://h\"\n[delivery.providers.http.voice]\nform = { to = \"{{number}}\" }\n".to_owned(), "delivery.providers[0].http.voice", "write {{text}}, {{code}} or {{spoken_code}}"),
        (credentials("account = \"a\"\ntoken = \"t\"\nsms_from = \"This sender is far too long\"\n"), ":11:1: delivery.providers[0].http.credentials.sms_from", "must be 1 to 11 letters"),
        (credentials("account = \"a\"\ntoken = \"t\"\nvoice_from = \"Shop\"\n"), ":11:1: delivery.providers[0].http.credentials.voice_from", "must be a number of 3 to 15 digits"),
        ("preset = \"infobip\"\nurl = \"https://h\"\nhttp = { credentials = { apikey = \"a\", sms_from = \"Müller\" } }\n".to_owned(), "http.credentials.sms_from", "must be 1 to 11 letters"),
        ("preset = \"tyntec\"\nhttp = { credentials = { apikey = \"a\", voice_from = \"Shop\" } }\n".to_owned(), "http.credentials.voice_from", "must be a number"),
        ("preset = \"vonage\"\nchannels = [\"SMS\"]\nhttp = { credentials = { api_key = \"a\", api_secret = \"b\", sms_from = \"Müller\" } }\n".to_owned(), "http.credentials.sms_from", "must be 1 to 11 letters"),
        (sms("[delivery.providers.http.receipts]\nid = \"/id\"\n"), "http.receipts.state", "missing"),
        ("url = \"https://{{text}}.example.com/\"\n[delivery.providers.http.sms]\n".to_owned(), "delivery.providers[0].url", "without a placeholder in its host"),
        ("url = \"https://h/#a\"\n[delivery.providers.http.sms]\n".to_owned(), "delivery.providers[0].url", "character that addresses do not have"),
    ] {
        let (code, stdout, stderr) = check(folder.path(), &format!("{HEAD}{lines}"), &[("EMPTY", " ")]);
        assert_eq!((code, stdout.as_str()), (78, ""), "{lines}");
        let found = stderr.lines().any(|line| line.contains(place) && line.contains(expected));
        assert!(found, "{lines}: {place} and {expected} in {stderr}");
        assert!(!stderr.contains("hunter2"), "{stderr}");
    }
    // What one of two credentials would do for is said of the one that has to be there.
    for (given, missing, silent) in
        [("account = \"a\"\n", "token", "api_secret"), ("token = \"t\"\n", "account", "api_key")]
    {
        let (_, _, stderr) = check(folder.path(), &format!("{HEAD}{}", credentials(given)), &[]);
        assert!(stderr.contains(&format!("http.credentials.{missing}: missing")), "{stderr}");
        assert!(!stderr.contains(silent), "{stderr}");
    }
    // The sandbox has neither preset nor description.
    let sandbox = "[[delivery.providers]]\nname = \"a\"\ntype = \"sandbox\"\nhttp = {}\n";
    assert!(
        check(folder.path(), sandbox, &[])
            .2
            .contains("delivery.providers[0].http: only a provider of type http has one")
    );
}

#[test]
fn what_is_in_effect_shows_references_and_no_secret() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, "hunter3\n").unwrap();
    let lines = format!(
        "preset = \"twilio\"\n[delivery.providers.http.credentials]\naccount = \"hunter1\"\ntoken = \"${{env:T}}\"\n\
         api_key = \"${{file:{}}}\"\n[[delivery.providers]]\nname = \"own\"\ntype = \"http\"\nurl = \"https://h/?key=hunter4\"\n\
         [delivery.providers.http.sms]\nheaders = {{ Authorization = \"Bearer hunter5\" }}\n\
         text = \"{{{{number}}}} {{{{text}}}}\"\n",
        file.display()
    );
    let (code, stdout, stderr) = check(folder.path(), &format!("{HEAD}{lines}"), &[("T", "hunter2")]);
    assert_eq!(code, 0, "{stderr}");
    assert!(!stdout.contains("hunter"), "{stdout}");
    for line in
        ["account = \"***\"", "token = \"${env:T}\"", "timeout = \"10s\"", "sms = \"***\"", "channels = [\"SMS\"]"]
    {
        assert!(stdout.contains(line), "{line} in {stdout}");
    }
}

/// What docs/carriers.md shows is what the gateway takes.
#[test]
fn the_documentation_s_lines_are_right() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/carriers.md")).unwrap();
    let blocks: Vec<_> = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert!(blocks.len() >= 6, "{}", blocks.len());
    let environment = [
        ("TWILIO_TOKEN", "t"),
        ("TYNTEC_KEY", "k"),
        ("INFOBIP_KEY", "k"),
        ("UNIMTX_SECRET", "s"),
        ("HOOK_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ("CARRIER_KEY", "k"),
    ];
    for block in blocks {
        let head = HEAD.replace("[[delivery.providers]]\nname = \"carrier\"\ntype = \"http\"\n", "");
        let whole = if block.contains("public_url") {
            block.to_owned()
        } else if block.contains("[[delivery.providers]]") {
            format!("{head}{block}")
        } else {
            format!("{HEAD}{block}")
        };
        let (code, _, stderr) = check(folder.path(), &whole, &environment);
        assert_eq!(code, 0, "{block}: {stderr}");
    }
    for preset in otpgate::carrier::preset::names() {
        assert!(text.contains(&format!("### {preset}: ")), "{preset} is documented");
    }
}

/// What docs/delivery.md shows is, put together, one configuration.
#[test]
fn the_configuration_of_the_delivery_page_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/delivery.md")).unwrap();
    let blocks: Vec<_> = text.split("```toml\n").skip(1).map(|block| block.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 3);
    let (code, shown, stderr) = check(folder.path(), &blocks.concat(), &[("TWILIO_TOKEN", "t")]);
    assert_eq!(code, 0, "{stderr}");
    for line in ["name = \"smsc\"", "prefixes = [\"+49151\"]", "providers = [\"twilio\", \"smsc\"]"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}

/// A carrier that has no preset, with a body in each form.
#[test]
fn a_carrier_of_one_s_own_is_described() {
    let carrier = Carrier::start(|_, _| (200, json!({"result": {"id": 77}, "state": "queued"}).to_string()));
    // A brand is anything that its owner likes, placeholders and references of ours among it.
    let (text, brand) = ("A&B=\"{{OTP}}\" <é> {{BRAND}}", "{{number}} ${env:HOME}");
    let said = "A&B=\"904217\" <é> {{number}} ${env:HOME}";
    for (lines, line, body) in [
        (
            "form = { to = \"{{number}}\", t = \"{{text}}\", tag = [\"otp\", \"{{language}}\"], none = \"{{caller}}\" }\n",
            "POST /send?to=%2B4915112345678&k=a%26b HTTP/1.1",
            "t=A%26B%3D%22904217%22+%3C%C3%A9%3E+%7B%7Bnumber%7D%7D+%24%7Benv%3AHOME%7D&tag=otp&tag=en&to=%2B4915112345678"
                .to_owned(),
        ),
        (
            "json = '{\"t\": \"{{text}}\", \"n\": \"{{life_minutes|number}}\", \"none\": \"{{caller}}\", \"list\": [\"{{caller}}\", 1, null]}'\n",
            "POST /send?to=%2B4915112345678&k=a%26b HTTP/1.1",
            json!({"t": said, "n": 4, "list": [1, null]}).to_string(),
        ),
        (
            "method = \"PUT\"\nxml = '<sms to=\"{{number|digits}}\">{{text}}</sms>'\n",
            "PUT /send?to=%2B4915112345678&k=a%26b HTTP/1.1",
            "<sms to=\"4915112345678\">A&amp;B=&quot;904217&quot; &lt;é&gt; {{number}} ${env:HOME}</sms>".to_owned(),
        ),
        ("text = \"{{code}}: {{text}}\"\n", "POST /send?to=%2B4915112345678&k=a%26b HTTP/1.1", format!("904217: {said}")),
        (
            "method = \"GET\"\npath = \"&text={{text}}\"\n",
            "GET /send?to=%2B4915112345678&k=a%26b&text=A%26B%3D%22904217%22%20%3C%C3%A9%3E%20%7B%7Bnumber%7D%7D%20%24%7Benv%3AHOME%7D HTTP/1.1",
            String::new(),
        ),
    ] {
        let before = carrier.seen().len();
        let lines = format!(
            "url = \"{}\"\n[delivery.providers.http.credentials]\nk = \"${{env:K}}\"\n[delivery.providers.http.sms]\n{lines}\
             headers = {{ X-Key = \"{{{{k}}}}\", X-Ticket = \"{{{{ticket}}}}\" }}\nid = \"/result/id\"\n\
             answers = [{{ member = \"/state\", values = [\"queued\"], means = \"taken\" }}]\n",
            carrier.url("/send?to={{number}}&k={{k}}")
        );
        let gateway = gateway(&lines, &[("K", "a&b")]);
        let patch = json!({"brand": brand}).to_string();
        gateway.client().call("PATCH", "/v1/applications/default", &[("Content-Type", "application/json")], &patch).expect(200);
        let otp = send(&gateway, &json!({"via": "SMS", "text": text, "language": "en"}));
        let request = carrier.wait(|seen| seen.len() > before)[before].clone();
        assert_eq!((request.line.as_str(), request.body.as_str()), (line, body.as_str()));
        assert_eq!((request.header("x-key"), request.header("x-ticket").len()), ("a&b", 50));
        super::http::wait_for(&gateway, &otp, "SENT");
    }
}

#[test]
fn a_console_is_told_the_provider_s_own_address() {
    let carrier = Carrier::start(|_, _| (200, String::new()));
    let lines = format!(
        "preset = \"unimatrix\"\nurl = \"{}\"\nhttp = {{ credentials = {{ access_key_id = \"a\" }} }}\n",
        carrier.url("")
    );
    let gateway = gateway(&lines, &[]);
    let config = gateway.data().with_extension("toml");
    let words = ["provider", "list", "--config", config.to_str().unwrap()];
    let (code, stdout, stderr) = gateway.command(&words);
    assert_eq!(code, 0, "{stderr}");
    let address = stdout.split_whitespace().last().unwrap();
    let token = address.strip_prefix("https://otp.example.com/v1/receipts/carrier/").unwrap();
    assert_eq!(token.len(), 22, "{stdout}");
    assert!(stdout.contains("http (unimatrix)") && stdout.contains("SMS"), "{stdout}");
    let (_, listed, _) = gateway.command(&[&words[..], &["--json"]].concat());
    let listed: serde_json::Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed[0]["receiptUrl"], address);
    assert_eq!(listed[0]["type"], "http");
}
