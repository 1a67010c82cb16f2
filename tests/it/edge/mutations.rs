//! Requests that nobody thought of: the strictness vectors, damaged at random.
//!
//! What must hold: hyper and the edge's own reading agree on where requests end, and no connection outlives its
//! deadlines. A disagreement shows, since a head that hyper finds and the edge did not is answered 414, which nothing
//! this short deserves.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::raw::get;
use super::strictness::VECTORS;
use super::{Edge, until};

const CASES: u64 = 1500;
const SEED: u64 = 0x6f74_7067_6174_6521;

/// What is put into requests; most of it means something somewhere.
const SCRAPS: &[&str] = &[
    "\r\n",
    "\n",
    "\r",
    " ",
    "\t",
    ":",
    ";",
    ",",
    "\0",
    "0",
    "5",
    "f",
    "-1",
    "\r\n\r\n",
    "0\r\n\r\n",
    "\r\n ",
    "\u{b}",
    "\u{c}",
    "Content-Length: 3\r\n",
    "content-length:0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: x\r\n",
    "Host: a\r\n",
    "HTTP/1.0",
    "HTTP/1.1",
    "Connection: close\r\n",
    "Expect: 100-continue\r\n",
    "Upgrade: x\r\n",
    "CONNECT ",
    "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    "/echo",
    "\u{e9}",
    "%",
    "?",
    "#",
    "3\r\nabc\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

/// xorshift64*, enough to spread the cases and to repeat them.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % bound
    }
}

fn damaged(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=random.below(3) {
        let (_, vector, _) = VECTORS[random.below(VECTORS.len())];
        bytes.extend(vector.replace('~', "\r\n").into_bytes());
    }
    for _ in 0..=random.below(4) {
        let place = random.below(bytes.len());
        match random.below(4) {
            0 => bytes[place] = random.below(256) as u8,
            1 => drop(bytes.drain(place..(place + 1 + random.below(8)).min(bytes.len()))),
            2 => bytes.truncate(place + 1),
            _ => drop(bytes.splice(place..place, SCRAPS[random.below(SCRAPS.len())].bytes())),
        }
        if bytes.is_empty() {
            bytes.push(b'G');
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_requests_leave_no_doubt_and_no_connection() {
    let short = Duration::from_millis(150);
    let edge = Edge::start(|settings| {
        let deadlines = &mut settings.deadlines;
        (deadlines.headers, deadlines.idle, deadlines.body) = (short, short, short);
    })
    .await;
    let edge = Arc::new(edge);
    let places = Arc::new(Semaphore::new(100));
    let mut cases = JoinSet::new();
    for case in 0..CASES {
        let (edge, places) = (Arc::clone(&edge), Arc::clone(&places));
        cases.spawn(async move {
            let _place = places.acquire().await;
            let mut random = Random(SEED.wrapping_add(case.wrapping_mul(0x9e37_79b9_7f4a_7c15)) | 1);
            let bytes = damaged(&mut random);
            let step = [usize::MAX, 50, 3][random.below(3)];
            let mut raw = edge.raw().await;
            raw.send_pieces(&bytes, step).await;
            // The connection is left alone; it has to end by itself.
            let rest = raw.rest().await;
            let rest = String::from_utf8_lossy(&rest);
            assert!(
                !rest.contains("HTTP/1.1 414") && !rest.contains("HTTP/1.0 414"),
                "case {case}: {:?} was answered {rest:?}",
                String::from_utf8_lossy(&bytes)
            );
        });
    }
    while let Some(outcome) = cases.join_next().await {
        outcome.unwrap();
    }
    until("all connections are over", || edge.stats.open.get() == 0).await;
    assert_eq!(edge.raw().await.ask(get("/")).await.status, 200);
}
