"""The catalogue names every algorithm, costs little to import, and survives broken third-party packages."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint, EntryPoints
from typing import Any

import pytest

from app.contracts.algorithm import AlgorithmInfo, Capabilities, Prediction, Workload
from workers.algorithms import registry
from workers.algorithms.adapter import Adapter, Clustering, Parameters, Resources


class Elsewhere(Adapter[Parameters]):
    """An adapter of another distribution."""

    info = AlgorithmInfo(
        name="elsewhere",
        version="1",
        title="t",
        description="d",
        library="l",
        problem_parameters=[],
        parameters_schema={},
        capabilities=Capabilities(exact=False, parallel=False, distributed=False, session=False),
    )
    parameters = Parameters

    def predict(self, parameters: dict[str, Any], workload: Workload) -> Prediction:
        return Prediction(peak_bytes=0, fit_seconds=0)

    def fit(self, points: Any, parameters: dict[str, Any], resources: Resources) -> Clustering:
        raise NotImplementedError


class TakesOurName(Elsewhere):
    info = Elsewhere.info.model_copy(update={"name": "sklearn-dbscan"})


class NoAdapter:
    pass


@pytest.fixture
def fresh_catalogue() -> Iterator[None]:
    registry.catalogue.cache_clear()
    yield
    registry.catalogue.cache_clear()


def offer(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    offered = EntryPoints(EntryPoint(name, f"{__name__}:{name}", registry.ENTRY_POINTS) for name in names)
    monkeypatch.setattr(registry, "entry_points", lambda group: offered.select(group=group))


def test_importing_the_registry_imports_no_heavy_library() -> None:
    program = (
        "import sys, workers.algorithms.registry as r; r.catalogue();"
        "print([m for m in ('numpy', 'scipy', 'sklearn', 'pyspark', 'pyarrow', 'pandas') if m in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_catalogue_holds_our_algorithms_under_their_names() -> None:
    assert list(registry.catalogue())[:3] == ["sklearn-dbscan", "sklearn-dbscan-parallel", "spark-dbscan"]
    for name, adapter in registry.catalogue().items():
        assert adapter.info.name == name
        assert adapter.info.problem_parameters == ["eps", "min_samples"]
        assert registry.get(name) is adapter


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        registry.get("kmeans")


@pytest.mark.usefixtures("fresh_catalogue")
def test_other_distributions_add_algorithms(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, "Elsewhere")
    assert type(registry.get("elsewhere")).__name__ == "Elsewhere"


@pytest.mark.usefixtures("fresh_catalogue")
def test_a_broken_or_conflicting_offer_is_left_out_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offer(monkeypatch, "NotThere", "TakesOurName", "NoAdapter", "Elsewhere")
    assert list(registry.catalogue()) == ["sklearn-dbscan", "sklearn-dbscan-parallel", "spark-dbscan", "elsewhere"]
    assert type(registry.get("sklearn-dbscan")).__name__ == "SklearnDbscan"
    for offered in ("NotThere", "TakesOurName", "NoAdapter"):
        assert offered in caplog.text
