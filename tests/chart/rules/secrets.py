"""Secrets are in Secrets and nowhere else."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from urllib.parse import quote, urlsplit

from tests.chart.rendering import RELEASE, Object
from tests.chart.workloads import decoded, of_kind, workloads

SECRETS = f"{RELEASE}-secrets"
# Words of names whose values are secret.
SECRET_WORDS = ("PASSWORD", "SECRET", "AUTH_STRING", "API_KEY", "ADMIN_KEY", "WORKER_KEY", "ACCESS_KEY", "TOKEN")

# These hold the name of a Secret, of its keys, or of a file.
_NAMES = ("_FILE", "_NAME", "__OBJECTS_SECRET", "_PULL_SECRETS")


def leaks(objects: list[Object]) -> Iterator[str]:
    """No value of a Secret is anywhere else: arguments, variables, ConfigMaps, annotations."""
    values = {
        value: f"{secret['metadata']['name']}/{key}"
        for secret in of_kind(objects, "Secret")
        for key, value in decoded(secret).items()
        if len(value) >= 8 and not value.startswith("-----BEGIN CERTIFICATE")  # "corepoint" may be a user's name
    }
    for one in objects:
        if one["kind"] == "Secret":
            continue
        text = json.dumps(one)
        for value, name in values.items():
            if json.dumps(value)[1:-1] in text:
                yield f"{one['kind']} {one['metadata']['name']}: holds {name}"


def variables(objects: list[Object]) -> Iterator[str]:
    """What is named like a secret comes from one."""
    for one in workloads(objects):
        for container in one.all_containers:
            for entry in container.get("env", []):
                named = any(word in entry["name"] for word in SECRET_WORDS)
                told = entry["name"].endswith(_NAMES) or "secretKeyRef" in entry.get("valueFrom", {})
                if named and not told:
                    yield f"{one}, {container['name']}: {entry['name']} is not from a Secret"
    for config in of_kind(objects, "ConfigMap"):
        for name in config.get("data", {}):
            if name.isupper() and any(word in name for word in SECRET_WORDS):
                yield f"ConfigMap {config['metadata']['name']}: has {name}"


def generated(objects: list[Object]) -> Iterator[str]:
    """API keys have the shape that the API takes, and URLs carry the passwords beside them."""
    for secret in of_kind(objects, "Secret"):
        if secret["metadata"]["name"] != SECRETS:
            continue
        values = decoded(secret)
        for name in ("admin-key", "worker-key"):
            if not re.fullmatch(r"cp_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", values.get(name, "")):
                yield f"Secret {SECRETS}: {name} is no API key"
        for name in (key.removesuffix("-database-url") for key in values if key.endswith("-database-url")):
            password = quote(values.get(f"{name}-database-password", ""), safe="")
            if urlsplit(values[f"{name}-database-url"]).password != password:
                yield f"Secret {SECRETS}: {name}-database-url has another password than {name}-database-password"
