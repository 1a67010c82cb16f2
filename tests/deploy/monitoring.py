"""The alert rules and the dashboard: read by promtool and by Grafana's own library, raised and not raised on series made for it,
and about nothing but metrics that a running gateway shows, with the labels and the words that it gives them."""
import argparse, json, pathlib, re, subprocess, sys, tempfile, time
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard

root = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(root / "tests/clients"))
from gateway import call, gateway

# What Prometheus itself adds, and what the job of scrape.example.yaml brings.
ADDED = {"job", "instance", "le"}
parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True)
given = parser.parse_args()
folder = root / "deploy/monitoring"


def promtool(*words):
    subprocess.run(["promtool", *words], check=True)


# A carrier has series from its first message on. Nobody is there to take it.
CARRIER = """
public_url = "https://otp.example.com"
[delivery]
countries = ["DE"]
[[delivery.providers]]
name = "carrier"
type = "http"
preset = "webhook"
url = "http://127.0.0.1:9/"
http = { credentials = { secret = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz" } }
"""


def exposed():
    """What a gateway shows: the names of its series, their labels, and the labels' values."""
    series = {}
    with gateway(given.otpgate, CARRIER) as running:
        sent = call("POST", f"{running.address}/v1/otp", {"apikey": running.key()}, {"number": "+4915112345678"})
        assert sent.status == 200, sent.body
        # A route shows once it was called.
        for probe in ("live", "ready"):
            assert call("GET", f"{running.address}/health/{probe}").status == 200
        while "otpgate_provider_circuit_open{" not in (shown := call("GET", f"{running.admin}/metrics").body.decode()):
            time.sleep(0.05)
        for line in shown.splitlines():
            if match := re.fullmatch(r"(\w+)(?:\{(.*)\})? \S+", line):
                labels = series.setdefault(match[1], {})
                for label, value in re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""):
                    labels.setdefault(label, set()).add(value)
    assert len(series) > 30, series.keys()
    return series


def holds(expression, series):
    """Every metric of the expression is shown, every label it selects or groups by is the metric's, every word a label's."""
    used = re.findall(r"\b(otpgate_\w+|up)\b(?:\{([^}]*)\})?", expression)
    assert used, f"no metric in {expression}"
    grouped = {label.strip() for group in re.findall(r"\bby \(([^)]*)\)", expression) for label in group.split(",")}
    for name, selected in used:
        if name == "up":
            continue
        assert name in series, f"no gateway shows {name}: {expression}"
        for label, operator, value in re.findall(r'(\w+)\s*(=~|!=|!~|=)\s*"([^"]*)"', selected):
            assert label in series[name] or label in ADDED, f"{name} has no label {label}: {expression}"
            if label in series[name]:
                words = value.split("|") if operator in ("=~", "!~") else [value]
                assert set(words) <= series[name][label], f"{name} never says {label}={value}: {expression}"
    known = set().union(*(series[name] for name, _ in used if name != "up"), ADDED)
    assert grouped <= known, f"{grouped - known} of {expression} are no labels"
    return {name for name, _ in used}


def check_alerts(series):
    promtool("check", "rules", folder / "alerts.yaml")
    promtool("test", "rules", folder / "alerts.test.yaml")
    promtool("check", "config", "--syntax-only", folder / "scrape.example.yaml")
    rules = [rule for group in yaml.safe_load((folder / "alerts.yaml").read_text())["groups"] for rule in group["rules"]]
    tests = [test for case in yaml.safe_load((folder / "alerts.test.yaml").read_text())["tests"] for test in case["alert_rule_test"]]
    manual = (root / "docs/operations.md").read_text()
    for rule in rules:
        name = rule["alert"]
        assert any(test["alertname"] == name and test["exp_alerts"] for test in tests), f"nothing raises {name}"
        assert any(test["alertname"] == name and not test["exp_alerts"] for test in tests), f"{name} is always there"
        assert rule["labels"]["severity"] in ("page", "ticket"), name
        assert rule["annotations"]["runbook"] == f"docs/operations.md#{name.lower()}", name
        assert f"\n#### {name}\n" in manual, f"docs/operations.md says nothing of {name}"
        holds(rule["expr"], series)
    headings = set(re.findall(r"^#### (Otpgate\w+)$", manual, re.M))
    assert headings == {rule["alert"] for rule in rules}, f"the manual knows other alerts: {headings}"
    return len(rules)


def lost(given, back, place=""):
    """The places whose value did not survive Grafana's own types."""
    if isinstance(given, dict) and isinstance(back, dict):
        for key, value in given.items():
            yield from lost(value, back[key], f"{place}.{key}") if key in back else [f"{place}.{key}"]
    elif isinstance(given, list) and isinstance(back, list) and len(given) == len(back):
        for index, (one, other) in enumerate(zip(given, back)):
            yield from lost(one, other, f"{place}[{index}]")
    elif given != back:
        yield place


def check_dashboard(series):
    dashboard = json.loads((folder / "dashboard.json").read_text())
    back = json.loads(json.dumps(Dashboard.from_json(dashboard), cls=JSONEncoder))
    assert not (places := list(lost(dashboard, back))), f"Grafana's types do not know {places}"
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]), "two panels share an id"
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    queries = [variable["query"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"]
    seen = set().union(*(holds(expression, series) for expression in expressions + queries))
    # Grafana puts its own in where these stand; then Prometheus' own parser reads them.
    meant = [expression.replace("$__rate_interval", "1m").replace("$job", "otpgate").replace("$instance", ".*") for expression in expressions]
    rules = {"groups": [{"name": "panels", "rules": [{"record": f"panel:{index}", "expr": text} for index, text in enumerate(meant)]}]}
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump(rules, file)
        file.flush()
        promtool("check", "rules", file.name)
    return len(panels), len(seen - {"up"})


series = exposed()
alerts = check_alerts(series)
panels, metrics = check_dashboard(series)
print(f"{alerts} alerts and {panels} panels, over {metrics} of {len(series)} series that a gateway shows")
