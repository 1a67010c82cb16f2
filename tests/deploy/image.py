"""The container image: built by buildah as an operator builds it, looked at by Google's container-structure-test, and run from
its own files, read-only and as its own user, by bubblewrap."""
import argparse, json, os, pathlib, shutil, subprocess, sys, tarfile, tempfile, time

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests/clients"))
from gateway import call, free_port

USER = 65532
parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True, type=pathlib.Path)
parser.add_argument("--structure-test", required=True)
given = parser.parse_args()


def build(folder):
    """The image as an archive, such as `docker load` takes. Nothing of it stays in buildah's own store."""
    archive = folder / "otpgate.tar"
    store = f"buildah --storage-driver=vfs --root={folder}/store --runroot={folder}/run"
    command = [root / "deploy/image/build", given.otpgate, "otpgate:test", f"docker-archive:{archive}:otpgate:test"]
    subprocess.run(command, check=True, env={**os.environ, "BUILDAH": store}, stdout=subprocess.DEVNULL)
    return archive


def look(archive):
    """What others say of it."""
    expected = root / "tests/deploy/image.yaml"
    subprocess.run([given.structure_test, "test", "--driver", "tar", "--image", archive, "--config", expected], check=True)


def unpack(archive, folder):
    """Its files in a folder, and its configuration. Whose they are is read from the layers: unpacking needs no rights."""
    image, owners = folder / "root", {}
    with tarfile.open(archive) as outer:
        manifest = json.load(outer.extractfile("manifest.json"))[0]
        config = json.load(outer.extractfile(manifest["Config"]))["config"]
        for layer in manifest["Layers"]:
            with tarfile.open(fileobj=outer.extractfile(layer)) as inner:
                for member in inner:
                    owners[member.name.strip("/")] = (member.uid, member.gid, member.mode & 0o7777)
                    member.uid, member.gid = os.getuid(), os.getgid()
                    inner.extract(member, image, numeric_owner=True)
    users = {path for path, (uid, gid, _) in owners.items() if (uid, gid) == (USER, USER)}
    assert users == {"data"}, f"the image's user owns {users}"
    writable = {path for path, (_, _, mode) in owners.items() if mode & 0o022}
    assert writable == {"tmp"}, f"others may write {writable}"
    assert owners["data"][2] == 0o700 and owners["tmp"][2] == 0o1777, owners
    size = sum(path.stat().st_size for path in image.rglob("*") if path.is_file() and not path.is_symlink())
    print(f"{len(owners)} entries, {size / 1e6:.1f} MB, user {config['User']}")
    return image, config


def jail(image, data, environment):
    """A command that runs in the image as a container runtime would run it: its user, no capability, nothing to write to but
    the data and a temporary directory, no process of others in sight. Only the network is this machine's."""
    words = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if os.getuid() == 0 else []
    words += ["bwrap", "--unshare-user", "--uid", str(USER), "--gid", str(USER), "--unshare-pid", "--unshare-ipc", "--unshare-uts"]
    words += ["--cap-drop", "ALL", "--die-with-parent", "--clearenv", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    for entry in sorted(image.iterdir()):
        if entry.name not in ("tmp", "data"):
            words += ["--ro-bind", str(entry), f"/{entry.name}"]
    words += ["--bind", str(data), "/data", "--remount-ro", "/"]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    return words


def run(image, config, folder):
    data = folder / "data"
    data.mkdir(mode=0o700)
    if os.getuid() == 0:
        os.chown(data, USER, USER)
    port, admin = free_port(), free_port()
    environment = dict(line.split("=", 1) for line in config["Env"])
    assert environment["OTPGATE_LISTEN"] == "0.0.0.0:8080", environment
    environment |= {"OTPGATE_LISTEN": f"0.0.0.0:{port}", "OTPGATE_ADMIN_LISTEN": f"127.0.0.1:{admin}",
                    "OTPGATE_PUBLIC_URL": "https://otp.example.com"}
    entrance = jail(image, data, environment) + config["Entrypoint"]
    health = lambda: subprocess.run([*entrance, "health"], capture_output=True, text=True)
    refused = health()
    assert refused.returncode == 69 and "does not answer" in refused.stderr, refused
    elsewhere = subprocess.run([*entrance, "serve", "--data-dir", "/etc/data"], capture_output=True, text=True)
    assert elsewhere.returncode == 73, f"the root is not read-only: {elsewhere}"

    log = folder / "log"
    server = subprocess.Popen(entrance + config["Cmd"], stdout=subprocess.PIPE, stderr=log.open("w"), text=True)
    try:
        line = next((line for line in server.stdout if line.startswith("listening on ")), None)
        assert line, f"the gateway ended: {log.read_text()}"
        ready = call("GET", f"http://127.0.0.1:{port}/health/ready")
        assert (ready.status, ready.json) == (200, {"status": "ready"}), (ready.status, ready.body)
        said = health()
        assert (said.returncode, said.stdout) == (0, "ready\n"), said
        status = process_of(port)
        assert status["Uid"].split() == [str(USER)] * 4 or os.getuid() != 0, status["Uid"]
        assert int(status["CapEff"], 16) == int(status["CapBnd"], 16) == 0 and status["NoNewPrivs"] == "1", status
        child = int(status["Pid"])
        os.kill(child, 15)
        assert server.wait(60) == 0, f"it ended with {server.returncode}: {log.read_text()}"
    finally:
        server.kill()
    assert (data / "master.key").stat().st_mode & 0o777 == 0o600, "the data are not in /data"


def process_of(port):
    """What the kernel says of the process whose environment names the port."""
    wanted = f"OTPGATE_LISTEN=0.0.0.0:{port}".encode()
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if wanted in (process / "environ").read_bytes().split(b"\0") and b"otpgate\0serve" in (process / "cmdline").read_bytes():
                lines = (process / "status").read_text().splitlines()
                return {key: value.strip() for key, value in (line.split(":", 1) for line in lines)}
        except OSError:
            pass
    raise AssertionError("no such process")


# Not below the repository: the image's user has to reach it.
folder = pathlib.Path(tempfile.mkdtemp(prefix="otpgate-image-"))
try:
    folder.chmod(0o755)
    archive = build(folder)
    look(archive)
    image, config = unpack(archive, folder)
    run(image, config, folder)
finally:
    shutil.rmtree(folder)
print("the image: built, looked at, and run read-only as its user")
