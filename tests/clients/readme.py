#!/usr/bin/env python3
"""Does what the README tells a newcomer: starts the server with its first command, pastes the lines that it prints into a
shell, and expects a verified code; then pastes the README's own pair of lines for a payment. Also holds the README to its
two commands."""
import argparse, contextlib, pathlib, random, re, signal, socket, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]
options = argparse.ArgumentParser()
options.add_argument("--otpgate", type=pathlib.Path, default=root / "target/release/otpgate")
binary = options.parse_args().otpgate.resolve()
readme = (root / "README.md").read_text()

for command in ("cargo run --release -- serve", "tests/run"):
    assert command in readme, f"the README lost its command: {command}"

pair = re.findall(r"^ +curl [^\n]*\n[^\n]*\"context\"[^\n]*$", readme, re.MULTILINE)
assert len(pair) == 2 and "/verify" in pair[1], f"the README lost its lines for a payment: {pair}"


def free_port():
    """A port below those that the system gives to outgoing connections, so that none of them takes it meanwhile."""
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            return listener.getsockname()[1]


with tempfile.TemporaryDirectory() as data:
    arguments = [binary, "serve", "--data-dir", f"{data}/d", "--listen", f"127.0.0.1:{free_port()}",
                 "--admin-listen", f"127.0.0.1:{free_port()}"]
    server = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=data)
    try:
        lines = []
        for line in server.stdout:
            lines.append(line)
            if line.startswith("listening on "):
                break
        banner = "".join(lines)
        assert re.search(r"listening on http://127\.0\.0\.1:\d+", banner), banner
        # What a newcomer pastes: the indented block of shell lines.
        pasted = "\n".join(line.strip() for line in lines if line.startswith("  "))
        assert "curl" in pasted, banner
        run = subprocess.run(["bash", "-ec", pasted], capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, f"{pasted}\n{run.stdout}\n{run.stderr}"
        assert '"verified":true' in run.stdout.replace(" ", ""), f"{pasted}\n{run.stdout}\n{run.stderr}"
        # The README's lines are for the usual port; the id of the code stands in the answer to the first.
        public = re.search(r"listening on (http://\S+)", banner)[1]
        send, verify = (line.replace("http://127.0.0.1:8080", public) for line in pair)
        key = re.search(r"KEY=\S+", pasted)[0]
        run = subprocess.run(["bash", "-ec", f"{key}\n{send}"], capture_output=True, text=True, timeout=60)
        sent = re.search(r'"otpId":"([^"]+)"', run.stdout)
        assert sent, f"{send}\n{run.stdout}\n{run.stderr}"
        words = f"{key}\nOTP={sent[1]}\n{verify}"
        run = subprocess.run(["bash", "-ec", words], capture_output=True, text=True, timeout=60)
        assert '"verified":true' in run.stdout, f"{words}\n{run.stdout}\n{run.stderr}"
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)
    assert code == 0, f"the server ended with {code}: {server.stderr.read()}"

print("the README's first command works, and the lines that it prints verify a code; those for a payment verify that payment")
sys.exit(0)
