//! Applications and connections: few rows, each the JSON of a record. A write reads what its rule asks for, decides here, and
//! commits in one step that finds the generation as it was read: whatever was written in between makes it read again.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::access::connection::{Connection, ConnectionId};
use crate::access::key::KeyName;
use crate::access::store::ConnectionStore;
use crate::otp::application::Application;
use crate::otp::id::{AccountId, ApplicationId};
use crate::otp::store::{ApplicationStore, Later, StoreError, WriteError};
use crate::store::redis::RedisStore;
use crate::store::redis::place::{Kind, Place};
use crate::store::redis::reply::{from_json, read, to_json};
use crate::store::redis::script::{Call, Lazy, Lua};
use crate::store::rules;

/// How often a write begins anew because another one was first. Each time one of them gets through.
const WRITES: usize = 200;

/// One row.
static ROW: Lazy = Lazy::new(|| Lua::guarded("return redis.call('HGET',KEYS[2],ARGV[2])"));

/// The generation and every row of a table.
static TABLE: Lazy = Lazy::new(|| Lua::guarded("return {redis.call('GET',KEYS[2]) or '',redis.call('HVALS',KEYS[3])}"));

/// The row that a name leads to.
static NAMED: Lazy = Lazy::new(|| {
    Lua::guarded("local id=redis.call('HGET',KEYS[3],ARGV[2]) return id and redis.call('HGET',KEYS[2],id)")
});

/// The generation, the row of an id, and whose the names are.
static CONNECTION: Lazy = Lazy::new(|| {
    Lua::guarded(
        "return {redis.call('GET',KEYS[2]) or '',redis.call('HGET',KEYS[3],ARGV[2]),\
         redis.call('HMGET',KEYS[4],unpack(ARGV,3))}",
    )
});

/// Writes rows and counts the generation up, unless it has moved. A row without a body goes. The first generation of a store is
/// a time, so that a store that was emptied does not count the same numbers again.
static COMMIT: Lazy = Lazy::new(|| {
    Lua::guarded(
        "local seen=redis.call('GET',KEYS[2]) or '' \
         if seen~=ARGV[2] then return '' end \
         for at=3,#ARGV,3 do local key=KEYS[tonumber(ARGV[at])] \
         if ARGV[at+2]=='' then redis.call('HDEL',key,ARGV[at+1]) else redis.call('HSET',key,ARGV[at+1],ARGV[at+2]) end end \
         if seen=='' then redis.call('SET',KEYS[2],redis.call('TIME')[1]) end \
         redis.call('INCR',KEYS[2]) return redis.call('GET',KEYS[2])",
    )
});

/// What counts the writes of settings, as it was read.
pub(super) type Generation = Vec<u8>;

/// One of the tables: which key of [`COMMIT`] it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Applications = 3,
    Connections = 4,
    Names = 5,
    Subscriptions = 6,
}

impl Table {
    const fn kind(self) -> Kind {
        match self {
            Self::Applications => Kind::Applications,
            Self::Connections => Kind::Connections,
            Self::Names => Kind::Names,
            Self::Subscriptions => Kind::Subscriptions,
        }
    }
}

/// Rows to be written in one step.
#[derive(Default)]
pub(super) struct Edit(Vec<(Table, String, Vec<u8>)>);

impl Edit {
    /// With a record under this id.
    pub(super) fn put<T: Serialize>(
        mut self,
        table: Table,
        id: &impl ToString,
        record: &T,
    ) -> Result<Self, StoreError> {
        self.0.push((table, id.to_string(), to_json(record)?));
        Ok(self)
    }

    /// Without what is under this id.
    pub(super) fn remove(mut self, table: Table, id: &impl ToString) -> Self {
        self.0.push((table, id.to_string(), Vec::new()));
        self
    }

    /// With a name of a connection.
    fn name(mut self, name: &str, connection: ConnectionId) -> Self {
        self.0.push((Table::Names, name.to_owned(), connection.to_string().into_bytes()));
        self
    }
}

impl RedisStore {
    /// Every record of a table, and the generation that it was read in.
    pub(super) async fn table<T: DeserializeOwned>(&self, table: Table) -> Result<(Generation, Vec<T>), StoreError> {
        let call = Call::new(&TABLE, Place::Settings).key(Kind::Generation, b"").key(table.kind(), b"");
        let (generation, rows): (Generation, Vec<Vec<u8>>) = read(self.link.run(call).await?)?;
        Ok((generation, rows.iter().map(|row| from_json(row)).collect::<Result<_, _>>()?))
    }

    /// One record of a table.
    pub(super) async fn row<T: DeserializeOwned>(
        &self,
        table: Table,
        id: &impl ToString,
    ) -> Result<Option<T>, StoreError> {
        let call = Call::new(&ROW, Place::Settings).key(table.kind(), b"").arg(id.to_string());
        let row: Option<Vec<u8>> = read(self.link.run(call).await?)?;
        row.map(|row| from_json(&row)).transpose()
    }

    /// Writes rows, unless the generation is another one by now. Whether it was done.
    pub(super) async fn commit_setting(&self, seen: Generation, Edit(rows): Edit) -> Result<bool, StoreError> {
        let tables = [Table::Applications, Table::Connections, Table::Names, Table::Subscriptions];
        let call = Call::new(&COMMIT, Place::Settings).key(Kind::Generation, b"");
        let call = tables.into_iter().fold(call, |call, table| call.key(table.kind(), b""));
        let call = rows
            .into_iter()
            .fold(call.arg(seen), |call, (table, id, body)| call.number(table as u64).arg(id).arg(body));
        let generation: Generation = read(self.link.run_durably(call).await?)?;
        if generation.is_empty() {
            return Ok(false);
        }
        self.view.saw(&generation);
        Ok(true)
    }

    /// Counts up whenever settings moved, and with every question while the store is away: a key that was revoked meanwhile, or
    /// went with all the others when the store was emptied, is answered nothing from memory.
    fn generation_seen(&self) -> u64 {
        if self.link.is_away() {
            self.view.lost();
        }
        self.view.generation()
    }

    /// The accounts that anything was ever written for.
    pub(super) async fn accounts(&self) -> Result<BTreeSet<AccountId>, StoreError> {
        let (_, applications) = self.table::<Application>(Table::Applications).await?;
        let (_, connections) = self.table::<Connection>(Table::Connections).await?;
        let accounts = applications.into_iter().map(|kept| kept.account);
        Ok(accounts.chain(connections.into_iter().map(|kept| kept.account)).collect())
    }

    /// What has this id now, whose the names are, and the generation.
    async fn kept(
        &self,
        after: &Connection,
    ) -> Result<(Generation, Option<Connection>, Vec<Option<String>>), StoreError> {
        let call = Call::new(&CONNECTION, Place::Settings);
        let call = call.key(Kind::Generation, b"").key(Kind::Connections, b"").key(Kind::Names, b"");
        let call = rules::names(after).fold(call.arg(after.id.to_string()), Call::arg);
        let (generation, row, owners): (Generation, Option<Vec<u8>>, _) = read(self.link.run(call).await?)?;
        Ok((generation, row.map(|row| from_json(&row)).transpose()?, owners))
    }
}

impl ApplicationStore for RedisStore {
    fn applications(&self, account: &AccountId) -> Later<'_, Result<Vec<Application>, StoreError>> {
        let account = account.clone();
        Box::pin(async move {
            let (_, mut all) = self.table::<Application>(Table::Applications).await?;
            all.retain(|kept| kept.account == account);
            all.sort_by_key(|kept| kept.alias);
            Ok(all)
        })
    }

    fn put_application(&self, before: Option<Application>, after: Application) -> Later<'_, Result<(), WriteError>> {
        Box::pin(async move {
            for _ in 0..WRITES {
                let (seen, mut all) = self.table::<Application>(Table::Applications).await?;
                let foreign = all.iter().any(|kept| kept.id == after.id && kept.account != after.account);
                all.retain(|kept| kept.account == after.account);
                if foreign || !rules::application(&all, before.as_ref(), &after) {
                    return Err(WriteError::Conflict);
                }
                let edit = Edit::default().put(Table::Applications, &after.id, &after)?;
                if self.commit_setting(seen, edit).await? {
                    return Ok(());
                }
            }
            Err(StoreError::Unavailable.into())
        })
    }

    fn delete_application(&self, account: &AccountId, id: ApplicationId) -> Later<'_, Result<bool, StoreError>> {
        let account = account.clone();
        Box::pin(async move {
            for _ in 0..WRITES {
                let (seen, all) = self.table::<Application>(Table::Applications).await?;
                if !all.iter().any(|kept| kept.id == id && kept.account == account) {
                    return Ok(false);
                }
                if self.commit_setting(seen, Edit::default().remove(Table::Applications, &id)).await? {
                    return Ok(true);
                }
            }
            Err(StoreError::Unavailable)
        })
    }

    fn generation(&self) -> u64 {
        self.generation_seen()
    }
}

impl ConnectionStore for RedisStore {
    fn by_key(&self, name: &KeyName) -> Later<'_, Result<Option<Arc<Connection>>, StoreError>> {
        let call = Call::new(&NAMED, Place::Settings).key(Kind::Connections, b"").key(Kind::Names, b"");
        let call = call.arg(name.as_str());
        Box::pin(async move {
            let row: Option<Vec<u8>> = read(self.link.run(call).await?)?;
            row.map(|row| from_json(&row).map(Arc::new)).transpose()
        })
    }

    fn connection(&self, id: ConnectionId) -> Later<'_, Result<Option<Connection>, StoreError>> {
        Box::pin(async move { self.row(Table::Connections, &id).await })
    }

    fn connections(&self) -> Later<'_, Result<Vec<Connection>, StoreError>> {
        Box::pin(async move {
            let (_, mut all) = self.table::<Connection>(Table::Connections).await?;
            all.sort_by_key(|connection| (connection.created, connection.id));
            Ok(all)
        })
    }

    fn put_connection(&self, before: Option<Connection>, after: Connection) -> Later<'_, Result<(), WriteError>> {
        Box::pin(async move {
            for _ in 0..WRITES {
                let (seen, kept, owners) = self.kept(&after).await?;
                let own = after.id.to_string();
                let taken = owners.iter().flatten().any(|owner| *owner != own);
                if taken || !rules::connection(kept.as_ref(), before.as_ref(), &after) {
                    return Err(WriteError::Conflict);
                }
                let edit = Edit::default().put(Table::Connections, &after.id, &after)?;
                let edit = kept.iter().flat_map(rules::names).fold(edit, |edit, name| edit.remove(Table::Names, &name));
                let edit = rules::names(&after).fold(edit, |edit, name| edit.name(name, after.id));
                if self.commit_setting(seen, edit).await? {
                    return Ok(());
                }
            }
            Err(StoreError::Unavailable.into())
        })
    }

    fn generation(&self) -> u64 {
        self.generation_seen()
    }
}
