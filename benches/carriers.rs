//! Status while carriers do not work, beside the same with carriers that answer at once: two gateways with the same seven
//! carriers in their configuration, each under a steady background of sends that goes to all seven in turn.
//!
//! The gateway that is not measured is stopped by a signal meanwhile, so that it takes nothing from the one that is.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a bench prints, reads the real clock, computes with rounded figures, and ends by panicking"
)]

#[allow(dead_code, reason = "shared with the bench of the gateway, which needs more of them")]
mod gateway_parts {
    pub(crate) mod disk;
    pub(crate) mod load;
    pub(crate) mod process;
}
mod carriers_parts {
    pub(crate) mod carrier;
}

use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use carriers_parts::carrier::{BAD, Carrier, Conduct};
use gateway_parts::load::{Call, Figures, paced, run};
use gateway_parts::process::Gateway;

const PAIRS: usize = 5;
const STATUS_CALLS: usize = 100_000;
const CONNECTIONS: usize = 64;
/// One send in this time: 200 a second.
const PACE: Duration = Duration::from_millis(5);
/// How long a gateway is under its background before anything is measured: the circuits have opened, and what hangs hangs.
const WARM_UP: Duration = Duration::from_secs(15);
/// How long it has again to be at work when it goes on.
const LEAD: Duration = Duration::from_secs(2);

/// A gateway with its carriers.
struct Side {
    gateway: Gateway,
    carriers: Vec<Carrier>,
    key: String,
    /// The OTP whose status is asked for.
    watched: String,
    sent: AtomicUsize,
}

impl Side {
    fn start(conducts: [Conduct; 7]) -> Self {
        let carriers: Vec<_> = conducts.into_iter().map(Carrier::start).collect();
        let gateway = Gateway::configured(&config(&carriers));
        let key = gateway.key(&["--unlimited"]);
        let watched = gateway.send(&key, "+4917012345678", "123456");
        Self { gateway, carriers, key, watched, sent: AtomicUsize::new(0) }
    }

    /// Does `work` under the background of sends, when that has had its `lead`.
    fn under_way<T>(&self, lead: Duration, work: impl FnOnce() -> T) -> T {
        self.gateway.signal("CONT");
        let over = AtomicBool::new(false);
        let done = std::thread::scope(|scope| {
            let background = scope.spawn(|| {
                paced(self.gateway.address, PACE, &over, &|_| {
                    let index = self.sent.fetch_add(1, Ordering::Relaxed);
                    // The digit chooses the carrier.
                    Call::send(&self.key, &format!("+49151{}{:07}", index % BAD.len(), index), "123456")
                })
            });
            std::thread::sleep(lead);
            let done = work();
            over.store(true, Ordering::Relaxed);
            assert_eq!(background.join().unwrap(), 0, "sends were refused");
            done
        });
        self.gateway.signal("STOP");
        done
    }

    fn measure(&self) -> Figures {
        let status = Call::get(&format!("/v1/otp/{}", self.watched), &self.key);
        let figures =
            self.under_way(LEAD, || run(self.gateway.address, CONNECTIONS, STATUS_CALLS, &|_| status.clone()));
        assert_eq!(figures.failed, 0);
        figures
    }

    fn submissions(&self) -> Vec<usize> {
        self.carriers.iter().map(Carrier::submissions).collect()
    }
}

/// Seven carriers, and the numbers of each. What is unknown is repeated after five seconds.
fn config(carriers: &[Carrier]) -> String {
    let mut text = "public_url = \"https://otp.example.com\"\n[limits]\nsends_per_number = []\n[delivery]\n\
                    countries = \"all\"\nmessages_per_day = \"none\"\nreceipt_within = \"5s\"\n"
        .to_owned();
    for (index, carrier) in carriers.iter().enumerate() {
        let address = carrier.address;
        let _ = write!(
            text,
            "[[delivery.providers]]\nname = \"c{index}\"\ntype = \"http\"\npreset = \"webhook\"\nchannels = [\"SMS\"]\n\
             url = \"http://{address}\"\n\
             http = {{ timeout = \"2s\", credentials = {{ secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\" }} }}\n\
             [[delivery.routes]]\nprefixes = [\"+49151{index}\"]\nproviders = [\"c{index}\"]\n"
        );
    }
    text + "[[delivery.routes]]\nproviders = [\"c0\"]\n"
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn main() {
    let (good, bad) = (Side::start([Conduct::Take; 7]), Side::start(BAD));
    for side in [&good, &bad] {
        side.under_way(WARM_UP, || {});
    }
    let mut pairs = Vec::new();
    for pair in 0..PAIRS {
        // Who goes first takes turns.
        pairs.push(if pair % 2 == 0 {
            let limit = good.measure();
            (bad.measure(), limit)
        } else {
            (bad.measure(), good.measure())
        });
    }
    let (taken, tried) = (good.submissions(), bad.submissions());
    assert!(taken.iter().all(|count| *count > 0), "{taken:?}");
    assert!(BAD.iter().zip(&tried).all(|(conduct, count)| *conduct == Conduct::Refuse || *count > 0), "{tried:?}");
    let millis = |figures: &Figures| figures.p99.as_secs_f64() * 1e3;
    let ratios: Vec<_> = pairs.iter().map(|(ours, limit)| millis(ours) / millis(limit)).collect();
    let ratio = median(ratios.clone());
    // The figures beside it are those of the pair whose ratio it is.
    let (ours, limit) = &pairs[ratios.iter().position(|one| one.total_cmp(&ratio).is_eq()).unwrap()];
    println!("{:<44}{:>18}{:>18}{:>9}  bound", "", "bad carriers", "good carriers", "ratio");
    let row = |what: &str, ours: String, limit: String, ratio: f64, bound: &str| {
        println!("{what:<44}{ours:>18}{limit:>18}{ratio:>9.2}  {bound}");
    };
    let tail = |figures| format!("{:.2} ms", millis(figures));
    row("Status p99, 64 connections, 200 sends/s", tail(ours), tail(limit), ratio, "<= 1.5");
    let rate = |figures: &Figures| format!("{:.0}/s", figures.per_second);
    let rates = pairs.iter().map(|(ours, limit)| ours.per_second / limit.per_second).collect();
    row("Status, 64 connections, 200 sends/s", rate(ours), rate(limit), median(rates), "");
    println!(
        "p99 of each pair: {ratios:.2?}; submissions that arrived (refuse, hang, 500, 429, garbage, drip, reset): {tried:?}"
    );
}
