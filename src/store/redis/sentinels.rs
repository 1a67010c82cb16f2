//! Whom the sentinels name as the primary: all that are known are asked at once, and most of those that answer are believed, for
//! one of them may not have heard of a failover yet. Must not know what becomes of a link to a primary that was replaced.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, FromRedisValue as _, Pipeline, Value};
use tokio::time::Instant;

use crate::store::redis::address::{As, Seed};
use crate::store::redis::connect::Connector;
use crate::store::redis::contact::is_sentinel;
use crate::store::redis::link::Connection;
use crate::store::redis::trouble::ConnectError;

/// Sentinels that are asked, at most.
const MOST: usize = 32;
/// How often they are asked whether the primary still is one.
const EVERY: Duration = Duration::from_secs(1);
/// How long they have for their answers, at most.
const ANSWER: Duration = Duration::from_secs(1);

/// The sentinels of one store.
pub(super) struct Sentinels(Mutex<State>);

struct State {
    /// Where they are, and the connection of the last time: those of the address, and those that they name.
    known: BTreeMap<Seed, Option<MultiplexedConnection>>,
    /// The primary that the last connection leads to.
    primary: Option<Seed>,
}

/// What one of them says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Said {
    /// What it calls itself: one may be known by two addresses.
    id: String,
    /// Where the primary is; none where it knows no such one.
    primary: Option<Seed>,
    /// How many failovers it knows of.
    epoch: u64,
    /// The others, as far as they live.
    others: Vec<Seed>,
}

impl Sentinels {
    /// None is known.
    pub(super) const fn new() -> Self {
        Self(Mutex::new(State { known: BTreeMap::new(), primary: None }))
    }

    /// Whether any is known.
    pub(super) fn are_known(&self) -> bool {
        !self.0.lock().known.is_empty()
    }

    /// The primary that the last connection leads to.
    fn primary(&self) -> Option<Seed> {
        self.0.lock().primary.clone()
    }

    /// None is known any more.
    fn forget(&self) {
        *self.0.lock() = State { known: BTreeMap::new(), primary: None };
    }

    /// There are sentinels at these addresses; one of them has answered.
    pub(super) fn begin(&self, seeds: &[Seed], answered: Seed, line: MultiplexedConnection) {
        let mut state = self.0.lock();
        state.known = seeds.iter().map(|seed| (seed.clone(), None)).collect();
        state.known.insert(answered, Some(line));
    }

    /// All that are known. A connection is taken: who does not answer on it has it no more.
    fn take(&self) -> Vec<(Seed, Option<MultiplexedConnection>)> {
        self.0.lock().known.iter_mut().map(|(seed, line)| (seed.clone(), line.take())).collect()
    }

    /// What is known after a round: the address's own, who answered, and whom these name. Whether there are new ones.
    fn learn(
        &self,
        seeds: &[Seed],
        answered: Vec<(Seed, MultiplexedConnection)>,
        said: &BTreeMap<String, Said>,
    ) -> bool {
        let named = || said.values().flat_map(|said| &said.others);
        let mut state = self.0.lock();
        state.known.retain(|seed, _| {
            seeds.contains(seed) || answered.iter().any(|(one, _)| one == seed) || named().any(|one| one == seed)
        });
        for (seed, line) in answered {
            state.known.insert(seed, Some(line));
        }
        let before = state.known.len();
        for seed in named() {
            if state.known.len() < MOST && !state.known.contains_key(seed) {
                state.known.insert(seed.clone(), None);
            }
        }
        state.known.len() > before
    }
}

impl Connector {
    /// A connection to the primary that most of the sentinels that answer name.
    pub(super) async fn by_sentinels(&self, turn: Duration) -> Result<Connection, ConnectError> {
        let end = Instant::now() + ANSWER.min(self.patience() / 2);
        let (mut said, grown, trouble) = self.ask_all(end, true).await;
        if grown {
            // They have named others, who have a say as well, if there is time.
            let (of_all, _, _) = self.ask_all(end, true).await;
            if of_all.len() >= said.len() {
                said = of_all;
            }
        }
        if said.is_empty() {
            // Perhaps they are elsewhere by now: the next try begins with the address.
            self.sentinels.forget();
            return Err(trouble.unwrap_or_else(|| ConnectError::Unreachable("no sentinel answers".to_owned())));
        }
        let unknown = || ConnectError::UnknownMaster { name: self.address.master.clone() };
        let primary = elected(said.values()).ok_or_else(unknown)?;
        let (connection, _) = self.server(&primary, As::Data, turn).await?;
        let connection = self.primary_only(connection).await?;
        self.sentinels.0.lock().primary = Some(primary);
        Ok(connection)
    }

    /// Waits until most of the sentinels that answer name another primary than the one that the last connection leads to: for
    /// ever where there are none.
    pub(super) async fn replaced(&self) {
        loop {
            tokio::time::sleep(EVERY).await;
            if let Some(primary) = self.successor().await {
                tracing::warn!(
                    "the sentinels name another primary, {}:{}: the link is made anew",
                    primary.host,
                    primary.port
                );
                return;
            }
        }
    }

    async fn successor(&self) -> Option<Seed> {
        self.sentinels.primary()?;
        let (said, _, _) = self.ask_all(Instant::now() + ANSWER, false).await;
        let answered = said.values().filter(|said| said.primary.is_some()).count();
        let named = most(said.values(), answered)?;
        // It may have been gone to meanwhile.
        let followed = self.sentinels.primary()?;
        (named != followed).then_some(named)
    }

    /// What those say that answer by then, whether they name new ones, and what kept one of them from it. In a hurry nobody is
    /// waited for who cannot change it.
    async fn ask_all(&self, end: Instant, hurry: bool) -> (BTreeMap<String, Said>, bool, Option<ConnectError>) {
        let lines = self.sentinels.take();
        let all = lines.len();
        let ask = |(seed, line): (Seed, Option<MultiplexedConnection>)| async move {
            let answer = self.ask(&seed, line).await;
            (seed, answer)
        };
        let mut asked: FuturesUnordered<_> = lines.into_iter().map(ask).collect();
        let (mut said, mut answered, mut trouble) = (BTreeMap::new(), Vec::new(), None);
        while let Ok(Some((seed, answer))) = tokio::time::timeout_at(end, asked.next()).await {
            match answer {
                Ok((one, line)) => {
                    answered.push((seed, line));
                    said.insert(one.id.clone(), one);
                }
                Err(error) => trouble = Some(error),
            }
            if hurry && most(said.values(), all).is_some() {
                break;
            }
        }
        drop(asked);
        let grown = !said.is_empty() && self.sentinels.learn(&self.address.seeds, answered, &said);
        (said, grown, trouble)
    }

    /// Asks one of them, on the connection of the last time where that still stands.
    async fn ask(
        &self,
        seed: &Seed,
        line: Option<MultiplexedConnection>,
    ) -> Result<(Said, MultiplexedConnection), ConnectError> {
        if let Some(mut line) = line
            && let Ok(said) = self.put(seed, &mut line).await
        {
            return Ok((said, line));
        }
        let (mut line, info) = self.greet(seed, ANSWER).await?;
        if !is_sentinel(&info) {
            return Err(ConnectError::Unreachable("no sentinel is there".to_owned()));
        }
        let said = self.put(seed, &mut line).await?;
        Ok((said, line))
    }

    /// The questions, in one turn. All but the first are of later releases, or may be forbidden: then it says less.
    async fn put(&self, seed: &Seed, line: &mut MultiplexedConnection) -> Result<Said, ConnectError> {
        let name = &self.address.master;
        let mut questions = Pipeline::with_capacity(4);
        for word in ["GET-MASTER-ADDR-BY-NAME", "MASTER", "SENTINELS"] {
            let mut question = Cmd::new();
            question.arg("SENTINEL").arg(word).arg(name);
            questions.add_command(question);
        }
        let mut who = Cmd::new();
        who.arg("SENTINEL").arg("MYID");
        questions.add_command(who);
        let answers = line.req_packed_commands(&questions, 0, 4).await.map_err(|error| ConnectError::of(&error))?;
        let mut answers = answers.into_iter();
        let primary = answers.next().unwrap_or_default();
        let primary = primary.extract_error().map_err(|error| ConnectError::of(&error))?;
        let of_primary = fields(answers.next());
        let others = answers.next().and_then(|others| Vec::<Value>::from_redis_value(others).ok()).unwrap_or_default();
        let id = answers.next().and_then(|id| String::from_redis_value(id).ok());
        Ok(Said {
            id: id.unwrap_or_else(|| format!("{}:{}", seed.host, seed.port)),
            primary: Vec::<String>::from_redis_value(primary).ok().and_then(|words| match words.as_slice() {
                [host, port] => seed_of(host, port),
                _ => None,
            }),
            epoch: of_primary.get("config-epoch").and_then(|text| text.parse().ok()).unwrap_or(0),
            others: others.into_iter().filter_map(|other| living(&fields(Some(other)))).collect(),
        })
    }
}

/// Names and values of an answer.
fn fields(answer: Option<Value>) -> HashMap<String, String> {
    answer.and_then(|answer| HashMap::from_redis_value(answer).ok()).unwrap_or_default()
}

/// Where another sentinel is, unless it is away.
fn living(fields: &HashMap<String, String>) -> Option<Seed> {
    let away = fields.get("flags").is_some_and(|flags| flags.contains("down") || flags.contains("disconnected"));
    if away { None } else { seed_of(fields.get("ip")?, fields.get("port")?) }
}

fn seed_of(host: &str, port: &str) -> Option<Seed> {
    Some(Seed { host: host.to_owned(), port: port.parse().ok().filter(|port| *port > 0)? })
}

/// Whom more than half of `all` name.
fn most<'a>(said: impl Iterator<Item = &'a Said>, all: usize) -> Option<Seed> {
    let mut votes: BTreeMap<&Seed, usize> = BTreeMap::new();
    for primary in said.filter_map(|said| said.primary.as_ref()) {
        *votes.entry(primary).or_default() += 1;
    }
    votes.into_iter().find(|(_, votes)| votes * 2 > all).map(|(primary, _)| primary.clone())
}

/// Whom most of them name, also where that is less than half; of several it is the one whose failover was the last, because
/// that is how the sentinels themselves settle it.
fn elected<'a>(said: impl Iterator<Item = &'a Said>) -> Option<Seed> {
    let mut votes: BTreeMap<&Seed, (usize, u64)> = BTreeMap::new();
    for said in said {
        if let Some(primary) = &said.primary {
            let (count, epoch) = votes.entry(primary).or_default();
            *count += 1;
            *epoch = said.epoch.max(*epoch);
        }
    }
    votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(primary, _)| primary.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(votes: &[(&str, u64)]) -> Vec<Said> {
        let one = |(host, epoch): &(&str, u64)| Said { primary: seed_of(host, "1"), epoch: *epoch, ..Said::default() };
        votes.iter().map(one).collect()
    }

    #[test]
    fn most_sentinels_are_believed_and_not_the_first() {
        for (votes, chosen) in [
            (&[("old", 0), ("new", 1), ("new", 1)][..], "new"),
            (&[("new", 1), ("old", 0), ("old", 0)][..], "old"),
            // As many name each: the later failover counts.
            (&[("new", 2), ("old", 1)][..], "new"),
            (&[("old", 1), ("new", 2)][..], "new"),
            (&[("only", 0)][..], "only"),
        ] {
            assert_eq!(elected(said(votes).iter()), seed_of(chosen, "1"), "{votes:?}");
        }
        let blind = [Said::default()];
        assert_eq!(elected(blind.iter()), None);
        assert_eq!(elected(said(&[("a", 0)]).iter().chain(&blind)), seed_of("a", "1"));
    }

    #[test]
    fn a_link_is_left_when_more_than_half_of_those_that_answer_name_another_primary() {
        let most = |votes: &[(&str, u64)]| most(said(votes).iter(), votes.len());
        assert_eq!(most(&[("new", 1), ("old", 0), ("old", 0)]), seed_of("old", "1"));
        assert_eq!(most(&[("new", 1), ("old", 0)]), None);
        assert_eq!(most(&[("new", 1), ("new", 1), ("old", 0)]), seed_of("new", "1"));
        assert_eq!(most(&[("new", 1)]), seed_of("new", "1"));
        assert_eq!(most(&[]), None);
    }

    #[test]
    fn a_sentinel_that_is_away_is_not_named() {
        let flags = |flags: &str| {
            let pairs = [("ip", "10.0.0.1"), ("port", "26379"), ("flags", flags)];
            living(&pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into())
        };
        assert_eq!(flags("sentinel"), seed_of("10.0.0.1", "26379"));
        assert_eq!(flags("s_down,sentinel,disconnected"), None);
        assert_eq!(living(&HashMap::new()), None);
    }
}
