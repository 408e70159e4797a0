from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from app.contracts.algorithm import AlgorithmInfo
from app.contracts.views import Page
from app.problems import not_found
from app.requests.pages import PageRequest, page
from workers.algorithms.adapter import Adapter

_LIST = "algorithms"


def list_algorithms(catalogue: Mapping[str, Adapter[Any]], request: PageRequest) -> Page[AlgorithmInfo]:
    """In the catalogue's own order, ours first."""
    start = request.after_position(_LIST) + 1
    rows = list(enumerate(adapter.info for adapter in catalogue.values()))[start : start + request.limit + 1]
    return page(_LIST, request, rows, lambda row: row[0], [info for _, info in rows])


def get_algorithm(catalogue: Mapping[str, Adapter[Any]], name: str) -> AlgorithmInfo:
    if name not in catalogue:
        raise not_found("algorithm", name)
    return catalogue[name].info
