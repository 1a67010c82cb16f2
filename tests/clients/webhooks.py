"""Lets `standardwebhooks` verify every event that a running gateway posts, and refuse every one with a changed byte; then
plays a flow, as the platform does: subscribe, be told, unsubscribe without the key.

Needs: pip install standardwebhooks==1.1.0

    python tests/clients/webhooks.py --otpgate target/debug/otpgate
"""

import base64
import contextlib
import http.client
import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from urllib.parse import urlsplit

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

if sys.argv[1:2] != ["--otpgate"] or len(sys.argv) != 3:
    sys.exit(__doc__)
BINARY = sys.argv[2]
NUMBER = "+4915112345678"
CONFIG = """
[events]
allow_private_callbacks = true
retries = ["200ms", "200ms"]
"""


def free_port():
    """A port below those that the system gives to outgoing connections, so that none of them takes it meanwhile."""
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            return listener.getsockname()[1]


class Receiver(http.server.ThreadingHTTPServer):
    """Keeps what is posted, by its path; answers 202, as the platform does, once it has answered 500 where it is told to."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.told, self.lock, self.refusals = [], threading.Lock(), 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"

    def at(self, path):
        with self.lock:
            return [one for one in self.told if one[0] == path]

    def wait(self, path, count):
        while len(self.at(path)) < count:
            assert server.poll() is None, "the gateway ended"
            time.sleep(0.01)
        return self.at(path)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.lock:
            self.server.told.append((self.path, dict(self.headers.items()), body))
            refuse = self.server.refusals > 0
            self.server.refusals -= refuse
        self.send_response(500 if refuse else 202)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


def call(method, path, body=None, key=None):
    connection = http.client.HTTPConnection(address)
    headers = {"content-type": "application/json"} if body is not None else {}
    if key:
        headers["apikey"] = key
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, answer.headers, json.loads(text) if text else None


def otpgate(*words):
    done = subprocess.run([BINARY, *words, "--data-dir", data], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def refused(hook, body, headers):
    try:
        hook.verify(body, headers)
    except (WebhookVerificationError, UnicodeDecodeError, ValueError):
        return True
    return False


def send(key, **more):
    """A one-time password whose message has arrived: what happens before that may keep it from being sent."""
    status, _, otp = call("POST", "/v1/otp", {"number": NUMBER, **more}, key)
    assert status == 200, otp
    arrived = {"event": "DELIVERED", "otpId": otp["otpId"]}
    while not any(arrived.items() <= json.loads(body).items() for _, _, body in receiver.at("/all")):
        assert server.poll() is None, "the gateway ended"
        time.sleep(0.01)
    return otp


def everything_happens(key):
    """Whatever can become of a one-time password without waiting for its end."""
    otp = send(key, otpCode="0042", referenceId="ß € 😀 \"\\/")
    path = f"/v1/otp/{otp['otpId']}"
    for code in ("1111", "0042"):
        assert call("POST", f"{path}/verify", {"otpCode": code}, key)[0] == 200
    assert call("DELETE", path, None, key)[0] == 200
    otp = send(key, otpCode="0042")
    for _ in range(3):
        assert call("POST", f"/v1/otp/{otp['otpId']}/verify", {"otpCode": "1"}, key)[0] == 200


with tempfile.TemporaryDirectory() as folder:
    data, config = f"{folder}/data", f"{folder}/otpgate.toml"
    with open(config, "w", encoding="utf-8") as file:
        file.write(CONFIG)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTPGATE_")}
    server = subprocess.Popen(
        [BINARY, "serve", "--config", config, "--data-dir", data, "--listen", "127.0.0.1:0",
         "--admin-listen", f"127.0.0.1:{free_port()}"],
        stdout=subprocess.PIPE, text=True, env=environment,
    )
    try:
        line = server.stdout.readline()
        assert line.startswith("listening on http://"), line
        address = line.strip().removeprefix("listening on http://")
        receiver = Receiver()
        key = otpgate("key", "create", "--name", "flow", "--json")["key"]

        # Every event verifies, at every try; with any one byte changed it never does.
        receiver.refusals = 3
        _, _, made = call("POST", "/v1/webhooks", {"notificationUrl": receiver.url("/all")}, key)
        hook = Webhook(made["signingSecret"])
        everything_happens(key)
        kinds = {"SENT", "DELIVERED", "WRONG_CODE", "VERIFIED", "DELETED", "TOO_MANY_ATTEMPTS"}
        while {json.loads(body)["event"] for _, _, body in receiver.at("/all")} != kinds or len(receiver.at("/all")) < 14:
            assert server.poll() is None, "the gateway ended"
            time.sleep(0.01)
        tried, changed = receiver.at("/all"), 0
        for _, headers, body in tried:
            event = hook.verify(body, headers)
            assert event["eventId"] == headers["webhook-id"], event
            for at in range(len(body)):
                other = bytearray(body)
                other[at] ^= 1 + at % 127
                assert refused(hook, bytes(other), headers), (body, at)
                changed += 1
            for name in ("webhook-id", "webhook-timestamp"):
                for at, letter in enumerate(headers[name]):
                    other = headers[name][:at] + chr(ord(letter) ^ 1) + headers[name][at + 1:]
                    assert refused(hook, body, {**headers, name: other}), (name, other)
                    changed += 1
            tag = bytearray(base64.b64decode(headers["webhook-signature"].removeprefix("v1,")))
            for at in range(len(tag)):
                tag[at] ^= 0x10
                other = "v1," + base64.b64encode(tag).decode()
                assert refused(hook, body, {**headers, "webhook-signature": other})
                tag[at] ^= 0x10
                changed += 1
        ids = {headers["webhook-id"] for _, headers, _ in tried}
        assert len(ids) == len(tried) - 3, "what was refused came again under its id"

        # A rotation: both secrets verify while they overlap, then only the new one.
        rotated = otpgate("webhooks", "rotate", made["subscriptionId"], "--overlap", "1h", "--json")
        before = len(receiver.at("/all"))
        call("POST", "/v1/otp", {"number": NUMBER}, key)
        for _, headers, body in receiver.wait("/all", before + 2)[before:]:
            hook.verify(body, headers)
            Webhook(rotated["signingSecret"]).verify(body, headers)
        newest = otpgate("webhooks", "rotate", made["subscriptionId"], "--overlap", "0s", "--json")
        before = len(receiver.at("/all"))
        call("POST", "/v1/otp", {"number": NUMBER}, key)
        for _, headers, body in receiver.wait("/all", before + 2)[before:]:
            Webhook(newest["signingSecret"]).verify(body, headers)
            assert refused(hook, body, headers)

        # A flow: saved, told, edited (the same callback again), told of less, turned off without the key, and again.
        callback = "/workflows/0a/triggers/manual/paths/invoke?api-version=2016-10-01&sp=%2Ftriggers%2Fmanual%2Frun&sv=1.0&sig=a-b_c%3D"
        status, headers, flow = call("POST", "/v1/webhooks", {"notificationUrl": receiver.url(callback)}, key)
        assert status == 201 and headers["location"].startswith(f"http://{address}/v1/webhooks/"), (status, headers)
        otp = send(key, otpCode="0042")
        events = [json.loads(body) for _, _, body in receiver.wait(callback, 2)]
        assert [event["event"] for event in events] == ["SENT", "DELIVERED"], events
        assert all(event["otpId"] == otp["otpId"] and event["number"] == NUMBER for event in events), events
        status, again, edited = call("POST", "/v1/webhooks", {"notificationUrl": receiver.url(callback), "events": ["VERIFIED"]}, key)
        assert (status, again["location"]) == (201, headers["location"]) and "signingSecret" not in edited, edited
        call("POST", "/v1/otp", {"number": NUMBER}, key)
        call("POST", f"/v1/otp/{otp['otpId']}/verify", {"otpCode": "0042"}, key)
        assert json.loads(receiver.wait(callback, 3)[2][2])["event"] == "VERIFIED"
        location = urlsplit(headers["location"]).path
        assert [call("DELETE", location)[0] for _ in range(2)] == [204, 204]
        before = len(receiver.at("/all"))
        otp = send(key, otpCode="0042")
        call("POST", f"/v1/otp/{otp['otpId']}/verify", {"otpCode": "0042"}, key)
        receiver.wait("/all", before + 3)
        assert len(receiver.at(callback)) == 3, "a flow that was turned off is told nothing more"
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait()
    assert code == 0, f"the gateway ended with {code}"

print(f"{len(tried)} posts verify, and none of {changed} with a changed byte; a flow is told from its first save to its end")
