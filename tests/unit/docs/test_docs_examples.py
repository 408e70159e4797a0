"""The examples are the first thing a user runs: each is whole, valid, and fits the catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.cli.documents import load
from app.contracts.dataset import DatasetSpec
from app.contracts.experiment import ExperimentSpec
from app.domain.plan import check
from workers.algorithms.registry import catalogue
from workers.datasets.limits import PrepareLimits
from workers.datasets.prepare import prepare

EXAMPLES = sorted((Path(__file__).parents[3] / "docs" / "examples").glob("*.yaml"))
QUICK_POINTS = 100_000
BUILTIN_QUICK = {"iris", "wine", "breast-cancer", "digits"}


def documents(example: Path) -> tuple[list[DatasetSpec], list[ExperimentSpec]]:
    specs = [one.spec for one in load(example.read_text(encoding="utf-8"), example.name)]
    return (
        [spec for spec in specs if isinstance(spec, DatasetSpec)],
        [spec for spec in specs if isinstance(spec, ExperimentSpec)],
    )


def quick(spec: DatasetSpec) -> bool:
    generate = spec.source.generate
    return spec.source.builtin in BUILTIN_QUICK or (generate is not None and generate.n <= QUICK_POINTS)


SMALL = [spec for example in EXAMPLES for spec in documents(example)[0] if quick(spec)]


def test_there_are_eight_examples() -> None:
    assert len(EXAMPLES) == 8


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
class TestExample:
    def test_holds_one_experiment_of_the_files_name(self, example: Path) -> None:
        assert [spec.name for spec in documents(example)[1]] == [example.stem]

    def test_defines_exactly_the_datasets_its_experiment_uses(self, example: Path) -> None:
        datasets, (experiment,) = documents(example)
        assert sorted(spec.name for spec in datasets) == sorted(experiment.datasets)

    def test_needs_no_file_of_the_user(self, example: Path) -> None:
        for spec in documents(example)[0]:
            assert spec.source.builtin or spec.source.generate

    def test_fits_the_catalogue_with_few_enough_trials_to_try(self, example: Path) -> None:
        _, (experiment,) = documents(example)
        assert 1 < check(experiment, catalogue()) <= 100


@pytest.mark.parametrize("spec", SMALL, ids=lambda spec: spec.name)
def test_small_data_can_be_prepared(spec: DatasetSpec, tmp_path: Path) -> None:
    files = prepare(spec, None, tmp_path / "out", PrepareLimits())
    made = spec.source.generate.n if spec.source.generate else files.profile.rows_read
    assert files.n == made - files.profile.rows_dropped
    assert files.profile.has_truth or spec.truth is None
