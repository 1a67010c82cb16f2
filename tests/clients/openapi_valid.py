"""Validates the documents with the validators that others use.

Needs: pip install openapi-spec-validator==0.9.0 swagger-spec-validator==3.0.4

    python tests/clients/openapi_valid.py --otpgate target/debug/otpgate    asks the program for all three formats
    python tests/clients/openapi_valid.py FILE...                           validates these files, by the version each names

Exits 1 at the first document that is not valid.
"""

import json
import subprocess
import sys

from openapi_spec_validator import validate
from swagger_spec_validator.validator20 import validate_spec


def documents(arguments):
    if arguments[:1] == ["--otpgate"] and len(arguments) == 2:
        for version in ("3.1", "3.0", "2.0"):
            made = subprocess.run(
                [arguments[1], "openapi", "--format", version], check=True, capture_output=True, text=True
            )
            document = json.loads(made.stdout)
            named = document.get("openapi", document.get("swagger"))
            assert named.startswith(version), f"--format {version} says it is {named}"
            yield f"--format {version}", document
    elif arguments:
        for path in arguments:
            with open(path, encoding="utf-8") as file:
                yield path, json.load(file)
    else:
        sys.exit(__doc__)


for name, document in documents(sys.argv[1:]):
    try:
        validate(document)
        if document.get("swagger") == "2.0":
            # Another reading of the same rules: it also resolves references and looks at defaults.
            validate_spec(document)
    except Exception as error:  # each validator has its own
        sys.exit(f"{name} is not valid: {error}")
    print(f"{name} is valid")
