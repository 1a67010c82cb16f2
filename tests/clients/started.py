"""A gateway as a user has it, for the clients of tests/clients: the built binary on free ports, with a data directory of its own."""

import contextlib
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Gateway:
    def __init__(self, binary, folder):
        self.binary = str(pathlib.Path(binary).resolve())
        self.data = pathlib.Path(folder) / "data"
        self.port, self.admin_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("OTPGATE_")}

    def command(self, *words):
        done = subprocess.run([self.binary, *words], capture_output=True, text=True, env=self.environment)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def key(self, *flags):
        words = ["key", "create", "--name", "client", "--json", "--data-dir", str(self.data), *flags]
        return json.loads(self.command(*words))["key"]

    def messages(self, number):
        query = urllib.parse.urlencode({"number": number})
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/sandbox/messages?{query}") as answer:
            return json.load(answer)

    def code(self, number, count=1):
        """The newest code that reached a number, once `count` messages have."""
        for _ in range(1000):
            messages = self.messages(number)
            if len(messages) >= count:
                return messages[0]["code"]
            time.sleep(0.02)
        raise AssertionError(f"no {count} messages reached {number}")


@contextlib.contextmanager
def gateway(binary):
    with tempfile.TemporaryDirectory() as folder:
        made = Gateway(binary, folder)
        words = ["serve", "--data-dir", str(made.data), "--listen", f"127.0.0.1:{made.port}"]
        words += ["--admin-listen", f"127.0.0.1:{made.admin_port}"]
        log = open(pathlib.Path(folder) / "log", "w+", encoding="utf-8")
        server = subprocess.Popen([made.binary, *words], stdout=subprocess.PIPE, stderr=log, text=True, env=made.environment, cwd=folder)
        try:
            for line in server.stdout:
                if line.startswith("listening on "):
                    break
            else:
                log.seek(0)
                raise AssertionError(f"the gateway did not start: {log.read()}")
            yield made
        finally:
            server.send_signal(signal.SIGTERM)
            code = server.wait(timeout=60)
            log.seek(0)
            text = log.read()
        assert code == 0, f"the gateway ended with {code}: {text}"
        assert "panicked" not in text, text
