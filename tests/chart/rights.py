"""What a release may do at the Kubernetes API; `python -m tests.chart.rights` writes golden/rbac.yaml."""

from __future__ import annotations

from typing import Any

import yaml

from tests.chart.rendering import ROOT, Object, objects
from tests.chart.workloads import of_kind

GOLDEN = ROOT / "tests/chart/golden/rbac.yaml"
_HEAD = "# Written by `python -m tests.chart.rights`; read the difference before you take it.\n"
_KINDS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


def golden() -> str:
    """All roles and bindings at the defaults and with everything switched on."""
    found = {name: rights(objects(name)) for name in ("defaults", "everything")}
    return _HEAD + yaml.safe_dump(found, default_flow_style=None, width=120)


def rights(rendered: list[Object]) -> list[Object]:
    """Roles and bindings without what says nothing about rights."""
    found = []
    for one in of_kind(rendered, *_KINDS):
        metadata = {key: one["metadata"][key] for key in ("name", "namespace") if key in one["metadata"]}
        found.append({**one, "metadata": metadata})
    return sorted(found, key=lambda one: (one["kind"], one["metadata"].get("namespace", ""), one["metadata"]["name"]))


def rules(rendered: list[Object]) -> list[dict[str, Any]]:
    return [rule for one in of_kind(rendered, "Role", "ClusterRole") for rule in one.get("rules") or []]


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    GOLDEN.write_text(golden())
