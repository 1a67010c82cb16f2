//! The public listener with a certificate, as the configuration names it, called by curl.

use std::process::Command;

use serde_json::json;

use crate::support::Gateway;

fn curl(ca: &std::path::Path, words: &[&str]) -> String {
    let output = Command::new("curl").args(["-sS", "--cacert"]).arg(ca).args(words).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_code_is_sent_and_verified_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let config = format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\n");
    let gateway = Gateway::with(&config);
    assert!(gateway.server.banner.contains("listening on https://"), "{}", gateway.server.banner);
    let base = format!("https://localhost:{}", gateway.server.public.port());
    let apikey = format!("apikey: {}", gateway.key);
    let post = |path: &str, body: serde_json::Value| -> serde_json::Value {
        let (url, body) = (format!("{base}{path}"), body.to_string());
        let words = ["-H", &apikey, "-H", "Content-Type: application/json", "-d", &body, &url];
        serde_json::from_str(&curl(&certificate, &words)).unwrap()
    };
    let otp = post("/v1/otp", json!({"number": "+4915112345678", "otpCode": "0042"}));
    let verdict = post(&format!("/v1/otp/{}/verify", otp["otpId"].as_str().unwrap()), json!({"otpCode": "0042"}));
    assert_eq!(verdict["verified"], true);
    let ready = format!("{base}/health/ready");
    let version = |flag: &str| curl(&certificate, &[flag, "-o", "/dev/null", "-w", "%{http_version}", &ready]);
    assert_eq!((version("--http1.1"), version("--http2")), ("1.1".to_owned(), "2".to_owned()));
    gateway.server.stop();
}

#[test]
fn a_pair_that_cannot_be_used_is_found_before_anything_is_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(path("c.pem"), made.cert.pem()).unwrap();
    std::fs::write(path("t.toml"), "[tls]\ncertificate = \"c.pem\"\nkey = \"c.key\"\n").unwrap();
    // A port that is taken is not what is wrong first.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let listen = taken.local_addr().unwrap().to_string();
    let run = |words: &[&str]| {
        let mut command = Command::new(crate::support::BINARY);
        let output = command.args(words).env_clear().current_dir(folder.path()).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap_or(-1), text(output.stdout), text(output.stderr))
    };
    let serve =
        ["serve", "--config", "t.toml", "--data-dir", "data", "--admin-listen", "127.0.0.1:0", "--listen", &listen];
    for (certificate, key, names) in [
        (made.cert.pem(), "x".to_owned(), "t.toml:3:1: tls.key: c.key: holds no private key; name "),
        (
            made.cert.pem(),
            rcgen::KeyPair::generate().unwrap().serialize_pem(),
            "t.toml:3:1: tls.key: c.key: does not serve for the certificate in c.pem: ",
        ),
        (
            "nonsense".to_owned(),
            made.signing_key.serialize_pem(),
            "t.toml:2:1: tls.certificate: c.pem: holds no certificate; name ",
        ),
    ] {
        std::fs::write(path("c.pem"), certificate).unwrap();
        std::fs::write(path("c.key"), key).unwrap();
        for words in [&serve[..], &["check-config", "t.toml"]] {
            let (code, _, said) = run(words);
            assert!(code == 78 && said.starts_with(&format!("otpgate: {names}")), "{words:?}: {code} {said}");
            assert_eq!(said.lines().count(), 1, "{said}");
        }
        let (code, said, _) = run(&["doctor", "--config", "t.toml", "--data-dir", "data"]);
        let setting = names.split(": ").nth(1).unwrap();
        assert!(code == 1 && said.contains(&format!("WRONG {setting}: ")), "{code} {said}");
        assert!(!folder.path().join("data").exists(), "nothing was made");
    }
    // Beside a server that goes on with the old pair, keys are still made and revoked.
    assert_eq!(run(&["key", "create", "--name", "n", "--config", "t.toml", "--data-dir", "data"]).0, 0);
    std::fs::write(path("c.pem"), made.cert.pem()).unwrap();
    assert_eq!(run(&["check-config", "t.toml"]).0, 0);
    assert_eq!(run(&serve).0, 69, "now it is the port");
}
