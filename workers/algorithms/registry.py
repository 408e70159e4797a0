"""The catalogue of algorithms. Light: the API imports it, so no adapter may import its library before `fit`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any

from workers.algorithms.adapter import Adapter
from workers.algorithms.sklearn_dbscan import SklearnDbscan
from workers.algorithms.sklearn_dbscan_parallel import SklearnDbscanParallel
from workers.algorithms.spark_dbscan import SparkDbscan

ENTRY_POINTS = "corepoint.algorithms"
"""Group under which other distributions offer adapters: each entry point names an `Adapter` subclass."""

_log = logging.getLogger(__name__)


@cache
def catalogue() -> Mapping[str, Adapter[Any]]:
    """Every algorithm by its name, ours first, then those of other installed distributions by name."""
    ours: list[Adapter[Any]] = [SklearnDbscan(), SklearnDbscanParallel(), SparkDbscan()]
    found = {adapter.info.name: adapter for adapter in ours}
    for entry_point in sorted(entry_points(group=ENTRY_POINTS), key=lambda entry: entry.name):
        adapter = _load(entry_point)
        if adapter is None:
            continue
        if adapter.info.name in found:
            _log.warning("%s offers %r, but that name is taken: left out", entry_point.value, adapter.info.name)
            continue
        found[adapter.info.name] = adapter
    return MappingProxyType(found)


def get(name: str) -> Adapter[Any]:
    """The adapter called `name`. Raises KeyError."""
    return catalogue()[name]


def _load(entry_point: EntryPoint) -> Adapter[Any] | None:
    # A broken third-party package must not take the whole catalogue, and with it the API, down.
    try:
        adapter = entry_point.load()()
    except Exception:
        _log.exception("the algorithm %s cannot be loaded: left out", entry_point.value)
        return None
    if not isinstance(adapter, Adapter):
        _log.warning("%s is not an Adapter: left out", entry_point.value)
        return None
    return adapter
