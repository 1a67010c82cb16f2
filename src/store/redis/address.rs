//! The address of the store: `redis://[user[:password]@]host[:port][,host[:port]…][/database][?master=name]`, or `rediss://` for
//! TLS; behind the `?`, after a `&`, may stand `sentinel_password=password`. What stands there (one server, sentinels, a
//! cluster) the server says itself. Knows no connection.

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo, TlsCertificates};

use crate::secret::Secret;

/// Where Redis listens when the address does not say.
const PORT: u16 = 6_379;
/// Seeds that one address may name.
const SEEDS: usize = 32;

/// One server to begin with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seed {
    pub(super) host: String,
    pub(super) port: u16,
}

/// By what the address says of us one goes to a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum As {
    /// User and password of the data.
    Data,
    /// The password of the sentinels.
    Sentinel,
    /// Without a word of who comes.
    Nobody,
}

/// The parts of an address.
#[derive(Clone, Debug, PartialEq)]
pub struct Address {
    pub(super) seeds: Vec<Seed>,
    tls: bool,
    user: Option<String>,
    password: Option<Secret>,
    pub(super) database: u32,
    /// The password of the sentinels, where they have one of their own.
    sentinel_password: Option<Secret>,
    /// What the sentinels call the primary.
    pub(super) master: String,
    /// Whose certificates are trusted, as PEM; those that the machine trusts where nothing is said.
    authorities: Option<Vec<u8>>,
}

/// The text is no address of a Redis or Valkey.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "redis://user:password@host:port/database (rediss:// for TLS, several hosts with commas, ?master=NAME&sentinel_password=PASSWORD for sentinels)"
)]
pub struct MalformedAddress;

impl Address {
    /// Reads an address. User and passwords may be percent-encoded; that of the sentinels has to be, where it holds `@` or `&`.
    ///
    /// # Errors
    /// [`MalformedAddress`].
    pub fn parse(text: &str) -> Result<Self, MalformedAddress> {
        let (scheme, rest) = text.split_once("://").ok_or(MalformedAddress)?;
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(MalformedAddress),
        };
        let (user, rest) = rest.rsplit_once('@').map_or((None, rest), |(user, rest)| (Some(user), rest));
        // The `@` was one of the sentinels' password: the rest of it would be taken for a host, and shown.
        if user.is_some_and(|user| user.contains("sentinel_password=")) {
            return Err(MalformedAddress);
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (hosts, database) = rest.split_once('/').unwrap_or((rest, ""));
        let seeds: Vec<_> = hosts.split(',').map(seed).collect::<Result<_, _>>()?;
        if seeds.len() > SEEDS {
            return Err(MalformedAddress);
        }
        let database = if database.is_empty() { 0 } else { database.parse().map_err(|_| MalformedAddress)? };
        let decoded = |text: &str| {
            let bytes = percent_encoding::percent_decode_str(text).decode_utf8();
            bytes.map(std::borrow::Cow::into_owned).map_err(|_| MalformedAddress)
        };
        let (mut master, mut sentinel_password) = ("mymaster".to_owned(), None);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("master", name)) if !name.is_empty() => name.clone_into(&mut master),
                Some(("sentinel_password", word)) if !word.is_empty() => {
                    sentinel_password = Some(Secret::new(decoded(word)?));
                }
                _ => return Err(MalformedAddress),
            }
        }
        let (user, password) = match user.map(|user| user.split_once(':').unwrap_or((user, ""))) {
            None => (None, None),
            Some((user, password)) => (Some(decoded(user)?), Some(Secret::new(decoded(password)?))),
        };
        let user = user.filter(|user| !user.is_empty());
        let password = password.filter(|password| !password.expose().is_empty());
        Ok(Self { seeds, tls, user, password, database, sentinel_password, master, authorities: None })
    }

    /// Trusts these authorities alone, which are PEM certificates.
    #[must_use]
    pub fn trusting(self, authorities: Vec<u8>) -> Self {
        Self { authorities: Some(authorities), ..self }
    }

    /// The certificates that an address with TLS trusts, where they are not the machine's.
    pub(super) fn certificates(&self) -> Option<TlsCertificates> {
        let root_cert = self.authorities.clone().filter(|_| self.tls)?;
        Some(TlsCertificates { client_tls: None, root_cert: Some(root_cert) })
    }

    /// Whether it has a password of the data.
    pub(super) const fn has_password(&self) -> bool {
        self.password.is_some()
    }

    /// Whether it has a password of the sentinels.
    pub(super) const fn has_sentinel_password(&self) -> bool {
        self.sentinel_password.is_some()
    }

    /// A client of `seed`.
    pub(super) fn client(&self, seed: &Seed, by: As) -> redis::RedisResult<redis::Client> {
        let server = self.server(seed, by)?;
        match self.certificates() {
            Some(certificates) => redis::Client::build_with_tls(server, certificates),
            None => redis::Client::open(server),
        }
    }

    /// How to connect to `seed`. The database is not named: only who knows that it is one server of data may choose it.
    pub(super) fn server(&self, seed: &Seed, by: As) -> redis::RedisResult<ConnectionInfo> {
        let (user, password) = match by {
            As::Data => (self.user.as_ref(), self.password.as_ref()),
            As::Sentinel => (None, self.sentinel_password.as_ref()),
            As::Nobody => (None, None),
        };
        let mut settings = RedisConnectionInfo::default();
        if let Some(user) = user {
            settings = settings.set_username(user);
        }
        if let Some(password) = password {
            settings = settings.set_password(password.expose());
        }
        Ok(self.reach(seed).into_connection_info()?.set_redis_settings(settings))
    }

    fn reach(&self, seed: &Seed) -> ConnectionAddr {
        let Seed { host, port } = seed.clone();
        if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        }
    }

    /// What tells it from other addresses, without anything that is secret.
    pub(super) fn name(&self) -> String {
        format!("{}/{}", self.hosts(), self.database)
    }

    /// The hosts, without anything that is secret: for a message.
    #[must_use]
    pub fn hosts(&self) -> String {
        self.seeds.iter().map(|seed| format!("{}:{}", seed.host, seed.port)).collect::<Vec<_>>().join(",")
    }
}

fn seed(text: &str) -> Result<Seed, MalformedAddress> {
    let port = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or(MalformedAddress);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or(MalformedAddress)?;
        (host, rest.strip_prefix(':').map_or(Ok(PORT), port)?)
    } else {
        match text.split_once(':') {
            None => (text, PORT),
            Some((host, digits)) => (host, port(digits)?),
        }
    };
    if host.is_empty() { Err(MalformedAddress) } else { Ok(Seed { host: host.to_owned(), port }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_parts() {
        let plain = Address::parse("redis://localhost").unwrap();
        assert_eq!((plain.hosts().as_str(), plain.tls, plain.database), ("localhost:6379", false, 0));
        let full = Address::parse("rediss://us%40er:p%2Fw:d@a:1,[::1]:2,b/7?master=main").unwrap();
        assert_eq!((full.hosts().as_str(), full.tls, full.database), ("a:1,::1:2,b:6379", true, 7));
        assert_eq!((full.user.as_deref(), full.master.as_str()), (Some("us@er"), "main"));
        assert_eq!(full.password.as_ref().map(Secret::expose), Some("p/w:d"));
        assert!(!format!("{full:?}").contains("p/w:d"));
        let sentinels = Address::parse("redis://:pw@a,b?master=main&sentinel_password=s%40e%26c").unwrap();
        assert_eq!(sentinels.sentinel_password.as_ref().map(Secret::expose), Some("s@e&c"));
        assert!(!format!("{sentinels:?}").contains("s@e&c") && !sentinels.name().contains("s@e&c"));
        let seed = &sentinels.seeds[0];
        for (by, password) in [(As::Data, Some("pw")), (As::Sentinel, Some("s@e&c")), (As::Nobody, None)] {
            assert_eq!(sentinels.server(seed, by).unwrap().redis_settings().password(), password, "{by:?}");
        }
        for wrong in [
            "redis://",
            "http://a",
            "redis://a:0",
            "redis://a/x",
            "redis://a/-1",
            "redis://a?x=1",
            "redis://a?sentinel_password=",
            "redis://a?sentinel_password=p@ss",
            "redis://a,,b",
            "redis://[::1",
        ] {
            assert_eq!(Address::parse(wrong), Err(MalformedAddress), "{wrong}");
        }
    }
}
