//! What clients asked of one OTP, and what they were told: operations with the order in which they began and ended.

use serde_json::Value;

use crate::support::Answer;

/// Where an OTP stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Active,
    Verified,
    TooManyAttempts,
    Expired,
}

/// What an answer shows of an OTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) status: Status,
    pub(crate) attempts: u64,
    /// Whether its newest message went by voice: a send goes by SMS, a resend by voice.
    pub(crate) voice: bool,
}

impl State {
    /// An OTP that was just sent.
    pub(crate) const SENT: Self = Self { status: Status::Active, attempts: 0, voice: false };

    /// Reads it off an answer.
    pub(crate) fn of(otp: &Value) -> Self {
        let status = match otp["otpStatus"].as_str() {
            Some("ACTIVE") => Status::Active,
            Some("VERIFIED") => Status::Verified,
            Some("TOO_MANY_ATTEMPTS") => Status::TooManyAttempts,
            Some("EXPIRED") => Status::Expired,
            _ => panic!("no status in {otp}"),
        };
        Self { status, attempts: otp["attemptCount"].as_u64().unwrap(), voice: otp["channel"] == "VOICE" }
    }
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Verify with a wrong code.
    Wrong,
    /// Verify with the right code.
    Right,
    Resend,
    Delete,
    Read,
}

/// What the client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// The OTP: after a resend or a read, before a delete.
    State(State),
    /// A verdict, and the OTP after it.
    Verdict(bool, State),
    /// 404.
    Missing,
    /// 409: a resend of what is final.
    Conflict,
    /// 503: it was not done.
    Refused,
    /// No answer came: it was done, or not.
    Nothing,
}

impl Told {
    /// What `answer` to `op` says. A refusal must name the time to wait, and give no verdict.
    pub(crate) fn of(op: Op, answer: &Answer) -> Self {
        match (answer.status, op) {
            (200, Op::Wrong | Op::Right) => {
                let otp = answer.json();
                Self::Verdict(otp["verified"].as_bool().unwrap(), State::of(&otp))
            }
            (200, _) => Self::State(State::of(&answer.json())),
            (404, _) => Self::Missing,
            (409, Op::Resend) => Self::Conflict,
            (503, _) => {
                let wait = answer.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
                assert!(wait.is_some_and(|seconds| seconds >= 1), "without a time to wait: {answer:?}");
                let problem = answer.json();
                assert!(
                    problem.get("verified").is_none() && problem.get("otpStatus").is_none(),
                    "a verdict: {answer:?}"
                );
                Self::Refused
            }
            _ => panic!("{op:?} was answered {answer:?}"),
        }
    }

    /// Whether it acknowledges a write, had the operation been one.
    pub(crate) const fn acknowledges(self) -> bool {
        matches!(self, Self::State(_) | Self::Verdict(..))
    }
}

/// One operation and its answer. Ticks order all beginnings and ends of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) began: u64,
    /// For an operation without an answer: when the server was gone.
    pub(crate) ended: u64,
    pub(crate) op: Op,
    pub(crate) told: Told,
    /// The OTP's time may have run out by then.
    pub(crate) late: bool,
}
