"""Drives a running gateway by the connector's definitions, with clients that others wrote: bravado (PyPI) and swagger-client (npm).

Needs: pip install bravado==12.0.1; node, and the packages of tests/clients/npm in NODE_FOLDER

    python tests/clients/connector_clients.py --otpgate target/debug/otpgate --node target/clients/npm

Both know nothing of the gateway but the definition, and bravado holds every answer to it: send, wrong code, right code with a
leading zero, status, resend, delete, 404, and a 429 that is waited out; by the served definition, and by the compatible one.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse

from bravado.client import SwaggerClient
from bravado.exception import HTTPConflict, HTTPError, HTTPNotFound, HTTPTooManyRequests, HTTPUnauthorized
from bravado.requests_client import RequestsClient

from gateway import gateway

HERE = pathlib.Path(__file__).resolve().parent
# Models as plain dictionaries; requests and answers are held to the definition.
CONFIG = {"also_return_response": True, "use_models": False, "validate_responses": True, "validate_requests": True}


def client(started, spec, key):
    http = RequestsClient()
    # bravado wants the port with the host.
    http.set_api_key(urllib.parse.urlsplit(started.address).netloc, key, param_name="apikey", param_in="header")
    if isinstance(spec, str):
        return SwaggerClient.from_url(spec, http_client=http, config=CONFIG)
    return SwaggerClient.from_spec(spec, http_client=http, config=CONFIG)


def raises(kind, call):
    try:
        call()
    except HTTPError as error:
        assert type(error) is kind, f"{kind.__name__} was expected, and not {error!r}"
        return error
    raise AssertionError(f"{kind.__name__} was expected")


def native(started, spec, key, limited):
    api = client(started, spec, key)
    number = "+4915112340001"

    otp = api.otp.SendOTP(body={"number": number, "via": "SMS", "referenceId": "case 7"}).response().result
    assert otp["otpStatus"] == "ACTIVE" and otp["referenceId"] == "case 7", otp
    code = started.code(number)
    wrong = "0" * len(code) if code != "0" * len(code) else "1" * len(code)
    verdict = api.otp.VerifyOTP(otpID=otp["otpId"], body={"otpCode": wrong}).response().result
    assert verdict["verified"] is False and verdict["otpStatus"] == "ACTIVE" and verdict["attemptsLeft"] == 2, verdict
    status = api.otp.StatusOTP(otpID=otp["otpId"]).response().result
    assert status["attemptCount"] == 1 and status["number"] == number, status
    again = api.otp.ResendOTP(otpID=otp["otpId"], body={"via": "VOICE"}).response().result
    assert again["otpId"] == otp["otpId"] and again["channel"] == "VOICE", again
    assert started.code(number, 2) == code
    verdict = api.otp.VerifyOTP(otpID=otp["otpId"], body={"otpCode": code}).response().result
    assert verdict["verified"] is True and verdict["otpStatus"] == "VERIFIED", verdict
    raises(HTTPConflict, lambda: api.otp.ResendOTP(otpID=otp["otpId"], body={}).response())

    # A leading zero is part of the code.
    otp = api.otp.SendOTP(body={"number": number, "otpCode": "012345"}).response().result
    verdict = api.otp.VerifyOTP(otpID=otp["otpId"], body={"otpCode": "112345"}).response().result
    assert verdict["verified"] is False, verdict
    verdict = api.otp.VerifyOTP(otpID=otp["otpId"], body={"otpCode": "012345"}).response().result
    assert verdict["verified"] is True, verdict

    last = api.otp.DeleteOTP(otpID=otp["otpId"]).response().result
    assert last["otpStatus"] == "VERIFIED", last
    raises(HTTPNotFound, lambda: api.otp.StatusOTP(otpID=otp["otpId"]).response())
    raises(HTTPNotFound, lambda: api.otp.StatusOTP(otpID="a b/c").response())
    raises(HTTPUnauthorized, lambda: client(started, spec, "otpg_wrong").otp.StatusOTP(otpID=otp["otpId"]).response())

    # One message for two calls with one key.
    body = {"number": "+4915112340002"}
    sent = [api.otp.SendOTP(body=body, **{"Idempotency-Key": "order-1"}).response().result for _ in range(2)]
    assert sent[0] == sent[1], sent
    started.code("+4915112340002")
    assert len(started.messages("+4915112340002")) == 1

    # The trigger: the address in Location ends the subscription, without a key.
    _, answer = api.webhooks.WhenOTPChanges(body={"notificationUrl": "http://127.0.0.1:9/flow?sig=a%3D", "events": ["VERIFIED"]}).result()
    where = answer.headers["Location"]
    assert answer.status_code == 201 and where.startswith(f"{started.address}/v1/webhooks/"), where
    keyless = SwaggerClient.from_url(spec, config=CONFIG)
    for _ in range(2):
        answer = keyless.webhooks.UnsubscribeOTPChanges(token=where.rsplit("/", 1)[1]).response()
        assert answer.incoming_response.status_code == 204, answer

    applications = api.applications.ListApplications().response().result
    assert any(application["applicationId"] == otp["applicationId"] for application in applications)
    # Built before the first call that counts: to read a definition takes a part of the period.
    few = client(started, spec, limited)
    quota = few.connection.GetConnection().response().result["quota"]
    assert quota["calls"] == 3 and quota["remaining"] == 2, quota
    waited(lambda: few.otp.StatusOTP(otpID=otp["otpId"]).response(), HTTPNotFound)


def compatible(started, spec, key, limited):
    api = client(started, spec, key)
    number = "+4915112340011"
    # Without a reference the contract answers null.
    plain = api.tyntec.SendOTP(number=number).response().result
    assert plain["referenceId"] is None and api.tyntec.StatusOTP(otpID=plain["otpId"]).response().result["otpStatus"] == "ACTIVE", plain
    started.code(number)
    send = {"number": number, "via": "SMS", "Sender": "Bank", "Caller": "4930123", "referenceId": "case 7"}
    otp = api.tyntec.SendOTP(**send).response().result
    assert otp["otpStatus"] == "ACTIVE" and otp["number"] == number, otp
    code = started.code(number, 2)
    assert started.messages(number)[0]["sender"] == "Bank"
    wrong = "0" * len(code) if code != "0" * len(code) else "1" * len(code)
    raises(HTTPUnauthorized, lambda: api.tyntec.VerifyOTP(otpID=otp["otpId"], otpCode=wrong).response())
    status = api.tyntec.StatusOTP(otpID=otp["otpId"]).response().result
    assert status["attemptCount"] == 1, status
    again = api.tyntec.ResendOTP(otpID=otp["otpId"], via="SMS").response().result
    assert again["otpId"] == otp["otpId"], again
    assert started.code(number, 3) == code
    verdict = api.tyntec.VerifyOTP(otpID=otp["otpId"], otpCode=code).response().result
    assert verdict["otpStatus"] == "VERIFIED", verdict

    otp = api.tyntec.SendOTP(number=number, otpCode="012345").response().result
    # What a flow that typed the code as a number has made of it.
    verdict = api.tyntec.VerifyOTP(otpID=otp["otpId"], otpCode="12345").response().result
    assert verdict["otpStatus"] == "VERIFIED", verdict
    otp = api.tyntec.SendOTP(number=number, otpCode="012346", referenceId="case 9").response().result
    verdict = api.tyntec.VerifyOTP(otpID=otp["otpId"], otpCode="012346").response().result
    assert verdict["otpStatus"] == "VERIFIED", verdict

    api.tyntec.DeleteOTP(otpID=otp["otpId"]).response()
    raises(HTTPNotFound, lambda: api.tyntec.StatusOTP(otpID=otp["otpId"]).response())
    api.connection.GetConnection().response()
    few = client(started, spec, limited)
    waited(lambda: few.tyntec.StatusOTP(otpID=otp["otpId"]).response(), HTTPNotFound)


def waited(call, expected):
    """Calls until the quota of 3 is used up, obeys Retry-After once, and is admitted."""
    for _ in range(4):
        try:
            call()
        except HTTPTooManyRequests as error:
            seconds = int(error.response.headers["Retry-After"])
            assert 1 <= seconds <= 8, seconds
            time.sleep(seconds)
            raises(expected, call)
            return
        except expected:
            pass
    raise AssertionError("the quota of 3 admitted 4 calls")


def node(folder, started, edition, spec, key, limited):
    script = pathlib.Path(folder) / "connector_client.mjs"
    shutil.copy(HERE / "npm" / "connector_client.mjs", script)
    environment = {
        **os.environ, "EDITION": edition, "SPEC": spec, "KEY": key, "LIMITED": limited, "ADMIN": started.admin,
    }
    subprocess.run(["node", str(script)], check=True, env=environment)


def main():
    if len(sys.argv) != 5 or sys.argv[1::2] != ["--otpgate", "--node"]:
        sys.exit(__doc__)
    binary, folder = pathlib.Path(sys.argv[2]).resolve(), sys.argv[4]
    with gateway(binary, "[events]\nallow_private_callbacks = true\n") as started, tempfile.TemporaryDirectory() as exported:
        key = started.key("--unlimited")
        limited = lambda: started.key("--calls", "3", "--period", "8")
        served = f"{started.address}/connector/apiDefinition.swagger.json"
        out = pathlib.Path(exported) / "compatible"
        host = urllib.parse.urlsplit(started.address).netloc
        words = ["connector", "export", "--host", host, "--scheme", "http", "--out", out, "--compatible"]
        subprocess.run([binary, *words], check=True, capture_output=True)
        file = out / "apiDefinition.swagger.json"

        native(started, served, key, limited())
        print("bravado drove the served definition")
        compatible(started, json.loads(file.read_text(encoding="utf-8")), key, limited())
        print("bravado drove the compatible definition")
        node(folder, started, "native", served, key, limited())
        node(folder, started, "compatible", str(file), key, limited())


main()
