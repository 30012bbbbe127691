"""The schemas of operators' kinds, as strict as a cluster that is asked for ``--validate=strict``.

The definitions are read from ``../shared/crds``. They stay there, unchanged: most are under licences of their own.
"""

import os
from functools import cache
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deployment.rendered import ROOT, Object

FOLDER = ROOT.parent / "shared" / "crds"


@cache
def schemas() -> dict[tuple[str, str], dict[str, Any]]:
    """The strict schema of each apiVersion and kind. Without the folder CI fails, and elsewhere the test is skipped."""
    if not FOLDER.is_dir():
        assert not os.environ.get("CI"), f"the operators' schemas are not at {FOLDER}"
        pytest.skip(f"the operators' schemas are not at {FOLDER}")
    found = {}
    for path in FOLDER.glob("*.yaml"):
        for definition in yaml.load_all(path.read_bytes(), yaml.CSafeLoader):
            spec = definition["spec"]
            for version in spec["versions"]:
                if version["served"]:
                    schema = strict(version["schema"]["openAPIV3Schema"])
                    # What is in there is Kubernetes' own.
                    del schema["properties"]["metadata"]["additionalProperties"]
                    found[f"{spec['group']}/{version['name']}", spec["names"]["kind"]] = schema
    return found


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    """A structural schema that refuses what a cluster would prune: whatever no ``properties`` name."""
    made = dict(schema)
    for field in ("properties", "patternProperties"):
        if field in schema:
            made[field] = {name: strict(each) for name, each in schema[field].items()}
    for field in ("items", "additionalProperties"):
        if isinstance(schema.get(field), dict):
            made[field] = strict(schema[field])
    if schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def faults(resource: Object) -> list[str]:
    """What its operator's schema has against an object, each with its place; empty where nothing."""
    schema = schemas()[resource["apiVersion"], resource["kind"]]
    found = jsonschema.Draft202012Validator(schema).iter_errors(resource)
    return [f"{error.json_path}: {error.message}" for error in found]
