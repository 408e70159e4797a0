"""One installation for all tests of this folder, on the cluster that KUBECONFIG names. The files run in their order."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.cluster.connections import Recorder
from tests.cluster.diagnosis import diagnosis
from tests.cluster.installation import NAMESPACE, Installation
from tests.cluster.kube import Kube, wait_for

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Install, use, break, remove: the numbers in the names are the order."""
    items.sort(key=lambda item: item.path.name)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.failed:
        report.sections.append(("cluster", diagnosis(Kube(NAMESPACE))))


@pytest.fixture(scope="session")
def kube() -> Kube:
    assert os.environ.get("KUBECONFIG"), "KUBECONFIG names the cluster to test on; `make e2e` makes one"
    return Kube(NAMESPACE)


@pytest.fixture(scope="session")
def connections(kube: Kube) -> Iterator[Recorder]:
    """Runs from before the installation until the end."""
    recorder = Recorder(kube)
    recorder.start()
    yield recorder
    recorder.stop()


@pytest.fixture(scope="session")
def installation(kube: Kube, connections: Recorder) -> Iterator[Installation]:
    """A fresh release in its own namespace, ready to be used. COREPOINT_E2E_INSTALLED takes the one that is there."""
    with _spark_operator(kube):
        installed = Installation(kube)
        if not os.environ.get("COREPOINT_E2E_INSTALLED"):
            installed.prepare_namespace()
            installed.install()
        with installed.reachable():
            yield installed


@contextmanager
def _spark_operator(kube: Kube) -> Iterator[None]:
    """The stand-in for the Spark operator, unless COREPOINT_E2E_SPARK_OPERATOR says that a real one runs."""
    if os.environ.get("COREPOINT_E2E_SPARK_OPERATOR"):
        yield
        return
    kube.run("apply", "-f", str(HERE / "sparkapplications-crd.yaml"))
    log = Path(os.environ.get("COREPOINT_E2E_LOGS", "/tmp")) / "spark-stand-in.log"  # noqa: S108
    command = [sys.executable, "-m", "tests.cluster.spark_stand_in"]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--kubeconfig", os.environ["KUBECONFIG"], "--namespace", kube.namespace],
            stdout=output, stderr=subprocess.STDOUT, cwd=HERE.parents[1],
        )  # fmt: skip
    try:
        wait_for(lambda: process.poll() is None, 5, f"the stand-in to run; see {log}")
        yield
    finally:
        process.terminate()
        process.wait(30)
