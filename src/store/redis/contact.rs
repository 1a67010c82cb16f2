//! One server of whatever kind: by which words it lets us in, what it says of itself, and whether it is new enough. Must not know
//! what it is wanted for.

use std::collections::HashMap;
use std::time::Duration;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue as _, RedisError, Value};

use crate::store::redis::address::{As, Seed};
use crate::store::redis::connect::Connector;
use crate::store::redis::trouble::ConnectError;

/// The oldest release with every command that the scripts use (`GETEX`-era options of `SET` and `ZADD`).
pub(super) const OLDEST: (u32, u32) = (6, 2);

/// What one server says of itself.
pub(super) type Info = HashMap<String, String>;

impl Connector {
    /// One server, and what it says of itself, by the words that it takes: a sentinel may have a password of its own, or none,
    /// and then it refuses whoever gives one.
    pub(super) async fn greet(
        &self,
        seed: &Seed,
        turn: Duration,
    ) -> Result<(MultiplexedConnection, Info), ConnectError> {
        if self.address.has_sentinel_password() {
            match self.server(seed, As::Sentinel, turn).await {
                Ok((connection, info)) if is_sentinel(&info) => return Ok((connection, info)),
                Err(error) if !error.is_of_credentials() => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        let refused = match self.server(seed, As::Data, turn).await {
            Err(error) if error.is_of_credentials() => error,
            other => return other,
        };
        if (self.address.has_password() || self.address.has_sentinel_password())
            && let Ok((connection, info)) = self.server(seed, As::Nobody, turn).await
            && is_sentinel(&info)
        {
            return Ok((connection, info));
        }
        if self.address.has_sentinel_password() {
            let said = "neither that of the sentinels (sentinel_password) nor that of the data is right";
            return Err(ConnectError::Refused(said.to_owned()));
        }
        Err(refused)
    }

    /// One server, and what it says of itself; `turn` is how long it may take for an answer.
    pub(super) async fn server(
        &self,
        seed: &Seed,
        by: As,
        turn: Duration,
    ) -> Result<(MultiplexedConnection, Info), ConnectError> {
        let failed = |error: RedisError| ConnectError::of(&error);
        let client = self.address.client(seed, by).map_err(failed)?;
        let settings =
            AsyncConnectionConfig::new().set_connection_timeout(Some(self.patience())).set_response_timeout(Some(turn));
        let mut connection = client.get_multiplexed_async_connection_with_config(&settings).await.map_err(failed)?;
        let text = told(&mut connection, &["INFO", "server"]).await?;
        let text = String::from_redis_value(text).map_err(ConnectError::unexpected)?;
        let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
        let info: Info = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        new_enough(&info)?;
        Ok((connection, info))
    }
}

/// Sends one command on a connection that nobody shares yet.
pub(super) async fn told(connection: &mut MultiplexedConnection, words: &[&str]) -> Result<Value, ConnectError> {
    let mut ask = Cmd::new();
    for word in words {
        ask.arg(*word);
    }
    let answer = connection.req_packed_command(&ask).await.and_then(Value::extract_error);
    answer.map_err(|error| ConnectError::of(&error))
}

/// Whether a sentinel says this of itself.
pub(super) fn is_sentinel(info: &Info) -> bool {
    info.get("redis_mode").is_some_and(|mode| mode == "sentinel")
}

fn new_enough(info: &Info) -> Result<(), ConnectError> {
    let found = info.get("redis_version").ok_or_else(|| ConnectError::Unexpected("it names no version".to_owned()))?;
    let mut parts = found.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    if version >= OLDEST { Ok(()) } else { Err(ConnectError::TooOld { found: found.clone() }) }
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
