//! What lies on this machine: the data directory, the room on its disk, the certificate.

use std::path::Path;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::certificate::{PairError, Part, faults};
use crate::cli::doctor::Finding;
use crate::cli::store::named;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::store::sqlite::inspect;

/// Less room than this is too little: the log of a busy hour takes as much.
const LEAST_ROOM: u64 = 512 << 20;
/// A certificate that is over so soon should have been renewed.
const SOON: Duration = Duration::from_secs(14 * 86_400);
const DAY: u64 = 86_400;

/// The embedded store.
pub(super) fn store(config: &Config) -> Vec<Finding> {
    let directory = config.data_dir.display();
    let mut findings = Vec::new();
    match inspect(&config.data_dir, config.master_key_file.as_deref()) {
        Ok(None) => {
            findings.push(Finding::wrong(format!(
                "data_dir: {directory} holds no store; name the one of the server with --data-dir, or its configuration with \
                 --config; a new one is made by its first start"
            )));
        }
        Ok(Some(found)) => {
            let served = if found.served { "a server runs on it" } else { "no server runs on it" };
            findings.push(Finding::ok(format!("data_dir: {directory}; {served}; the master key is the data's")));
            if found.schema < found.newest {
                findings.push(Finding::note(format!(
                    "schema: version {}, the next start brings it to {}; back up before it",
                    found.schema, found.newest
                )));
            } else {
                findings.push(Finding::ok(format!("schema: version {}", found.schema)));
            }
        }
        Err(error) => findings.push(Finding::wrong(named(error, config).to_string())),
    }
    findings.extend(room(&config.data_dir));
    findings
}

/// The room on the disk of a directory, or of the first above it that is there.
fn room(directory: &Path) -> Option<Finding> {
    let absolute = std::path::absolute(directory).ok()?;
    let there = absolute.ancestors().find(|path| path.exists())?;
    Some(match rustix::fs::statvfs(there) {
        Err(error) => Finding::wrong(format!("disk: {}: {error}; see whether it is mounted", there.display())),
        Ok(found) => {
            let (free, read_only) = (
                found.f_bavail.saturating_mul(found.f_frsize),
                found.f_flag.contains(rustix::fs::StatVfsMountFlags::RDONLY),
            );
            judged_room(&there.display().to_string(), free, read_only)
        }
    })
}

fn judged_room(place: &str, free: u64, read_only: bool) -> Finding {
    let megabytes = free >> 20;
    if read_only {
        Finding::wrong(format!("disk: {place} is mounted read-only; mount it for writing"))
    } else if free < LEAST_ROOM {
        Finding::wrong(format!("disk: {megabytes} MB are free at {place}; make room, or every write is refused soon"))
    } else {
        Finding::ok(format!("disk: {megabytes} MB are free"))
    }
}

/// The certificate of the public listener, and its key.
pub(super) fn certificate(config: &Config) -> Vec<Finding> {
    let Some((chain, key)) = config.tls.files() else { return Vec::new() };
    let wrong = |error: &PairError| {
        let (setting, right) = match error.part() {
            Part::Certificate => ("tls.certificate", "give a chain in PEM"),
            Part::Key => ("tls.key", "give the certificate's own key in PEM"),
        };
        Finding::wrong(format!("{setting}: {error}; {right}; no server starts with it"))
    };
    let mut findings: Vec<_> = faults(chain, key).iter().map(wrong).collect();
    match validity(chain) {
        Some(finding) => findings.push(finding),
        None if findings.is_empty() => findings.push(Finding::wrong(format!(
            "tls.certificate: {}: until when it is valid cannot be read; give a chain in PEM",
            chain.display()
        ))),
        None => {}
    }
    findings
}

/// Until when a chain's first certificate is valid. None where it cannot be read.
fn validity(chain: &Path) -> Option<Finding> {
    let shown = chain.display();
    let first = CertificateDer::from_pem_file(chain).ok()?;
    let (_, parsed) = X509Certificate::from_der(&first).ok()?;
    let ends = parsed.validity().not_after.timestamp();
    let begins = parsed.validity().not_before.timestamp();
    let now = i64::try_from(SystemClock::new().now().0 / 1_000).unwrap_or(i64::MAX);
    Some(judged_certificate(&shown.to_string(), begins, ends, now))
}

/// All in seconds since 1970.
fn judged_certificate(shown: &str, begins: i64, ends: i64, now: i64) -> Finding {
    let left = u64::try_from(ends.saturating_sub(now)).unwrap_or(0);
    if now < begins {
        Finding::wrong(format!("tls.certificate: {shown} is not valid yet; see whether this machine's clock is right"))
    } else if left == 0 {
        Finding::wrong(format!("tls.certificate: {shown} is over; renew it: a new file is taken without a restart"))
    } else if left < SOON.as_secs() {
        Finding::wrong(format!("tls.certificate: {shown} is over in {} d; renew it", left / DAY))
    } else {
        Finding::ok(format!("tls.certificate: {shown} is valid for {} d", left / DAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::Weight;

    #[test]
    fn a_certificate_is_judged_by_what_is_left_of_it() {
        let day = 86_400;
        for (begins, ends, weight) in [
            (0, 100 * day, Weight::Ok),
            (0, 13 * day, Weight::Wrong),
            (0, 5, Weight::Wrong),
            (day * 20, 100 * day, Weight::Wrong),
        ] {
            assert_eq!(judged_certificate("f", begins, ends + 10, 10).weight, weight, "{begins} {ends}");
        }
        assert!(judged_certificate("f", 0, 9, 10).text.contains("is over; renew"));
    }

    #[test]
    fn a_full_disk_is_wrong() {
        assert_eq!(judged_room("/", LEAST_ROOM, false).weight, Weight::Ok);
        assert_eq!(judged_room("/", LEAST_ROOM - 1, false).weight, Weight::Wrong);
        assert_eq!(judged_room("/", u64::MAX, true).weight, Weight::Wrong);
    }
}
