//! The message centre of the tests as a program, for clients that others wrote (`smpp_client.py`): prints where it listens,
//! then each submit on a line; takes it, and sends a receipt. Ends with its stdin.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a helper of tests ends by panicking, and speaks to stdout"
)]

#[path = "../it/support/centre.rs"]
#[allow(dead_code, reason = "the tests use the rest of it")]
mod centre;

use std::fmt::Write as _;

use centre::{Act, Centre};

fn main() {
    let centre = Centre::with(|submit| {
        let hex = submit.bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = write!(hex, "{byte:02x}");
            hex
        });
        println!(
            "{} {} {} {} {} {hex}",
            submit.source.2, submit.destination.2, submit.esm_class, submit.data_coding, submit.registered
        );
        let answer = Act::Answer(0, submit.id.clone());
        if submit.registered == 1 {
            vec![answer, Act::Receipt(submit.id.clone(), "DELIVRD", "000")]
        } else {
            vec![answer]
        }
    });
    println!("listening on {}", centre.address());
    // Until whoever started it is gone.
    let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
    // What the client wrote last may still be on its way to the thread that reads it.
    for _ in 0..1_000 {
        if centre.seen().unbinds > 0 && centre.unacknowledged() == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let seen = centre.seen();
    println!("{} binds, {} unbinds, {} enquiries", seen.binds.len(), seen.unbinds, seen.enquiries);
    assert_eq!(centre.unacknowledged(), 0, "every receipt was taken");
}
