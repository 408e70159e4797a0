"""Rows between the steps: how points and the results of a leaf travel as Arrow batches through Spark."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from workers.spark.assign import FAR, NEAR, OWN, Assigned
from workers.spark.local import LeafClusters, cluster_leaf
from workers.spark.merge import NO_CORE, Numbering

PLAIN, CORE, SHARED_CORE, NEAR_CORE, CLUSTER, LEAF, HELD = range(7)
"""Kinds of result rows. Own points: not core, core, core that another leaf holds as near. Then: a near copy that is
core; a local cluster (id: its smallest own core, NO_CORE if none); a leaf (id: own points, cluster: local clusters);
the same leaf (id: all copies it holds)."""

COPIES = "slot int, leaf int, id bigint, zone tinyint, shared boolean, point binary"
RESULTS = "kind tinyint, id bigint, leaf int, cluster int, candidates binary"
LABELS = "id bigint, label bigint, core boolean"

_COPIES = pa.schema(
    [
        ("slot", pa.int32()),
        ("leaf", pa.int32()),
        ("id", pa.int64()),
        ("zone", pa.int8()),
        ("shared", pa.bool_()),
        ("point", pa.binary()),
    ]
)
_RESULTS = pa.schema(
    [
        ("kind", pa.int8()),
        ("id", pa.int64()),
        ("leaf", pa.int32()),
        ("cluster", pa.int32()),
        ("candidates", pa.binary()),
    ]
)


def pack(points: NDArray[np.float64]) -> pa.Array:
    """Points (m, d) as binary values of 8 d bytes, little endian: one column whatever d is."""
    m, d = points.shape
    offsets = np.arange(m + 1, dtype=np.int64) * (8 * d)
    if offsets[-1] > np.iinfo(np.int32).max:
        raise ValueError(f"{m} points of {d} dimensions do not fit one Arrow batch")
    values = np.ascontiguousarray(points, dtype="<f8")
    return pa.Array.from_buffers(pa.binary(), m, [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(values)])


def unpack(column: pa.Array, d: int) -> NDArray[np.float64]:
    """The inverse of `pack`: float64 (m, d). Raises ValueError for values of another width, or null."""
    if len(column) == 0:
        return np.empty((0, d))
    if column.type == pa.large_binary():
        column = column.cast(pa.binary())
    _, offsets, values = column.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[column.offset : column.offset + len(column) + 1]
    if column.null_count or (np.diff(ends) != 8 * d).any():
        raise ValueError(f"a point is not {d} float64 values")
    return np.frombuffer(values, dtype="<f8", count=len(column) * d, offset=int(ends[0])).reshape(-1, d)


def unpack_table(table: pa.Table, d: int) -> NDArray[np.float64]:
    """The points (m, d) in the column `point` of a table."""
    return np.concatenate([np.empty((0, d)), *(unpack(chunk, d) for chunk in table["point"].chunks)])


def copies(
    assigned: Assigned, ids: NDArray[np.int64], points: NDArray[np.float64], slots: NDArray[np.int32]
) -> pa.RecordBatch:
    """The rows of `COPIES` for the copies of one batch; slots (leaves,): where each leaf goes."""
    columns = [
        pa.array(slots[assigned.leaf]),
        pa.array(assigned.leaf),
        pa.array(ids[assigned.row]),
        pa.array(assigned.zone),
        pa.array(assigned.shared),
        pack(points[assigned.row]),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_COPIES)


@dataclass(frozen=True)
class Leaf:
    """All copies that one leaf holds, in any order: id, zone, shared (m,), points (m, d)."""

    number: int
    ids: NDArray[np.int64]
    zone: NDArray[np.int8]
    shared: NDArray[np.bool_]
    points: NDArray[np.float64]


def leaves_of(table: pa.Table, d: int) -> Iterator[Leaf]:
    """The leaves in a table of `COPIES`."""
    numbers = table["leaf"].to_numpy()
    order = np.argsort(numbers, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(numbers[order])) + 1):
        if len(rows) == 0:
            continue
        part = table if len(rows) == len(numbers) else table.take(pa.array(rows))
        yield Leaf(
            number=int(numbers[rows[0]]),
            ids=part["id"].to_numpy(),
            zone=part["zone"].to_numpy(),
            shared=part["shared"].to_numpy(),
            points=unpack_table(part, d),
        )


def cluster_rows(leaf: Leaf, eps: float, min_samples: int) -> Iterator[pa.RecordBatch]:
    """Cluster one leaf; its rows of `RESULTS`. Labels of a point come only from the leaf that owns it."""
    own = leaf.zone == OWN
    found = cluster_leaf(leaf.points, eps, min_samples, own)
    cluster, number = _without_far_clusters(found, leaf.zone)
    clusters = int(number.max(initial=-1)) + 1
    starts = np.searchsorted(found.touching_row, np.arange(len(leaf.ids) + 1))
    touching = number[found.touching_cluster]
    touched = np.flatnonzero(np.diff(starts))
    cluster[touched] = touching[starts[touched]]
    kind = np.where(found.core, np.where(leaf.shared, SHARED_CORE, CORE), PLAIN)
    rows = np.flatnonzero(own)
    yield _rows(leaf.number, kind[rows], leaf.ids[rows], cluster[rows], _several(starts, touching)[rows])
    near = np.flatnonzero((leaf.zone == NEAR) & found.core)
    yield _rows(leaf.number, NEAR_CORE, leaf.ids[near], cluster[near])
    smallest = np.full(clusters, NO_CORE, dtype=np.int64)
    own_cores = np.flatnonzero(own & found.core)
    np.minimum.at(smallest, cluster[own_cores], leaf.ids[own_cores])
    yield _rows(leaf.number, CLUSTER, smallest, np.arange(clusters))
    yield _rows(leaf.number, LEAF, np.array([len(rows)]), np.array([clusters]))
    yield _rows(leaf.number, HELD, np.array([len(own)]), np.array([-1]))


def final_labels(batch: pa.RecordBatch, numbering: Numbering) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """S6: labels int64 and core flags of a batch of own points (kinds PLAIN, CORE, SHARED_CORE).

    A border point takes the smallest label among all clusters it touches, as scikit-learn's traversal does.
    """
    leaf, cluster = batch["leaf"].to_numpy(), batch["cluster"].to_numpy()
    labels = np.full(len(leaf), -1, dtype=np.int64)
    clustered = np.flatnonzero(cluster >= 0)
    labels[clustered] = numbering.of(leaf[clustered], cluster[clustered])
    several = np.flatnonzero(batch["candidates"].is_valid().to_numpy(zero_copy_only=False))
    for row in several:  # rare: border points between clusters
        candidates = np.frombuffer(batch["candidates"][row].as_py(), dtype="<i4")
        labels[row] = numbering.of(np.full(len(candidates), leaf[row]), candidates).min()
    return labels, batch["kind"].to_numpy() != PLAIN


def _without_far_clusters(found: LeafClusters, zone: NDArray[np.int8]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Clusters (m,) numbered anew without those whose cores are all far, and the new number of each, -1 if dropped."""
    known = np.zeros(found.clusters, dtype=bool)
    known[found.cluster[found.core & (zone != FAR)]] = True
    number = np.where(known, np.cumsum(known) - 1, -1)
    cluster = np.full(len(zone), -1, dtype=np.int64)
    cluster[found.core] = number[found.cluster[found.core]]
    return cluster, number


def _several(starts: NDArray[np.int64], touching: NDArray[np.int64]) -> NDArray[np.object_]:
    """Per point the clusters it touches (int32, packed) if these are several, else None: `cluster` holds the first.

    Packed, because a column of lists costs Spark several times more per row than binary, even where all are null.
    """
    packed = np.full(len(starts) - 1, None, dtype=object)
    for row in np.flatnonzero(np.diff(starts) > 1):
        packed[row] = touching[starts[row] : starts[row + 1]].astype("<i4").tobytes()
    return packed


def _rows(
    leaf: int,
    kind: int | NDArray[np.int64],
    ids: NDArray[np.int64],
    cluster: NDArray[np.int64],
    candidates: NDArray[np.object_] | None = None,
) -> pa.RecordBatch:
    m = len(ids)
    columns = [
        pa.array(np.broadcast_to(np.asarray(kind, dtype=np.int8), m)),
        pa.array(ids),
        pa.array(np.full(m, leaf, dtype=np.int32)),
        pa.array(cluster.astype(np.int32)),
        pa.nulls(m, pa.binary()) if candidates is None else pa.array(candidates, type=pa.binary()),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=_RESULTS)
