"""Holds what the gateway sends to carriers against what their own libraries send, and lets those libraries sign receipts.

Twilio's SDK makes the same submissions into a transport that keeps them: method, address, credentials and parameters have to be the
same. `standardwebhooks` verifies the messages of the preset webhook, and refuses every one with a changed byte.

Needs: pip install standardwebhooks==1.1.0 twilio==9.13.0

    python tests/clients/carriers.py --otpgate target/debug/otpgate
"""
import base64, datetime, http.server, json, logging, sys, threading, time, urllib.error, urllib.request, xml.etree.ElementTree
from urllib.parse import parse_qsl, urlencode, urlsplit

from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse

import gateway

if sys.argv[1:2] != ["--otpgate"] or len(sys.argv) != 3:
    sys.exit(__doc__)
BINARY = sys.argv[2]
NUMBER, CODE, PUBLIC = "+4915112345678", "904217", "https://otp.example.com"
ACCOUNT, TOKEN = "AC" + "0" * 32, "a:token"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


class Carrier(http.server.ThreadingHTTPServer):
    """Takes every submission and keeps it."""

    daemon_threads = True

    def __init__(self, answer):
        super().__init__(("127.0.0.1", 0), Submission)
        self.answer, self.seen, self.more = answer, [], threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def submission(self, number):
        """The n-th one, from 1: method, path, headers, body."""
        with self.more:
            self.more.wait_for(lambda: len(self.seen) >= number)
            return self.seen[number - 1]


class Submission(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with self.server.more:
            self.server.seen.append(("POST", self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            self.server.more.notify_all()
        answer = json.dumps(self.server.answer).encode()
        self.send_response(201)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


class Transport(HttpClient):
    """Keeps what Twilio's SDK would send."""

    def __init__(self):
        super().__init__(logging.getLogger("twilio"), False)

    def request(self, method, url, params=None, data=None, headers=None, auth=None, timeout=None, allow_redirects=False):
        self.sent = (method, url, data, auth)
        return Response(201, json.dumps({"sid": "SM1", "status": "queued"}))


def config(lines):
    return (f'public_url = "{PUBLIC}"\n[limits]\nsends_per_number = []\n[delivery]\ncountries = "all"\nmessages_per_day = "none"\n'
            f'[[delivery.providers]]\nname = "carrier"\ntype = "http"\n{lines}')


def send(running, key, **body):
    answer = gateway.call("POST", f"{running.address}/v1/otp", {"apikey": key}, {"number": NUMBER, "otpCode": CODE, **body})
    assert answer.status == 200, answer.body
    return answer.json["otpId"]


def wait_for(running, key, otp, delivery):
    while (stands := gateway.call("GET", f"{running.address}/v1/otp/{otp}", {"apikey": key}).json["deliveryStatus"]) != delivery:
        assert running.process.poll() is None and stands in ("QUEUED", "SENT"), stands
        time.sleep(0.02)


def post(running, address, body, headers):
    """Posts to a receipt address, which begins with the public one."""
    assert address.startswith(PUBLIC), address
    request = urllib.request.Request(running.address + address.removeprefix(PUBLIC), body, headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status
    except urllib.error.HTTPError as refused:
        return refused.code


def twilio():
    carrier, transport = Carrier({"sid": "SM1", "status": "queued"}), Transport()
    sdk, validator = Client(ACCOUNT, TOKEN, http_client=transport), RequestValidator(TOKEN)
    lines = (f'preset = "twilio"\nurl = "http://127.0.0.1:{carrier.server_port}"\n[delivery.providers.http.credentials]\n'
             f'account = "{ACCOUNT}"\ntoken = "{TOKEN}"\nvoice_from = "+4930111"\n')

    def same(submission):
        """What the SDK sent last is what the gateway sent; gives its parameters."""
        method, path, headers, body = submission
        theirs, url, data, auth = transport.sent
        pairs = parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
        expected = [(name, str(value)) for name, values in data.items()
                    for value in (values if isinstance(values, list) else [values])]
        assert (theirs, urlsplit(url).path) == (method, path), (url, path)
        assert headers["authorization"] == "Basic " + base64.b64encode(":".join(auth).encode()).decode()
        assert headers["content-type"] == "application/x-www-form-urlencoded"
        return dict(pairs), dict(expected), len(pairs) == len(expected)

    with gateway.gateway(BINARY, config(lines)) as running:
        key = running.key("--unlimited")
        text = "Ihr Code: {{OTP}} & \"mehr\" für 5€ + 1%\n"
        otp = send(running, key, via="SMS", sender="Shop & Co", text=text)
        submission = carrier.submission(1)
        ours = dict(parse_qsl(submission[3].decode()))
        sdk.messages.create(to=NUMBER, from_="Shop & Co", body=text.replace("{{OTP}}", CODE),
                            status_callback=ours["StatusCallback"], validity_period=int(ours["ValidityPeriod"]))
        ours, theirs, as_many = same(submission)
        assert ours == theirs and as_many, (ours, theirs)

        report = {"MessageSid": "SM1", "MessageStatus": "delivered", "To": NUMBER, "Body": "ä & b"}
        address = ours["StatusCallback"]
        form = {"content-type": "application/x-www-form-urlencoded"}
        signed = {**form, "x-twilio-signature": validator.compute_signature(address, report)}
        body = urlencode(report).encode()
        wait_for(running, key, otp, "SENT")
        assert post(running, address, body.replace(b"delivered", b"undelivered"), signed) == 403
        assert post(running, address, body, {**form, "x-twilio-signature": RequestValidator("no").compute_signature(address, report)}) == 403
        assert post(running, address, body, signed) == 200
        wait_for(running, key, otp, "DELIVERED")

        send(running, key, via="VOICE", language="de", text="Drücken Sie <1> & \"warten\": {{OTP}}")
        submission = carrier.submission(2)
        ours = dict(parse_qsl(submission[3].decode()))
        spoken = VoiceResponse()
        spoken.pause(length=1)
        spoken.say("Drücken Sie <1> & \"warten\": " + ", ".join(CODE), language="de-DE")
        sdk.calls.create(to=NUMBER, from_="+4930111", twiml=str(spoken), status_callback=ours["StatusCallback"],
                         status_callback_event=["completed"])
        ours, theirs, as_many = same(submission)
        read = lambda text: xml.etree.ElementTree.canonicalize(text)
        assert read(ours.pop("Twiml")) == read(theirs.pop("Twiml"))
        assert ours == theirs and as_many, (ours, theirs)
    print("twilio: the SDK sends the same; its validator's signature is taken, and no other")


def webhook():
    carrier, hook = Carrier({}), Webhook(SECRET)
    lines = (f'preset = "webhook"\nurl = "http://127.0.0.1:{carrier.server_port}/otp"\n'
             f'http = {{ credentials = {{ secret = "{SECRET}" }} }}\n')
    with gateway.gateway(BINARY, config(lines)) as running:
        key = running.key("--unlimited")
        otp = send(running, key, via="SMS")
        _, path, headers, body = carrier.submission(1)
        message = hook.verify(body, headers)
        assert path == "/otp" and message["number"] == NUMBER and message["code"] == CODE, message
        for place in range(0, len(body), 7):
            changed = bytearray(body)
            changed[place] ^= 1
            try:
                hook.verify(bytes(changed), headers)
            except (WebhookVerificationError, UnicodeDecodeError):
                continue
            raise AssertionError(f"byte {place} can be changed")
        wait_for(running, key, otp, "SENT")
        body = json.dumps({"status": "delivered"})
        now = datetime.datetime.now(tz=datetime.timezone.utc)

        def headers_at(when, over=body):
            return {"content-type": "application/json", "webhook-id": "r1", "webhook-timestamp": str(int(when.timestamp())),
                    "webhook-signature": hook.sign("r1", when, over)}

        late = headers_at(now - datetime.timedelta(minutes=6))
        assert post(running, message["receiptUrl"], body.encode(), late) == 403
        assert post(running, message["receiptUrl"], body.encode(), headers_at(now, "{}")) == 403
        assert post(running, message["receiptUrl"], body.encode(), headers_at(now)) == 200
        wait_for(running, key, otp, "DELIVERED")
    print("webhook: standardwebhooks verifies every message, and signs the receipt that is taken")


twilio()
webhook()
