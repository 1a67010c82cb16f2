"""A gateway of its own for a client test: the built binary on a fresh data directory, with the sandbox as carrier."""
import contextlib, json, pathlib, random, signal, socket, subprocess, tempfile, time, urllib.error, urllib.request

root = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    """A port below those that the system gives to outgoing connections, so that none of them takes it meanwhile."""
    while True:
        with socket.socket() as listener, contextlib.suppress(OSError):
            listener.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
            return listener.getsockname()[1]


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)


def call(method, address, headers=None, body=None, timeout=60):
    """One HTTP call. An error status is an answer as well."""
    data = None if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json"} if body is not None else {}
    request = urllib.request.Request(address, data, {**sent, **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return Answer(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refused:
        return Answer(refused.code, refused.headers, refused.read())


class Gateway:
    def __init__(self, binary, data, config=""):
        self.binary, self.data = binary, data
        settings = pathlib.Path(data, "otpgate.toml")
        settings.write_text(config)
        self.admin = f"http://127.0.0.1:{free_port()}"
        arguments = [binary, "serve", "--config", settings, "--data-dir", f"{data}/d", "--listen", "127.0.0.1:0",
                     "--admin-listen", self.admin.removeprefix("http://")]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=open(f"{data}/log", "w"), text=True)
        for line in self.process.stdout:
            if line.startswith("listening on "):
                self.address = line.removeprefix("listening on ").strip()
                break
        else:
            raise SystemExit(f"the gateway ended: {pathlib.Path(data, 'log').read_text()}")

    def command(self, *words):
        """What a command of the binary prints."""
        arguments = [self.binary, *words, "--data-dir", f"{self.data}/d"]
        return subprocess.run(arguments, check=True, capture_output=True, text=True).stdout

    def connection(self, *flags):
        """A new connection, with all that is shown of it once."""
        return json.loads(self.command("key", "create", "--name", "client", "--json", *flags))

    def key(self, *flags):
        """A new API key."""
        return self.connection(*flags)["key"]

    def messages(self, number):
        """What the sandbox holds for a number, newest first. The courier works after the answer: wait for the count."""
        return call("GET", f"{self.admin}/sandbox/messages?number={number.replace('+', '%2B')}").json

    def code(self, number, count=1):
        """The newest code that reached a number, once `count` messages have."""
        for _ in range(1000):
            if len(messages := self.messages(number)) >= count:
                return messages[0]["code"]
            time.sleep(0.02)
        raise AssertionError(f"no {count} messages reached {number}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        assert code == 0, f"the gateway ended with {code}: {pathlib.Path(self.data, 'log').read_text()}"


@contextlib.contextmanager
def gateway(binary, config=""):
    """A running gateway; it has to end with 0."""
    with tempfile.TemporaryDirectory() as data:
        running = Gateway(binary, data, config)
        try:
            yield running
        except BaseException:
            running.process.kill()
            print(pathlib.Path(data, "log").read_text()[-4000:])
            raise
        running.stop()
