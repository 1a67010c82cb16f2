//! One connection that everybody's calls share: what is asked within one moment is sent as one, so that a busy gateway pays for
//! the wire, and for being woken, once for many calls. Must not know what is asked.
//!
//! While some batches are on their way the next one gathers: nobody waits for company where there is none.

use std::sync::Arc;

use redis::aio::{ConnectionLike as _, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::sync::{Semaphore, mpsc, oneshot};

/// Calls in one batch, at most: others' wait for its answer is bounded by it.
const MOST: usize = 64;
/// Batches on their way.
const WAYS: usize = 2;
/// Calls that wait to be sent; beyond it they wait to wait.
const WAITING: usize = 4_096;

/// What one caller asks: a command, and perhaps one that has to come after it. The latter is the same for all who want it, and
/// comes once, behind the whole batch: a `WAIT` then waits for what all of it wrote.
struct Asked {
    command: Cmd,
    behind: Option<Cmd>,
    answer: oneshot::Sender<RedisResult<(Value, Option<Value>)>>,
}

/// The connection. Closed when nobody holds it any more.
#[derive(Clone)]
pub(super) struct Batched {
    connection: MultiplexedConnection,
    asked: mpsc::Sender<Asked>,
}

impl Batched {
    /// Over `connection`.
    pub(super) fn new(connection: MultiplexedConnection) -> Self {
        let (asked, queue) = mpsc::channel(WAITING);
        tokio::spawn(drive(connection.clone(), queue));
        Self { connection, asked }
    }

    /// The connection itself, for what is a batch already.
    pub(super) const fn alone(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }

    /// Sends a command, and some time after it another one, which is the same in every call of one connection. An answer may be an error of the server's.
    ///
    /// # Errors
    /// Those of the connection.
    pub(super) async fn ask(&self, command: Cmd, behind: Option<Cmd>) -> RedisResult<(Value, Option<Value>)> {
        let (answer, answered) = oneshot::channel();
        // Whoever drives the connection ends with it.
        let _gone = self.asked.send(Asked { command, behind, answer }).await;
        answered.await.unwrap_or_else(|_| Err(closed()))
    }
}

fn closed() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// Sends batches for as long as somebody may ask.
async fn drive(connection: MultiplexedConnection, mut queue: mpsc::Receiver<Asked>) {
    let ways = Arc::new(Semaphore::new(WAYS));
    loop {
        let Ok(way) = Arc::clone(&ways).acquire_owned().await else { return };
        let mut batch = Vec::with_capacity(MOST);
        if queue.recv_many(&mut batch, MOST).await == 0 {
            return;
        }
        // Whoever is ready to run asks first.
        tokio::task::yield_now().await;
        while batch.len() < MOST
            && let Ok(asked) = queue.try_recv()
        {
            batch.push(asked);
        }
        let mut connection = connection.clone();
        tokio::spawn(async move {
            send(&mut connection, batch).await;
            drop(way);
        });
    }
}

async fn send(connection: &mut MultiplexedConnection, batch: Vec<Asked>) {
    let mut commands = Pipeline::with_capacity(batch.len());
    let mut waiting = Vec::with_capacity(batch.len());
    let mut last = None;
    for Asked { command, behind, answer } in batch {
        // Nobody waits any more: it is not done at all.
        if answer.is_closed() {
            continue;
        }
        waiting.push((answer, behind.is_some()));
        commands.add_command(command);
        last = behind.or(last);
    }
    if let Some(last) = last {
        commands.add_command(last);
    }
    let count = commands.len();
    if count == 0 {
        return;
    }
    match connection.req_packed_commands(&commands, 0, count).await {
        Ok(answers) => {
            let last = answers.get(waiting.len()).cloned();
            let mut answers = answers.into_iter();
            for (waiting, both) in waiting {
                let answer = answers.next().map(|first| (first, last.clone().filter(|_| both)));
                let _nobody_waits = waiting.send(answer.ok_or_else(closed));
            }
        }
        Err(error) => {
            for (waiting, _) in waiting {
                let _nobody_waits = waiting.send(Err(error.clone()));
            }
        }
    }
}
