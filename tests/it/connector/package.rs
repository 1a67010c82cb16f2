//! The files as they are checked in, and as others read them.

use std::collections::BTreeSet;

use otpgate::openapi::connector::{Edition, package};
use otpgate::openapi::lint::{Severity, lint};
use roas::v2::spec::Spec;
use roas::validation::{Options, Validate as _};
use serde_json::{Value, json};

use super::changes::breaking;
use super::{EDITIONS, folder, made, operations, place, publisher};
use crate::support::Gateway;

#[test]
fn connector_files_are_what_the_handlers_and_the_wording_say() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some_and(|set| set == "1");
    for (edition, name) in EDITIONS {
        let folder = folder(name);
        // Before anything is written: whoever updates the files sees what breaks.
        let known = committed(&folder.join("apiDefinition.swagger.json"));
        assert_eq!(breaking(&known, &made(edition)), Vec::<String>::new(), "{name}: declare a revision instead");
        for (file, bytes) in package(edition, &place(), &publisher()).unwrap().files {
            let path = folder.join(file);
            if update {
                std::fs::create_dir_all(&folder).unwrap();
                std::fs::write(&path, &bytes).unwrap();
            }
            let known = std::fs::read(&path).unwrap_or_default();
            assert!(
                known == bytes,
                "openapi/{name}/{file} is not what is made; UPDATE_GOLDEN=1 cargo test --test it connector writes it"
            );
        }
    }
}

/// A definition as makers have it: what is committed; without a repository, what is checked in.
fn committed(file: &std::path::Path) -> Value {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let name = format!("HEAD:{}", file.strip_prefix(root).unwrap().display());
    let git = std::process::Command::new("git").current_dir(root).args(["show", &name]).output();
    let known = match git {
        Ok(shown) if shown.status.success() => shown.stdout,
        _ => std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display())),
    };
    serde_json::from_slice(&known).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
fn connector_lint_finds_nothing_in_ours_and_something_in_the_certified_one() {
    for (edition, _) in EDITIONS {
        let files = package(edition, &place(), &publisher()).unwrap().files;
        let properties: Value = serde_json::from_slice(&files[1].1).unwrap();
        assert_eq!(lint(&made(edition), Some(&properties)), []);
    }
    let certified = include_bytes!("../../data/tyntec-2fa.certified.swagger.json");
    let findings = lint(&serde_json::from_slice(certified).unwrap(), None);
    let kinds: BTreeSet<_> = findings.iter().map(|finding| finding.rule.name()).collect();
    assert!(kinds.len() >= 8 && kinds.contains("SecurityRequirementMissing"), "{kinds:?}");
    assert!(findings.iter().all(|finding| finding.severity == Severity::Warning), "it was certified: {findings:?}");
}

#[test]
fn connector_definitions_come_back_from_roas_as_they_went_in() {
    for (edition, name) in EDITIONS {
        let before = made(edition);
        let model: Spec = serde_json::from_value(before.clone()).unwrap();
        assert_eq!(serde_json::to_value(&model).unwrap(), before, "{name}");
        // A schema that only an extension refers to, as the trigger's content, is unused to it.
        model.validate(Options::IgnoreUnusedSchemas.only(), None).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
    }
}

#[test]
fn connector_definition_is_flat_and_complete() {
    for (edition, name) in EDITIONS {
        let definition = made(edition);
        let text = definition.to_string();
        // The contract answers null, and clients that check answers have to know where.
        let nulls = text.matches("\"x-nullable\":true").count();
        assert_eq!(nulls, usize::from(name == "connector-compatible"), "{name}");
        for word in ["x-example", "allOf", "oneOf", "\"none\"", "#/components/"] {
            assert!(!text.contains(word), "{name} holds {word}");
        }
        assert!(text.len() < 500_000);
        assert_eq!(definition["security"], json!([{"api_key": []}]));
        let test = &definition["x-ms-capabilities"]["testConnection"];
        assert_eq!(test, &json!({"operationId": "GetConnection", "parameters": {}}));
        for (path, method, operation) in operations(&definition) {
            assert!(operation["parameters"].is_array(), "{method} {path}");
            let with_schema =
                operation["responses"].as_object().unwrap().values().filter(|answer| !answer["schema"].is_null());
            assert!(with_schema.count() <= 1, "{method} {path}");
            assert!(
                operation["responses"]["default"].is_object() || operation["security"] == json!([]),
                "{method} {path}"
            );
        }
    }
}

#[test]
fn connector_step_that_waits_is_a_webhook_that_the_platform_can_end() {
    let definition = made(Edition::Native);
    let item = &definition["paths"]["/v1/verifications/wait"];
    assert_eq!(item["post"]["operationId"], "SendOTPAndWait");
    assert!(item["post"]["x-ms-trigger"].is_null(), "a step, not what starts a flow");
    assert_eq!(item["x-ms-notification-content"]["schema"], json!({"$ref": "#/definitions/VerificationOutcome"}));
    assert_eq!(item["post"]["responses"]["201"]["headers"]["Location"]["type"], "string");
    let parameters = item["post"]["parameters"].as_array().unwrap();
    let body = parameters.iter().find(|parameter| parameter["in"] == "body").unwrap();
    let wish = referred(&definition, &body["schema"]);
    let url = &wish["properties"]["callback"];
    assert_eq!((&url["x-ms-notification-url"], &url["x-ms-visibility"]), (&json!(true), &json!("internal")));
    assert_eq!(wish["required"].as_array().unwrap().len(), 2);
    assert_eq!(wish["properties"]["verification"]["required"], json!(["number"]));
    let outcome = &definition["definitions"]["VerificationOutcome"]["properties"];
    assert_eq!(outcome["state"]["x-ms-enum-values"].as_array().unwrap().len(), 7);
    assert_eq!((&outcome["verified"]["type"], &outcome["otp"]["type"]), (&json!("boolean"), &json!("object")));
    let end = &definition["paths"]["/v1/verifications/wait/{token}"]["delete"];
    assert_eq!((&end["x-ms-visibility"], &end["security"]), (&json!("internal"), &json!([])));
    assert!(end["responses"]["204"].is_object());
}

#[test]
fn connector_trigger_is_a_webhook_that_the_platform_can_end() {
    let definition = made(Edition::Native);
    let item = &definition["paths"]["/v1/webhooks"];
    assert_eq!(
        (&item["post"]["operationId"], &item["post"]["x-ms-trigger"]),
        (&json!("WhenOTPChanges"), &json!("single"))
    );
    assert_eq!(item["x-ms-notification-content"]["schema"], json!({"$ref": "#/definitions/OtpChange"}));
    assert_eq!(item["post"]["responses"]["201"]["headers"]["Location"]["type"], "string");
    let wish = referred(&definition, &item["post"]["parameters"][0]["schema"]);
    let url = &wish["properties"]["notificationUrl"];
    assert_eq!((&url["x-ms-notification-url"], &url["x-ms-visibility"]), (&json!(true), &json!("internal")));
    assert_eq!(wish["required"], json!(["notificationUrl"]));
    // Every kind of event may be chosen, and each has its label.
    let kinds = &wish["properties"]["events"]["items"];
    assert_eq!(kinds["enum"].as_array().unwrap().len(), 14);
    assert_eq!(kinds["x-ms-enum-values"].as_array().unwrap().len(), 14);
    // What a designer shows has the fields of both kinds of events, and asks for what both have.
    let change = &definition["definitions"]["OtpChange"];
    for words in ["enum", "x-ms-enum-values"] {
        assert_eq!(change["properties"]["event"][words], kinds[words]);
    }
    assert_eq!(
        change["required"],
        json!(["event", "occurredAt", "timestampCreated", "timestampExpire", "applicationId", "eventId", "accountId"])
    );
    assert!(definition["definitions"].get("VerificationChange").is_none());
    let change = &change["properties"];
    assert_eq!((&change["verified"]["type"], &change["otp"]["type"]), (&json!("boolean"), &json!("object")));
    assert_eq!(change["verificationId"]["x-ms-summary"], "Verification ID");
    for name in ["event", "eventId", "occurredAt", "otpId", "otpStatus", "number", "referenceId"] {
        assert_eq!(change[name]["type"], "string", "{name}");
    }
    let end = &definition["paths"]["/v1/webhooks/{token}"]["delete"];
    assert_eq!((&end["x-ms-visibility"], &end["security"]), (&json!("internal"), &json!([])));
    assert!(end["responses"]["204"].is_object() && end["parameters"][0]["x-ms-url-encoding"] == "single");
    let files = package(Edition::Native, &place(), &publisher()).unwrap().files;
    let properties: Value = serde_json::from_slice(&files[1].1).unwrap();
    assert_eq!(properties["properties"]["capabilities"], json!(["actions", "triggers"]));
}

/// Every parameter and every return value of the certified connector, by the names that flows use.
#[test]
fn connector_has_all_of_the_certified_one() {
    let certified: Value =
        serde_json::from_slice(include_bytes!("../../data/tyntec-2fa.certified.swagger.json")).unwrap();
    let find = |definition: &Value, id: &str| {
        operations(definition)
            .into_iter()
            .find(|(_, _, operation)| operation["operationId"] == id)
            .map(|(_, _, operation)| operation.clone())
    };
    let names = |values: &Value| -> BTreeSet<String> {
        values
            .as_array()
            .into_iter()
            .flatten()
            .map(|parameter| parameter["name"].as_str().unwrap().to_owned())
            .collect()
    };
    for (edition, exact) in [(Edition::Native, false), (Edition::Compatible, true)] {
        let ours = made(edition);
        for (path, method, theirs) in operations(&certified) {
            let id = theirs["operationId"].as_str().unwrap();
            let mine = find(&ours, id).unwrap_or_else(|| panic!("{id}"));
            let mut inputs = names(&mine["parameters"]);
            let body = mine["parameters"].as_array().unwrap().iter().find(|parameter| parameter["in"] == "body");
            if let Some(body) = body {
                inputs.extend(referred(&ours, &body["schema"])["properties"].as_object().unwrap().keys().cloned());
            }
            for name in names(&theirs["parameters"]) {
                let name = if exact { name } else { name.replace("Sender", "sender").replace("Caller", "caller") };
                assert!(inputs.contains(&name), "{id}: {name}");
            }
            if exact {
                assert_eq!(ours["paths"][&path][&method]["operationId"], id, "{method} {path}");
                for parameter in theirs["parameters"].as_array().unwrap() {
                    let known = mine["parameters"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .find(|known| known["name"] == parameter["name"])
                        .unwrap();
                    assert_eq!(known["in"], parameter["in"], "{id}");
                }
            }
            let outputs = referred(&ours, &mine["responses"]["200"]["schema"])["properties"].clone();
            for name in theirs["responses"]["200"]["schema"]["properties"].as_object().unwrap().keys() {
                assert!(outputs[name].is_object(), "{id}: {name}");
            }
            // Its faults, put right: ids and codes are text, times are long enough.
            for name in ["applicationId", "otpCode"] {
                let typed = mine["parameters"].as_array().unwrap().iter().find(|parameter| parameter["name"] == name);
                assert!(typed.is_none_or(|parameter| parameter["type"] == "string"), "{id}: {name}");
            }
            assert_eq!(outputs["created"]["format"], "int64");
            assert_eq!(outputs["timestampExpire"]["type"], "string");
        }
    }
}

fn referred<'v>(definition: &'v Value, schema: &Value) -> &'v Value {
    let target = schema["$ref"].as_str().unwrap_or_else(|| panic!("{schema}"));
    definition.pointer(target.strip_prefix('#').unwrap()).unwrap()
}

#[test]
fn connector_readme_describes_every_operation() {
    for (edition, name) in EDITIONS {
        let files = package(edition, &place(), &publisher()).unwrap().files;
        let readme = String::from_utf8(files[3].1.clone()).unwrap();
        for heading in [
            "# ",
            "## Publisher: ",
            "## Prerequisites",
            "## Supported Operations",
            "## Obtaining Credentials",
            "## Getting Started",
            "## Known Issues and Limitations",
            "## Frequently Asked Questions",
            "## Deployment Instructions",
        ] {
            assert!(readme.lines().any(|line| line.starts_with(heading)), "{name}: {heading}");
        }
        for (_, _, operation) in operations(&made(edition)) {
            let heading = format!("### {}", operation["summary"].as_str().unwrap());
            assert_eq!(readme.lines().filter(|line| **line == heading).count(), 1, "{name}: {heading}");
        }
        assert!(readme.contains("100 calls in any 60 seconds"), "{name}");
    }
}

#[test]
fn connector_definition_is_served_to_any_page() {
    let gateway = Gateway::with("public_url = \"https://otp.example.com:8443/gate\"\n");
    let mut client = crate::support::Client::new(gateway.server.public, None);
    let answer = client.get("/connector/apiDefinition.swagger.json").expect(200);
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let definition = answer.json();
    assert_eq!((&definition["host"], &definition["basePath"]), (&json!("otp.example.com:8443"), &json!("/gate")));
    assert_eq!(definition["schemes"], json!(["https"]));
    assert!(answer.body.starts_with("{\n    \"swagger\": \"2.0\",\n    \"info\""));
    // A client that adds fields of its own has its browser ask first.
    let asked = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "GET")];
    let allowed = client.call("OPTIONS", "/connector/apiDefinition.swagger.json", &asked, "").expect(204);
    assert_eq!(allowed.header("access-control-allow-origin"), Some("*"));
    assert_eq!(allowed.header("access-control-allow-headers"), Some("*, authorization"));
    // Without one the listener's own address is named, never the caller's Host.
    let gateway = Gateway::start();
    let mut client = crate::support::Client::new(gateway.server.public, None);
    let definition = client.get("/connector/apiDefinition.swagger.json").expect(200).json();
    assert_eq!(definition["host"], json!(gateway.server.public.to_string()));
    assert_eq!(definition["schemes"], json!(["http"]));
}
