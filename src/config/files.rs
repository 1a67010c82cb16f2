//! The files that a configuration names: whether they are there and hold what they should. Knows no other setting's value.

use std::path::Path;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::Config;
use super::fault::Fault;
use super::sections::StoreUrl;
use super::sources::Tree;
use crate::certificate::{self, Part};
use crate::secret::{MasterKey, Secret};

/// Files that every command needs to be there.
pub(super) fn check_files(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    for (key, file, other, other_file) in [
        ("tls.certificate", &config.tls.certificate, "tls.key", &config.tls.key),
        ("tls.key", &config.tls.key, "tls.certificate", &config.tls.certificate),
    ] {
        let Some(file) = file else { continue };
        faults.extend(unreadable(file).map(|problem| tree.fault(key, format!("{problem}; name a PEM file"))));
        if other_file.is_none() {
            faults.push(tree.fault(key, format!("{other} is missing; TLS takes both")));
        }
    }
    match &config.master_key_file {
        Some(file) => match std::fs::read_to_string(file) {
            Ok(text) => {
                if let Err(error) = MasterKey::parse(Secret::new(text).expose()) {
                    faults.push(tree.fault("master_key_file", format!("{}: {error}", file.display())));
                }
            }
            Err(error) => faults.push(tree.fault(
                "master_key_file",
                format!("{} cannot be read: {error}; make it with: openssl rand -hex 32", file.display()),
            )),
        },
        None if config.store.url != StoreUrl::Sqlite => {
            faults.push(tree.fault(
                "master_key_file",
                "missing; a store other than sqlite demands one: a file with 64 hexadecimal digits (openssl rand -hex 32)",
            ));
        }
        None => {}
    }
}

/// Whether certificate and key are a pair that serves, each fault at the setting whose file has it. For who is about to
/// serve: beside a server a pair may be half renewed, which keeps nobody from revoking a key.
pub(super) fn check_certificate(config: &Config, tree: &Tree, faults: &mut Vec<Fault>) {
    let Some((chain, key)) = config.tls.files() else { return };
    if [chain, key].into_iter().any(|file| unreadable(file).is_some()) {
        // Told already, of each that is.
        return;
    }
    for error in certificate::faults(chain, key) {
        let (setting, right) = match error.part() {
            Part::Certificate => {
                ("tls.certificate", "name a PEM file with the chain, the server's own certificate first")
            }
            Part::Key => ("tls.key", "name the PEM file of the certificate's own key"),
        };
        faults.push(tree.fault(setting, format!("{error}; {right}")));
    }
}

/// What is wrong with a file of authorities.
pub(super) fn authority_fault(file: &Path) -> Option<String> {
    let certificates = match CertificateDer::pem_file_iter(file) {
        Ok(certificates) => certificates.collect::<Result<Vec<_>, _>>(),
        Err(error) => Err(error),
    };
    match certificates {
        Ok(found) if !found.is_empty() => None,
        Ok(_) => Some(format!("{} holds no certificate; name a PEM file", file.display())),
        Err(error) => Some(format!("{} cannot be read: {error}; name a PEM file", file.display())),
    }
}

fn unreadable(file: &Path) -> Option<String> {
    std::fs::File::open(file).err().map(|error| format!("{} cannot be read: {error}", file.display()))
}
