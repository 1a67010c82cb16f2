"""The manifests for Kubernetes: put together by kubectl's kustomize, and read strictly by the schemas of several of its versions;
and what holds between them, which no schema knows."""
import argparse, json, pathlib, re, subprocess, sys, tempfile
import kubernetes_validate, yaml

root = pathlib.Path(__file__).resolve().parents[2]
folder = root / "deploy/kubernetes"
VERSIONS = ["1.31", "1.34", "1.37"]
parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True)
parser.add_argument("--node", required=True, type=pathlib.Path)
given = parser.parse_args()


def kustomize(directory):
    built = subprocess.run(["kubectl", "kustomize", directory], check=True, capture_output=True, text=True).stdout
    return [document for document in yaml.safe_load_all(built) if document]


def of(documents, kind):
    found = [document for document in documents if document["kind"] == kind]
    assert len(found) == 1, f"{len(found)} of {kind}"
    return found[0]


def seconds(duration):
    return int(re.fullmatch(r"(\d+)s", duration)[1])


def between(documents):
    """Names, ports and durations that have to agree."""
    deployment = of(documents, "Deployment")["spec"]
    pod = deployment["template"]["spec"]
    container, = pod["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    labels = deployment["template"]["metadata"]["labels"]
    for kind, path in [("Service", ["selector"]), ("PodDisruptionBudget", ["selector", "matchLabels"]), ("NetworkPolicy", ["podSelector", "matchLabels"])]:
        chosen = of(documents, kind)["spec"]
        for step in path:
            chosen = chosen[step]
        assert chosen.items() <= labels.items(), f"{kind} chooses other pods"
    named = [port["port"] for rule in of(documents, "NetworkPolicy")["spec"]["ingress"] for port in rule["ports"]]
    named += [port["targetPort"] for port in of(documents, "Service")["spec"]["ports"]]
    named += [container[probe]["httpGet"]["port"] for probe in ("startupProbe", "livenessProbe", "readinessProbe")]
    assert set(named) == set(ports), f"ports {named} and {ports}"
    target = of(documents, "HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert target["name"] == of(documents, "Deployment")["metadata"]["name"] and "replicas" not in deployment
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert volumes["configuration"]["configMap"]["name"] == of(documents, "ConfigMap")["metadata"]["name"]
    secret = yaml.safe_load((folder / "secret.example.yaml").read_text())
    wanted = {item["key"] for item in volumes["secrets"]["secret"]["items"]} | {
        entry["valueFrom"]["secretKeyRef"]["key"] for entry in container["env"] if "valueFrom" in entry}
    assert wanted == set(secret["stringData"]) and volumes["secrets"]["secret"]["secretName"] == secret["metadata"]["name"]
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {"name": "OTPGATE_CONFIG", "value": f"{mounts['configuration']}/otpgate.toml"} in container["env"]
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    return pod["terminationGracePeriodSeconds"]


def configuration(documents, grace):
    """The gateway's own check of the file, with the secrets where the pod has them."""
    text = of(documents, "ConfigMap")["data"]["otpgate.toml"]
    with tempfile.TemporaryDirectory() as secrets:
        pathlib.Path(secrets, "master-key").write_text("0" * 64)
        pathlib.Path(secrets, "admin-token").write_text("0123456789abcdef")
        file = pathlib.Path(secrets, "otpgate.toml")
        file.write_text(text.replace("/run/secrets/otpgate", secrets))
        # As the image has it. The store's address is the secret's.
        store = "rediss://otpgate:password@valkey.example.com:6379"
        environment = {"OTPGATE_LISTEN": "0.0.0.0:8080", "OTPGATE_DATA_DIR": "/data", "OTPGATE_STORE_URL": store}
        command = [given.otpgate, "check-config", file]
        checked = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    effective = dict(re.findall(r'^(drain_\w+) = "(\w+)"$', checked.stdout, re.M))
    delay, timeout = seconds(effective["drain_delay"]), seconds(effective["drain_timeout"])
    assert delay >= 10 and grace > delay + timeout, f"a drain of {delay} and {timeout} s is cut off after {grace} s"


def init(documents, gateways):
    """The job that makes the store: the gateways' image, address and key, and its settings are no fault."""
    pod = of(documents, "Job")["spec"]["template"]["spec"]
    maker, = pod["containers"]
    gateway, = of(gateways, "Deployment")["spec"]["template"]["spec"]["containers"]
    assert maker["args"] == ["store", "init"] and maker["image"] == gateway["image"], f"{maker['image']} and {gateway['image']}"
    assert maker["securityContext"] == gateway["securityContext"]
    assert "create = false" in of(gateways, "ConfigMap")["data"]["otpgate.toml"], "a pod would make an emptied store anew"
    entries = {entry["name"]: entry for entry in maker["env"]}
    assert entries["OTPGATE_STORE_URL"] in gateway["env"]
    with tempfile.TemporaryDirectory() as secrets:
        pathlib.Path(secrets, "master-key").write_text("0" * 64)
        pathlib.Path(secrets, "master-key").chmod(0o600)
        values = {name: entry["value"].replace("/run/secrets/otpgate", secrets) for name, entry in entries.items() if "value" in entry}
        # Nobody listens there: it gets as far as its settings allow.
        environment = {"OTPGATE_LISTEN": "0.0.0.0:8080", "OTPGATE_DATA_DIR": "/data", "OTPGATE_STORE_URL": "redis://127.0.0.1:1"} | values
        run = subprocess.run([given.otpgate, *maker["args"]], env=environment, capture_output=True, text=True)
    assert run.returncode == 68, run.stderr


documents = kustomize(folder)
making = kustomize(folder / "init")
init(making, documents)
grace = between(documents)
configuration(documents, grace)
example = yaml.safe_load((folder / "secret.example.yaml").read_text())
monitoring = kustomize(folder / "monitoring")
for version in VERSIONS:
    for document in [*documents, *making, example, of(monitoring, "Service")]:
        kubernetes_validate.validate(document, version, strict=True)
# The operator's own kind, by schemas made from its definitions.
monitor = json.dumps(of(monitoring, "ServiceMonitor"))
subprocess.run(["node", "service_monitor.mjs"], cwd=given.node, input=monitor, text=True, check=True)
service = of(monitoring, "Service")
assert of(monitoring, "ServiceMonitor")["spec"]["selector"]["matchLabels"] == service["metadata"]["labels"]
print(f"{len(documents) + len(making) + len(monitoring) + 1} manifests, by the schemas of Kubernetes {', '.join(VERSIONS)}")
