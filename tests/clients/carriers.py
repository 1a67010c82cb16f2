"""Holds what the gateway sends to carriers against what their own libraries send, and lets those libraries sign receipts.

Twilio's and Vonage's SDKs make the same submissions into transports that keep them: method, address, credentials and parameters have
to be the same. `standardwebhooks` verifies the messages of the preset webhook, and refuses every one with a changed byte.

Needs: pip install standardwebhooks==1.1.0 twilio==9.13.0 vonage-sms==1.2.0 vonage-voice==1.5.1

    python tests/clients/carriers.py --otpgate target/debug/otpgate
"""
import base64, datetime, hashlib, http.server, json, logging, pathlib, sys, tempfile, threading, time, urllib.error, urllib.request, xml.etree.ElementTree
from urllib.parse import parse_qsl, urlencode, urlsplit

import jwt, requests
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.request_validator import RequestValidator
from twilio.rest import Client
from twilio.twiml.voice_response import VoiceResponse
from vonage_http_client import Auth
from vonage_http_client import HttpClient as VonageClient
from vonage_sms import Sms, SmsMessage
from vonage_voice import CreateCallRequest, Voice

import gateway

if sys.argv[1:2] != ["--otpgate"] or len(sys.argv) != 3:
    sys.exit(__doc__)
BINARY = sys.argv[2]
NUMBER, CODE, PUBLIC = "+4915112345678", "904217", "https://otp.example.com"
ACCOUNT, TOKEN = "AC" + "0" * 32, "a:token"
HUSH = "hush" * 8
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


class Adapter(requests.adapters.BaseAdapter):
    """Keeps what Vonage's SDK would send, and answers in Vonage's words."""

    def send(self, request, **_):
        self.sent, answer = request, requests.Response()
        answer.status_code, answer.request = 200, request
        answer.headers["content-type"] = "application/json"
        call = {"uuid": "u", "status": "started", "direction": "outbound", "conversation_uuid": "c"}
        message = {"message-count": "1", "messages": [{"status": "0", "message-id": "a", "to": "1"}]}
        answer._content = json.dumps(call if "calls" in request.url else message).encode()
        return answer

    def close(self):
        pass


def vonage():
    carrier, adapter = Carrier({"messages": [{"status": "0", "message-id": "A1"}], "uuid": "u1"}), Adapter()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    client = VonageClient(Auth(api_key="abcd", api_secret="s=cr&t", application_id="app-1", private_key=pem))
    client._session.mount("https://", adapter)
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "private.key")
        file.write_text(pem)
        lines = (f'preset = "vonage"\nurl = "http://127.0.0.1:{carrier.server_port}"\n[delivery.providers.http.credentials]\n'
                 f'api_key = "abcd"\napi_secret = "s=cr&t"\napplication = "app-1"\nprivate_key = "${{file:{file}}}"\n'
                 f'signature_secret = "{HUSH}"\nvoice_from = "+4930111"\n')
        with gateway.gateway(BINARY, config(lines)) as running:
            api_key = running.key("--unlimited")
            otp = send(running, api_key, via="SMS", sender="Shop", text="Код {{OTP}} & mehr")
            _, path, headers, body = carrier.submission(1)
            ours = dict(parse_qsl(body.decode(), strict_parsing=True))
            Sms(client).send(SmsMessage(to=NUMBER[1:], from_="Shop", text=f"Код {CODE} & mehr", type="unicode",
                                        ttl=int(ours["ttl"]), client_ref=ours["client-ref"], callback=ours["callback"]))
            theirs = dict(parse_qsl(adapter.sent.body))
            assert (path, headers["authorization"]) == (urlsplit(adapter.sent.url).path, adapter.sent.headers["Authorization"])
            assert ours == theirs, (ours, theirs)

            report = json.dumps({"messageId": "A1", "status": "delivered", "client-ref": ours["client-ref"]}).encode()

            def signed(secret):
                claims = {"iat": int(time.time()), "jti": "j", "iss": "Vonage", "payload_hash": hashlib.sha256(report).hexdigest()}
                return {"content-type": "application/json", "authorization": "Bearer " + jwt.encode(claims, secret, "HS256")}

            wait_for(running, api_key, otp, "SENT")
            assert post(running, ours["callback"], report, signed("other" * 8)) == 403
            assert post(running, ours["callback"], report, signed(HUSH)) == 200
            wait_for(running, api_key, otp, "DELIVERED")

            send(running, api_key, via="VOICE", language="fr", text="Votre \"code\": {{OTP}}")
            _, path, headers, body = carrier.submission(2)
            ours = json.loads(body)
            Voice(client).create_call(CreateCallRequest(
                to=[{"type": "phone", "number": NUMBER[1:]}], from_={"type": "phone", "number": "4930111"},
                ncco=[{"action": "talk", "text": "Votre \"code\": " + ", ".join(CODE), "language": "fr-FR"}],
                event_url=ours["event_url"], event_method="POST"))
            assert path == urlsplit(adapter.sent.url).path and ours == json.loads(adapter.sent.body), (ours, adapter.sent.body)
            read = lambda field: jwt.decode(field.split()[1], key.public_key(), ["RS256"])
            mine, theirs = read(headers["authorization"]), read(adapter.sent.headers["Authorization"])
            assert set(mine) == set(theirs) and mine["application_id"] == theirs["application_id"], (mine, theirs)
    print("vonage: the SDK sends the same, its token has the same claims, a signed receipt is taken, and no other")


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
vonage()
webhook()
