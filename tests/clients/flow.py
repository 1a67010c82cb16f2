#!/usr/bin/env python3
"""A flow's engine, as the platforms behave: every call carries the run and the operation, an answer may be lost and the
call comes again, a loop runs its actions anew, and a 429 is waited out for as long as Retry-After says."""
import argparse, json, pathlib, socket, time, urllib.parse

from gateway import call, gateway, root

options = argparse.ArgumentParser()
options.add_argument("--otpgate", default=root / "target/release/otpgate", type=pathlib.Path)
binary = options.parse_args().otpgate.resolve()


class Run:
    """One run of a flow."""

    def __init__(self, running, key, run):
        self.address, self.key, self.run = running.address, key, run

    def headers(self, operation):
        return {"apikey": self.key, "x-ms-workflow-run-id": self.run, "x-ms-workflow-operation-name": operation,
                "User-Agent": "azure-logic-apps/1.0 (workflow 5f; version 08) microsoft-flow/1.0"}

    def action(self, operation, method, path, body=None):
        return call(method, self.address + path, self.headers(operation), body)

    def lost(self, operation, method, path, body):
        """The action is done, and the platform never sees its answer: the socket is closed before it is read."""
        where, body = urllib.parse.urlsplit(self.address), json.dumps(body)
        with socket.create_connection((where.hostname, where.port)) as line:
            head = "".join(f"{name}: {value}\r\n" for name, value in self.headers(operation).items())
            line.sendall(f"{method} {path} HTTP/1.1\r\nhost: {where.netloc}\r\ncontent-type: application/json\r\n"
                         f"content-length: {len(body)}\r\n{head}\r\n{body}".encode())
            # The first byte of the answer: it was done. The rest is never read.
            assert line.recv(1) == b"H"


def settled(read, expected):
    """Waits for what happens after the answer; a little longer too, lest there is more to come."""
    for _ in range(200):
        if len(read()) >= expected:
            break
        time.sleep(0.05)
    time.sleep(0.3)
    return read()


with gateway(binary) as running:
    key = running.key("--unlimited")
    flow, number = Run(running, key, "08584657-run-1"), "+4915112340001"

    # A POST that is repeated with the same run and operation sends one message.
    first = flow.action("Send", "POST", "/v1/otp", {"number": number})
    again = flow.action("Send", "POST", "/v1/otp", {"number": number})
    assert (first.status, again.status, first.body) == (200, 200, again.body), (first.body, again.body)
    messages = settled(lambda: running.messages(number), 1)
    assert len(messages) == 1, messages
    otp, code = first.json["otpId"], messages[0]["code"]

    # A Verify whose answer was lost says "verified" when it is repeated, and counted one attempt.
    flow.lost("Verify", "POST", f"/v1/otp/{otp}/verify", {"otpCode": code})
    repeated = flow.action("Verify", "POST", f"/v1/otp/{otp}/verify", {"otpCode": code}).json
    assert repeated["verified"] is True, repeated
    status = flow.action("Status", "GET", f"/v1/otp/{otp}").json
    assert (status["otpStatus"], status["attemptCount"]) == ("VERIFIED", 1), status
    # Another action of the same run is another call: the code was used.
    other = flow.action("Verify_2", "POST", f"/v1/otp/{otp}/verify", {"otpCode": code}).json
    assert (other["verified"], other["otpStatus"]) == (False, "VERIFIED"), other

    # A Do-until loop sends again, with the same action, after the first code was used: a new code.
    second = flow.action("Send", "POST", "/v1/otp", {"number": number}).json
    assert second["otpId"] != otp, second
    messages = settled(lambda: running.messages(number), 2)
    assert len(messages) == 2, messages

    # In a loop over wrong codes each different answer counts, and the flow goes on every time.
    flow, number = Run(running, key, "08584657-run-2"), "+4915112340002"
    otp = flow.action("Send", "POST", "/v1/otp", {"number": number}).json["otpId"]
    code = settled(lambda: running.messages(number), 1)[0]["code"]
    wrong = [f"{(int(code) + step) % 1_000_000:06}" for step in (1, 2)]
    left = [flow.action("Verify", "POST", f"/v1/otp/{otp}/verify", {"otpCode": one}) for one in wrong]
    assert [(answer.status, answer.json["attemptsLeft"]) for answer in left] == [(200, 2), (200, 1)], left
    last = flow.action("Verify", "POST", f"/v1/otp/{otp}/verify", {"otpCode": code}).json
    assert last["verified"] is True, last
print("a flow's repetitions send one message, lose no verdict and get new codes when they need them")

with gateway(binary) as running:
    key = running.key("--calls", "100", "--period", "5")
    refusals, waited, began = 0, False, time.monotonic()
    for index in range(250):
        while True:
            answer = call("GET", f"{running.address}/v1/connection", {"apikey": key})
            if answer.status == 200:
                waited = False
                break
            assert answer.status == 429, (answer.status, answer.body)
            assert not waited, f"call {index} was refused after its wait"
            pause = int(answer.headers["Retry-After"])
            assert 1 <= pause <= 5 and f"Try again in {pause} seconds." in answer.json["message"], answer.body
            refusals, waited = refusals + 1, True
            time.sleep(pause)
    took = time.monotonic() - began
    assert refusals >= 2 and took >= 10, (refusals, took)
print(f"250 calls went through a quota of 100 per 5 s with {refusals} waits, none of them in vain")
