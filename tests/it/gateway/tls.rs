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
fn a_certificate_that_cannot_be_used_is_named_and_nothing_serves() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("otpgate.toml");
    std::fs::write(folder.path().join("chain.pem"), "nonsense").unwrap();
    std::fs::write(&config, format!("[tls]\ncertificate = {0:?}\nkey = {0:?}\n", folder.path().join("chain.pem")))
        .unwrap();
    let mut command = Command::new(crate::support::BINARY);
    command.arg("serve").arg("--config").arg(&config).arg("--data-dir").arg(folder.path().join("data"));
    let output = command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("chain.pem"), "{said}");
}
