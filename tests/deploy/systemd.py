"""The systemd unit: read and rated by systemd's own tools, which start nothing; and its filter of system calls held against what the
binary really calls, since no systemd runs here that would enforce it."""
import argparse, contextlib, os, pathlib, re, shutil, signal, subprocess, sys, tempfile

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests/clients"))
from gateway import call, free_port

# systemd's own scale, 0 to 10. The network and its two families are 0.9 of what is left.
EXPOSURE = 1.1
USER = 65532
parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True, type=pathlib.Path)
given = parser.parse_args()
unit = root / "deploy/systemd/otpgate.service"
# systemd's own units, where tests/tools unpacked it; the last colon is for those of the machine.
os.environ["SYSTEMD_UNIT_PATH"] = f"{root}/target/tools/systemd/lib/systemd/system:"


def analyze(*words):
    answered = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True)
    assert answered.returncode == 0, answered.stdout + answered.stderr
    return answered.stdout + answered.stderr


def settings(text):
    """What the unit sets, the last word of a setting for each; lists are joined."""
    found = {}
    for key, value in re.findall(r"^(\w+)=(.*)$", text, re.M):
        found[key] = f"{found[key]} {value}" if key in found and key in ("SystemCallFilter", "Environment") else value
    return found


def verify(folder):
    """As systemd reads it: every setting is known, alone and with the drop-in."""
    installed = folder / "otpgate.service"
    installed.write_text(unit.read_text().replace("/usr/local/bin/otpgate", str(given.otpgate.resolve())))
    said = analyze("verify", "--man=no", installed)
    assert not re.search(r"otpgate\.service", said), said
    drop_in = folder / "otpgate.service.d"
    drop_in.mkdir()
    shutil.copy(root / "deploy/systemd/shared-store.conf", drop_in)
    said = analyze("verify", "--man=no", installed)
    assert not re.search(r"otpgate\.service|shared-store", said), said
    # That it would say so:
    (drop_in / "wrong.conf").write_text("[Service]\nNoNewPrivilege=yes\n")
    assert "NoNewPrivilege" in analyze("verify", "--man=no", installed)


def calls_of(names):
    """The system calls of a list of names and sets of names."""
    calls = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
        else:
            lines = analyze("syscall-filter", name).splitlines()
            calls |= calls_of([line.strip() for line in lines if re.fullmatch(r"\s+@?\w[\w-]*|\s+@[\w-]+", line)])
    return calls


def made(folder):
    """The system calls of a gateway that starts, works and drains, as a user without rights."""
    data, port, admin = folder / "data", free_port(), free_port()
    data.mkdir()
    own = []
    if os.getuid() == 0:
        os.chown(data, USER, USER)
        own = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    trace = data / "trace"
    command = [*own, "strace", "-f", "-qq", "-e", "signal=none", "-o", trace, folder / "otpgate", "serve", "--data-dir", data / "d",
               "--listen", f"127.0.0.1:{port}", "--admin-listen", f"127.0.0.1:{admin}"]
    shutil.copy(given.otpgate, folder / "otpgate")
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, env={"PATH": os.environ["PATH"]})
    said = ""
    for line in server.stdout:
        said += line
        if line.startswith("listening on "):
            break
    else:
        raise AssertionError((folder / "log").read_text())
    key = re.search(r"^\s+KEY=(\S+)$", said, re.M)[1]
    address = f"http://127.0.0.1:{port}"
    sent = call("POST", f"{address}/v1/otp", {"apikey": key}, {"number": "+491713920000"})
    assert sent.status == 200, sent.body
    # A callback by name: the one thing that asks a resolver.
    call("POST", f"{address}/v1/webhooks", {"apikey": key}, {"notificationUrl": "https://callback.example.com/hook"})
    wrong = call("POST", f"{address}/v1/otp/{sent.json['otpId']}/verify", {"apikey": key}, {"otpCode": "000000"})
    assert wrong.status == 200, wrong.body
    call("GET", f"http://127.0.0.1:{admin}/metrics")
    # The tracer's only child: the tracer itself takes no SIGTERM while it traces.
    child = int(pathlib.Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()[0])
    os.kill(child, signal.SIGTERM)
    assert server.wait() == 0, (folder / "log").read_text()
    lines = trace.read_text()
    families = set(re.findall(r"\bsocket\((AF_\w+)", lines))
    return set(re.findall(r"^\d+ +(\w+)\(", lines, re.M)), families


with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    folder.chmod(0o755)
    verify(folder)
    print(analyze("security", "--offline=true", f"--threshold={round(EXPOSURE * 10)}", "--no-pager", unit).strip().splitlines()[-1])
    wanted = settings(unit.read_text())
    filters = wanted["SystemCallFilter"].split(" ~")
    allowed = calls_of(filters[0].split()) - calls_of(filters[1].split())
    calls, families = made(folder)
    assert len(calls) > 30 and len(allowed) > 150, (calls, allowed)
    # execve is systemd's own before the filter holds, and in @process besides.
    assert calls <= allowed, f"the unit forbids {sorted(calls - allowed)}, which the gateway calls"
    refused = families - set(wanted["RestrictAddressFamilies"].split())
    # glibc's resolver tries a daemon's socket and the kernel's list of addresses first, and does without either.
    assert refused <= {"AF_UNIX", "AF_NETLINK"}, f"the unit forbids {refused}"
print(f"the unit is right, and its {len(allowed)} system calls hold the {len(calls)} that the gateway makes")
