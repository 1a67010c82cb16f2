//! The shared store at one end of a copy: a connection of its own with long deadlines, and many commands in one turn. While it
//! is the target its description says how far the copy has come, and nobody opens it.
//!
//! That nobody serves from the source it cannot know for sure: whoever does is seen by the comparison at the end.

mod read;
mod scan;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::try_join_all;
use redis::aio::ConnectionLike as _;
use redis::{Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind, Value};

use crate::clock::{Clock, SystemClock};
use crate::otp::store::Later;
use crate::secret::{Entropy, MasterKey, SystemEntropy};
use crate::store::redis::address::Address;
use crate::store::redis::connect::{ConnectError, Connector, LAYOUT, UNFINISHED, meta};
use crate::store::redis::link::Connection;
use crate::store::redis::open::{mark, new_marker, server_time};
use crate::store::redis::place::{Kind as Letter, Place};
use crate::store::transfer::{Cursor, Kind, Page, Progress, Row, Standing, Transfer, TransferError};

/// How long a step may take: nobody waits for it but the command.
const PATIENCE: Duration = Duration::from_secs(60);

/// A shared store at one end of a copy.
pub struct RedisTransfer {
    name: String,
    connection: Connection,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// A command, and the place whose server it is for.
type Sent = (Place, Cmd);

pub(super) fn command(words: &[&[u8]]) -> Cmd {
    let mut command = Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command
}

fn failed(error: &RedisError) -> TransferError {
    let full = matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ResponseError)) && error.code() == Some("OOM");
    if full || error.code() == Some("OOM") { TransferError::Full } else { TransferError::Store(error.to_string()) }
}

fn refused(error: &ConnectError) -> TransferError {
    TransferError::Store(error.to_string())
}

fn read_as<T: FromRedisValue>(value: Value) -> Result<T, TransferError> {
    T::from_redis_value(value).map_err(|error| TransferError::Store(error.to_string()))
}

impl RedisTransfer {
    /// Connects to the store, whatever is in it.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn open(address: Address, master: Arc<MasterKey>) -> Result<Self, ConnectError> {
        let name = format!("redis://{}", address.hosts());
        let connection = Connector::new(address, PATIENCE, master).reach().await?;
        Ok(Self { name, connection, clock: Arc::new(SystemClock::new()), entropy: Arc::new(SystemEntropy) })
    }

    /// The connection.
    pub(super) fn connection(&self) -> Connection {
        self.connection.clone()
    }

    async fn send(&self, words: &[&[u8]]) -> Result<Value, TransferError> {
        self.connection.clone().send(command(words)).await.map_err(|error| failed(&error))
    }

    /// Sends all of them in one turn, or in a cluster one for each place; the answers come in their order.
    pub(super) async fn all(&self, commands: Vec<Sent>) -> Result<Vec<Value>, TransferError> {
        let count = commands.len();
        let mut by_place: BTreeMap<Option<Place>, (Pipeline, Vec<usize>)> = BTreeMap::new();
        for (at, (place, command)) in commands.into_iter().enumerate() {
            let place = self.connection.is_cluster().then_some(place);
            let (pipeline, order) = by_place.entry(place).or_default();
            pipeline.add_command(command);
            order.push(at);
        }
        let turns = by_place.into_values().map(|(pipeline, order)| async move {
            let mut connection = self.connection.clone();
            let answers = match &mut connection {
                Connection::One(one) => one.alone().req_packed_commands(&pipeline, 0, order.len()).await,
                Connection::Cluster(cluster) => cluster.req_packed_commands(&pipeline, 0, order.len()).await,
            };
            let answers = answers.map_err(|error| failed(&error))?;
            let answers = answers.into_iter().map(|value| value.extract_error().map_err(|error| failed(&error)));
            let answers: Vec<_> = answers.collect::<Result<_, _>>()?;
            if answers.len() == order.len() {
                Ok(order.into_iter().zip(answers))
            } else {
                Err(TransferError::Store("it left a command without an answer".to_owned()))
            }
        });
        let mut found: Vec<(usize, Value)> = try_join_all(turns).await?.into_iter().flatten().collect();
        found.sort_unstable_by_key(|(at, _)| *at);
        debug_assert_eq!(found.len(), count);
        Ok(found.into_iter().map(|(_, value)| value).collect())
    }

    async fn note(&self, progress: &Progress) -> Result<(), TransferError> {
        let key = Place::Settings.key(Letter::Meta, b"");
        self.send(&[b"HSET", &key, UNFINISHED.as_bytes(), progress.text().as_bytes()]).await.map(drop)
    }
}

impl Transfer for RedisTransfer {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn standing(&self) -> Later<'_, Result<Standing, TransferError>> {
        Box::pin(async move {
            let found = meta(&mut self.connection.clone()).await.map_err(|error| refused(&error))?;
            Ok(match found {
                None => Standing::Empty,
                Some(meta) => match meta.copying {
                    None => Standing::Made { keyring: meta.keyring },
                    Some(text) => {
                        let unreadable = || TransferError::Store("how far the copy came cannot be read".to_owned());
                        let progress = Progress::parse(&text).ok_or_else(unreadable)?;
                        Standing::Unfinished { keyring: meta.keyring, progress }
                    }
                },
            })
        })
    }

    fn begin<'a>(&'a self, keyring: &'a str, progress: &'a Progress) -> Later<'a, Result<(), TransferError>> {
        Box::pin(async move {
            let (key, marker) = (Place::Settings.key(Letter::Meta, b""), new_marker(&*self.entropy));
            let layout = LAYOUT.to_string();
            let text = progress.text();
            // Whoever looks from here on finds a store that is not whole, with a marker that stands nowhere.
            self.send(&[b"DEL", &key, &Place::Settings.key(Letter::Applications, b"")]).await?;
            let words: [&[u8]; 12] = [
                b"HSET",
                &key,
                UNFINISHED.as_bytes(),
                text.as_bytes(),
                b"layout",
                layout.as_bytes(),
                b"keyring",
                keyring.as_bytes(),
                b"marker",
                marker.as_bytes(),
                b"charged_at",
                b"0",
            ];
            self.send(&words).await.map(drop)
        })
    }

    fn read(&self, kind: Kind, after: Option<Cursor>, limit: usize) -> Later<'_, Result<Page, TransferError>> {
        Box::pin(self.read_rows(kind, after, limit))
    }

    fn count(&self, kind: Kind) -> Later<'_, Result<u64, TransferError>> {
        Box::pin(self.count_rows(kind))
    }

    fn write<'a>(&'a self, kind: Kind, rows: Vec<Row>, progress: &'a Progress) -> Later<'a, Result<(), TransferError>> {
        Box::pin(async move {
            let now = self.clock.now();
            let mut commands = Vec::new();
            for row in &rows {
                write::row(&mut commands, kind, row, now).ok_or(TransferError::Damaged(kind))?;
            }
            self.all(commands).await?;
            self.note(progress).await
        })
    }

    fn finish(&self) -> Later<'_, Result<(), TransferError>> {
        Box::pin(async move {
            let mut connection = self.connection.clone();
            let found = meta(&mut connection).await.map_err(|error| refused(&error))?;
            let gone = || TransferError::Store("it was emptied meanwhile".to_owned());
            let marker = found.ok_or_else(gone)?.marker;
            let now = server_time(&mut connection).await.map_err(|error| refused(&error))?.to_string();
            let key = Place::Settings.key(Letter::Meta, b"");
            self.send(&[b"HSET", &key, b"charged_at", now.as_bytes()]).await?;
            mark(&mut connection, &marker).await.map_err(|error| refused(&error))?;
            self.send(&[b"HDEL", &key, UNFINISHED.as_bytes()]).await.map(drop)
        })
    }
}
