"""Everything that is wrong with a file ends in one refusal, with a number or a place in it and a hint."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app.contracts.dataset import DatasetSpec
from app.contracts.failures import FailureCode
from tests.data.bad_inputs import CSV, NPY, OTHER, PARQUET, BadInput
from workers.datasets.clean import clean
from workers.datasets.errors import InvalidDataset
from workers.datasets.limits import PrepareLimits
from workers.datasets.load import load

_LIMITS = PrepareLimits(max_cells=100_000)


@pytest.mark.parametrize("bad", [*CSV, *NPY, *PARQUET, *OTHER], ids=lambda bad: bad.name)
def test_is_refused_with_its_reason_and_a_hint(bad: BadInput, tmp_path: Path) -> None:
    spec = DatasetSpec(name="bad", source={"upload": "0193a5a0-0000-7000-8000-000000000000"}, **bad.spec)
    path = bad.write(tmp_path)
    with pytest.raises(InvalidDataset) as refused:
        clean(load(spec, path, _LIMITS), spec.cleaning)
    failure = refused.value.failure
    assert failure.code is FailureCode.INVALID_DATA
    assert re.search(bad.says, failure.message), failure.message
    assert failure.hint
    assert str(tmp_path) not in failure.message


def test_a_file_above_the_limit_is_not_even_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    with path.open("wb") as file:
        file.truncate(2**31 + 1)
    spec = DatasetSpec(name="bad", source={"upload": "0193a5a0-0000-7000-8000-000000000000"})
    with pytest.raises(InvalidDataset, match="2,147,483,649 bytes, above the limit of 2,147,483,648"):
        load(spec, path, PrepareLimits())
