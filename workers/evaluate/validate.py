"""Does an adapter's answer keep its contract? Asked before anything is computed from it."""

from __future__ import annotations

import numpy as np

from app.contracts.canonical import canonical_json
from workers.algorithms.adapter import Clustering


class InvalidResult(ValueError):  # noqa: N818 - named like the failure code invalid_result
    """An adapter returned something that is no clustering of its input."""


def check(clustering: Clustering, n: int) -> None:
    """Raises InvalidResult unless this is a clustering of n points (see `Clustering`) whose clusters have cores."""
    labels, core = clustering.labels, clustering.core
    _check_array("labels", labels, np.dtype(np.int64), n)
    _check_array("core", core, np.dtype(np.bool_), n)
    if n and int(labels.min()) < -1:
        raise InvalidResult(f"labels go down to {int(labels.min())}; noise is -1 and clusters are 0 or more")
    noisy = int(np.count_nonzero(core & (labels < 0)))
    if noisy:
        raise InvalidResult(f"{noisy} core points are labelled as noise")
    coreless = np.setdiff1d(labels[labels >= 0], labels[core])
    if len(coreless):
        raise InvalidResult(f"{len(coreless)} clusters have no core point, cluster {int(coreless[0])} for one")
    try:
        canonical_json(clustering.details)
    except (TypeError, ValueError) as error:
        raise InvalidResult(f"details are not JSON values: {error}") from error


def _check_array(name: str, array: object, dtype: np.dtype[np.generic], n: int) -> None:
    if not isinstance(array, np.ndarray):
        raise InvalidResult(f"{name} is a {type(array).__name__}, not a numpy array")
    if array.shape != (n,):
        raise InvalidResult(f"{name} has the shape {array.shape}, the data has {n} points")
    if array.dtype != dtype:
        raise InvalidResult(f"{name} has the dtype {array.dtype}, not {dtype}")
