"""Drives a running gateway with Unimatrix' own clients, unchanged: uni-sdk from PyPI and uni-sdk from npm.

Needs: pip install uni-sdk==0.3.0; node, and the packages of tests/clients/npm in NODE_FOLDER

    python tests/clients/unimatrix.py --otpgate target/debug/otpgate --node target/clients/npm

Each in both modes: send, wrong code, right code, the code again, an intent that is another, a life that is over, a wrong
secret, a key that may not call unsigned, and a signed call that is sent a second time, also after a restart.
"""

import http.client
import json
import pathlib
import subprocess
import sys
import time
import urllib.parse

import uni.client
from uni.client import UniClient
from uni.exception import UniException

from gateway import Gateway, gateway



class NodeClient:
    """uni-sdk for Node behind the same three calls: one process, a line of JSON a call."""

    def __init__(self, folder, script, *credentials, endpoint):
        words = ["node", script, endpoint, *credentials]
        self.process = subprocess.Popen(words, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.otp = self

    def send(self, params):
        return self.ask("send", params)

    def verify(self, params):
        return self.ask("verify", params)

    def ask(self, call, params):
        self.process.stdin.write(json.dumps([call, params]) + "\n")
        self.process.stdin.flush()
        told = json.loads(self.process.stdout.readline())
        if "error" in told:
            raise UniException(told["error"]["message"], told["error"]["code"], told["error"]["requestId"])
        return Told(told)

    def end(self):
        self.process.stdin.close()
        assert self.process.wait(timeout=60) == 0


class Told:
    def __init__(self, told):
        self.data, self.valid, self.request_id, self.status = told["data"], told.get("valid"), told["requestId"], told["status"]


def refused(call):
    try:
        call()
    except UniException as error:
        assert error.request_id, "every answer carries its id"
        return str(error.code), error.message
    raise AssertionError("it was to be refused")


def other(code):
    return "0" * len(code) if code != "0" * len(code) else "1" * len(code)


def drive(started, client, number):
    """One client with valid credentials, for a number of its own."""
    sent = client.otp.send({"to": number})
    assert (sent.data["to"], sent.data["iso"], sent.data["cc"], sent.data["count"]) == (number, "US", "1", 1), sent.data
    assert len(sent.data["id"]) == 32 and float(sent.data["price"]) >= 0 and sent.request_id and sent.status == 200
    code = started.code(number)
    assert len(code) == 6 and code.isdigit()
    wrong = client.otp.verify({"to": number, "code": other(code)})
    assert (wrong.valid, wrong.data, wrong.status) == (False, {"to": number, "valid": False}, 200)
    right = client.otp.verify({"to": number, "code": code})
    assert (right.valid, right.data) == (True, {"to": number, "valid": True})
    assert not client.otp.verify({"to": number, "code": code}).valid, "a code serves once"

    # What was sent for one intent verifies no other, and not the one without a name.
    client.otp.send({"to": number, "intent": "sign in + pay", "digits": 8, "channel": "call", "templateId": "pub_otp_en"})
    code = started.code(number, 2)
    assert len(code) == 8 and started.messages(number)[0]["channel"] == "VOICE"
    for intent in [{}, {"intent": "sign in"}]:
        assert not client.otp.verify({"to": number, "code": code, **intent}).valid
    assert client.otp.verify({"to": number, "code": code, "intent": "sign in + pay"}).valid

    # A new send takes the place of the older code.
    client.otp.send({"to": number, "code": "4711", "signature": "Acme", "channel": "sms"})
    client.otp.send({"to": number, "code": "4712"})
    assert not client.otp.verify({"to": number, "code": "4711"}).valid
    assert client.otp.verify({"to": number, "code": "4712"}).valid

    # A code of the caller's own lives as its send says, whatever the check says; a generated one as the check says.
    client.otp.send({"to": number, "code": "4713", "ttl": 1, "intent": "own"})
    client.otp.send({"to": number, "intent": "made"})
    code = started.code(number, 6)
    time.sleep(1.1)
    assert not client.otp.verify({"to": number, "code": "4713", "ttl": 1800, "intent": "own"}).valid
    assert not client.otp.verify({"to": number, "code": code, "ttl": 1, "intent": "made"}).valid
    assert client.otp.verify({"to": number, "code": code, "ttl": 60, "intent": "made"}).valid

    assert refused(lambda: client.otp.send({})) == ("104001", "MissingParams")
    assert refused(lambda: client.otp.send({"to": number, "digits": 9}))[0] == "104002"
    assert refused(lambda: client.otp.send({"to": number, "channel": "whatsapp"}))[0] == "104006"


def replay(first, second, wire, number):
    """A signed call is sent twice, byte for byte, by whoever saw it; the second time to the gateway that `second` starts."""
    body = json.dumps({"to": number})
    statuses = []
    for address in (first, first, second):
        connection = http.client.HTTPConnection(urllib.parse.urlsplit(address()).netloc)
        connection.request("POST", wire, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        statuses.append((answer.status, json.loads(answer.read())["code"]))
        connection.close()
    assert statuses == [(200, "0"), (401, "104104"), (401, "104104")], statuses


def main(binary, node):
    folder = pathlib.Path(node).resolve()
    script = folder / "unimatrix.mjs"
    with gateway(binary) as started:
        made = [json.loads(started.command("key", "create", "--name", "client", "--json", "--unlimited", *flags))
                for flags in ([], ["--allow-simple"])]
        (key, secret), (simple, _) = [(one["accessKeyId"], one["accessKeySecret"]) for one in made]

        python = lambda *credentials: UniClient(*credentials, endpoint=started.address)
        nodes = []
        def in_node(*credentials):
            nodes.append(NodeClient(folder, script, *credentials, endpoint=started.address))
            return nodes[-1]

        numbers = iter(f"+1415555{last}" for last in range(2671, 2690))
        for client in (python, in_node):
            drive(started, client(key, secret), next(numbers))
            drive(started, client(simple), next(numbers))
            for wrong in [(key, secret[:-1] + ("A" if secret[-1] != "A" else "B")), (key,), ("x" * 24, secret), (secret, key)]:
                assert refused(lambda: client(*wrong).otp.send({"to": "+14155552700"}))[0] == "104102"
        for client in nodes:
            client.end()

        # What a client puts on the wire, taken where it leaves.
        wires = []
        class Wire(http.client.HTTPConnection):
            def request(self, method, path, *rest):
                wires.append(path)
                raise ConnectionAbortedError
        taken = uni.client.http.client.HTTPConnection
        uni.client.http.client.HTTPConnection = Wire
        try:
            python(key, secret).otp.send({"to": "+14155552710"})
        except ConnectionAbortedError:
            pass
        uni.client.http.client.HTTPConnection = taken
        again = []
        def restarted():
            started.stop()
            again.append(Gateway(binary, started.data))
            started.process = again[0].process
            return again[0].address
        replay(lambda: started.address, restarted, wires[0], "+14155552710")
    print("uni-sdk (PyPI) and uni-sdk (npm), signed and simple: passed")


if __name__ == "__main__":
    if sys.argv[1:2] != ["--otpgate"] or sys.argv[3:4] != ["--node"] or len(sys.argv) != 5:
        sys.exit(__doc__)
    main(sys.argv[2], sys.argv[4])
