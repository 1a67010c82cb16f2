//! A store behind TLS: whose certificate is taken, and what is said where it is not.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;

use super::failover::Sentinel;
use crate::support::fleet::{PATIENT, config};
use crate::support::redis::Redis;
use crate::support::{Client, Options, Server, command, free_port};

/// An authority, and where its certificate lies.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: PathBuf,
}

impl Authority {
    fn new(folder: &Path, name: &str) -> Self {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::new(Vec::new()).unwrap());
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        let file = folder.join(format!("{name}.pem"));
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        Self { issuer: Issuer::new(params, key), file }
    }

    /// The options of a server with a certificate for `host` from here, and its port for TLS.
    fn options(&self, folder: &Path, host: &str, expired: bool) -> (Vec<String>, u16) {
        let (key, port) = (KeyPair::generate().unwrap(), free_port());
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if expired {
            params.not_after = rcgen::date_time_ymd(2001, 1, 1);
        }
        let (file, secret) = (folder.join(format!("{port}.pem")), folder.join(format!("{port}.key")));
        std::fs::write(&file, params.signed_by(&key, &self.issuer).unwrap().pem()).unwrap();
        std::fs::write(&secret, key.serialize_pem()).unwrap();
        let path = |path: &Path| path.to_str().unwrap().to_owned();
        let pairs = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", path(&file)),
            ("--tls-key-file", path(&secret)),
            ("--tls-ca-cert-file", path(&self.file)),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        (pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect(), port)
    }
}

fn start(options: &[String]) -> Redis {
    Redis::with(&options.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A gateway on this store sends a code and takes it.
fn serves(folder: &Path, options: &Options) {
    let name = format!("data{}", free_port());
    let server = Server::start(&folder.join(&name), options);
    Client::new(server.public, None).get("/health/ready").expect(200);
    let file = folder.join(&name).with_extension("toml");
    let words = ["key", "create", "--name", "t", "--json", "--unlimited", "--config", file.to_str().unwrap()];
    // Where the machine's own authorities were chosen for the gateway, a command would not know them.
    if !options.environment.is_empty() {
        return;
    }
    let (code, said, log) = command(&folder.join("desk"), &words);
    assert_eq!(code, 0, "{log}");
    let made: serde_json::Value = serde_json::from_str(&said).unwrap();
    let mut client = server.client(made["key"].as_str().unwrap());
    let body = json!({"number": "+4915112345678", "otpCode": "4711"});
    let sent = client.post_json("/v1/otp", &body).expect(200).json();
    let path = format!("/v1/otp/{}/verify", sent["otpId"].as_str().unwrap());
    assert_eq!(client.post_json(&path, &json!({"otpCode": "4711"})).expect(200).json()["verified"], true);
}

/// Starts a gateway that must not come up: its exit code and its one line; a command says the same.
fn refused(folder: &Path, store: &str, lines: &str) -> (i32, String) {
    let file = folder.join("refused.toml");
    std::fs::write(&file, config(folder, store, lines, "")).unwrap();
    let run = |words: &[&str]| {
        let mut all = words.to_vec();
        all.extend(["--config", file.to_str().unwrap()]);
        let (code, stdout, stderr) = command(&folder.join("refused"), &all);
        assert_eq!((stdout.as_str(), stderr.lines().count()), ("", 1), "{stderr}");
        (code, stderr)
    };
    let (code, line) = run(&["serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
    assert_eq!(run(&["store", "init"]).0, code, "{line}");
    (code, line)
}

#[test]
fn a_store_whose_certificate_is_trusted_is_served_from_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let (ours, strange) = (Authority::new(folder, "ours"), Authority::new(folder, "strange"));
    let (options, port) = ours.options(folder, "localhost", false);
    let redis = start(&options);
    let store = format!("rediss://localhost:{port}");
    let trusting = |authority: &Authority| format!("{PATIENT}\nca_file = {:?}", authority.file);
    let by_file = Options { config: config(folder, &store, &trusting(&ours), ""), ..Options::default() };
    serves(folder, &by_file);
    let roots = vec![("SSL_CERT_FILE".to_owned(), ours.file.to_str().unwrap().to_owned())];
    let by_machine = Options { config: config(folder, &store, PATIENT, ""), environment: roots, ..Options::default() };
    serves(folder, &by_machine);
    for lines in [PATIENT.to_owned(), trusting(&strange)] {
        let (code, line) = refused(folder, &store, &lines);
        assert_eq!((code, line.contains("not trusted") && line.contains("UnknownIssuer")), (80, true), "{line}");
    }
    // By another name than the certificate's, and after its time.
    let (code, line) = refused(folder, &format!("rediss://127.0.0.1:{port}"), &trusting(&ours));
    assert_eq!((code, line.contains("not trusted") && line.contains("127.0.0.1")), (80, true), "{line}");
    let (options, expired) = ours.options(folder, "localhost", true);
    let _old = start(&options);
    let (code, line) = refused(folder, &format!("rediss://localhost:{expired}"), &trusting(&ours));
    assert_eq!((code, line.contains("not trusted") && line.contains("expired")), (80, true), "{line}");
    // The wrong port of the two.
    let (code, line) = refused(folder, &format!("rediss://localhost:{}", redis.port()), &trusting(&ours));
    assert_eq!((code, line.contains("localhost")), (68, true), "{line}");
    let (code, line) = refused(folder, &format!("redis://localhost:{port}"), PATIENT);
    assert_eq!((code, line.contains("localhost")), (68, true), "{line}");
    // A file of authorities that is none.
    std::fs::write(folder.join("none.pem"), "none").unwrap();
    for file in ["none.pem", "missing.pem"] {
        let (code, line) = refused(folder, &store, &format!("ca_file = {:?}", folder.join(file)));
        assert_eq!((code, line.contains("store.ca_file")), (78, true), "{line}");
    }
}

#[test]
fn the_nodes_of_a_cluster_are_reached_over_tls_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ours = Authority::new(folder, "ours");
    let mut ports = Vec::new();
    let redis = Redis::cluster_with(3, 0, || {
        let (mut options, port) = ours.options(folder, "127.0.0.1", false);
        ports.push(port);
        // What they call themselves is then that port.
        options.extend(["--tls-cluster", "yes"].map(str::to_owned));
        options
    });
    let store = format!("rediss://127.0.0.1:{},127.0.0.1:{}", ports[0], ports[1]);
    let lines = format!("{PATIENT}\nca_file = {:?}", ours.file);
    serves(folder, &Options { config: config(folder, &store, &lines, ""), ..Options::default() });
    let (code, line) = refused(folder, &store, PATIENT);
    assert_eq!((code, line.contains("not trusted")), (80, true), "{line}");
    drop(redis);
}

#[test]
fn the_sentinels_and_the_primary_they_name_are_reached_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let ours = Authority::new(folder, "ours");
    let ([options, of_sentinel], [primary, sentinel]) = {
        let [one, two] = [(); 2].map(|()| ours.options(folder, "127.0.0.1", false));
        ([one.0, two.0], [one.1, two.1])
    };
    let redis = start(&options);
    // It looks at its primary over TLS as well.
    let of_sentinel = [of_sentinel, ["--tls-replication", "yes"].map(str::to_owned).into()].concat();
    let asked = Sentinel::with(primary, &of_sentinel);
    while !asked.ask(&["sentinel", "get-master-addr-by-name", "main"]).contains(&primary.to_string()) {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let store = format!("rediss://127.0.0.1:{sentinel}?master=main");
    let lines = format!("{PATIENT}\nca_file = {:?}", ours.file);
    serves(folder, &Options { config: config(folder, &store, &lines, ""), ..Options::default() });
    let (code, line) = refused(folder, &store, PATIENT);
    assert_eq!((code, line.contains("not trusted")), (80, true), "{line}");
    // One that knows no such primary.
    let (code, line) = refused(folder, &format!("rediss://127.0.0.1:{sentinel}?master=other"), &lines);
    assert_eq!((code != 0, line.contains("other")), (true, true), "{code} {line}");
    drop(redis);
}
