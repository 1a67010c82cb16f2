//! How a connection comes about: from the seeds to the server that takes writes, whatever stands there, and whether it is the
//! store that this process opened.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::AtomicU8;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::cluster::ClusterClientBuilder;
use redis::{Cmd, FromRedisValue as _, RedisError, Value};

use crate::secret::{Keyring, MasterKey};
use crate::store::redis::address::{Address, As, Seed};
use crate::store::redis::batch::Batched;
use crate::store::redis::contact::told;
use crate::store::redis::known::Known;
use crate::store::redis::link::{Connection, Live};
use crate::store::redis::past::Past;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::sentinels::Sentinels;
pub(super) use crate::store::redis::trouble::ConnectError;

/// The layout of what lies in the store.
pub(super) const LAYOUT: u32 = 1;
/// What the description calls how far a copy into this store has come; there is none once it is finished.
pub(super) const UNFINISHED: &str = "copying";

/// What stands at a seed.
enum Found {
    /// A server of data, and how one writes to it.
    One(MultiplexedConnection),
    /// A node of a cluster.
    Cluster,
    /// A sentinel.
    Sentinel(MultiplexedConnection),
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
    /// Who says where the primary is, where it is said by sentinels.
    pub(super) sentinels: Sentinels,
    /// What was seen of the store, to know whether it is put back in time.
    pub(super) past: Past,
    /// Where a process that serves notes it, and under which name.
    pub(super) known: Option<(Known, String)>,
}

impl Connector {
    /// For the store at `address`; `timeout` is how long a call to it may take.
    pub(super) const fn new(address: Address, timeout: Duration, master: Arc<MasterKey>) -> Self {
        Self {
            address,
            timeout,
            keyring: None,
            master,
            replicas: 0,
            looks: AtomicU8::new(0),
            sentinels: Sentinels::new(),
            past: Past::new(),
            known: None,
        }
    }

    /// A connection to the store that this process opened, within the time that a connection has.
    pub(super) async fn connect(&self) -> Result<Live, ConnectError> {
        let late = |_| ConnectError::Unreachable("it did not answer in time".to_owned());
        tokio::time::timeout(self.patience(), self.connect_in_time()).await.map_err(late)?
    }

    /// To connect takes several turns: it has longer than a call.
    pub(super) fn patience(&self) -> Duration {
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
        self.trusted(live).await
    }

    /// A connection to a server or a cluster that takes writes and is new enough.
    pub(super) async fn reach(&self) -> Result<Connection, ConnectError> {
        self.reach_for(self.timeout).await
    }

    async fn reach_for(&self, turn: Duration) -> Result<Connection, ConnectError> {
        if self.sentinels.are_known() {
            return self.by_sentinels(turn).await;
        }
        let seeds = self.address.seeds.iter().cloned().enumerate();
        // One that swallows what it is asked must leave time for the next.
        let half = self.patience() / 2;
        let look = |(at, seed): (usize, Seed)| async move {
            let late = |_| ConnectError::Unreachable("it did not answer in time".to_owned());
            let found =
                tokio::time::timeout(half, self.look_at(&seed, turn)).await.map_err(late).and_then(|found| found);
            (at, found, seed)
        };
        let mut looks: FuturesUnordered<_> = seeds.map(look).collect();
        let (mut plain, mut next) = (BTreeMap::new(), 0);
        let mut trouble = ConnectError::Unreachable("no address".to_owned());
        while let Some((at, found, seed)) = looks.next().await {
            match found {
                Ok(Found::Cluster) => return self.cluster().await,
                Ok(Found::Sentinel(line)) => {
                    self.sentinels.begin(&self.address.seeds, seed, line);
                    return self.by_sentinels(turn).await;
                }
                Ok(Found::One(connection)) => plain.insert(at, Ok(connection)),
                Err(error) => plain.insert(at, Err(error)),
            };
            // Of several servers it is always the first that takes writes: every gateway has to choose the same one.
            while let Some(found) = plain.remove(&next) {
                next += 1;
                let error = match found {
                    Ok(connection) => match self.primary_only(connection).await {
                        Ok(connection) => return Ok(connection),
                        Err(error) => error,
                    },
                    Err(error) => error,
                };
                // What one of them says tells more than that another one is silent.
                if matches!(trouble, ConnectError::Unreachable(_)) {
                    trouble = error;
                }
            }
        }
        Err(trouble)
    }

    async fn look_at(&self, seed: &Seed, turn: Duration) -> Result<Found, ConnectError> {
        let (mut connection, info) = self.greet(seed, turn).await?;
        match info.get("redis_mode").map(String::as_str) {
            Some("cluster") if self.address.database == 0 => {
                let info = told(&mut connection, &["CLUSTER", "INFO"]).await?;
                cluster_stands(&all_texts(&info)).map(|()| Found::Cluster)
            }
            Some("cluster") => Err(ConnectError::NoDatabase {
                database: self.address.database,
                said: "a cluster has the database 0 alone".to_owned(),
            }),
            Some("sentinel") => Ok(Found::Sentinel(connection)),
            _ => Ok(Found::One(connection)),
        }
    }

    /// The connection to the database of the address, where the server takes writes.
    pub(super) async fn primary_only(&self, mut connection: MultiplexedConnection) -> Result<Connection, ConnectError> {
        let database = self.address.database;
        if database != 0 {
            told(&mut connection, &["SELECT", &database.to_string()]).await.map_err(|error| match error {
                ConnectError::Unexpected(said) => ConnectError::NoDatabase { database, said },
                error => error,
            })?;
        }
        let mut connection = Connection::One(Batched::new(connection));
        if role(&mut connection).await? == "master" { Ok(connection) } else { Err(ConnectError::Replica) }
    }

    async fn cluster(&self) -> Result<Connection, ConnectError> {
        let failed = |error: RedisError| ConnectError::of(&error);
        let seeds: Result<Vec<_>, _> =
            self.address.seeds.iter().map(|seed| self.address.server(seed, As::Data)).collect();
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
        cluster_stands(&all_texts(&text)).map(|()| connection)
    }
}

/// Whether a cluster that says this of itself serves.
fn cluster_stands(info: &str) -> Result<(), ConnectError> {
    if info.contains("cluster_state:ok") {
        return Ok(());
    }
    let assigned = info.lines().find_map(|line| line.trim().strip_prefix("cluster_slots_assigned:"));
    let assigned = assigned.unwrap_or("some");
    Err(ConnectError::ClusterDown(format!("cluster_state is not ok, {assigned} of its 16384 slots are assigned")))
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
