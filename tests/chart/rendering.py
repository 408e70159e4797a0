"""Renders the chart with real helm, each configuration once per test process."""

from __future__ import annotations

import functools
import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "charts/corepoint"
RELEASE = "corepoint"
NAMESPACE = "corepoint"
KUBERNETES = "1.34.4"
CONFIGURATIONS = {
    "defaults": (),
    "laptop": ("values-laptop.yaml",),
    "team": ("values-team.yaml",),
    "external": ("values-external.yaml",),
    "everything": ("ci/everything-values.yaml",),
}
# What a cluster with the Prometheus operator and KEDA says it has; the chart refuses to make what nobody would read.
SERVED = ("monitoring.coreos.com/v1", "keda.sh/v1alpha1")

Object = dict[str, Any]


class RefusedError(Exception):
    """helm rendered nothing; the message is helm's."""


@functools.cache
def tools() -> Path:
    """The folder of helm3, helm4, kubeconform and kube-score; built if missing."""
    return Path(_run(ROOT / "hack/chart-tools").strip())


def values_arguments(configuration: str) -> list[str]:
    return [f"--values={CHART / name}" for name in CONFIGURATIONS[configuration]]


@functools.cache
def manifest(configuration: str, *arguments: str, helm: str = "helm3", release: str = RELEASE) -> str:
    """The rendered YAML of a configuration, with further arguments of `helm template`."""
    return _run(
        tools() / helm,
        "template",
        release,
        CHART,
        f"--namespace={NAMESPACE}",
        f"--kube-version={KUBERNETES}",
        *(f"--api-versions={version}" for version in SERVED),
        *values_arguments(configuration),
        *arguments,
    )


@functools.cache
def _parsed(configuration: str, arguments: tuple[str, ...], helm: str, release: str) -> str:
    text = manifest(configuration, *arguments, helm=helm, release=release)
    documents = yaml.load_all(text, Loader=yaml.CSafeLoader)
    return json.dumps([document for document in documents if document])


def objects(configuration: str, *arguments: str, helm: str = "helm3", release: str = RELEASE) -> list[Object]:
    """The rendered objects; the caller may change them."""
    parsed: list[Object] = json.loads(_parsed(configuration, arguments, helm, release))
    return parsed


def lint(configuration: str, helm: str) -> str:
    version = f"--kube-version={KUBERNETES}"
    return _run(tools() / helm, "lint", "--strict", version, CHART, *values_arguments(configuration))


@functools.cache
def notes(configuration: str, helm: str = "helm3") -> str:
    """What `helm install` prints. Without a cluster, helm shows templates only, so a copy of the chart has one more."""
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copytree(CHART, Path(folder) / CHART.name)
        (copy / "templates/printed.yaml").write_text(
            'printed: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}\n'
        )
        rendered = _run(
            *(tools() / helm, "template", RELEASE, copy, f"--namespace={NAMESPACE}", f"--kube-version={KUBERNETES}"),
            *("--show-only=templates/printed.yaml", *(f"--api-versions={version}" for version in SERVED)),
            *values_arguments(configuration),
        )
    text: str = yaml.safe_load(rendered)["printed"]
    return text


def _run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if done.returncode:
        raise RefusedError(done.stderr + done.stdout)
    return done.stdout
