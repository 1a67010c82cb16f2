#!/usr/bin/env python3
"""Does what the README tells a newcomer: starts the server with its first command, pastes the lines that it prints into a
shell, and expects a verified code. Also holds the README to its two commands."""
import contextlib, os, pathlib, random, re, signal, socket, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]
binary = root / "target/release/otpgate"
readme = (root / "README.md").read_text()

for command in ("cargo run --release -- serve", "tests/run"):
    assert command in readme, f"the README lost its command: {command}"


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
    finally:
        server.send_signal(signal.SIGTERM)
        code = server.wait(timeout=60)
    assert code == 0, f"the server ended with {code}: {server.stderr.read()}"

print("the README's first command works, and the lines that it prints verify a code")
sys.exit(0)
