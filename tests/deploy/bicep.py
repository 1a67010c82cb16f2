"""The Bicep template: read by a parser that others wrote, and held to the types of Azure's own management libraries: every property
is one that the resource has, every word one that it knows. Bicep's compiler is in no registry that the tests use."""
import argparse, enum, importlib, json, pathlib, re, subprocess, tempfile, typing
import pycep

root = pathlib.Path(__file__).resolve().parents[2]
parser = argparse.ArgumentParser()
parser.add_argument("--otpgate", required=True)
given = parser.parse_args()

# Of a resource: the library and the type that describe it.
TYPES = {
    "Microsoft.App/containerApps": ("appcontainers", "ContainerApp"),
    "Microsoft.App/jobs": ("appcontainers", "Job"),
    "Microsoft.App/managedEnvironments": ("appcontainers", "ManagedEnvironment"),
    "Microsoft.Authorization/roleAssignments": ("authorization", "RoleAssignment"),
    "Microsoft.Cache/redisEnterprise": ("redisenterprise", "Cluster"),
    "Microsoft.Cache/redisEnterprise/databases": ("redisenterprise", "Database"),
    "Microsoft.KeyVault/vaults": ("keyvault", "Vault"),
    "Microsoft.KeyVault/vaults/secrets": ("keyvault", "Secret"),
    "Microsoft.ManagedIdentity/userAssignedIdentities": ("msi", "Identity"),
    "Microsoft.Network/privateDnsZones": ("privatedns", "PrivateZone"),
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": ("privatedns", "VirtualNetworkLink"),
    "Microsoft.Network/privateEndpoints": ("network", "PrivateEndpoint"),
    "Microsoft.Network/privateEndpoints/privateDnsZoneGroups": ("network", "PrivateDnsZoneGroup"),
    "Microsoft.Network/virtualNetworks": ("network", "VirtualNetwork"),
    "Microsoft.Network/virtualNetworks/subnets": ("network", "Subnet"),
    "Microsoft.OperationalInsights/workspaces": ("loganalytics", "Workspace"),
}
# What every resource has in Bicep, and no type of the libraries.
ANYWHERE = {"name", "location", "parent", "scope", "dependsOn", "tags"}
checked = 0


def inner(hint):
    """The types that a hint is made of."""
    return [hint] if not typing.get_args(hint) else [leaf for part in typing.get_args(hint) for leaf in inner(part)]


def members(model, models):
    """The properties of a type, by the name that Azure gives them: what each may be. The libraries are of two generations."""
    if old := getattr(model, "_attribute_map", None):
        tree = {}
        for entry in old.values():
            place, *path = tree, *entry["key"].replace("\\.", "\0").split(".")
            for step in path[:-1]:
                place = place.setdefault(step, {})
            name = entry["type"].strip("[]{}").split(",")[-1].strip(" }")
            place[path[-1]] = [getattr(models, name)] if hasattr(models, name) else []
        return tree
    own = importlib.import_module(model.__module__)
    hints = {}
    for base in reversed(model.__mro__):
        space = vars(importlib.import_module(base.__module__)) | {"_models": models, "_enums": models}
        for name, hint in vars(base).get("__annotations__", {}).items():
            hints[name] = inner(typing.get_type_hints(type("_", (), {"__annotations__": {name: hint}}), space, vars(own))[name])
    model({})  # Its fields are named when the first one is made.
    return {field._rest_name: hints.get(name, []) for name, field in model._attr_to_rest_field.items()}


def hold(value, allowed, models, place):
    """Holds a value to what is allowed in its place: types of the library, or a tree of them."""
    global checked
    if isinstance(value, dict) and set(value) == {"operator"}:
        operator = value["operator"]
        if operator["type"] == "conditional":
            hold(operator["operands"]["true_value"], allowed, models, place)
            hold(operator["operands"]["false_value"], allowed, models, place)
        return
    if isinstance(value, dict) and set(value) == {"function"}:
        return
    if isinstance(value, list):
        for index, item in enumerate(value):
            hold(item, allowed, models, f"{place}[{index}]")
        return
    tree = allowed if isinstance(allowed, dict) else None
    for kind in allowed if tree is None else []:
        if isinstance(kind, type) and issubclass(kind, enum.Enum) and isinstance(value, str):
            words = {str(member.value) for member in kind}
            assert value in words, f"{place}: {value} is none of {sorted(words)}"
            checked += 1
            return
        if isinstance(kind, type) and any(base.__name__ == "Model" for base in kind.__mro__):
            tree = (tree or {}) | members(kind, models)
    if isinstance(value, dict) and tree:
        for key, part in value.items():
            if key.startswith("'${"):
                continue
            assert key in tree, f"{place}.{key}: there is no such property, but {sorted(tree)}"
            checked += 1
            hold(part, tree[key], models, f"{place}.{key}")
    elif isinstance(value, dict):
        # A map of strings, such as the metadata of a rule.
        assert all(not isinstance(part, (dict, list)) or not part for part in value.values()) or not allowed, place


def resource(name, described):
    library, kind = TYPES[described["type"]]
    models = importlib.import_module(f"azure.mgmt.{library}.models")
    config = described["config"]
    if set(config) == {"condition", "config"}:
        config = config["config"]
    own = {key: value for key, value in config.items() if key not in ANYWHERE}
    hold(own, [getattr(models, kind)], models, name)
    return config


def settings(container):
    """The variables that the gateway gets, by its own check."""
    variables = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert variables.pop("OTPGATE_STORE_URL") is None, "the store's address is no secret"
    with tempfile.TemporaryDirectory() as secrets:
        pathlib.Path(secrets, "master-key").write_text("0" * 64)
        pathlib.Path(secrets, "admin-token").write_text("0123456789abcdef")
        file = pathlib.Path(secrets, "empty.toml")
        file.write_text("")
        given_values = {"publicUrl": "https://otp.example.com", "countries": "DE,AT"}
        environment = {name: given_values.get(value, value).replace("/run/secrets/otpgate", secrets) for name, value in variables.items()}
        environment |= {"OTPGATE_LISTEN": "0.0.0.0:8080", "OTPGATE_DATA_DIR": "/data"}
        environment["OTPGATE_STORE_URL"] = "rediss://otpgate:password@cache.example.com:10000"
        run = subprocess.run([given.otpgate, "check-config", file], env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return int(re.search(r'^drain_timeout = "(\d+)s"$', run.stdout, re.M)[1])


template = pycep.BicepParser().parse(text=(root / "deploy/azure/main.bicep").read_text())
configs = {name: resource(name, described) for name, described in template["resources"].items()}
gateway = configs["gateway"]["properties"]
container, = gateway["template"]["containers"]
assert gateway["template"]["terminationGracePeriodSeconds"] > settings(container), "a drain is cut off"
secrets = {secret["name"] for secret in gateway["configuration"]["secrets"]}
used = {entry["secretRef"] for entry in container["env"] if "secretRef" in entry}
used |= {entry["secretRef"] for volume in gateway["template"]["volumes"] for entry in volume["secrets"]}
kept = {config["name"] for name, config in configs.items() if template["resources"][name]["type"].endswith("vaults/secrets")}
assert secrets == used == kept and all("keyVaultUrl" in secret and "value" not in secret for secret in gateway["configuration"]["secrets"])
# The job that makes the store does that and nothing else, with the gateway's own key, address and identity.
init = configs["init"]["properties"]
maker, = init["template"]["containers"]
assert maker["args"] == ["store", "init"] and maker["image"] == container["image"], maker
own = {entry["name"]: entry for entry in container["env"]}
assert own["OTPGATE_STORE_CREATE"]["value"] == "false", "a replica would make an emptied store anew"
for entry in maker["env"]:
    assert entry == own.get(entry["name"], entry), f"{entry} is another one than the gateway's"
assert all(secret in gateway["configuration"]["secrets"] for secret in init["configuration"]["secrets"])
for name in ("masterKey", "adminToken", "storeUrl"):
    assert {"type": "secure"} in template["parameters"][name]["decorators"], f"{name} would be kept in the deployment's history"
print(f"{len(configs)} resources, {checked} properties and words")
