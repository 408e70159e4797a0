"""What a good file becomes: its chosen columns as float64, in the order declared."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.data.bad_inputs import npy, parquet
from workers.datasets.csv_file import load_csv
from workers.datasets.limits import PrepareLimits
from workers.datasets.sniff import sniff

Prepared = Callable[..., Any]


@pytest.mark.parametrize(
    "content",
    [
        b"x,y\n1,2\n3,4\n",
        b"x,y\r\n1,2\r\n3,4",
        b"x,y\r1,2\r3,4\r",
        b"\xef\xbb\xbfx,y\n1,2\n3,4\n",
        b"x;y\n1;2\n3;4\n",
        b"x\ty\n1\t2\n3\t4\n",
        b'\n\n"x" , y\n\n1.0, 2\n\n"3",+4e0\n',
    ],
    ids=["lf", "crlf", "cr", "byte order mark", "semicolons", "tabs", "blanks and quotes"],
)
def test_csv_of_every_dialect_gives_the_same_points(made: Prepared, content: bytes) -> None:
    points, truth, profile = made(content)
    assert points.tolist() == [[1, 2], [3, 4]]
    assert points.dtype == np.float64
    assert truth is None
    assert [column.name for column in profile.columns] == ["x", "y"]


def test_format_is_what_the_bytes_say_and_not_the_name(tmp_path: Path) -> None:
    for content, expected in ((b"x\n1\n", "csv"), (npy(np.eye(2)), "npy"), (parquet(pa.table({"x": [1]})), "parquet")):
        (tmp_path / "data.parquet.npy.csv").write_bytes(content)
        assert sniff(tmp_path / "data.parquet.npy.csv", 10_000) == expected


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_chosen_columns_come_in_the_order_declared(made: Prepared, form: str) -> None:
    table = pa.table({"id": [7, 8], "lat": [1.0, 2.0], "lon": [3.0, 4.0], "name": ["a", "b"]})
    content = b"id,lat,lon,name\n7,1,3,a\n8,2,4,b\n" if form == "csv" else parquet(table)
    points, _, profile = made(content, columns=["lon", "lat"])
    assert points.tolist() == [[3, 1], [4, 2]]
    assert profile.warnings == []


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_without_a_choice_text_is_left_out_and_said(made: Prepared, form: str) -> None:
    table = pa.table({"x": [1, 2], "name": ["a", "b"], "kind": ["c", "d"]})
    content = b"x,name,kind\n1,a,c\n2,b,d\n" if form == "csv" else parquet(table)
    points, _, profile = made(content)
    assert points.tolist() == [[1], [2]]
    assert profile.warnings == ["2 columns that do not hold numbers are left out: name, kind"]


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_truth_of_text_is_numbered_in_sorted_order(made: Prepared, form: str) -> None:
    table = pa.table({"x": [1, 2, 3], "kind": ["b", "a", "b"]})
    content = b"x,kind\n1,b\n2,a\n3,b\n" if form == "csv" else parquet(table)
    points, truth, profile = made(content, truth="kind")
    assert points.tolist() == [[1], [2], [3]]
    assert truth.tolist() == [1, 0, 1]
    assert truth.dtype == np.int64
    assert profile.has_truth


def test_truth_of_integers_stays_as_it_is(made: Prepared) -> None:
    assert made(b"x,t\n1,-1\n2,40\n", truth="t")[1].tolist() == [-1, 40]
    assert made(npy(np.array([[1.0, -1.0], [2.0, 40.0]])), truth="x1")[1].tolist() == [-1, 40]
    dictionary = pa.table({"x": [1, 2], "t": pa.array(["b", "a"]).dictionary_encode()})
    assert made(parquet(dictionary), truth="t")[1].tolist() == [1, 0]


def test_parquet_numbers_of_every_flat_kind(made: Prepared) -> None:
    table = pa.table(
        {
            "small": pa.array([1, 2], pa.int8()),
            "unsigned": pa.array([3, 4], pa.uint32()),
            "half": pa.array([0.5, 1.5], pa.float16()),
            "decimal": pa.array([None, 2], pa.decimal128(5, 2)),
        }
    )
    points, _, profile = made(parquet(table), cleaning={"missing": "drop"})
    assert points.tolist() == [[2, 4, 1.5, 2]]
    assert profile.rows_missing == 1


@settings(max_examples=25, deadline=None)
@given(
    matrix=hnp.arrays(
        dtype=st.sampled_from(["<f8", ">f8", "<f4", "<i4", ">u2", "<f2"]),
        shape=st.tuples(st.integers(1, 6), st.integers(1, 4)),
        elements={"min_value": 0, "max_value": 1000},
    ),
    fortran=st.booleans(),
)
def test_npy_of_any_byte_order_and_layout_keeps_its_values(
    matrix: Any, fortran: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from workers.datasets.npy_file import load_npy

    path = tmp_path_factory.mktemp("npy") / "m"
    path.write_bytes(npy(np.asfortranarray(matrix) if fortran else matrix))
    table = load_npy(path, None, None, PrepareLimits())
    assert table.points.dtype == np.float64
    assert table.points.flags.c_contiguous
    assert np.array_equal(table.points, matrix.astype(np.float64))


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200) | st.text(alphabet='xy,;\t"\n\r019.-eNa ', max_size=80).map(str.encode))
def test_any_bytes_are_points_or_a_refusal(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    from workers.datasets.errors import InvalidDataset

    path = tmp_path_factory.mktemp("csv") / "bytes"
    path.write_bytes(content)
    try:
        table = load_csv(path, None, None, PrepareLimits())
    except InvalidDataset:
        return
    assert table.points.shape == (len(table.points), len(table.names))
    assert len(table.points) >= 1


def test_integers_beyond_two_to_the_53_are_warned_about(made: Prepared) -> None:
    for content in (
        b"id,x\n9007199254740993,1\n9007199254740992,2\n",
        parquet(pa.table({"id": [9007199254740993, 2], "x": [1, 2]})),
        npy(np.array([[9007199254740993, 1], [1, 2]])),
    ):
        warnings = made(content)[2].warnings
        assert any("9007199254740993" in warning for warning in warnings)


def test_world_cities_are_longitude_and_latitude(made: Prepared) -> None:
    points, truth, profile = made(source={"builtin": "world-cities"})
    assert points.shape == (144_563, 2)
    assert truth is None
    assert [column.name for column in profile.columns] == ["lon", "lat"]
    assert -180 <= points[:, 0].min() < -90
    assert np.abs(points[:, 1]).max() < 90
    assert profile.duplicates == 144_563 - 144_327


@pytest.mark.parametrize(
    ("name", "shape", "classes"), [("iris", (150, 4), 3), ("wine", (178, 13), 3), ("breast-cancer", (569, 30), 2)]
)
def test_classic_data_carries_its_classes(made: Prepared, name: str, shape: tuple[int, int], classes: int) -> None:
    points, truth, _ = made(source={"builtin": name})
    assert points.shape == shape
    assert len(np.unique(truth)) == classes


def test_columns_of_builtin_data_can_be_chosen(made: Prepared) -> None:
    points, _, profile = made(source={"builtin": "world-cities"}, columns=["lat"])
    assert points.shape == (144_563, 1)
    assert profile.columns[0].maximum < 90
