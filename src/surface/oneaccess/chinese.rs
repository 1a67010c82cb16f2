//! What follows the words of an error in Chinese: the members that are faulty and what each has to be, and what a layer
//! refused. Knows no code of an error.

use crate::layer::refusal::Refusal;
use crate::surface::fault::Fault;
use crate::surface::refusal::words;

/// Faulty parameters, each with what would be right.
pub(super) fn faults(faults: &[Fault]) -> String {
    faults.iter().map(fault).collect::<Vec<_>>().join("；")
}

fn fault(fault: &Fault) -> String {
    let name = fault.name();
    if fault.is_absence() {
        format!("{name}不能为空")
    } else if fault.is_repetition() {
        format!("{name}只能出现一次")
    } else {
        format!("{name}须为{}", right(name))
    }
}

/// What a member has to be, whichever way it is wrong.
fn right(name: &str) -> &'static str {
    match name {
        "body" => "UTF-8编码的JSON对象",
        "mobile" => "字符串：带+和国家码的手机号，或首选国家的国内号码",
        "type" => {
            "字符串，取值为REGISTER_SMS、LOGIN_SMS、FORGET_PWD_SMS、BIND_MOBILE_SMS、UPDATE_MOBILE_SMS、OTP_REST_SMS之一"
        }
        "point_json" => "字符串，内容为JSON，例如{\"x\":237.0,\"y\":5.0}，其中y为5.0",
        "sender" => "字符串，最多254字节",
        "verify_code" => "字符串，最多64字节",
        "session_token" => "字符串，最多256字节",
        _ => "字符串",
    }
}

/// What a layer refused.
pub(super) fn refusal(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Guarded { retry_after } => format!("请在{retry_after}秒后重试"),
        Refusal::Forbidden(scope) => format!("需要权限{}", scope.name()),
        Refusal::UriTooLong(limit) => format!("路径和查询最多{limit}字节"),
        Refusal::FieldsTooLarge { fields, bytes } => format!("请求头最多{fields}个字段，共{bytes}字节"),
        Refusal::MalformedHead { name, .. } => format!("{name}无效"),
        Refusal::BodyTooLarge(limit) => format!("请求体最多{limit}字节"),
        Refusal::BodyTooSlow => "请求体未在规定时间内到达".to_owned(),
        Refusal::BodyUnreadable => "请求体中断，或不符合HTTP规则".to_owned(),
        Refusal::UnsupportedMediaType => "请求体须为JSON，Content-Type须为application/json".to_owned(),
        Refusal::MalformedIdempotencyKey => "须为1至255个可见ASCII字符，且只出现一次".to_owned(),
        Refusal::ReusedIdempotencyKey => "该值已用于另一个请求".to_owned(),
        // Clients read the number out of the sentence on the quota; the others have nothing after their words.
        Refusal::OverQuota { .. }
        | Refusal::Unauthenticated(_)
        | Refusal::NotFound
        | Refusal::MethodNotAllowed
        | Refusal::Unavailable { .. }
        | Refusal::Unanswered { .. }
        | Refusal::Internal => words(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::scope::Scope;
    use crate::surface::input::Input;

    #[test]
    fn no_sentence_of_english_follows_chinese_words() {
        let mut input = Input::lenient_json(br#"{"a":1,"a":2,"mobile":7,"sender":"x"}"#).unwrap();
        for name in ["mobile", "type", "sender"] {
            assert_eq!(input.required(name, |_| Err::<(), _>("in English")), None);
        }
        let said = faults(&input.finish().unwrap_err());
        let mobile = format!("mobile须为{}", right("mobile"));
        assert_eq!(said, format!("a只能出现一次；{mobile}；type不能为空；sender须为字符串，最多254字节"));
        assert_eq!(faults(&[Input::json(b"[").unwrap_err()]), "body须为UTF-8编码的JSON对象");
        for refused in [
            Refusal::Guarded { retry_after: 7 },
            Refusal::Forbidden(Scope::Send),
            Refusal::UriTooLong(7),
            Refusal::FieldsTooLarge { fields: 7, bytes: 8 },
            Refusal::MalformedHead { name: "Host", detail: "must be one" },
            Refusal::BodyTooLarge(7),
            Refusal::BodyTooSlow,
            Refusal::BodyUnreadable,
            Refusal::UnsupportedMediaType,
            Refusal::MalformedIdempotencyKey,
            Refusal::ReusedIdempotencyKey,
        ] {
            let said = refusal(&refused);
            assert!(!said.is_ascii() && !said.contains(' '), "{said}");
        }
    }
}
