//! The slider puzzle: shown, and answered. What it may be spent for is said by `sms/send`.

use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::access::scope::Scope;
use crate::identity::captcha::CaptchaError;
use crate::layer::{Request, Response};
use crate::surface::answer::json;
use crate::surface::extract::Call;
use crate::surface::input::Input;
use crate::surface::oneaccess::error::{Cause, OneAccessError, busy, error, invalid, unavailable};
use crate::surface::oneaccess::{Api, ClientHeaders, Mobile};

/// What stands between the token and the answer in a captcha token.
const SEPARATOR: &str = "---";
/// Bytes of a `point_json`.
const POINT_BYTES: usize = 128;
/// Bytes of a sender: a number, or the longest e-mail address (RFC 5321 section 4.5.3.1).
const SENDER_BYTES: usize = 254;

/// A puzzle.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = OneAccessPuzzle)]
pub(super) struct PuzzleEntity {
    /// Its id.
    captcha_id: String,
    /// Always blockPuzzle.
    captcha_type: &'static str,
    /// The background with the hole: PNG, 310 by 155 pixels, Base64.
    original_image_base64: String,
    /// The piece in a transparent strip: PNG, 47 by 155 pixels, Base64.
    jigsaw_image_base64: String,
    /// What the answer is sent with.
    token: String,
    /// Always empty: answers are not encrypted once more.
    secret_key: &'static str,
    /// Always false: it is not solved yet.
    result: bool,
}

/// An answer to a puzzle.
#[derive(Deserialize, ToSchema)]
#[expect(dead_code, reason = "the schema of the body; `Input` reads it, to name every fault at once")]
#[schema(as = OneAccessSolution)]
pub(super) struct SolutionBody {
    /// Where the piece was dropped, as JSON: x in pixels of the background's 310, y always 5.0.
    #[schema(example = "{\"x\":237.0,\"y\":5.0}", max_length = 128)]
    point_json: String,
    /// The puzzle's token.
    token: String,
    /// Whom the message will be for: a mobile number, or an e-mail address.
    #[schema(example = "13800000000", max_length = 254)]
    sender: String,
}

/// A solved puzzle.
#[derive(Serialize, ToSchema)]
#[schema(as = OneAccessSolved)]
pub(super) struct SolvedEntity {
    /// What a message is paid with, once: the token, `---` and the answer.
    captcha_token: String,
}

/// Where a piece was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
struct Point {
    x: f64,
    y: f64,
}

/// Reads a `point_json`.
fn point(text: &str) -> Result<f64, &'static str> {
    let expected = "JSON such as {\"x\":237.0,\"y\":5.0}, where y is 5.0";
    let point: Point = if text.len() <= POINT_BYTES && text.trim_start().starts_with('{') {
        serde_json::from_str(text).ok()
    } else {
        None
    }
    .ok_or(expected)?;
    if point.x.is_finite() && (point.y - 5.0).abs() < 1e-9 { Ok(point.x) } else { Err(expected) }
}

/// A captcha token, taken apart: the puzzle's token and the answer.
pub(super) fn take_apart(text: &str) -> Option<(&str, f64)> {
    let (token, answer) = text.split_once(SEPARATOR)?;
    Some((token, point(answer).ok()?))
}

/// The answer to a puzzle that does not help.
pub(super) fn refused(call: &Call, refusal: CaptchaError) -> Response {
    match refusal {
        CaptchaError::Expired => error(call, Cause::CaptchaExpired),
        CaptchaError::Invalid => error(call, Cause::CaptchaInvalid),
        CaptchaError::Busy => busy(call),
        CaptchaError::Store(error) => unavailable(call, error),
    }
}

/// Get a slider puzzle
///
/// It can be answered once, within five minutes.
#[utoipa::path(
    get, path = "/api/v2/sdk/captcha", operation_id = "OneAccess_GetCaptcha", tag = "oneaccess",
    params(ClientHeaders),
    responses(
        (status = 200, description = "The puzzle", body = PuzzleEntity),
        (status = 400, description = "The client id opens nothing", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
        (status = 503, description = "Too many puzzles are being drawn", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn pose(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let call = Call::open(request, Scope::Send)?;
    let puzzle = api.captchas.pose(call.caller.connection).await.map_err(|refusal| refused(&call, refusal))?;
    let entity = PuzzleEntity {
        captcha_id: puzzle.id,
        captcha_type: "blockPuzzle",
        original_image_base64: STANDARD.encode(&puzzle.drawing.background),
        jigsaw_image_base64: STANDARD.encode(&puzzle.drawing.piece),
        token: puzzle.token,
        secret_key: "",
        result: false,
    };
    Ok(json(StatusCode::OK, &entity))
}

/// Answer a slider puzzle
///
/// The only try. A right answer gives a captcha token, which pays for one message to its sender.
#[utoipa::path(
    post, path = "/api/v2/sdk/captcha/verify", operation_id = "OneAccess_VerifyCaptcha", tag = "oneaccess",
    params(ClientHeaders),
    request_body(content = SolutionBody, description = "The answer"),
    responses(
        (status = 200, description = "It is right", body = SolvedEntity),
        (status = 400, description = "It is wrong, was tried before or is over, or a parameter is wrong", body = OneAccessError),
        (status = 429, description = "Over quota", body = OneAccessError),
    ),
    security(("clientId" = []), ("apikey" = []))
)]
pub(super) async fn solve(State(api): State<Api>, request: Request) -> Result<Response, Response> {
    let mut call = Call::open(request, Scope::Send)?;
    let bytes = call.json_body().await?;
    let mut input = Input::lenient_json(&bytes).map_err(|fault| invalid(&call, &[fault]))?;
    let given = input.required("point_json", |text| point(text).map(|x| (x, text.to_owned())));
    let token = input.required("token", |text| Ok::<_, String>(text.to_owned()));
    let sender = input.required("sender", |text| {
        if text.len() <= SENDER_BYTES { Ok(text.to_owned()) } else { Err("at most 254 bytes") }
    });
    input.finish().map_err(|faults| invalid(&call, &faults))?;
    let (Some((x, point_json)), Some(token), Some(sender)) = (given, token, sender) else {
        return Err(error(&call, Cause::Internal));
    };
    let sender = Mobile::sender(&sender, api.preferred);
    let solved = api.captchas.solve(call.caller.connection, &token, x, &sender).await;
    solved.map_err(|refusal| refused(&call, refusal))?;
    let entity = SolvedEntity { captcha_token: format!("{token}{SEPARATOR}{point_json}") };
    Ok(json(StatusCode::OK, &entity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_captcha_token_comes_apart_where_it_was_joined() {
        assert_eq!(take_apart("ab12---{\"x\":237.0,\"y\":5.0}"), Some(("ab12", 237.0)));
        assert_eq!(take_apart("ab12---{\"y\":5,\"x\":-1}"), Some(("ab12", -1.0)));
        for bad in
            ["", "ab12", "ab12---", "ab12---{\"x\":1}", "ab12---{\"x\":1,\"y\":6}", "ab12---{\"x\":\"1\",\"y\":5}"]
        {
            assert_eq!(take_apart(bad), None, "{bad}");
        }
        assert!(point(&format!("{{\"x\":1,\"y\":5{}}}", " ".repeat(128))).is_err());
    }
}
