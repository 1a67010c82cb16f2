"""A client of the OneAccess dialect, written from its contract, with the cryptography package: signs in and out under both
readings of OAEPWithSHA-256AndMGF1Padding, and is refused where it has to be.

Needs: pip install cryptography==48.0.0

    python tests/clients/oneaccess.py --otpgate target/release/otpgate
"""

import argparse
import base64
import json
import struct
import urllib.error
import urllib.request
import zlib

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

from gateway import gateway

MOBILE = "13800138000"


def decode(png):
    """Width, rows of palette indices or alpha marks, and the palette: what a PNG of the puzzle holds."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    at, chunks = 8, {}
    while at < len(png):
        (length,), name = struct.unpack(">I", png[at : at + 4]), png[at + 4 : at + 8]
        data = png[at + 8 : at + 8 + length]
        assert zlib.crc32(name + data) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0], name
        chunks[name] = chunks.get(name, b"") + data
        at += 12 + length
    width, height, depth, kind = struct.unpack(">IIBB", chunks[b"IHDR"][:10])
    assert (depth, kind) == (8, 3), "8 bits, a palette"
    raw, rows, before = zlib.decompress(chunks[b"IDAT"]), [], bytes(width)
    for line in range(height):
        start = line * (width + 1)
        how, row = raw[start], bytearray(raw[start + 1 : start + 1 + width])
        for x in range(width):
            left = row[x - 1] if x else 0
            corner = before[x - 1] if x else 0
            guess = left + before[x] - corner
            paeth = min((left, before[x], corner), key=lambda value: abs(guess - value))
            row[x] = (row[x] + [0, left, before[x], (left + before[x]) // 2, paeth][how]) % 256
        rows.append(bytes(row))
        before = bytes(row)
    palette = [tuple(chunks[b"PLTE"][index : index + 3]) for index in range(0, len(chunks[b"PLTE"]), 3)]
    return width, rows, palette, chunks.get(b"tRNS", b"")


def look(puzzle):
    """Where the piece belongs: the place where the scene is the piece in shadow."""
    width, scene, colours, _ = decode(base64.b64decode(puzzle["originalImageBase64"]))
    side, strip, shades, opacity = decode(base64.b64decode(puzzle["jigsawImageBase64"]))
    assert (width, len(scene), side, len(strip)) == (310, 155, 47, 155)
    pixels = [
        (x, y, sum(shades[strip[y][x]]))
        for y in range(155)
        for x in range(side)
        if strip[y][x] >= len(opacity) or opacity[strip[y][x]]
    ][::9]
    light = [[sum(colours[index]) for index in row] for row in scene]

    def difference(left):
        return sum(abs(light[y][left + x] - value // 2) for x, y, value in pixels)

    return float(min(range(width - side), key=difference))


class App:
    def __init__(self, url, client_id):
        self.url, self.client_id = url, client_id

    def call(self, method, path, body=None, **more):
        headers = {
            "X-client-id": self.client_id,
            "X-operating-sys-version": "Android 10",
            "X-device-fingerprint": "156aysdna213sc50",
            "X-agent": "test",
            **{name.replace("_", "-"): value for name, value in more.items()},
        }
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json;charset=utf8"
        request = urllib.request.Request(self.url + path, data=data, headers=headers, method=method)
        try:
            with urllib.request.urlopen(request) as answer:
                text = answer.read()
                return answer.status, json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def right(self, method, path, body=None, **more):
        status, answer = self.call(method, path, body, **more)
        assert status == 200, (path, status, answer)
        return answer

    def wrong(self, code, method, path, body=None, **more):
        status, answer = self.call(method, path, body, **more)
        assert (status, answer["error_code"]) == (400, code), (path, status, answer)
        assert answer["error_msg"]

    def captcha_token(self, sender):
        puzzle = self.right("GET", "/api/v2/sdk/captcha")
        point = json.dumps({"x": look(puzzle), "y": 5.0}, separators=(",", ":"))
        answer = {"point_json": point, "token": puzzle["token"], "sender": sender}
        solved = self.right("POST", "/api/v2/sdk/captcha/verify", answer)["captcha_token"]
        assert solved == f"{puzzle['token']}---{point}"
        return solved

    def send(self, kind):
        body = {"mobile": MOBILE, "type": kind, "captcha_token": self.captcha_token(MOBILE)}
        assert self.right("POST", "/api/v2/sdk/sms/send", body) is None
        return body

    def signature(self, token, mgf1, nonce, off=0):
        now = int(self.right("GET", "/api/v2/sdk/server-date")["timestamp"]) + off
        pem = self.right("GET", "/api/v2/sdk/public-key")["public_key"]
        key = serialization.load_pem_public_key(pem.encode())
        assert key.key_size == 2048
        oaep = padding.OAEP(mgf=padding.MGF1(mgf1), algorithm=hashes.SHA256(), label=None)
        text = f"session_token={token}&timestamp={now}&nonce={nonce}"
        return base64.b64encode(key.encrypt(text.encode(), oaep)).decode()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--otpgate", required=True)
    with gateway(parser.parse_args().otpgate) as running:
        app = App(running.address, running.connection("--unlimited", "--allow-client-id")["clientId"])
        countries = app.right("GET", "/api/v2/sdk/country-codes")
        assert countries["preferredAreaCode"] == "CN" and len(countries["phoneAreaCodeDefinitions"]) > 200
        count = 0
        for mgf1 in (hashes.SHA256(), hashes.SHA1()):
            paid = app.send("LOGIN_SMS")
            count += 1
            code = running.code("+86" + MOBILE, count)
            app.wrong("CAPTCHA.0004", "POST", "/api/v2/sdk/sms/send", paid)
            login, body = "/api/v2/sdk/login/mobile-verify-code", {"mobile": MOBILE, "verify_code": code}
            wrong = str((int(code) + 1) % 1_000_000).zfill(6)
            app.wrong("CODE.0001", "POST", login, {**body, "verify_code": wrong})
            session = app.right("POST", login, body)
            assert (session["status"], session["expire"]) == ("SUCCESS", 604_800)
            app.wrong("CODE.0001", "POST", login, body)
            token = session["session_token"]
            mobile = app.right("GET", "/api/v2/sdk/mobile-by-token", X_state_token=token)
            assert mobile == {"mobile": "+86" + MOBILE}, mobile
            app.send("OTP_REST_SMS")
            count += 1
            code = running.code("+86" + MOBILE, count)
            body = {"mobile": MOBILE, "verify_code": code}
            app.wrong("CODE.0001", "POST", login, body)
            token = app.right("POST", "/api/v2/sdk/mfa/sms", body, X_state_token=token)["session_token"]
            refresh = "/api/v2/tenant/sso/session-token/refresh"
            fresh = app.right("POST", refresh, {"session_token": token})["session_token"]
            app.wrong("SESSION.0001", "POST", refresh, {"session_token": token})
            stale = app.signature(fresh, mgf1, f"stale-{mgf1.name}", off=-400_000)
            app.wrong("SIGNATURE.0002", "GET", "/api/v2/sdk/logout", X_signature=stale)
            signature = app.signature(fresh, mgf1, f"once-{mgf1.name}")
            assert app.right("GET", "/api/v2/sdk/logout", X_signature=signature) is None
            app.wrong("SIGNATURE.0003", "GET", "/api/v2/sdk/logout", X_signature=signature)
            app.wrong("SESSION.0001", "GET", "/api/v2/sdk/mobile-by-token", X_state_token=fresh)
        nobody = App(running.address, "x" * 24)
        nobody.wrong("APP.0001", "GET", "/api/v2/sdk/server-date")
        app.wrong("OFFER.0001", "POST", "/api/v2/sdk/login/pwd", {})
    print("OneAccess: signed in and out under both readings of the padding")


if __name__ == "__main__":
    main()
