//! Errors as OneAccess words them: `error_code` and `error_msg`, in English or Chinese. One code a cause, documented here.
//!
//! APP.0001, APP.0002, CAPTCHA.0003 and CAPTCHA.0004 are OneAccess' own; the others continue its way of naming.

use http::{HeaderMap, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::access::credential::{Credential, Proof, PublicName};
use crate::clock::UnixMillis;
use crate::idempotency::Answer;
use crate::identity::pair::PairError;
use crate::layer::refusal::{Dialect, Flaw, Presented, Refusal, api_key_header};
use crate::layer::trace::Stamp;
use crate::layer::{Request, Response};
use crate::otp::command::SendRefusal;
use crate::otp::store::StoreError;
use crate::surface::answer::{given, kept_json, retry_after};
use crate::surface::extract::Call;
use crate::surface::fault::Fault;
use crate::surface::oneaccess::chinese;
use crate::surface::refusal::{status, store_refusal, wait, words};

/// An error of the dialect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct OneAccessError {
    /// One code a cause.
    #[schema(example = "CAPTCHA.0004")]
    error_code: &'static str,
    /// What is wrong, in the language of `X-L`.
    error_msg: String,
}

/// The language of errors, as `X-L` names it: Chinese where it begins with zh, else English.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tongue {
    English,
    Chinese,
}

impl Tongue {
    /// What a request asks for.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let wish = headers.get("x-l").map(http::HeaderValue::as_bytes).unwrap_or_default();
        let chinese = wish.get(..2).is_some_and(|start| start.eq_ignore_ascii_case(b"zh"));
        if chinese { Self::Chinese } else { Self::English }
    }
}

/// What can be wrong, each with its code and its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    /// APP.0001: the credential opens nothing.
    UnknownApplication,
    /// APP.0002: there is none.
    NoClientId,
    /// APP.0003: the connection lacks a scope.
    Forbidden,
    /// PARAM.0001: the body is not JSON.
    NotJson,
    /// PARAM.0002: a member is missing or wrong.
    BadParameter,
    /// PARAM.0003: the `Idempotency-Key` is not one, or belongs to another request.
    IdempotencyKey,
    /// CAPTCHA.0003: the puzzle is over.
    CaptchaExpired,
    /// CAPTCHA.0004: the puzzle is not solved, was spent, or is another's.
    CaptchaInvalid,
    /// SMS.0001: the country is not served.
    CountryNotServed,
    /// SMS.0002: the number had enough messages for now, or is locked.
    SendLimit,
    /// SMS.0003: today's messages to the country are used up.
    DailyCeiling,
    /// SMS.0004: the number is of a kind that gets no text messages, or no carrier takes them.
    NumberNotServed,
    /// SMS.0005: the application's text needs what this dialect cannot say.
    UnfitText,
    /// CODE.0001: no such code, or a wrong one: which of them is told to nobody.
    WrongCode,
    /// SESSION.0001: the token opens no session.
    UnknownSession,
    /// SIGNATURE.0001: `X-signature` cannot be read.
    BadSignature,
    /// SIGNATURE.0002: its time is too far off.
    StaleSignature,
    /// SIGNATURE.0003: its nonce was seen before.
    ReplayedSignature,
    /// LIMIT.0001: the quota is used up.
    OverQuota,
    /// LIMIT.0002: too many failures from this address.
    Guarded,
    /// LIMIT.0003: too much of the same work waits.
    Busy,
    /// OFFER.0001: the path belongs to the identity product.
    NotOffered,
    /// HTTP.0001: no such path.
    NotFound,
    /// HTTP.0002: the path knows other methods.
    MethodNotAllowed,
    /// HTTP.0003: too large, too slow, or not what HTTP allows.
    Transport,
    /// SYSTEM.0001: a fault of the gateway.
    Internal,
    /// SYSTEM.0002: temporarily unavailable; nothing was done.
    Unavailable,
    /// SYSTEM.0003: the store did not answer; it may have been done.
    Unanswered,
}

impl Cause {
    /// Code, English and Chinese words. Words that end with a colon are followed by what only a request shows.
    const fn row(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::UnknownApplication => {
                ("APP.0001", "The application does not exist or may not be used.", "应用不存在或不可用")
            }
            Self::NoClientId => ("APP.0002", "X-client-id is required.", "X-client-id不能为空"),
            Self::Forbidden => ("APP.0003", "The application may not do this:", "应用无此权限："),
            Self::NotJson => ("PARAM.0001", "The body is wrong:", "请求体错误："),
            Self::BadParameter => ("PARAM.0002", "A parameter is wrong:", "参数错误："),
            Self::IdempotencyKey => ("PARAM.0003", "Idempotency-Key is wrong:", "Idempotency-Key错误："),
            Self::CaptchaExpired => ("CAPTCHA.0003", "The captcha token has expired.", "图形验证码已过期"),
            Self::CaptchaInvalid => ("CAPTCHA.0004", "The captcha token is invalid.", "图形验证码无效"),
            Self::CountryNotServed => {
                ("SMS.0001", "Messages to this country are not offered.", "不支持向该国家或地区发送短信")
            }
            Self::SendLimit => (
                "SMS.0002",
                "No message may be sent to this number before",
                "该手机号暂不能接收短信，请于此时间后重试：",
            ),
            Self::DailyCeiling => {
                ("SMS.0003", "Today's messages are used up; again from", "今日短信额度已用完，请于此时间后重试：")
            }
            Self::NumberNotServed => {
                ("SMS.0004", "Text messages to this number are not offered.", "不支持向该号码发送短信")
            }
            Self::UnfitText => {
                ("SMS.0005", "The application's text needs an amount or a payee.", "应用的短信模板需要金额或收款方")
            }
            Self::WrongCode => ("CODE.0001", "The verification code is wrong or has expired.", "验证码错误或已过期"),
            Self::UnknownSession => ("SESSION.0001", "The token is invalid or has expired.", "令牌无效或已过期"),
            Self::BadSignature => ("SIGNATURE.0001", "X-signature is invalid.", "X-signature无效"),
            Self::StaleSignature => (
                "SIGNATURE.0002",
                "The timestamp of X-signature is outside the window.",
                "X-signature的时间戳超出允许范围",
            ),
            Self::ReplayedSignature => {
                ("SIGNATURE.0003", "The nonce of X-signature was used before.", "X-signature的随机数已被使用")
            }
            Self::OverQuota => ("LIMIT.0001", "", ""),
            Self::Guarded => ("LIMIT.0002", "Too many failures from this address:", "该地址失败次数过多："),
            Self::Busy => {
                ("LIMIT.0003", "Too many requests of this kind; try again in a second.", "此类请求过多，请稍后重试")
            }
            Self::NotOffered => (
                "OFFER.0001",
                "This operation belongs to the identity product and is not offered here.",
                "该接口属于身份产品，此处不提供",
            ),
            Self::NotFound => ("HTTP.0001", "No operation has this path.", "接口不存在"),
            Self::MethodNotAllowed => ("HTTP.0002", "The path has no such method.", "不支持该请求方法"),
            Self::Transport => ("HTTP.0003", "The request is not acceptable:", "请求不可接受："),
            Self::Internal => ("SYSTEM.0001", "The fault is the gateway's.", "系统内部错误"),
            Self::Unavailable => {
                ("SYSTEM.0002", "Temporarily unavailable; nothing was done.", "服务暂不可用，请求未被处理")
            }
            Self::Unanswered => (
                "SYSTEM.0003",
                "The store did not answer; it may have been done. Repeat it with the same Idempotency-Key: it is done once.",
                "存储未响应，请求可能已被处理；请使用相同的Idempotency-Key重试，不会重复处理",
            ),
        }
    }

    /// As an answer that can be kept. `more` follows the words, in their language; it is a time, a name, or a sentence.
    pub(super) fn answer(self, status: StatusCode, tongue: Tongue, more: &str) -> Answer {
        let (error_code, english, chinese) = self.row();
        let words = if tongue == Tongue::Chinese { chinese } else { english };
        // A Chinese colon is as wide as a character, its space included.
        let is_apart = tongue == Tongue::English && !words.is_empty() && !more.is_empty();
        let space = if is_apart { " " } else { "" };
        kept_json(status, &OneAccessError { error_code, error_msg: format!("{words}{space}{more}") })
    }
}

/// A 400, as nearly every error of the dialect.
pub(super) fn error(call: &Call, cause: Cause) -> Response {
    given(cause.answer(StatusCode::BAD_REQUEST, Tongue::of(&call.head.headers), ""))
}

/// A 503 that may be tried again at once.
pub(super) fn busy(call: &Call) -> Response {
    let answer = Cause::Busy.answer(StatusCode::SERVICE_UNAVAILABLE, Tongue::of(&call.head.headers), "");
    retry_after(given(answer), 1)
}

/// The store has no outcome to tell of.
pub(super) fn unavailable(call: &Call, error: StoreError) -> Response {
    call.refuse(&store_refusal(error, 1))
}

/// There is no pair of keys at hand.
pub(super) fn no_pair(call: &Call, error: PairError) -> Response {
    match error {
        PairError::Store(error) => unavailable(call, error),
        PairError::Broken => call.refuse(&Refusal::Unavailable { retry_after: 1 }),
    }
}

/// A 400 for faulty parameters.
pub(super) fn invalid(call: &Call, faults: &[Fault]) -> Response {
    let tongue = Tongue::of(&call.head.headers);
    let named = if tongue == Tongue::Chinese {
        chinese::faults(faults)
    } else {
        faults.iter().map(|fault| format!("{} {}", fault.name(), fault.detail)).collect::<Vec<_>>().join("; ")
    };
    let whole = faults.iter().any(|fault| fault.name() == "body");
    let cause = if whole { Cause::NotJson } else { Cause::BadParameter };
    given(cause.answer(StatusCode::BAD_REQUEST, tongue, &named))
}

/// A message that may not leave. 429 only where a retry within a minute succeeds.
pub(super) fn send_refused(call: &Call, refusal: &SendRefusal, now: UnixMillis) -> Response {
    let tongue = Tongue::of(&call.head.headers);
    let bad = |cause: Cause, more: &str| given(cause.answer(StatusCode::BAD_REQUEST, tongue, more));
    match *refusal {
        SendRefusal::UnknownApplication => call.refuse(&Refusal::Internal),
        SendRefusal::ContextNeeded => bad(Cause::UnfitText, ""),
        SendRefusal::CountryNotServed => bad(Cause::CountryNotServed, ""),
        SendRefusal::LineNotServed(_) | SendRefusal::ChannelNotOffered(_) => bad(Cause::NumberNotServed, ""),
        SendRefusal::TooManySends(next) => {
            let millis = next.since(now).as_millis();
            if millis > 60_000 {
                return bad(Cause::SendLimit, &next.to_rfc3339());
            }
            let seconds = u64::try_from(millis.div_ceil(1_000)).unwrap_or(60).max(1);
            let answer = Cause::SendLimit.answer(StatusCode::TOO_MANY_REQUESTS, tongue, &next.to_rfc3339());
            retry_after(given(answer), seconds)
        }
        SendRefusal::Locked(until) => bad(Cause::SendLimit, &until.to_rfc3339()),
        SendRefusal::CeilingReached(next) => bad(Cause::DailyCeiling, &next.to_rfc3339()),
        SendRefusal::TooManyResends => bad(Cause::SendLimit, ""),
    }
}

/// The dialect, in one of its languages.
pub struct OneAccess(Tongue);

/// The dialect in English, which is how it speaks unless `X-L` says otherwise.
pub static ONE_ACCESS: OneAccess = OneAccess(Tongue::English);
static CHINESE: OneAccess = OneAccess(Tongue::Chinese);

impl Dialect for OneAccess {
    fn name(&self) -> &'static str {
        "oneaccess"
    }

    /// The API key where there is one, else the client id, which is public: the operator allows it connection by connection.
    fn credential<'r>(&self, request: &'r Request) -> Presented<'r> {
        let key = api_key_header(request);
        if key != Presented::Nothing {
            return key;
        }
        let mut ids = request.headers().get_all("x-client-id").iter();
        match (ids.next(), ids.next()) {
            (None, _) => Presented::Nothing,
            // An app that was given none sends an empty one.
            (Some(id), None) if id.is_empty() => Presented::Nothing,
            (Some(id), None) => id.to_str().map_or(Presented::Malformed, |id| {
                let name = PublicName::ClientId(id.to_owned());
                Presented::Credential(Box::new(Credential { name, proof: Proof::NameAlone }))
            }),
            (Some(_), Some(_)) => Presented::Malformed,
        }
    }

    fn tuned(&self, request: &Request) -> Option<&'static dyn Dialect> {
        (Tongue::of(request.headers()) == Tongue::Chinese).then_some(&CHINESE as &dyn Dialect)
    }

    fn refuse(&self, refusal: &Refusal, _stamp: Stamp) -> Response {
        let said = if self.0 == Tongue::Chinese { chinese::refusal(refusal) } else { words(refusal) };
        let (cause, more) = match refusal {
            Refusal::Unauthenticated(Flaw::Missing) => (Cause::NoClientId, ""),
            Refusal::Unauthenticated(_) => (Cause::UnknownApplication, ""),
            Refusal::Guarded { .. } => (Cause::Guarded, said.as_str()),
            Refusal::OverQuota { .. } => (Cause::OverQuota, said.as_str()),
            Refusal::Forbidden(_) => (Cause::Forbidden, said.as_str()),
            Refusal::NotFound => (Cause::NotFound, ""),
            Refusal::MethodNotAllowed => (Cause::MethodNotAllowed, ""),
            Refusal::UriTooLong(_)
            | Refusal::FieldsTooLarge { .. }
            | Refusal::MalformedHead { .. }
            | Refusal::BodyTooLarge(_)
            | Refusal::BodyTooSlow
            | Refusal::BodyUnreadable
            | Refusal::UnsupportedMediaType => (Cause::Transport, said.as_str()),
            Refusal::MalformedIdempotencyKey | Refusal::ReusedIdempotencyKey => (Cause::IdempotencyKey, said.as_str()),
            Refusal::Unavailable { .. } => (Cause::Unavailable, ""),
            Refusal::Unanswered { .. } => (Cause::Unanswered, ""),
            Refusal::Internal => (Cause::Internal, ""),
        };
        // OneAccess knows no 401.
        let status =
            if matches!(refusal, Refusal::Unauthenticated(_)) { StatusCode::BAD_REQUEST } else { status(refusal) };
        let response = given(cause.answer(status, self.0, more));
        match wait(refusal) {
            Some(seconds) => retry_after(response, seconds),
            None => response,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_has_a_code_of_its_own_and_words_in_both_languages() {
        use Cause as C;
        let all = [
            C::UnknownApplication,
            C::NoClientId,
            C::Forbidden,
            C::NotJson,
            C::BadParameter,
            C::IdempotencyKey,
            C::CaptchaExpired,
            C::CaptchaInvalid,
            C::CountryNotServed,
            C::SendLimit,
            C::DailyCeiling,
            C::NumberNotServed,
            C::UnfitText,
            C::WrongCode,
            C::UnknownSession,
            C::BadSignature,
            C::StaleSignature,
            C::ReplayedSignature,
            C::OverQuota,
            C::Guarded,
            C::Busy,
            C::NotOffered,
            C::NotFound,
            C::MethodNotAllowed,
            C::Transport,
            C::Internal,
            C::Unavailable,
            C::Unanswered,
        ];
        let page = include_str!("../../../docs/migrate-from-oneaccess.md");
        let mut codes = std::collections::BTreeSet::new();
        for cause in all {
            let (code, english, chinese) = cause.row();
            assert!(codes.insert(code), "{code} twice");
            assert_eq!(english.is_empty(), chinese.is_empty(), "{code}");
            assert!(english.is_ascii() && (chinese.is_empty() || !chinese.is_ascii()), "{code}");
            assert!(page.contains(&format!("| {code} ")), "{code} is not documented");
        }
        assert_eq!(page.lines().filter(|line| line.starts_with("| ") && line.contains(".000")).count(), codes.len());
    }
}
