"""Runs the verification page in Chromium, by a driver that others wrote (playwright-core), through the sandbox: see
page.mjs beside it, in npm/. Screenshots of every state go to target/page-screenshots.

Needs: Chromium, and the packages of npm/package.json in the folder that --node names

    python tests/clients/page.py --otpgate target/debug/otpgate --node target/clients/npm [--images docs/images]
"""

import argparse
import base64
import json
import pathlib
import re
import shutil
import struct
import subprocess
import zlib

from gateway import call, gateway, root

words = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
words.add_argument("--otpgate", required=True)
words.add_argument("--node", required=True)
words.add_argument("--chromium", default=shutil.which("chromium") or shutil.which("chromium-browser"))
words.add_argument("--images", help="where the pictures of the documents go; none are made without it")
words = words.parse_args()


def logo(side=72):
    """A picture of a shop: a white tile with a bag, as PNG."""
    def pixel(x, y):
        x, y = x / side * 24, y / side * 24
        bag = 5 <= x <= 19 and 8 <= y <= 21
        handle = 2.6 <= ((x - 12) ** 2 + (y - 8) ** 2) ** 0.5 <= 4.2 and y < 8
        return (0xB3, 0x26, 0x6B) if bag or handle else (255, 255, 255)
    rows = b"".join(b"\0" + bytes(part for x in range(side) for part in pixel(x, y)) for y in range(side))
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND", b"")


def guessing(running):
    """Who guesses addresses is sent away like who guesses keys, and sees no difference until then."""
    seen = []
    for number in range(40):
        answer = call("GET", f"{running.address}{prefix}{'A' * 41}{number:02}")
        seen.append((answer.status, answer.body))
    assert {status for status, _ in seen[:30]} == {404} and len({body for _, body in seen[:30]}) == 1, seen[0]
    assert seen[-1][0] == 429 and int(answer.headers["retry-after"]) >= 1, seen[-1]


prefix = "/verify/"
# Pages that are over are looked at often below: the guard has a test of its own.
with gateway(words.otpgate, "[guard]\nfailures = 100000\n") as running:
    task = {
        "address": running.address,
        "admin": running.admin,
        "key": running.key("--unlimited", "--scopes", "send,status,verify,delete,webhooks,admin"),
        "chromium": words.chromium,
        "shots": str(root / "target/page-screenshots"),
        "images": words.images and str(pathlib.Path(words.images).resolve()),
        "recipe": str(root / "docs/verification-page.md"),
        "logo": base64.b64encode(logo()).decode(),
    }
    subprocess.run(["node", "page.mjs", json.dumps(task)], cwd=words.node, check=True)
    log = pathlib.Path(running.data, "log").read_text()
    assert not re.search(r"panicked|/verify/[A-Za-z0-9_-]{43}", log), log
with gateway(words.otpgate) as running:
    guessing(running)
print("the guard sends away who guesses addresses")
