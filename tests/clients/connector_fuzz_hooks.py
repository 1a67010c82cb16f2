"""What schemathesis needs to get further than the first refusal, and one check of its own. connector_fuzz.py loads it."""

import itertools
import os
import random

import schemathesis
from schemathesis.specs.openapi.checks import negative_data_rejection

# What was made before, so that half of the calls find something.
KNOWN = {"otpID": os.environ["OTP_IDS"].split(","), "token": os.environ["TOKENS"].split(",")}
VERIFICATION = {"via", "applicationId", "language", "country", "expiry", "sends", "send", "returnUrl", "sender", "referenceId", "context"}
OPTIONAL = {
    "OpenVerification": VERIFICATION,
    "SendOTPAndWait": VERIFICATION,
    "SendOTP": {"text", "pinLength", "via", "applicationId", "language", "country", "otpCode", "sender", "caller", "referenceId"},
    "ResendOTP": {"via", "sender", "caller"},
    "VerifyOTP": {"maxAge"},
    "WhenOTPChanges": {"events", "applicationId"},
}
DICE = random.Random(1)
NUMBERS = itertools.count(0)


def name(context):
    return context.operation.definition.raw.get("operationId")


@schemathesis.hook
def map_body(context, body):
    """A random text is no phone number and no address: most bodies get one, and keep whatever else is wrong with them."""
    if isinstance(body, dict) and DICE.random() < 0.8:
        if name(context) == "SendOTP" and isinstance(body.get("number"), str) and body["number"]:
            return {**body, "number": f"+49151{next(NUMBERS) % 100_000_000:08}"}
        if name(context) == "OpenVerification" and isinstance(body.get("number"), str) and body["number"]:
            return {**body, "number": f"+49151{next(NUMBERS) % 100_000_000:08}"}
        asked = body.get("verification")
        if name(context) == "SendOTPAndWait" and isinstance(asked, dict) and isinstance(asked.get("number"), str) and asked["number"]:
            body = {**body, "verification": {**asked, "number": f"+49151{next(NUMBERS) % 100_000_000:08}"}}
            if isinstance(body.get("callback"), str) and 1 <= len(body["callback"]) <= 4096:
                body["callback"] = f"https://127.0.0.1:9/wait/{next(NUMBERS)}"
            return body
        if name(context) == "WhenOTPChanges" and isinstance(body.get("notificationUrl"), str) and 1 <= len(body["notificationUrl"]) <= 4096:
            return {**body, "notificationUrl": f"https://127.0.0.1:9/{next(NUMBERS) % 5}"}
    return body


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    for name, known in KNOWN.items():
        if path_parameters and isinstance(path_parameters.get(name), str) and DICE.random() < 0.5:
            path_parameters = {**path_parameters, name: DICE.choice(known)}
    return path_parameters


@schemathesis.hook
def map_headers(context, headers):
    """A key that came with another request before is refused, whatever else is right: most keys come once."""
    key = headers.get("Idempotency-Key") if headers else None
    visible = isinstance(key, str) and 1 <= len(key) <= 255 and all("!" <= letter <= "~" for letter in key)
    if visible and DICE.random() < 0.8:
        return {**headers, "Idempotency-Key": f"{next(NUMBERS)}-{key}"[:255]}
    return headers


@schemathesis.check
def invalid_is_refused(ctx, response, case):
    """schemathesis' own check, but for one thing: null and "" mean that an optional member is absent, for which the definition
    has no word."""
    optional = OPTIONAL.get(case.operation.definition.raw.get("operationId"), set())
    body = case.body.get("verification", case.body) if isinstance(case.body, dict) else None
    absent = isinstance(body, dict) and any(body.get(member, 0) in (None, "") for member in optional)
    return None if absent else negative_data_rejection(ctx, response, case)


@schemathesis.check
def media_type(ctx, response, case):
    """A result is JSON, everything else is a problem (RFC 9457); an empty answer has no type."""
    found = (response.headers.get("content-type") or [None])[0]
    if response.status_code == 204:
        assert found is None, found
        return
    wanted = "application/json" if response.status_code < 400 else "application/problem+json"
    assert found == wanted, f"{response.status_code} came as {found}"
