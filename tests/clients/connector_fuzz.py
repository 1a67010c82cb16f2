"""Throws generated requests at a running gateway, by the connector's served definition: schemathesis (PyPI).

Needs: pip install schemathesis==4.32.0

    python tests/clients/connector_fuzz.py --otpgate target/debug/otpgate [--examples 450]

Fails at an answer of 5xx, at one outside the definition, at invalid input that is accepted, at a call that passes without its
key, at a deleted thing that is still found, and when there were fewer than 2,000 cases. The seed is fixed; --seed sets another.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from gateway import call, gateway

HERE = pathlib.Path(__file__).resolve().parent
CASES = 2000
CHECKS = [
    "not_a_server_error", "status_code_conformance", "response_schema_conformance", "response_headers_conformance",
    "invalid_is_refused", "missing_required_header", "unsupported_method", "ignored_auth", "use_after_free",
    "ensure_resource_availability", "media_type",
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--otpgate", required=True)
    parser.add_argument("--examples", type=int, default=450)
    parser.add_argument("--seed", type=int, default=1)
    words = parser.parse_args()
    # Subscriptions to an address of this machine where nobody listens; and wrong addresses by the thousand are the point here.
    config = "[events]\nallow_private_callbacks = true\n[guard]\nfailures = 1000000\n"
    with gateway(pathlib.Path(words.otpgate).resolve(), config) as started, tempfile.TemporaryDirectory() as folder:
        key = started.key("--unlimited")
        numbers = [{"number": f"+4917139200{index:02}"} for index in range(20)]
        sent = [call("POST", f"{started.address}/v1/otp", {"apikey": key}, number) for number in numbers]
        ids = [answer.json["otpId"] for answer in sent]
        wishes = [{"notificationUrl": f"https://127.0.0.1:9/known/{index}"} for index in range(20)]
        made = [call("POST", f"{started.address}/v1/webhooks", {"apikey": key}, wish) for wish in wishes]
        tokens = [answer.headers["Location"].rsplit("/", 1)[1] for answer in made]
        command = [
            sys.executable, "-m", "schemathesis.cli", "run", f"{started.address}/connector/apiDefinition.swagger.json",
            "-H", f"apikey: {key}", "--max-examples", str(words.examples), "--seed", str(words.seed),
            "--checks", ",".join(CHECKS), "--generation-database", "none", "--no-color", "--workers", "2",
        ]
        environment = {
            **os.environ, "OTP_IDS": ",".join(ids), "TOKENS": ",".join(tokens), "SCHEMATHESIS_HOOKS": "connector_fuzz_hooks",
            "PYTHONPATH": str(HERE),
        }
        done = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True)
        print(done.stdout[-6000:])
        assert done.returncode == 0, done.stderr
        cases = int(re.search(r"(\d[\d,]*) generated", done.stdout).group(1).replace(",", ""))
        assert cases >= CASES, f"{cases} cases are fewer than {CASES}"
    print(f"schemathesis found nothing in {cases} cases")


main()
