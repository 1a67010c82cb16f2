//! How a connection comes about: from the seeds to the server that takes writes, whatever stands there, and whether it is the
//! store that this process opened. One error per cause.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use redis::cluster::ClusterClientBuilder;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue as _, RedisError, Value};

use crate::secret::{Keyring, MasterKey};
use crate::store::redis::address::{Address, Seed};
use crate::store::redis::batch::Batched;
use crate::store::redis::link::{Connection, Live};
use crate::store::redis::place::{Kind, Place};

/// The oldest release with every command that the scripts use (`GETEX`-era options of `SET` and `ZADD`).
pub(super) const OLDEST: (u32, u32) = (6, 2);
/// The layout of what lies in the store.
pub(super) const LAYOUT: u32 = 1;
/// What the description calls how far a copy into this store has come; there is none once it is finished.
pub(super) const UNFINISHED: &str = "copying";

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Nothing answers there.
    #[error("nothing answers: {0}")]
    Unreachable(String),
    /// It has no certificate that this process trusts for the name in the address.
    #[error("its certificate is not trusted: {0}")]
    Untrusted(String),
    /// User or password are wrong, or missing.
    #[error("the store refuses the user or the password: {0}")]
    Refused(String),
    /// It is too old.
    #[error("the store is version {found}; at least {}.{} is needed", OLDEST.0, OLDEST.1)]
    TooOld {
        /// What it says.
        found: String,
    },
    /// It is a cluster, and parts of it are missing.
    #[error("the cluster is down: {0}")]
    ClusterDown(String),
    /// It takes no writes.
    #[error("the server is a replica: give the address of the primary, of the sentinels or of the cluster")]
    Replica,
    /// The sentinels know no such primary.
    #[error("the sentinels know no primary called {name}; name it in the address: ?master=NAME")]
    UnknownMaster {
        /// What was asked for.
        name: String,
    },
    /// There is no marker: nobody initialised it, or it was emptied.
    #[error(
        "the store has no marker: it was emptied, another one took its place, or nobody has made it yet; restore it, or make it anew with: otpgate store init"
    )]
    Uninitialised,
    /// A copy into it was not finished.
    #[error("a copy into this store was not finished: run it again")]
    Unfinished,
    /// The master key does not open its keyring.
    #[error("the master key is not the one that the store was made with")]
    WrongMasterKey,
    /// It was made anew since this process opened it.
    #[error("the store was made anew with another keyring")]
    OtherKeyring,
    /// A newer release has written it.
    #[error("its layout is version {found}, this otpgate knows {LAYOUT}; run a newer otpgate")]
    TooNew {
        /// What it says.
        found: u32,
    },
    /// It answered something else than it should.
    #[error("the store answered something unexpected: {0}")]
    Unexpected(String),
}

impl ConnectError {
    pub(super) fn of(error: &RedisError) -> Self {
        let text = error.to_string();
        if matches!(error.kind(), redis::ErrorKind::AuthenticationFailed)
            || ["WRONGPASS", "NOAUTH", "NOPERM"].iter().any(|word| text.contains(word))
        {
            Self::Refused(error.category().to_owned())
        } else if let Some((_, why)) = text.split_once("invalid peer certificate: ") {
            Self::Untrusted(why.to_owned())
        } else if text.contains("CLUSTERDOWN") {
            Self::ClusterDown(text)
        } else if error.is_io_error()
            || error.is_timeout()
            || error.is_cluster_error()
            || error.kind() == redis::ErrorKind::ClusterConnectionNotFound
        {
            Self::Unreachable(text)
        } else {
            Self::Unexpected(text)
        }
    }
}

/// What the store says of itself, under the settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) layout: u32,
    /// The keyring, wrapped.
    pub(super) keyring: String,
    /// What stands under every marker.
    pub(super) marker: Vec<u8>,
    pub(super) charged_at: u64,
    /// Whether every marker was written.
    pub(super) whole: bool,
    /// How far a copy into it has come.
    pub(super) copying: Option<String>,
}

/// Connects.
pub(super) struct Connector {
    pub(super) address: Address,
    pub(super) timeout: Duration,
    /// The keyring that this process works with, once it has one, and the key that it is wrapped by.
    pub(super) keyring: Option<Arc<Keyring>>,
    pub(super) master: Arc<MasterKey>,
    /// So many replicas of the store have to have what is written, before anybody is told of it.
    pub(super) replicas: u32,
    /// Looks at them so far.
    pub(super) looks: AtomicU8,
}

impl Connector {
    /// For the store at `address`; `timeout` is how long a call to it may take.
    pub(super) const fn new(address: Address, timeout: Duration, master: Arc<MasterKey>) -> Self {
        Self { address, timeout, keyring: None, master, replicas: 0, looks: AtomicU8::new(0) }
    }

    /// A connection to the store that this process opened, within the time that a connection has.
    pub(super) async fn connect(&self) -> Result<Live, ConnectError> {
        let late = |_| ConnectError::Unreachable("it did not answer in time".to_owned());
        tokio::time::timeout(self.patience(), self.connect_in_time()).await.map_err(late)?
    }

    /// To connect takes several turns: it has longer than a call.
    fn patience(&self) -> Duration {
        self.timeout.max(Duration::from_secs(1))
    }

    async fn connect_in_time(&self) -> Result<Live, ConnectError> {
        // Whoever uses it says how long he waits for his own turn; by then a batch of many is given up.
        let mut connection = self.reach_for(self.patience()).await?;
        let meta = meta(&mut connection)
            .await?
            .filter(|meta| meta.whole && meta.copying.is_none())
            .ok_or(ConnectError::Uninitialised)?;
        if let Some(keyring) = &self.keyring {
            let found = Keyring::unwrap(&self.master, &meta.keyring).map_err(|_| ConnectError::OtherKeyring)?;
            if !found.is(keyring) {
                return Err(ConnectError::OtherKeyring);
            }
        }
        let live = Live { connection, marker: Arc::from(meta.marker), charged_at: meta.charged_at };
        self.probe(&live).await?;
        self.replicated(&live, Place::shards()).await?;
        Ok(live)
    }

    /// A connection to a server or a cluster that takes writes and is new enough.
    pub(super) async fn reach(&self) -> Result<Connection, ConnectError> {
        self.reach_for(self.timeout).await
    }

    async fn reach_for(&self, turn: Duration) -> Result<Connection, ConnectError> {
        let mut last = ConnectError::Unreachable("no address".to_owned());
        for seed in &self.address.seeds {
            match self.reach_by(seed, turn).await {
                Ok(connection) => return Ok(connection),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn reach_by(&self, seed: &Seed, turn: Duration) -> Result<Connection, ConnectError> {
        // A sentinel may not know the password of the data.
        let (mut connection, info) = self.server(seed, turn).await?;
        match info.get("redis_mode").map(String::as_str) {
            Some("cluster") => self.cluster().await,
            Some("sentinel") => {
                let seed = self.primary(&mut connection).await?;
                let (connection, _) = self.server(&seed, turn).await?;
                primary_only(connection).await
            }
            _ => primary_only(connection).await,
        }
    }

    /// One server, and what it says of itself; `turn` is how long it may take for an answer.
    async fn server(&self, seed: &Seed, turn: Duration) -> Result<(Connection, HashMap<String, String>), ConnectError> {
        let failed = |error: RedisError| ConnectError::of(&error);
        let client = self.address.client(seed).map_err(failed)?;
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.patience())).set_response_timeout(Some(turn));
        let connection = client.get_multiplexed_async_connection_with_config(&settings).await.map_err(failed)?;
        let mut connection = Connection::One(Batched::new(connection));
        let mut ask = Cmd::new();
        ask.arg("INFO").arg("server");
        let text = connection.send(ask).await.map_err(failed)?;
        let text = String::from_redis_value(text).map_err(|error| ConnectError::Unexpected(error.to_string()))?;
        let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
        let info: HashMap<_, _> = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        new_enough(&info)?;
        Ok((connection, info))
    }

    async fn cluster(&self) -> Result<Connection, ConnectError> {
        let failed = |error: RedisError| ConnectError::of(&error);
        let seeds: Result<Vec<_>, _> = self.address.seeds.iter().map(|seed| self.address.server(seed)).collect();
        // No retries: a script that may have run must not run again. What moved is sent again by the link.
        let mut client = ClusterClientBuilder::new(seeds.map_err(failed)?)
            .connection_timeout(self.patience())
            .response_timeout(self.patience())
            .retries(0);
        if let Some(certificates) = self.address.certificates() {
            client = client.certs(certificates);
        }
        let client = client.build().map_err(failed)?;
        let mut connection = Connection::Cluster(client.get_async_connection().await.map_err(failed)?);
        let mut ask = Cmd::new();
        ask.arg("CLUSTER").arg("INFO");
        let text = connection.send(ask).await.map_err(failed)?;
        let text = all_texts(&text);
        if text.contains("cluster_state:ok") {
            Ok(connection)
        } else {
            Err(ConnectError::ClusterDown("cluster_state is not ok".to_owned()))
        }
    }

    /// Where the sentinels say that the primary is.
    async fn primary(&self, sentinel: &mut Connection) -> Result<Seed, ConnectError> {
        let name = &self.address.master;
        let mut ask = Cmd::new();
        ask.arg("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(name);
        let answer = sentinel.send(ask).await.map_err(|error| ConnectError::of(&error))?;
        let unknown = || ConnectError::UnknownMaster { name: name.clone() };
        let found = Vec::<String>::from_redis_value(answer).map_err(|_| unknown())?;
        match found.as_slice() {
            [host, port] => {
                let port = port.parse().map_err(|_| unknown())?;
                Ok(Seed { host: host.clone(), port })
            }
            _ => Err(unknown()),
        }
    }
}

/// What the store says of itself; none where nobody has initialised it.
pub(super) async fn meta(connection: &mut Connection) -> Result<Option<Meta>, ConnectError> {
    let mut get = Cmd::new();
    get.arg("HGETALL").arg(Place::Settings.key(Kind::Meta, b""));
    let value = connection.send(get).await.map_err(|error| ConnectError::of(&error))?;
    let unexpected = || ConnectError::Unexpected("its description of itself cannot be read".to_owned());
    let mut fields = HashMap::<String, String>::from_redis_value(value).map_err(|_| unexpected())?;
    if fields.is_empty() {
        return Ok(None);
    }
    let layout = fields.get("layout").and_then(|text| text.parse().ok()).ok_or_else(unexpected)?;
    if layout > LAYOUT {
        return Err(ConnectError::TooNew { found: layout });
    }
    Ok(Some(Meta {
        layout,
        keyring: fields.remove("keyring").ok_or_else(unexpected)?,
        marker: fields.remove("marker").ok_or_else(unexpected)?.into_bytes(),
        charged_at: fields.get("charged_at").and_then(|text| text.parse().ok()).ok_or_else(unexpected)?,
        whole: fields.contains_key("whole"),
        copying: fields.remove(UNFINISHED),
    }))
}

pub(super) async fn role(connection: &mut Connection) -> Result<String, ConnectError> {
    let mut ask = Cmd::new();
    ask.arg("ROLE");
    let value = connection.send(ask).await.map_err(|error| ConnectError::of(&error))?;
    match value {
        Value::Array(parts) => match parts.into_iter().next().map(String::from_redis_value) {
            Some(Ok(role)) => Ok(role),
            _ => Err(ConnectError::Unexpected("it does not say its role".to_owned())),
        },
        _ => Err(ConnectError::Unexpected("it does not say its role".to_owned())),
    }
}

async fn primary_only(mut connection: Connection) -> Result<Connection, ConnectError> {
    if role(&mut connection).await? == "master" { Ok(connection) } else { Err(ConnectError::Replica) }
}

fn new_enough(info: &HashMap<String, String>) -> Result<(), ConnectError> {
    let found = info.get("redis_version").ok_or_else(|| ConnectError::Unexpected("it names no version".to_owned()))?;
    let mut parts = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= OLDEST { Ok(()) } else { Err(ConnectError::TooOld { found: found.clone() }) }
}

/// Every text within an answer: a cluster answers for each of its nodes.
fn all_texts(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        Value::Array(values) => values.iter().map(all_texts).collect::<Vec<_>>().join("\n"),
        Value::Map(pairs) => pairs.iter().map(|(_, value)| all_texts(value)).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_server_is_told_from_a_new_one() {
        let info = |version: &str| HashMap::from([("redis_version".to_owned(), version.to_owned())]);
        for (version, fits) in [("6.0.16", false), ("5.0.1", false), ("6.2.0", true), ("7.0.15", true), ("10.1", true)]
        {
            assert_eq!(new_enough(&info(version)).is_ok(), fits, "{version}");
        }
        assert!(new_enough(&HashMap::new()).is_err());
    }
}
