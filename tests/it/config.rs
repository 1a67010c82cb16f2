//! The configuration as an operator meets it: files on disk, variables, the built binary and its exit codes.

#![allow(clippy::unwrap_used, reason = "a helper of a test fails the test")]

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use otpgate::config::{Config, ConfigError, Flags, Sources};

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self, text: impl AsRef<[u8]>) -> PathBuf {
        let file = self.0.path().join("otpgate.toml");
        std::fs::write(&file, text).unwrap();
        file
    }

    fn load(&self, text: &str, environment: &[(&str, &str)]) -> Result<Config, ConfigError> {
        let environment =
            environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
        Config::load(Sources { file: Some(self.file(text)), environment, flags: Flags::default() })
    }
}

fn otpgate(arguments: &[&str], environment: &[(&str, &str)], directory: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_otpgate"));
    command.args(arguments).env_clear().envs(environment.iter().copied()).current_dir(directory).output().unwrap()
}

#[test]
fn every_fault_names_file_line_and_key_and_what_would_be_right() {
    let directory = Directory::new();
    for (text, place, expected) in [
        ("listen = \n", ":1:", "is not TOML"),
        ("[quota]\ncalls = 100\ncalls = 50\n", ":3:1", "is not TOML: duplicate key"),
        ("[quota]\ncals = 100\n", ":2:1: quota.cals", "did you mean quota.calls?"),
        ("\n\ncalls = 100\n", ":3:1: calls", "did you mean quota.calls?"),
        ("[qouta]\ncalls = 100\n", ":1:2: qouta", "did you mean"),
        ("quota = 5\n", ":1:1: quota", "write [quota]"),
        ("[quota]\ncalls = \"many\"\n", ":2:1: quota.calls", "\"many\" does not do; write an integer from 1 to 10000"),
        ("[quota]\n  calls = 0\n", ":2:3: quota.calls", "an integer from 1 to 10000"),
        ("[quota]\nperiod = \"2h\"\n", ":2:1: quota.period", "a duration from 1s to 1h"),
        ("quota = { calls = 1, period = 0 }\n", ":1:22: quota.period", "0 does not do"),
        ("[server]\nfirst_byte = \"5 s\"\n", ":2:1: server.first_byte", "such as \"5s\""),
        ("public_url = \"otp.example.com\"\n", ":1:1: public_url", "https://otp.example.com"),
        ("listen = \"localhost:8080\"\n", ":1:1: listen", "127.0.0.1:8080"),
        (
            "trusted_proxies = [\n  \"10.0.0.0/8\",\n  \"10.0.0.1/8\",\n]\n",
            ":3:3: trusted_proxies[1]",
            "without bits beyond",
        ),
        ("[limits]\nsends_per_number = [\"5/10\"]\n", ":2:21: limits.sends_per_number[0]", "5/10m"),
        ("[delivery]\ncountries = [\"Germany\"]\n", ":2:14: delivery.countries[0]", "such as DE"),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"fax\"\n",
            ":3:1: delivery.providers[0].type",
            "sandbox, http, smpp",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"sandbox\"\nchanels = []\n",
            ":4:1: delivery.providers[0].chanels",
            "did you mean channels?",
        ),
        ("[[delivery.providers]]\nname = \"a\"\n", ":1:1: delivery.providers[0].type", "missing"),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\n",
            ":1:1: delivery.providers[0].url",
            "smpp://user:password@host:port",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\nurl = \"smpp://u:longer-than-eight@h\"\n",
            ":4:1: delivery.providers[0].url",
            "at most 8",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\nurl = \"smpp://u:p@h\"\nchannels = [\"VOICE\"]\n",
            ":5:1: delivery.providers[0].channels",
            "text messages only",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\nurl = \"smpp://u:p@h\"\n[delivery.providers.smpp]\nwindow = 1001\n",
            ":6:1: delivery.providers[0].smpp.window",
            "an integer from 1 to 1000",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\n[delivery.providers.smpp]\nwindows = 5\n",
            ":5:1: delivery.providers[0].smpp.windows",
            "did you mean window?",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\n[delivery.providers.smpp]\nsystem_type = \"é\"\n",
            ":5:1: delivery.providers[0].smpp.system_type",
            "at most 12 characters of ASCII",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"smpp\"\nurl = \"smpps://u:p@h\"\n[delivery.providers.smpp]\nca_file = \"/nowhere/ca.pem\"\n",
            ":6:1: delivery.providers[0].smpp.ca_file",
            "/nowhere/ca.pem cannot be read",
        ),
        (
            "[[delivery.providers]]\nname = \"a\"\ntype = \"sandbox\"\n[delivery.providers.smpp]\n",
            ":4:21: delivery.providers[0].smpp",
            "only a provider of type smpp",
        ),
        ("[log]\nformat = \"xml\"\n", ":2:1: log.format", "one of fmt, json"),
        ("[log]\nlevel = \"nope\"\n", ":2:1: log.level", "off, error, warn, info, debug, trace"),
        ("[log]\nlevel = \"info,otpgate\"\n", ":2:1: log.level", "info,otpgate=debug"),
        (
            "[server]\ndrain_delay = \"30s\"\n",
            ":2:1: server.drain_delay",
            "leaves nothing of server.drain_timeout (30s) to finish what runs; write a shorter delay, or a longer timeout",
        ),
        ("[store]\nurl = \"postgres://h\"\n", ":2:1: store.url", "sqlite, or redis://host:port"),
        ("master_key_file = \"/nowhere/key\"\n", ":1:1: master_key_file", "openssl rand -hex 32"),
    ] {
        let error = directory.load(text, &[]).unwrap_err().to_string();
        let line = error
            .lines()
            .find(|line| line.contains(&format!("otpgate.toml{place}")))
            .unwrap_or_else(|| panic!("{place} in {error}"));
        assert!(line.contains(expected), "{expected} in {line}");
    }
}

#[test]
fn all_faults_are_told_at_once() {
    let directory = Directory::new();
    let error = directory
        .load(
            "listen = 5\n[quota]\ncalls = 0\ncals = 1\n",
            &[("OTPGATE_LOG_FORMAT", "xml"), ("OTPGATE_QUOTA_CALS", "1")],
        )
        .unwrap_err();
    assert_eq!(error.faults.len(), 5, "{error}");
    assert!(error.to_string().contains("OTPGATE_LOG_FORMAT: log.format: \"xml\" does not do"), "{error}");
    assert!(
        error.to_string().contains("OTPGATE_QUOTA_CALS: there is no such setting; did you mean OTPGATE_QUOTA_CALLS?"),
        "{error}"
    );
}

#[test]
fn a_value_that_does_not_do_is_told_also_where_another_one_wins() {
    let directory = Directory::new();
    let file = directory.file("listen = \"nope\"\n[quota]\ncalls = 0\n[log]\nlevel = \"info\"\n");
    let environment = [
        ("OTPGATE_LISTEN", "neither"),
        ("OTPGATE_QUOTA_CALLS", "7"),
        ("OTPGATE_LOG_LEVEL", "warning"),
        ("OTPGATE_DATA_DIR", "d"),
    ];
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let flags = Flags { listen: Some("127.0.0.1:5".to_owned()), store: Some("tape".to_owned()), ..Flags::default() };
    let error = Config::load(Sources { file: Some(file), environment, flags }).unwrap_err();
    let said = error.to_string();
    let lines: Vec<_> =
        said.lines().map(|line| line.rsplit_once("otpgate.toml").map_or(line, |(_, rest)| rest)).collect();
    let expected = [
        ":1:1: listen: \"nope\" does not do",
        ":3:1: quota.calls: 0 does not do",
        "OTPGATE_LISTEN: listen: \"neither\" does not do",
        "OTPGATE_LOG_LEVEL: log.level: \"warning\" does not do",
        "--store: store.url: \"tape\" does not do",
    ];
    assert_eq!(lines.len(), expected.len(), "{said}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{expected} in {said}");
    }
}

#[test]
fn the_environment_wins_over_the_file_and_flags_over_both() {
    let directory = Directory::new();
    let file = directory.file(
        "listen = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:2\"\n[quota]\ncalls = 7\nperiod = 30\n[delivery]\ncountries = \"all\"\n",
    );
    let environment = [
        ("OTPGATE_QUOTA_CALLS", "9"),
        ("OTPGATE_ADMIN_LISTEN", "127.0.0.1:3"),
        ("OTPGATE_LISTEN", "127.0.0.1:4"),
        ("OTPGATE_EVENTS_ALLOW_PRIVATE_CALLBACKS", "true"),
        ("OTPGATE_DELIVERY_COUNTRIES", "DE, AT"),
        ("OTPGATE_LIMITS_SENDS_PER_NUMBER", "1/30s,5/10m"),
        ("OTPGATE_DELIVERY_PROVIDERS", "[{ name = \"box\", type = \"sandbox\", channels = [\"sms\"] }]"),
        ("OTPGATE_SERVER_DRAIN_DELAY", "5s"),
        ("OTPGATE_PUBLIC_URL", ""),
        ("OTHER", "is not ours"),
    ];
    let environment = environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect();
    let flags = Flags { listen: Some("127.0.0.1:5".to_owned()), data_dir: Some("d".into()), ..Flags::default() };
    let config = Config::load(Sources { file: Some(file.clone()), environment, flags }).unwrap();
    assert_eq!((config.listen.port(), config.admin_listen.port()), (5, 3));
    assert_eq!((config.quota.calls, config.quota.period.as_secs()), (9, 30));
    assert_eq!(config.data_dir, PathBuf::from("d"));
    assert_eq!(config.file, Some(file));
    assert_eq!(config.server.drain_delay.as_secs(), 5);
    assert!(config.events.allow_private_callbacks && config.public_url.is_none());
    assert!(config.delivery.countries.allow("AT".parse().ok()) && !config.delivery.countries.allow("FR".parse().ok()));
    assert_eq!((config.limits.sends_per_number.len(), config.delivery.providers[0].name.as_str()), (2, "box"));
}

#[test]
fn check_config_prints_what_is_in_effect_and_no_secret() {
    let directory = Directory::new();
    directory.file("admin_token = \"0123456789abcdef-hunter2\"\n[quota]\ncalls = 7\n");
    let output = otpgate(&["check-config", "otpgate.toml"], &[("OTPGATE_QUOTA_PERIOD", "30")], directory.0.path());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(
        text.contains("calls = 7") && text.contains("period = \"30s\"") && text.contains("admin_token = \"***\""),
        "{text}"
    );
    assert!(!text.contains("hunter2"), "{text}");
    // What it prints is a configuration, but for the secrets.
    assert!(directory.load(&text.replace("\"***\"", "\"0123456789abcdef\""), &[]).is_ok(), "{text}");
}

#[test]
fn exit_codes_tell_causes_apart() {
    let directory = Directory::new();
    directory.file("[quota]\ncalls = 0\n");
    let code = |arguments: &[&str], environment: &[(&str, &str)]| {
        let output = otpgate(arguments, environment, directory.0.path());
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said) = code(&["check-config", "otpgate.toml"], &[]);
    assert_eq!(status, 78);
    assert_eq!(said, "otpgate: otpgate.toml:2:1: quota.calls: 0 does not do; write an integer from 1 to 10000\n");
    let (status, said) = code(&["serve", "--config", "none.toml"], &[]);
    assert!(status == 78 && said.contains("none.toml: cannot be read"), "{status} {said}");
    let (status, said) = code(&["serve", "--listen", "here"], &[]);
    assert!(status == 78 && said.contains("--listen: listen: \"here\" does not do"), "{status} {said}");
    let (status, said) = code(&["key", "list"], &[("OTPGATE_DATADIR", "x")]);
    assert!(status == 78 && said.contains("did you mean OTPGATE_DATA_DIR?"), "{status} {said}");
    let (status, said) = code(&["key", "list"], &[("OTPGATE_CONFIG", "otpgate.toml")]);
    assert!(status == 78 && said.contains("otpgate.toml:2:1"), "{status} {said}");
    for arguments in
        [&["fly"][..], &["serve", "--fly"], &["key", "create"], &["key", "create", "--name", "n", "--calls", "0"], &[]]
    {
        assert_eq!(code(arguments, &[]).0, 64, "{arguments:?}");
    }
    for arguments in [&["--help"][..], &["--version"], &["key", "create", "--help"]] {
        assert_eq!(code(arguments, &[]).0, 0, "{arguments:?}");
    }
}
