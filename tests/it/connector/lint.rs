//! `otpgate connector lint`: what it prints, and how it ends.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::folder;
use crate::support::BINARY;

fn lint(words: &[&str]) -> (i32, String, String) {
    let output = Command::new(BINARY).args(["connector", "lint"]).args(words).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn connector_lint_command_is_silent_on_ours_and_speaks_of_the_certified_one() {
    for name in ["connector", "connector-compatible"] {
        let (definition, properties) =
            (folder(name).join("apiDefinition.swagger.json"), folder(name).join("apiProperties.json"));
        let (code, stdout, stderr) = lint(&[path(&definition), path(&properties)]);
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (0, "0 errors, 0 warnings\n", ""));
    }
    let certified = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/tyntec-2fa.certified.swagger.json");
    let (code, stdout, _) = lint(&[path(&certified)]);
    // Warnings alone are no failure.
    assert_eq!(code, 0);
    let line = stdout.lines().find(|line| line.starts_with("warning SecurityRequirementMissing ")).unwrap();
    assert!(line.contains("tyntec-2fa.certified.swagger.json#/security: "), "{line}");
    let (code, stdout, _) = lint(&[path(&certified), "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, report["errors"].as_u64()), (0, Some(0)));
    let findings = report["findings"].as_array().unwrap();
    assert_eq!(report["warnings"].as_u64(), u64::try_from(findings.len()).ok());
    let first = &findings[0];
    assert!(first["rule"].is_string() && first["pointer"].is_string() && first["message"].is_string(), "{first}");
    assert_eq!((&first["severity"], &first["file"]), (&"warning".into(), &"definition".into()));
}

#[test]
fn connector_lint_command_fails_on_an_error() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("definition.json");
    let text = std::fs::read_to_string(folder("connector").join("apiDefinition.swagger.json")).unwrap();
    std::fs::write(&file, text.replace("\"host\": \"otp.example.com\"", "\"host\": \"https://otp.example.com\""))
        .unwrap();
    let (code, stdout, stderr) = lint(&[path(&file)]);
    assert_eq!(code, 1);
    assert!(stdout.starts_with("error HostNameNotValid ") && stdout.ends_with("1 error, 0 warnings\n"), "{stdout}");
    assert!(stderr.contains("1 error"), "{stderr}");
    let (code, stdout, _) = lint(&[path(&file), "--json"]);
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, &report["findings"][0]["pointer"]), (1, &"/host".into()));
    // The properties are told apart.
    let properties = root.path().join("properties.json");
    std::fs::write(&properties, "{}").unwrap();
    let (code, stdout, _) = lint(&[path(&file), path(&properties)]);
    assert!(
        code == 1 && stdout.contains("error RequiredPropertyMissing ") && stdout.contains("properties.json#: "),
        "{stdout}"
    );
}

#[test]
fn connector_lint_command_says_what_it_cannot_read() {
    let root = tempfile::tempdir().unwrap();
    let written = |name: &str, bytes: &[u8]| {
        let file = root.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        file
    };
    let large = [b"{\"swagger\":\"2.0\",\"x\":\"".to_vec(), vec![b'a'; 1_000_000], b"\"}".to_vec()].concat();
    for (file, says) in [
        (written("a", b"swagger: '2.0'"), "it is not JSON"),
        (written("b", br#"{"openapi":"3.1.0"}"#), "it is not Swagger 2.0: it is OpenAPI \"3.1.0\""),
        (written("c", br#"{"swagger":2.0}"#), "it is not Swagger 2.0"),
        (written("d", &large), "Power Platform takes less than 1 MB"),
        (root.path().join("absent"), "No such file"),
        (root.path().to_owned(), "directory"),
    ] {
        let (code, stdout, stderr) = lint(&[path(&file)]);
        assert_eq!((code, stdout.as_str()), (65, ""), "{stderr}");
        assert!(stderr.contains(says) && stderr.contains(path(&file)), "{stderr}");
    }
}
