//! Opening the store: what the first start makes, and what makes a store that was emptied ours again.
//!
//! Who makes it: the first start, unless the operator wants to say so himself, or unless this machine has known a store there,
//! which then was lost. Two processes may begin at once: the description of the store is written by one of them, and each completes the markers
//! after it. A marker that is missing later says that the place was emptied.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::{Cmd, FromRedisValue as _, Value};

use crate::clock::{Clock, SystemClock};
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId};
use crate::secret::{Entropy, Keyring, MasterKey, SystemEntropy, to_hex};
use crate::store::redis::address::Address;
use crate::store::redis::connect::{ConnectError, Connector, LAYOUT, meta};
use crate::store::redis::known::{Known, Remembered};
use crate::store::redis::link::{Connection, Live};
use crate::store::redis::past::Past;
use crate::store::redis::place::{Kind, Place};

/// How long a step of opening may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(3);
/// Markers that are read or written at the same time.
const AT_ONCE: usize = 64;
/// Tries of the connection that calls will go by, and the pause between two.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// How to open the store.
pub struct Options {
    /// Where it is.
    pub address: Address,
    /// The operator's master key.
    pub master: Arc<MasterKey>,
    /// How long a call may wait for it, all its turns together: what is not answered by then is refused. 10 ms to 10 s.
    pub timeout: Duration,
    /// On how many of the store's replicas a verdict has to be before anybody is told of it; 0 to 16.
    pub wait_replicas: u32,
    /// How long after its final state an OTP keeps its number.
    pub retention: Duration,
    /// OTPs remembered, to be checked against the store when they are changed.
    pub cached_otps: u64,
    /// Whether an empty store is made; else that takes [`initialise`].
    pub create: bool,
    /// The stores that were known here: one of them that is empty now is not made anew, and one that another took the place of,
    /// or that was put back in time, is told from it.
    pub known: Option<Known>,
    /// Whether this process hands out messages and events: a gateway does, a command does not.
    pub server: bool,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Random bytes.
    pub entropy: Arc<dyn Entropy>,
}

impl Options {
    /// The defaults: 75 ms a call, no waiting for replicas, 30 days of retention.
    #[must_use]
    pub fn new(address: Address, master: MasterKey) -> Self {
        Self {
            address,
            master: Arc::new(master),
            timeout: Duration::from_millis(75),
            wait_replicas: 0,
            retention: Duration::from_secs(30 * 24 * 60 * 60),
            cached_otps: 50_000,
            create: true,
            known: None,
            server: true,
            clock: Arc::new(SystemClock::new()),
            entropy: Arc::new(SystemEntropy),
        }
    }
}

impl Options {
    /// What this machine remembers of it, if it has served from it.
    fn remembered(&self) -> Option<Remembered> {
        self.known.as_ref()?.of(&self.address.name())
    }
}

/// What was opened.
pub(super) struct Opened {
    pub(super) live: Live,
    pub(super) keyring: Arc<Keyring>,
    pub(super) connector: Connector,
    pub(super) first_start: bool,
}

/// What `otpgate store init` found and did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Initialised {
    /// There was nothing: the store was made.
    Made,
    /// It had lost markers: they were written anew, and every quota begins fully charged.
    Again,
    /// It was whole, as a first start had made it, perhaps in the place of one that was emptied: every quota begins fully charged,
    /// and whoever waits because he knew another one serves from it.
    Charged,
    /// It was whole: nothing was done.
    Already,
}

/// Writes the description of the store and its first application, unless there is one.
const BEGIN: &str = "if redis.call('EXISTS',KEYS[1])==1 then return 0 end \
    redis.call('HSET',KEYS[1],'layout',ARGV[1],'keyring',ARGV[2],'marker',ARGV[3],'charged_at',ARGV[4]) \
    redis.call('HSETNX',KEYS[2],ARGV[5],ARGV[6]) return 1";

/// Opens the store; makes it where there is nothing.
pub(super) async fn open(options: &Options) -> Result<Opened, ConnectError> {
    let master = Arc::clone(&options.master);
    // Nobody waits for an answer yet: what is made takes longer than a call may.
    let timeout = options.timeout.max(PATIENCE);
    let mut connector = Connector::new(options.address.clone(), timeout, master);
    let mut connection = connector.reach().await?;
    let remembered = options.remembered();
    let (found, first_start) = match meta(&mut connection).await? {
        Some(found) => (found, false),
        // It was here and is gone: what it held, and what its quotas had admitted, would be forgotten silently.
        None if !options.create || remembered.is_some() => return Err(ConnectError::Uninitialised),
        None => {
            let made = begin(&mut connection, options, &connector.master, 0).await?;
            (meta(&mut connection).await?.ok_or(ConnectError::Uninitialised)?, made)
        }
    };
    if found.copying.is_some() {
        return Err(ConnectError::Unfinished);
    }
    let keyring = Keyring::unwrap(&connector.master, &found.keyring).map_err(|_| ConnectError::WrongMasterKey)?;
    let keyring = Arc::new(keyring);
    if let Some(Remembered { marker, beat }) = remembered {
        connector.past = Past::remembered(marker, beat);
    }
    if connector.past.is_strange(&found.marker, found.charged_at) {
        return Err(ConnectError::Uninitialised);
    }
    if !found.whole {
        mark(&mut connection, &found.marker).await?;
    }
    connector.keyring = Some(Arc::clone(&keyring));
    // From here on a call is late when the operator says so.
    connector.timeout = options.timeout;
    let mut live = connector.connect().await;
    for _ in 0..TRIES {
        match &live {
            Err(ConnectError::Unreachable(_) | ConnectError::ClusterDown(_)) => {
                tokio::time::sleep(PAUSE).await;
                live = connector.connect().await;
            }
            _ => break,
        }
    }
    let live = live?;
    // A gateway that starts without them is not ready until they are there.
    connector.replicas = options.wait_replicas;
    if let Some(known) = options.known.as_ref().filter(|_| options.server) {
        let name = options.address.name();
        if known.remember(&name, &live.marker, connector.past.settled()) {
            connector.known = Some((known.clone(), name));
        }
    }
    Ok(Opened { live, keyring, connector, first_start })
}

/// Makes the store ours again after it was emptied, wholly or in part.
///
/// # Errors
/// [`ConnectError`].
pub async fn initialise(options: &Options) -> Result<Initialised, ConnectError> {
    let master = Arc::clone(&options.master);
    let connector = Connector::new(options.address.clone(), options.timeout, Arc::clone(&master));
    let mut connection = connector.reach().await?;
    let now = server_time(&mut connection).await?;
    let Some(found) = meta(&mut connection).await? else {
        begin(&mut connection, options, &master, now).await?;
        let found = meta(&mut connection).await?.ok_or(ConnectError::Uninitialised)?;
        mark(&mut connection, &found.marker).await?;
        return Ok(Initialised::Made);
    };
    if found.copying.is_some() {
        return Err(ConnectError::Unfinished);
    }
    Keyring::unwrap(&master, &found.keyring).map_err(|_| ConnectError::WrongMasterKey)?;
    let live = Live { connection: connection.clone(), marker: Arc::from(found.marker.clone()), charged_at: 0 };
    let (charged, meta_key) = (now.to_string(), Place::Settings.key(Kind::Meta, b""));
    if found.whole && all_marked(&connector, &live).await? {
        // Where quotas were charged once, everybody who knew another store knows this one.
        if found.charged_at > 0 {
            return Ok(Initialised::Already);
        }
        send(&mut connection, "HSET", &[&meta_key, b"charged_at", charged.as_bytes()]).await?;
        return Ok(Initialised::Charged);
    }
    let marker = new_marker(&*options.entropy);
    send(&mut connection, "HDEL", &[&meta_key, b"whole"]).await?;
    send(&mut connection, "HSET", &[&meta_key, b"marker", marker.as_bytes(), b"charged_at", charged.as_bytes()])
        .await?;
    mark(&mut connection, marker.as_bytes()).await?;
    Ok(Initialised::Again)
}

async fn all_marked(connector: &Connector, live: &Live) -> Result<bool, ConnectError> {
    for found in everywhere(&live.connection, "GET", None).await? {
        if Option::<Vec<u8>>::from_redis_value(found).ok().flatten().as_deref() != Some(&*live.marker) {
            return Ok(false);
        }
    }
    connector.probe(live).await.map(|()| true)
}

pub(super) fn new_marker(entropy: &dyn Entropy) -> String {
    let mut bytes = [0; 8];
    entropy.fill(&mut bytes);
    to_hex(&bytes)
}

async fn begin(
    connection: &mut Connection,
    options: &Options,
    master: &MasterKey,
    charged_at: u64,
) -> Result<bool, ConnectError> {
    // The same keys from the same master key: gateways that are running know the store again.
    let keyring = Keyring::of_master(master).wrap(master);
    let application = Application::new(
        ApplicationId::generate(&*options.entropy),
        1,
        AccountId::default_account(),
        Application::default_name(),
        options.clock.now(),
    );
    let body = serde_json::to_string(&application).map_err(|error| ConnectError::Unexpected(error.to_string()))?;
    let mut eval = Cmd::new();
    eval.arg("EVAL").arg(BEGIN).arg(2);
    eval.arg(Place::Settings.key(Kind::Meta, b"")).arg(Place::Settings.key(Kind::Applications, b""));
    eval.arg(LAYOUT).arg(keyring).arg(new_marker(&*options.entropy)).arg(charged_at);
    eval.arg(application.id.to_string()).arg(body);
    let answer = connection.send(eval).await.map_err(|error| ConnectError::of(&error))?;
    Ok(answer == Value::Int(1))
}

/// Writes every marker, and then that they are.
pub(super) async fn mark(connection: &mut Connection, marker: &[u8]) -> Result<(), ConnectError> {
    everywhere(connection, "SET", Some(marker)).await?;
    send(connection, "HSET", &[&Place::Settings.key(Kind::Meta, b""), b"whole", b"1"]).await.map(drop)
}

/// Sends a command for the marker of each place; so many at a time, because a store that is far away is asked for hundreds.
async fn everywhere(connection: &Connection, name: &str, value: Option<&[u8]>) -> Result<Vec<Value>, ConnectError> {
    let places: Vec<_> = Place::shards().chain([Place::Settings]).collect();
    let mut answers = Vec::with_capacity(places.len());
    for some in places.chunks(AT_ONCE) {
        let ask = |place: Place| {
            let mut connection = connection.clone();
            async move {
                let key = place.key(Kind::Marker, b"");
                let mut words = vec![key.as_slice()];
                words.extend(value);
                send(&mut connection, name, &words).await
            }
        };
        answers.extend(try_join_all(some.iter().copied().map(ask)).await?);
    }
    Ok(answers)
}

/// The store's clock, in milliseconds since 1970.
pub(super) async fn server_time(connection: &mut Connection) -> Result<u64, ConnectError> {
    let answer = send(connection, "TIME", &[]).await?;
    let unexpected = || ConnectError::Unexpected("it does not tell the time".to_owned());
    let parts = Vec::<u64>::from_redis_value(answer).map_err(|_| unexpected())?;
    match parts.as_slice() {
        [seconds, micros] => Ok(seconds.saturating_mul(1_000) + micros / 1_000),
        _ => Err(unexpected()),
    }
}

async fn send(connection: &mut Connection, name: &str, arguments: &[&[u8]]) -> Result<Value, ConnectError> {
    let mut command = Cmd::new();
    command.arg(name);
    for argument in arguments {
        command.arg(*argument);
    }
    connection.send(command).await.map_err(|error| ConnectError::of(&error))
}
