"""A gateway with a message centre that others wrote as its carrier: the npm package `smpp`. What the centre reads is what
was sent, in every alphabet and length; its receipts become the status over REST; its cuts, throttles and refusals do what
they should.

Needs: npm ci in a folder with tests/clients/npm's files; Node.js.

    python tests/clients/smpp_carrier.py --otpgate target/debug/otpgate --node target/clients/npm
"""
import json, pathlib, queue, subprocess, sys, threading, time

import gateway
from gateway import call

if sys.argv[1:4:2] != ["--otpgate", "--node"] or len(sys.argv) != 5:
    sys.exit(__doc__)
BINARY, NODE = sys.argv[2], sys.argv[4]
PATIENCE = 60
CONFIG = """
public_url = "https://otp.example.com"
[limits]
sends_per_number = []
[delivery]
countries = ["DE"]
messages_per_day = "none"
[[delivery.providers]]
name = "npm"
type = "smpp"
url = "smpp://otpgate:secret08@127.0.0.1:{port}"
[delivery.providers.smpp]
window = 4
enquire_link = "500ms"
"""


class Centre:
    """The centre's process: commands go in, events come out."""

    def __init__(self, node):
        script = pathlib.Path(node, "smpp_centre.mjs").resolve()
        pipes = dict(stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.process = subprocess.Popen(["node", script], cwd=node, **pipes)
        self.events = queue.Queue()
        self.put_by = []
        threading.Thread(target=self.read, daemon=True).start()
        self.port = self.wait("listening")["port"]

    def read(self):
        for line in self.process.stdout:
            self.events.put(json.loads(line))

    def do(self, name, **rest):
        self.process.stdin.write(json.dumps({"do": name, **rest}) + "\n")
        self.process.stdin.flush()

    def wait(self, event):
        """The next event of this name; the others wait for who asks for them."""
        for index, known in enumerate(self.put_by):
            if known["event"] == event:
                return self.put_by.pop(index)
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            try:
                known = self.events.get(timeout=1)
            except queue.Empty:
                continue
            if known["event"] == event:
                return known
            self.put_by.append(known)
        raise AssertionError(f"no {event} came")

    def none(self, event):
        time.sleep(0.3)
        while not self.events.empty():
            self.put_by.append(self.events.get())
        assert not [known for known in self.put_by if known["event"] == event], self.put_by


def check(what, found, expected):
    assert found == expected, f"{what}: {found!r} instead of {expected!r}"


with gateway.gateway(BINARY, CONFIG.format(port=(centre := Centre(NODE)).port)) as running:
    key = {"apikey": running.key("--unlimited")}
    check("the version of the bind", centre.wait("bound")["version"], 0x34)
    counter = iter(range(1, 1000))

    def send(text, **more):
        body = {"number": f"+49151{12_000_000 + next(counter)}", "otpCode": "836194", "text": text, **more}
        answer = call("POST", f"{running.address}/v1/otp", key, body)
        assert answer.status == 200, answer.body
        return body["number"], answer.json["otpId"]

    def status(otp):
        return call("GET", f"{running.address}/v1/otp/{otp}", key).json

    def becomes(otp, expected):
        until = time.monotonic() + PATIENCE
        while (found := status(otp).get("deliveryStatus")) != expected:
            assert time.monotonic() < until, f"{otp} is {found}, not {expected}"
            time.sleep(0.02)

    # One submit a text, as the centre reads it.
    for text, coding in [
        ("Your code is {{OTP}}", 0),
        ("@£$¥èéùìòÇØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./:;<=>?¡ÄÖÑÜ§¿äöñüà {{OTP}}", 0),
        ("^{}\\[~]|€ {{OTP}}".replace("{}", "( )"), 0),
        ("Ваш код: {{OTP}}", 8),
        ("您的验证码是 {{OTP}} 😀", 8),
    ]:
        number, otp = send(text, sender="ACME")
        submit = centre.wait("submit")
        check("the text", submit["message"], text.replace("{{OTP}}", "836194"))
        check("its alphabet", submit["data_coding"], coding)
        check("the destination", submit["destination"], [1, 1, number[1:]])
        check("the sender", submit["source"], [5, 0, "ACME"])
        check("the rest", (submit["esm_class"], submit["registered_delivery"], submit["udh"]), (0, 1, []))
        assert submit["validity_period"], submit
        becomes(otp, "SENT")
    print("short texts: the centre reads what was sent, in GSM's alphabet and in UCS-2")

    # Long ones: parts with a header, in order.
    for text, coding in [("a€" * 120 + " {{OTP}}", 0), ("жя" * 70 + "😀 {{OTP}}", 8)]:
        number, otp = send(text)
        parts = [centre.wait("submit")]
        count = int(parts[0]["udh"][0][-4:-2], 16)
        parts += [centre.wait("submit") for _ in range(count - 1)]
        check("the text", "".join(part["message"] for part in parts), text.replace("{{OTP}}", "836194"))
        whole = parts[0]["udh"][0][:6]
        check("its headers", [part["udh"] for part in parts], [[f"{whole}{count:02x}{n:02x}"] for n in range(1, count + 1)])
        check("its receipts", [part["registered_delivery"] for part in parts], [0] * (count - 1) + [1])
        assert all(part["esm_class"] == 0x40 and part["data_coding"] == coding for part in parts), parts
    print("long texts: the centre joins the parts to what was sent")

    # Refused for good; throttled, and sent again by the courier.
    centre.do("answer", statuses=["ESME_RINVDSTADR"])
    _, otp = send("refused {{OTP}}")
    centre.wait("submit")
    becomes(otp, "UNDELIVERABLE")
    centre.do("answer", statuses=["ESME_RTHROTTLED"])
    send("throttled {{OTP}}")
    check("the first try", centre.wait("submit")["status"], "ESME_RTHROTTLED")
    check("the second try", centre.wait("submit")["status"], "ESME_ROK")
    print("refusals are final, throttles are not")

    # The link: asked by both ends, cut and made anew, and a phone's message.
    centre.wait("enquire_link")
    centre.do("ask")
    centre.wait("alive")
    centre.do("cut")
    began = time.monotonic()
    centre.wait("bound")
    assert time.monotonic() - began < 2, "the link was not back within two seconds"
    centre.do("phone", text="STOP")
    check("a phone's message", centre.wait("phone")["status"], 0)
    print("the link is asked, answers, and is back after a cut")

    # Receipts: acknowledged, and over REST.
    ended = []
    for word, error, parameters, expected in [
        ("DELIVRD", "000", None, "DELIVERED"),
        ("UNDELIV", "069", None, "UNDELIVERABLE"),
        ("", "", "DELIVERED", "DELIVERED"),
        ("", "", "REJECTED", "UNDELIVERABLE"),
    ]:
        _, otp = send("receipt {{OTP}}")
        submit = centre.wait("submit")
        becomes(otp, "SENT")
        centre.do("receipt", id=submit["id"], word=word, error=error, parameters=parameters)
        acknowledged = centre.wait("receipt")
        check("the receipt", (acknowledged["id"], acknowledged["status"]), (submit["id"], 0))
        ended.append((otp, expected))
    centre.none("submit")
    print("receipts are acknowledged")
    for otp, expected in ended:
        becomes(otp, expected)
    print("receipts are the status over REST")
centre.wait("unbound")
print("the gateway unbound at its end")
