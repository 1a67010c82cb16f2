"""The compose file: read by the compose client; its Valkey and its front are started for real, with their own configuration, by the
servers that Debian has, and the front is asked over TLS while a gateway drains."""
import argparse, os, pathlib, re, shutil, socket, ssl, subprocess, sys, tempfile, time, urllib.request
import compose_spec, yaml

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests/clients"))
from gateway import free_port, gateway

parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True)
given = parser.parse_args()


def eventually(true, what):
    """Waits for as long as it takes; whoever started the test has the patience to set."""
    while not true():
        time.sleep(0.05)
    print(what)


def seconds(duration):
    return int(re.fullmatch(r"(\d+)s", duration)[1])


def prepared(folder):
    """A copy of the folder, with the secrets as `prepare` makes them."""
    compose = folder / "compose"
    shutil.copytree(root / "deploy/compose", compose, ignore=shutil.ignore_patterns("secrets"))
    prepare = lambda url: subprocess.run([compose / "prepare", url], capture_output=True, text=True)
    assert prepare("http://otp.example.com").returncode == 64 and prepare("https://a b").returncode == 64
    assert not (compose / "secrets").exists(), "a wrong address made secrets"
    assert prepare("https://otp.example.com").returncode == 0
    secrets = compose / "secrets"
    before = {path.name: path.read_bytes() for path in secrets.iterdir()}
    assert prepare("https://otp.example.com").returncode == 0
    assert before == {path.name: path.read_bytes() for path in secrets.iterdir()}, "a second run made other secrets"
    assert secrets.stat().st_mode & 0o777 == 0o700, "others may look into secrets/"
    return compose, secrets


def client(compose, secrets):
    """What the compose client makes of the file; and whether it is right by today's specification, which Debian's client is older than."""
    whole = yaml.safe_load((compose / "compose.yaml").read_text())
    # Written again, its anchors are resolved.
    specified = compose_spec.PyCompose.from_yaml(yaml.safe_dump({key: value for key, value in whole.items() if not key.startswith("x-")}))
    specified.validate()
    assert len(specified.service_names()) == 4, specified.service_names()
    read = subprocess.run(["docker-compose", "-f", compose / "compose.yaml", "config"], check=True, capture_output=True, text=True)
    services = yaml.safe_load(read.stdout)["services"]
    assert set(services) == {"gateway-1", "gateway-2", "valkey", "front"}
    for name, service in services.items():
        assert service["read_only"] and service["cap_drop"] == ["ALL"] and service["healthcheck"]["test"], name
        assert service["security_opt"] == ["no-new-privileges:true"] and service["stop_grace_period"], name
        assert all((secrets / secret["source"]).is_file() for secret in service["secrets"]), name
        for volume in service.get("volumes", []):
            source = str(volume).split(":")[0]
            assert not source.startswith("/") or pathlib.Path(source).is_file(), f"{name} mounts {volume}"
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert list(published) == ["front"], f"{published} are open to everybody"
    return services


def configuration(secrets, services):
    """The gateway's own check of its file."""
    file = secrets.parent / "checked.toml"
    file.write_text((secrets / "otpgate.toml").read_text().replace("/run/secrets", str(secrets)))
    environment = {"OTPGATE_LISTEN": "0.0.0.0:8080", "OTPGATE_DATA_DIR": "/data"}
    checked = subprocess.run([given.otpgate, "check-config", file], env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    timeout = seconds(re.search(r'^drain_timeout = "(\w+)"$', checked.stdout, re.M)[1])
    for name in ("gateway-1", "gateway-2"):
        grace = services[name]["stop_grace_period"]
        minutes = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", grace)
        assert int(minutes[1] or 0) * 60 + int(minutes[2] or 0) > timeout, f"{grace} cuts a drain of {timeout} s off"


def valkey(compose, secrets, folder):
    """Its configuration and its users, on Debian's redis-server."""
    data, port = folder / "valkey", free_port()
    data.mkdir()
    file = folder / "valkey.conf"
    text = (compose / "valkey.conf").read_text().replace("/run/secrets", str(secrets)).replace("dir /data", f"dir {data}")
    file.write_text(text)
    command = ["redis-server", file, "--port", str(port), "--bind", "127.0.0.1"]
    server = subprocess.Popen(command, stdout=(folder / "valkey.log").open("w"))
    password = re.search(r"redis://otpgate:(\w+)@", (secrets / "otpgate.toml").read_text())[1]

    def ask(*words, login=("--user", "otpgate", "--pass", password)):
        answered = subprocess.run(["redis-cli", "-p", str(port), "--no-auth-warning", *login, *words], capture_output=True, text=True)
        return (answered.stdout + answered.stderr).strip()

    try:
        eventually(lambda: ask("ping", login=()) == "PONG" or server.poll() is not None, "valkey.conf: the probe is answered")
        assert server.poll() is None, (folder / "valkey.log").read_text()
        assert "NOPERM" in ask("get", "a", login=()) and "WRONGPASS" in ask("get", "a", login=("--user", "otpgate", "--pass", "x"))
        for setting, value in [("appendonly", "yes"), ("appendfsync", "always"), ("maxmemory-policy", "noeviction")]:
            assert ask("config", "get", setting).split() == [setting, value], setting
        assert ask("set", "a", "1") == "OK" and "NOPERM" in ask("flushall") and ask("get", "a") == "1"
        # A gateway as that user: all that it asks of its store is allowed.
        # The store is made by its own command, as the file says that it has to be.
        assert re.search(r"^create = false$", (secrets / "otpgate.toml").read_text(), re.M), "a gateway would make an emptied store anew"
        settings = f'master_key_file = "{secrets}/master-key"\n[store]\nurl = "redis://otpgate:{password}@127.0.0.1:{port}"\ncreate = false\n'
        file = folder / "made.toml"
        file.write_text(settings)
        made = lambda *words: subprocess.run([given.otpgate, *words, "--config", file], capture_output=True, text=True)
        assert made("key", "list").returncode == 66, "it was made without being asked for"
        assert made("store", "init").returncode == 0
        with gateway(given.otpgate, settings) as running:
            with urllib.request.urlopen(running.address + "/health/ready") as answer:
                assert answer.status == 200, answer.status
    finally:
        server.kill()
        server.wait()


def front(compose, secrets, folder):
    """haproxy in front of two gateways: TLS, the way round a gateway that drains, and no call lost on it."""
    port = free_port()
    config = (compose / "haproxy.cfg").read_text()
    with gateway(given.otpgate, '[server]\ndrain_delay = "5s"\n') as one, gateway(given.otpgate) as other:
        config = config.replace("/run/secrets/tls.pem", str(secrets / "tls.pem")).replace("bind :8443", f"bind 127.0.0.1:{port}")
        # A test may have fewer descriptors than compose.yaml gives the front.
        config = config.replace("maxconn 20000", "maxconn 500")
        config = config.replace("bind 127.0.0.1:8404", f"bind 127.0.0.1:{free_port()}")
        for name, running in (("gateway-1", one), ("gateway-2", other)):
            config = config.replace(f"server {name} {name}:8080", f"server {name} {running.address.removeprefix('http://')}")
        file = folder / "haproxy.cfg"
        file.write_text(config)
        subprocess.run(["haproxy", "-c", "-q", "-f", file], check=True)
        proxy = subprocess.Popen(["haproxy", "-db", "-f", file], stdout=(folder / "front.log").open("w"), stderr=subprocess.STDOUT)
        trust = ssl.create_default_context(cafile=secrets / "tls.pem")
        trust.check_hostname = False

        def ask():
            try:
                with urllib.request.urlopen(f"https://127.0.0.1:{port}/openapi.json", context=trust) as answer:
                    return answer.status
            except OSError as error:
                return error

        try:
            eventually(lambda: ask() == 200 or proxy.poll() is not None, "haproxy.cfg: a gateway answers through the front")
            assert proxy.poll() is None, (folder / "front.log").read_text()
            one.process.terminate()
            seen = False
            while one.process.poll() is None:
                answered = ask()
                assert answered == 200, f"a call failed while a gateway drained: {answered}"
                seen = seen or "gateways/gateway-1 is DOWN" in (folder / "front.log").read_text() and one.process.poll() is None
            assert seen, "the front did not see the drain before it was over"
            for _ in range(50):
                assert (answered := ask()) == 200, f"a call failed after a gateway had drained: {answered}"
            log = (folder / "front.log").read_text()
            assert "gateways/gateway-1" in log and "gateways/gateway-2" in log and "openapi" not in log, log
        finally:
            proxy.kill()
            proxy.wait()
    print("a gateway drained behind the front, and no call failed")


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    compose, secrets = prepared(folder)
    services = client(compose, secrets)
    configuration(secrets, services)
    valkey(compose, secrets, folder)
    front(compose, secrets, folder)
print("compose: the client reads it, its Valkey and its front run")
