"""kubeconform and kube-score as functions of rendered text."""

from __future__ import annotations

import functools
import json
import subprocess
from typing import NamedTuple

from tests.chart.rendering import ROOT, manifest, tools

SCHEMAS = ROOT / "tests/chart/schemas"
_LOCATION = f"{SCHEMAS}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json"
_CRITICAL = 1


class Finding(NamedTuple):
    check: str
    object: str
    text: str


def refused(text: str) -> list[str]:
    """What the API server would refuse of some manifests, by its own schemas and those of the CRDs."""
    report = json.loads(_output("kubeconform", "-strict", "-output=json", f"-schema-location={_LOCATION}", stdin=text))
    return [f"{one['kind']} {one['name']}: {one['msg']}" for one in report.get("resources", [])]


@functools.cache
def critical(configuration: str) -> list[Finding]:
    """kube-score's critical findings."""
    report = json.loads(_output("kube-score", "score", "--output-format=json", "-", stdin=manifest(configuration)))
    return [
        Finding(
            check["check"]["id"],
            one["object_meta"]["name"],
            "; ".join(f"{comment['path']} {comment['summary']}" for comment in check["comments"] or []),
        )
        for one in report
        for check in one["checks"]
        if check["grade"] == _CRITICAL and not check["skipped"]
    ]


def _output(program: str, *arguments: str, stdin: str) -> str:
    """Both programs exit with 1 for what they find; without output they failed themselves."""
    done = subprocess.run(
        [tools() / program, *arguments], input=stdin, capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.stdout, done.stderr
    return done.stdout
