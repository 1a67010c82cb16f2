"""The backup and the restore of docs/operations.md, word for word: taken from a server under load, killed, put back, and everything
that was acknowledged before the backup is there."""
import argparse, pathlib, re, signal, subprocess, sys, tempfile, threading

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests/clients"))
from gateway import Gateway, call, gateway

parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True)
given = parser.parse_args()
manual = (root / "docs/operations.md").read_text()


def commands(section, folder, words="**Embedded store**"):
    """The indented lines behind these words in a section of the manual, until the next such words, on the paths of a test."""
    text = re.search(rf"^## {section}$(.*?)^## ", manual, re.M | re.S)[1].split(words)[1].split("\n**")[0]
    found = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert len(found) >= 3, found
    for shown, meant in (("/var/lib/otpgate", "live/d"), ("/backup", "backup"), ("/somewhere/else", "else"), ("/restored", "restored/d")):
        found = [line.replace(shown, f"{folder}/{meant}") for line in found]
    return found


def shell(line):
    if line.startswith("otpgate "):
        line = line.replace("otpgate", given.otpgate, 1)
    run = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert run.returncode == 0, f"{line}: {run.stderr}"
    return run.stdout.strip()


with tempfile.TemporaryDirectory() as folder:
    for name in ("live", "backup", "else", "restored"):
        pathlib.Path(folder, name).mkdir()
    running = Gateway(given.otpgate, f"{folder}/live")
    key, over = {"apikey": running.key("--unlimited")}, threading.Event()
    sent = [call("POST", f"{running.address}/v1/otp", key, {"number": f"+4915112345{i:03d}", "otpCode": f"{i:06d}"}).json for i in range(100)]
    assert all("otpId" in otp for otp in sent), sent

    def load():
        """Sends all the while, so that the backup is of a database that is written."""
        number = 0
        while not over.is_set():
            number += 1
            assert call("POST", f"{running.address}/v1/otp", key, {"number": f"+49160{number:07d}"}).status == 200

    loader = threading.Thread(target=load)
    loader.start()
    backed = [shell(line) for line in commands("Backup", folder)]
    over.set()
    loader.join()
    assert "ok" in backed, backed
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()

    *restore, serve = commands("Restore", folder)
    assert serve.startswith("otpgate serve"), serve
    for line in restore:
        shell(line)
    again = Gateway(given.otpgate, f"{folder}/restored")
    for index, otp in enumerate(sent):
        answer = call("POST", f"{again.address}/v1/otp/{otp['otpId']}/verify", key, {"otpCode": f"{index:06d}"})
        assert (answer.status, answer.json["verified"]) == (200, True), (index, answer.status, answer.body)
    again.stop()

    # In the service's own directory; its configuration is this test's, and nobody starts a service here.
    stop, *restore, start = commands("Restore", folder, "**Under the systemd unit**")
    assert (stop, start) == ("systemctl stop otpgate", "systemctl start otpgate"), (stop, start)
    for line in restore:
        shell(line.replace(" --config /etc/otpgate/otpgate.toml", ""))
    assert pathlib.Path(folder, "live/d/otpgate.db.replaced").exists()
    again = Gateway(given.otpgate, f"{folder}/live")
    answer = call("GET", f"{again.address}/v1/otp/{sent[0]['otpId']}", key)
    assert answer.status == 200, answer.body
    again.stop()

    master = pathlib.Path(folder, "restored/d/master.key")
    master.write_text("0" * 64)
    line = serve.split("#")[0].replace("otpgate", given.otpgate, 1) + " --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0"
    refused = subprocess.run(line, shell=True, capture_output=True, text=True)
    assert refused.returncode == 77, refused
print("a backup under load, restored: 100 codes of 100 verify; another key is refused with 77")
