//! A certificate's chain and its private key, read from two PEM files: whether both hold what they should, and are one pair.
//! The configuration asks before anything starts, the listener whenever the files changed: what one takes, the other takes.
//! Must not know settings, sockets, or when a file is looked at.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The chain, first the server's own certificate.
    Certificate,
    /// The certificate's private key.
    Key,
}

impl fmt::Display for Part {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "private key",
        })
    }
}

/// Why a certificate or its key cannot be used. Each names the file.
#[derive(Debug, thiserror::Error)]
pub enum PairError {
    /// The file cannot be read.
    #[error("{}: cannot be read: {source}", path.display())]
    Unreadable {
        /// Which one.
        part: Part,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is not PEM.
    #[error("{}: is not valid PEM: {source}", path.display())]
    Malformed {
        /// Which one.
        part: Part,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: pem::Error,
    },
    /// The file has no section of the kind that it is given for.
    #[error("{}: holds no {part}", path.display())]
    Missing {
        /// Which one.
        part: Part,
        /// The file.
        path: PathBuf,
    },
    /// The first certificate of the chain is PEM, and no certificate.
    #[error("{}: holds a certificate that cannot be read: {source}", path.display())]
    Unparsable {
        /// The file.
        path: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The key is of no kind that is supported, or is not that of the first certificate in its file.
    #[error("{}: does not serve for the certificate in {}: {source}", key.display(), certificate.display())]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

impl PairError {
    /// The file that is at fault.
    #[must_use]
    pub const fn part(&self) -> Part {
        match self {
            Self::Unreadable { part, .. } | Self::Malformed { part, .. } | Self::Missing { part, .. } => *part,
            Self::Unparsable { .. } => Part::Certificate,
            Self::Unusable { .. } => Part::Key,
        }
    }
}

/// Reads the chain (first the server's own certificate) and its key (PKCS#8, PKCS#1 or SEC1), both PEM.
///
/// # Errors
/// [`PairError`], the first that is found.
pub fn load(chain: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, PairError> {
    pair((chain, read_chain(chain)?), (key, read_key(key)?), provider)
}

/// Everything that keeps the two files from being a pair that serves; nothing where they do. Neither is kept.
#[must_use]
pub fn faults(chain: &Path, key: &Path) -> Vec<PairError> {
    match (read_chain(chain), read_key(key)) {
        (Ok(certificates), Ok(private)) => {
            let provider = aws_lc_rs::default_provider();
            pair((chain, certificates), (key, private), &provider).err().into_iter().collect()
        }
        (certificates, private) => certificates.err().into_iter().chain(private.err()).collect(),
    }
}

fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PairError> {
    let pem = read(path, Part::Certificate)?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    let chain = chain.map_err(|source| fault(path, Part::Certificate, source))?;
    if chain.is_empty() {
        return Err(PairError::Missing { part: Part::Certificate, path: path.to_owned() });
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, PairError> {
    let pem = zeroize::Zeroizing::new(read(path, Part::Key)?);
    PrivateKeyDer::from_pem_slice(&pem).map_err(|source| fault(path, Part::Key, source))
}

fn pair(
    (chain, certificates): (&Path, Vec<CertificateDer<'static>>),
    (key, private): (&Path, PrivateKeyDer<'static>),
    provider: &CryptoProvider,
) -> Result<CertifiedKey, PairError> {
    CertifiedKey::from_der(certificates, private, provider).map_err(|source| match source {
        rustls::Error::InvalidCertificate(_) => PairError::Unparsable { path: chain.to_owned(), source },
        source => PairError::Unusable { certificate: chain.to_owned(), key: key.to_owned(), source },
    })
}

fn read(path: &Path, part: Part) -> Result<Vec<u8>, PairError> {
    std::fs::read(path).map_err(|source| PairError::Unreadable { part, path: path.to_owned(), source })
}

fn fault(path: &Path, part: Part, source: pem::Error) -> PairError {
    let path = path.to_owned();
    match source {
        pem::Error::NoItemsFound => PairError::Missing { part, path },
        source => PairError::Malformed { part, path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_lies_in_its_file_and_both_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let (certificate, private) = (made.cert.pem(), made.signing_key.serialize_pem());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        // PEM of three bytes that are no certificate.
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        type Faults<'t> = &'t [(Part, &'t str)];
        let cases: [(&str, &str, Faults<'_>); 7] = [
            (&certificate, &private, &[]),
            (&certificate, "x", &[(Part::Key, "holds no private key")]),
            (&certificate, &certificate, &[(Part::Key, "holds no private key")]),
            (&certificate, &other, &[(Part::Key, "does not serve for the certificate")]),
            ("x", &private, &[(Part::Certificate, "holds no certificate")]),
            (nonsense, &private, &[(Part::Certificate, "holds a certificate that cannot be read")]),
            ("x", "x", &[(Part::Certificate, "holds no certificate"), (Part::Key, "holds no private key")]),
        ];
        for (in_chain, in_key, expected) in cases {
            std::fs::write(&chain, in_chain).unwrap();
            std::fs::write(&key, in_key).unwrap();
            let found = faults(&chain, &key);
            assert_eq!(found.len(), expected.len(), "{found:?}");
            for (error, (part, words)) in found.iter().zip(expected) {
                let file = if *part == Part::Key { &key } else { &chain };
                let said = error.to_string();
                assert!(error.part() == *part && said.contains(*words), "{said}");
                assert!(said.starts_with(file.to_str().unwrap()), "{said}");
            }
            assert_eq!(load(&chain, &key, &aws_lc_rs::default_provider()).is_ok(), expected.is_empty());
        }
        std::fs::remove_file(&chain).unwrap();
        assert!(matches!(faults(&chain, &key).first(), Some(PairError::Unreadable { part: Part::Certificate, .. })));
    }
}
