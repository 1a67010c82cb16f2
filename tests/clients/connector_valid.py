"""Validates the connector's files, as `otpgate connector export` writes them, with what others wrote.

Needs: pip install openapi-spec-validator==0.9.0 swagger-spec-validator==3.0.4 (and with them jsonschema)

    python tests/clients/connector_valid.py --otpgate target/debug/otpgate

Holds both editions against Microsoft's two schemas (tests/data) and two readings of the rules of Swagger 2.0, and holds the
schemas themselves to what they should refuse. Exits 1 at the first file that is not valid.
"""

import json
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

from jsonschema import Draft4Validator, Draft7Validator
from openapi_spec_validator import validate
from swagger_spec_validator.validator20 import validate_spec

DATA = pathlib.Path(__file__).resolve().parents[1] / "data"


def without_comments(text):
    """Microsoft's schemas are JSON with comments and commas before a closing bracket."""
    token = re.compile(r'("(?:\\.|[^"\\])*")|//[^\n]*|/\*.*?\*/', re.S)
    plain = token.sub(lambda match: match.group(1) or "", text)
    return re.sub(r'("(?:\\.|[^"\\])*")|,(?=\s*[}\]])', lambda match: match.group(1) or "", plain)


def schema(name, kind):
    text = without_comments((DATA / name).read_text(encoding="utf-8"))
    document = json.loads(text)
    # Its own id would be looked up on the network.
    document.pop("id", None)
    return kind(document)


DEFINITION = schema("apiDefinition.swagger.schema.json", Draft4Validator)
PROPERTIES = schema("paconn-apiProperties.schema.json", Draft7Validator)


def hold(validator, document, name):
    for error in validator.iter_errors(document):
        sys.exit(f"{name}: {'/'.join(map(str, error.absolute_path))}: {error.message[:400]}")


def refuses(validator, document, change, name):
    changed = json.loads(json.dumps(document))
    change(changed)
    assert any(validator.iter_errors(changed)), f"Microsoft's schema takes {name}"


def check(folder, name):
    definition = json.loads((folder / "apiDefinition.swagger.json").read_text(encoding="utf-8"))
    properties = json.loads((folder / "apiProperties.json").read_text(encoding="utf-8"))
    hold(DEFINITION, definition, name)
    hold(PROPERTIES, properties, name)
    # That they would say so.
    send = lambda document: next(iter(next(iter(document["paths"].values())).values()))
    refuses(DEFINITION, definition, lambda document: send(document).update({"x-ms-visibility": "none"}), "none")
    refuses(DEFINITION, definition, lambda document: document.update(components={}), "components")
    refuses(PROPERTIES, properties, lambda document: document["properties"].pop("iconBrandColor"), "no colour")
    validate(definition)
    validate_spec(definition)

    icon = (folder / "icon.png").read_bytes()
    assert icon[:8] == b"\x89PNG\r\n\x1a\n" and len(icon) < 1_000_000
    width, height, depth, colour = struct.unpack(">IIBB", icon[16:26])
    assert (width, height, depth, colour) == (230, 230, 8, 2), (width, height, depth, colour)
    print(f"{name} is valid")


if len(sys.argv) != 3 or sys.argv[1] != "--otpgate":
    sys.exit(__doc__)
with tempfile.TemporaryDirectory() as folder:
    for words, name in (([], "the connector"), (["--compatible"], "the compatible connector")):
        out = pathlib.Path(folder) / (words[0] if words else "native").strip("-")
        command = [sys.argv[2], "connector", "export", "--host", "otp.example.com", "--out", str(out), *words]
        subprocess.run(command, check=True, capture_output=True)
        check(out, name)
