//! The quota's rings from a drain to the next start, as opaque bytes.

use rusqlite::params;

use crate::otp::store::StoreError;
use crate::quota::{ConnectionKey, Pending, RingStore, SavedRing, Unavailable};
use crate::store::sqlite::SqliteStore;
use crate::store::sqlite::writer::Reach;

impl SqliteStore {
    /// Hands over every saved ring, by its connection's number, and forgets them: no later start reads them again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_rings(&self) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        self.alone(Reach::Nothing, |connection| {
            let mut statement = connection.prepare("SELECT connection, body FROM quota_ring")?;
            let rows = statement.query_map([], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get(1)?)))?;
            let rings: Vec<_> = rows.collect::<Result<_, _>>()?;
            connection.execute("DELETE FROM quota_ring", [])?;
            Ok(Some(rings))
        })
        .await
        .map(Option::unwrap_or_default)
    }

    /// Saves `rings`, in place of whatever was saved before.
    ///
    /// # Errors
    /// [`StoreError`]; what was saved before is still there then.
    pub async fn save_rings(&self, rings: Vec<(u64, Vec<u8>)>) -> Result<(), StoreError> {
        self.alone(Reach::Nothing, move |connection| {
            connection.execute("DELETE FROM quota_ring", [])?;
            let mut insert = connection.prepare("INSERT INTO quota_ring (connection, body) VALUES (?1, ?2)")?;
            for (ring, body) in rings {
                insert.execute(params![ring.cast_signed(), body])?;
            }
            Ok(Some(()))
        })
        .await
        .map(drop)
    }
}

/// The quota keeps its rings here from a drain to the next start.
impl RingStore for SqliteStore {
    fn take(&self) -> Pending<'_, Vec<SavedRing>> {
        Box::pin(async move {
            let rings = self.take_rings().await.map_err(Unavailable::new)?;
            let saved = |(connection, bytes)| SavedRing { connection: ConnectionKey(connection), bytes };
            Ok(rings.into_iter().map(saved).collect())
        })
    }

    fn put(&self, rings: Vec<SavedRing>) -> Pending<'_, ()> {
        Box::pin(async move {
            let rings = rings.into_iter().map(|ring| (ring.connection.0, ring.bytes)).collect();
            self.save_rings(rings).await.map_err(Unavailable::new)
        })
    }
}
