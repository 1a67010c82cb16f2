#!/usr/bin/env python3
"""Does what docs/verification-page.md tells a web developer: pastes its lines into a shell, in order, against a gateway that
runs, enters the code on the page, and checks the result that comes back by the lines for Python. Those for JavaScript are
run by npm/page.mjs.

Needs: PyJWT with cryptography

    python tests/clients/recipe.py --otpgate target/release/otpgate
"""
import argparse, json, os, pathlib, re, subprocess, time, urllib.error, urllib.parse, urllib.request

from gateway import gateway, root

options = argparse.ArgumentParser()
options.add_argument("--otpgate", type=pathlib.Path, default=root / "target/release/otpgate")
binary = options.parse_args().otpgate.resolve()
recipe = (root / "docs/verification-page.md").read_text()
once, each, framed = re.findall(r"```sh\n(.*?)```", recipe, re.DOTALL)
(check,) = re.findall(r"```python\n(.*?)```", recipe, re.DOTALL)
# Commands that stand in the text.
inline = [" ".join(words.split()) for words in re.findall(r"`(otpgate application [^`]*)`", recipe)]
assert len(inline) == 2, inline


class Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is looked at, not followed."""
    def redirect_request(self, *_):
        return None


def led(address, form=None):
    """Where a call leads to."""
    data = None if form is None else urllib.parse.urlencode(form).encode()
    try:
        urllib.request.build_opener(Stay).open(urllib.request.Request(address, data), timeout=60)
    except urllib.error.HTTPError as answer:
        assert answer.code == 303, (answer.code, answer.read())
        return urllib.parse.urljoin(address, answer.headers["location"])
    raise AssertionError(f"{address} leads nowhere")


with gateway(binary) as running:
    here = lambda lines: lines.replace("https://otp.example.com", running.address)
    # The commands find the data of the gateway as the one who runs it does: in the folder that it was started in.
    tools = pathlib.Path(running.data, "tools")
    tools.mkdir()
    tool = tools / "otpgate"
    tool.write_text(f'#!/bin/sh\nexec "{binary}" "$@" --data-dir "{running.data}/d"\n')
    tool.chmod(0o755)
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"}

    def pasted(*blocks):
        """What a shell answers in which the blocks were pasted, one after the other."""
        words = "\n".join(map(here, blocks))
        run = subprocess.run(["bash", "-ec", words], capture_output=True, text=True, timeout=60, env=environment)
        assert run.returncode == 0, f"{words}\n{run.stdout}\n{run.stderr}"
        return run.stdout

    for words in inline:
        pasted(words)
    # What a command writes, a gateway that runs sees a moment later.
    for _ in range(100):
        last = pasted(once, each).splitlines()[-1]
        opened = json.loads(last)
        if "verificationId" in opened:
            break
        assert opened["errors"][0]["pointer"] == "/returnUrl", last
        time.sleep(0.1)
    assert opened["state"] == "OPEN" and opened["pageUrl"].startswith(f"{running.address}/verify/"), opened
    page = opened["pageUrl"]
    assert led(page, {"action": "enter", "code": running.code("+4915112345678")}) == f"{page}?said=done"
    back = led(f"{page}?to=site")
    assert back.startswith("https://www.example.com/verified/?order=7&otpgate_result="), back
    token = urllib.parse.parse_qs(urllib.parse.urlsplit(back).query)["otpgate_result"][0]

    names = {"token": token, "session": {"verificationId": opened["verificationId"]}}
    exec(here(check), names)
    claims = names["claims"]
    assert (claims["outcome"], claims["referenceId"]) == ("VERIFIED", "order 7"), claims
    try:
        exec(here(check), {"token": token, "session": {"verificationId": "another"}})
    except Exception as error:
        assert type(error).__name__ == "InvalidSubjectError", error
    else:
        raise AssertionError("the result of another verification was taken")
    pasted(framed)

print("the web developer's recipe works as it is pasted")
