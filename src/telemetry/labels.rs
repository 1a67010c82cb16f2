//! The words that label a metric: closed sets, so that no caller can make a new time series. Knows no registry.

/// A closed set of words.
pub trait Label: Copy + Send + Sync + 'static {
    /// What the label is called.
    const NAME: &'static str;
    /// All values, in the order of their discriminants.
    const ALL: &'static [Self];

    /// The word.
    fn word(self) -> &'static str;

    /// Its place in [`Label::ALL`].
    fn index(self) -> usize;
}

macro_rules! label {
    ($(#[$doc:meta])* $type:ident, $name:literal, { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $type {
            $($(#[$variant_doc])* $variant,)+
        }

        impl Label for $type {
            const NAME: &'static str = $name;
            const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            fn index(self) -> usize {
                self as usize
            }
        }
    };
}

label!(
    /// What became of a call that came again.
    Repetition, "outcome", {
        /// It was answered as the first time.
        Replayed = "replayed",
        /// It was another request under the same key.
        Reused = "reused",
    }
);

label!(
    /// The class of an HTTP status.
    StatusClass, "status", {
        /// 100 to 199.
        Informational = "1xx",
        /// 200 to 299.
        Success = "2xx",
        /// 300 to 399.
        Redirection = "3xx",
        /// 400 to 499.
        ClientError = "4xx",
        /// 500 and above.
        ServerError = "5xx",
    }
);

impl StatusClass {
    /// The class of a status.
    #[must_use]
    pub const fn of(status: u16) -> Self {
        match status {
            0..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            _ => Self::ServerError,
        }
    }
}

label!(
    /// Why an authentication was refused.
    AuthRefusal, "cause", {
        /// No credential came.
        Missing = "missing",
        /// What came is no key of this gateway's making.
        Malformed = "malformed",
        /// No connection has it, or its secret is another.
        Unknown = "unknown",
        /// The key's overlap is over.
        Expired = "expired",
        /// What came beside a name does not prove it.
        Unproven = "unproven",
        /// A proof of another time.
        Stale = "stale",
        /// A proof that served before.
        Replayed = "replayed",
    }
);

label!(
    /// What the quota said.
    QuotaVerdict, "verdict", {
        /// The call is counted.
        Admitted = "admitted",
        /// The window is full.
        Refused = "refused",
    }
);

label!(
    /// What became of a send or resend.
    SendOutcome, "outcome", {
        /// A message is queued.
        Queued = "queued",
        /// The request is wrong.
        Invalid = "invalid",
        /// The number's country is not sent to.
        Country = "country",
        /// The number is of a kind that is not sent to.
        Line = "line",
        /// No carrier takes it on this channel.
        Channel = "channel",
        /// The number has had its sends.
        Limited = "limited",
        /// The number is locked.
        Locked = "locked",
        /// The daily ceiling is reached.
        Ceiling = "ceiling",
        /// A resend of an OTP that is over, or unknown.
        Over = "over",
        /// The store did not do it.
        Failed = "failed",
    }
);

label!(
    /// The verdict on a code.
    VerifyOutcome, "outcome", {
        /// Right.
        Verified = "verified",
        /// Wrong, with attempts left.
        Wrong = "wrong",
        /// Wrong, and the last attempt; or none was left.
        TooManyAttempts = "too_many_attempts",
        /// Too late.
        Expired = "expired",
        /// Used before.
        Used = "used",
        /// The number is locked.
        Locked = "locked",
        /// No such OTP.
        Unknown = "unknown",
        /// The store did not do it.
        Failed = "failed",
    }
);

label!(
    /// What became of a delivery.
    Courier, "outcome", {
        /// A provider took the message.
        Sent = "sent",
        /// A provider did not say whether it took it.
        Unknown = "unknown",
        /// It is tried again later.
        Retried = "retried",
        /// It will not arrive.
        Undeliverable = "undeliverable",
        /// Its OTP was over before it could go.
        Dropped = "dropped",
    }
);

label!(
    /// What became of a submit by SMPP.
    SmppSubmit, "outcome", {
        /// The centre took it.
        Taken = "taken",
        /// It was too fast for the centre.
        Throttled = "throttled",
        /// The centre, or the link, was out of order.
        Failed = "failed",
        /// The centre will never take it.
        Refused = "refused",
        /// Nobody knows.
        Unknown = "unknown",
    }
);

label!(
    /// How a provider answered a submission.
    Submission, "outcome", {
        /// It took the message.
        Taken = "taken",
        /// It did not, and may later.
        Retryable = "retryable",
        /// It will not.
        Refused = "refused",
        /// It did not say.
        Unknown = "unknown",
    }
);

label!(
    /// What a message centre sent.
    SmppReceived, "what", {
        /// A receipt: the phone has it.
        Delivered = "delivered",
        /// A receipt: it will not arrive.
        Failed = "failed",
        /// A receipt: it is on its way.
        OnItsWay = "on_its_way",
        /// A message that a phone sent.
        Message = "message",
        /// What cannot be read.
        Unreadable = "unreadable",
        /// A receipt that was not kept.
        NotKept = "not_kept",
    }
);

label!(
    /// What a carrier's receipt said.
    Receipt, "outcome", {
        /// The phone has it.
        Delivered = "delivered",
        /// It will not arrive.
        Failed = "failed",
        /// It is on its way.
        OnItsWay = "on_its_way",
        /// It was known already, or came too late to matter.
        Old = "old",
        /// Nobody knows the message yet.
        Early = "early",
    }
);

label!(
    /// What became of a try to tell a subscriber of an event.
    Webhook, "outcome", {
        /// The subscriber took it.
        Delivered = "delivered",
        /// It is tried again later.
        Retried = "retried",
        /// It is a dead letter.
        Dead = "dead",
        /// Its subscription was over.
        Dropped = "dropped",
    }
);

label!(
    /// What became of a verification.
    Verification, "event", {
        /// It was opened.
        Opened = "opened",
        /// The person gave the right code.
        Verified = "verified",
        /// Its time ran out.
        Expired = "expired",
        /// Wrong codes used the attempts up.
        TooManyAttempts = "too_many_attempts",
        /// No message will arrive.
        Undeliverable = "undeliverable",
        /// The person said that the number is not theirs.
        CancelledByPerson = "cancelled_by_person",
        /// Whoever asked for it ended it.
        CancelledByFlow = "cancelled_by_flow",
    }
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_is_found_at_its_index() {
        fn check<L: Label>() {
            for (index, label) in L::ALL.iter().enumerate() {
                assert_eq!(label.index(), index);
                assert!(
                    label.word().bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
                );
            }
        }
        check::<StatusClass>();
        check::<AuthRefusal>();
        check::<SendOutcome>();
        check::<VerifyOutcome>();
        check::<Courier>();
        check::<Submission>();
        check::<Receipt>();
        check::<Webhook>();
        check::<Verification>();
        check::<SmppSubmit>();
        check::<SmppReceived>();
        assert_eq!(StatusClass::of(204).word(), "2xx");
        assert_eq!(StatusClass::of(599).word(), "5xx");
    }
}
