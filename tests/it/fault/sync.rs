//! No acknowledgement before the disk has it. A killed process leaves its writes to the kernel, so kills cannot show this;
//! the order of the calls can: between the request and its answer the log was synced.

use serde_json::json;

use crate::fault::crash::{start, unlimited_key};
use crate::fault::load::wall_clock;
use crate::fault::tracer::Tracer;
use crate::support::{Answer, Client, Options};

const LOG: &[&str] = &["otpgate.db-wal"];

/// How much longer each sync takes, in microseconds: an answer that does not wait for it is out before its end.
const DELAY: u32 = 10_000;

/// What a client did, and when it began and ended, in microseconds since 1970.
type Done = (&'static str, u64, u64);

fn timed(done: &mut Vec<Done>, name: &'static str, call: impl FnOnce() -> Answer) -> Answer {
    let began = wall_clock();
    let answer = call().expect(200);
    done.push((name, began, wall_clock()));
    answer
}

/// Everything that writes, one after the other.
fn write(client: &mut Client, number: u32, done: &mut Vec<Done>) {
    let body = json!({"number": format!("+49151{number:08}"), "otpCode": "123456"});
    let send = |client: &mut Client| client.post_json("/v1/otp", &body);
    let otp = timed(done, "send", || send(client)).json();
    let path = format!("/v1/otp/{}", otp["otpId"].as_str().unwrap());
    timed(done, "resend", || client.post_json(&format!("{path}/resend"), &json!({})));
    for code in ["000000", "123456"] {
        timed(done, "verify", || client.post_json(&format!("{path}/verify"), &json!({"otpCode": code})));
    }
    timed(done, "delete", || client.delete(&path));
}

#[test]
fn every_acknowledgement_waits_for_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let key = unlimited_key(&data);
    let mut server = start(&data, &Options::default());
    let tracer = Tracer::watch(server.id(), &data, "fsync,fdatasync", LOG, DELAY);
    let (mut client, mut done) = (server.client(&key), Vec::new());
    for number in 0..20 {
        write(&mut client, number, &mut done);
    }
    server.kill();
    let calls = tracer.wait_for_calls();
    let unsynced = |(_, began, ended): &&Done| !calls.iter().any(|(from, to)| from >= began && to <= ended);
    let lies: Vec<_> = done.iter().filter(unsynced).collect();
    assert!(lies.is_empty(), "of {} writes, acknowledged before a sync of the log: {lies:?}", done.len());
}
