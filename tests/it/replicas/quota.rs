//! One connection's quota over the union of the replicas: exact in every period, while replicas die and come.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::fleet::Fleet;
use crate::support::redis::Redis;
use crate::support::{Client, Ends};

const CLIENTS: usize = 64;
const CALLS: usize = 100;
/// The store's clock counts whole milliseconds.
const GRAIN: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Admitted,
    Refused,
    /// The replica died, or could not say: it may have been counted or not.
    Nothing,
}

/// A call as its caller saw it: it was decided on somewhere between these two instants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) began: Duration,
    pub(super) ended: Duration,
    pub(super) said: Said,
}

/// The most calls that were certainly admitted within one period.
pub(super) fn most_in_a_period(calls: &[Call], period: Duration) -> usize {
    let admitted: Vec<_> = calls.iter().filter(|call| call.said == Said::Admitted).collect();
    let within = |from: Duration| {
        admitted.iter().filter(|call| call.began >= from && call.ended + GRAIN < from + period).count()
    };
    admitted.iter().map(|call| within(call.began)).max().unwrap_or(0)
}

/// The fewest calls that may have been counted when one was refused.
fn fewest_at_a_refusal(calls: &[Call], period: Duration) -> Option<usize> {
    let counted = || calls.iter().filter(|call| call.said != Said::Refused);
    let (mut begins, mut ends): (Vec<_>, Vec<_>) = counted().map(|call| (call.began, call.ended)).unzip();
    begins.sort_unstable();
    ends.sort_unstable();
    let refused = calls.iter().filter(|call| call.said == Said::Refused);
    let possible = |call: &Call| {
        let over = (call.began.saturating_sub(GRAIN)).checked_sub(period);
        let begun = begins.partition_point(|began| *began <= call.ended + GRAIN);
        begun - over.map_or(0, |over| ends.partition_point(|ended| *ended < over))
    };
    refused.map(possible).min()
}

/// Calls from many clients over all the replicas, which die and come again all the while.
fn calls(fleet: &mut Fleet, key: &str, length: Duration, pause: Duration, dies_every: Duration) -> Vec<Call> {
    let addresses = Mutex::new(fleet.addresses());
    let (stop, turns, clock) = (AtomicBool::new(false), AtomicUsize::new(0), Instant::now());
    std::thread::scope(|scope| {
        let ends = Ends(&stop);
        let worker = |number: usize| {
            let (addresses, stop, turns) = (&addresses, &stop, &turns);
            move || {
                let (mut calls, mut at): (Vec<Call>, Option<(SocketAddr, Client)>) = (Vec::new(), None);
                while !stop.load(Ordering::Relaxed) {
                    let (address, client) = at.get_or_insert_with(|| {
                        let address = addresses.lock().unwrap()[number % 4];
                        (address, Client::new(address, Some(key)))
                    });
                    // Half of them are counted before they are done, half of them by what they do.
                    let turn = turns.fetch_add(1, Ordering::Relaxed);
                    let body = format!("{{\"number\": \"+49151{turn:08}\"}}");
                    let json = [("Content-Type", "application/json")];
                    let began = clock.elapsed();
                    let answer = match turn % 2 {
                        0 => client.try_once("GET", "/v1/connection", &[], ""),
                        _ => client.try_once("POST", "/v1/otp", &json, &body),
                    };
                    let said = match answer {
                        Ok(answer) => match answer.status {
                            200 => Said::Admitted,
                            429 => Said::Refused,
                            503 => Said::Nothing,
                            other => panic!("{other} of {address}: {answer:?}"),
                        },
                        // It was never sent.
                        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
                            at = None;
                            std::thread::sleep(Duration::from_millis(20));
                            continue;
                        }
                        Err(_) => {
                            at = None;
                            Said::Nothing
                        }
                    };
                    calls.push(Call { began, ended: clock.elapsed(), said });
                    std::thread::sleep(pause);
                }
                calls
            }
        };
        let workers: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(worker(number))).collect();
        let mut dies = dies_every;
        for index in (0..4).cycle() {
            while clock.elapsed() < dies.min(length) {
                std::thread::sleep(Duration::from_millis(10));
            }
            if clock.elapsed() >= length {
                break;
            }
            fleet.replace(index);
            addresses.lock().unwrap()[index] = fleet.replicas[index].public;
            dies = clock.elapsed() + dies_every;
        }
        drop(ends);
        workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect()
    })
}

fn hold(redis: &Redis, period: u64, length: Duration, pause: Duration) {
    let mut fleet = Fleet::start(4, &redis.address());
    let made = fleet.create_key(&["--calls", &CALLS.to_string(), "--period", &period.to_string()]);
    let key = made["key"].as_str().unwrap().to_owned();
    let dies_every = (length / 12).max(Duration::from_millis(1_100));
    let calls = calls(&mut fleet, &key, length, pause, dies_every);
    let count = |said: Said| calls.iter().filter(|call| call.said == said).count();
    let (admitted, refused, nothing) = (count(Said::Admitted), count(Said::Refused), count(Said::Nothing));
    println!("{admitted} admitted, {refused} refused, {nothing} not answered in {length:?}");
    let period = Duration::from_secs(period);
    let most = most_in_a_period(&calls, period);
    assert!(most <= CALLS, "{most} admitted within a period");
    let fewest = fewest_at_a_refusal(&calls, period).expect("nobody was refused");
    assert!(fewest >= CALLS, "refused where at most {fewest} were counted");
    // Nothing of this says anything unless the quota was reached again and again.
    let periods = usize::try_from(length.as_millis() / period.as_millis()).unwrap();
    assert!(admitted + nothing >= CALLS * periods.saturating_sub(1).max(1), "{admitted} in {periods} periods");
    assert!(nothing < admitted / 2 + CALLS, "{nothing} were not answered");
}

#[test]
fn four_replicas_that_die_and_come_admit_exactly_n_in_any_two_seconds() {
    hold(&Redis::start(), 2, Duration::from_secs(24), Duration::from_millis(30));
}

#[test]
fn four_replicas_on_a_cluster_that_die_and_come_admit_exactly_n_in_any_two_seconds() {
    hold(&Redis::cluster(3), 2, Duration::from_secs(24), Duration::from_millis(30));
}

#[test]
fn four_replicas_that_die_and_come_admit_exactly_a_hundred_in_any_sixty_seconds() {
    hold(&Redis::start(), 60, Duration::from_secs(75), Duration::from_millis(400));
}

#[test]
fn the_checks_see_one_too_many_and_one_too_few() {
    let at = |millis: u64, said: Said| {
        let began = Duration::from_millis(millis);
        Call { began, ended: began + Duration::from_millis(1), said }
    };
    let period = Duration::from_secs(1);
    let mut calls: Vec<_> = (0..5).map(|call| at(call * 10, Said::Admitted)).collect();
    assert_eq!(most_in_a_period(&calls, period), 5);
    assert_eq!(fewest_at_a_refusal(&calls, period), None);
    calls.push(at(500, Said::Refused));
    assert_eq!(fewest_at_a_refusal(&calls, period), Some(5));
    // By then the first three have left the period.
    calls.push(at(1_025, Said::Refused));
    assert_eq!(fewest_at_a_refusal(&calls, period), Some(2));
    calls.push(at(900, Said::Admitted));
    assert_eq!(most_in_a_period(&calls, period), 6);
}
