"""The process in which data of strangers is read. Started by `prepare`; answers in a file."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

from pydantic import Field

from app.contracts.base import Message
from app.contracts.dataset import DatasetSpec, Profile
from app.contracts.failures import Failure, FailureCode
from workers.datasets.errors import InvalidDataset
from workers.datasets.limits import PrepareLimits

ANSWER = "answer.json"
POINTS = "points.npy"
TRUTH = "truth.npy"
# Of data in the output, next to the points themselves: truth and headers.
_SPARE_OUTPUT_BYTES = 64 << 20


class Order(Message):
    """What `prepare` asks on standard input."""

    spec: DatasetSpec
    source_file: Path | None
    out_dir: Path
    limits: PrepareLimits


class Made(Message):
    """What the child says about the files it wrote."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    points_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    truth_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    profile: Profile


class Answer(Message):
    """Exactly one of these."""

    made: Made | None = None
    failure: Failure | None = None


def confine(limits: PrepareLimits) -> None:
    """From here on the kernel ends this process when it asks for too much."""
    output = limits.max_cells * 16 + _SPARE_OUTPUT_BYTES
    for kind, soft, hard in (
        (resource.RLIMIT_AS, limits.memory_bytes, limits.memory_bytes),
        # Below the hard limit the kernel says SIGXCPU, which tells a limit from any other SIGKILL.
        (resource.RLIMIT_CPU, limits.cpu_seconds, limits.cpu_seconds + 5),
        (resource.RLIMIT_FSIZE, output, output),
        (resource.RLIMIT_CORE, 0, 0),
    ):
        given = resource.getrlimit(kind)[1]
        most = hard if given == resource.RLIM_INFINITY else min(hard, given)
        resource.setrlimit(kind, (min(soft, most), most))


def make(order: Order) -> Made:
    """Load, clean, scale, profile, write. Raises InvalidDataset."""
    import numpy as np

    from workers.datasets.clean import clean
    from workers.datasets.identity import dataset_sha256, file_sha256
    from workers.datasets.load import load
    from workers.datasets.profile import profile
    from workers.datasets.scale import scale
    from workers.datasets.table import Table

    table, counts = clean(load(order.spec, order.source_file, order.limits), order.spec.cleaning)
    table = Table(scale(table.points, order.spec.scaling), table.names, table.truth, table.warnings)
    truth = None if table.truth is None else table.truth.labels
    np.save(order.out_dir / POINTS, table.points, allow_pickle=False)
    if truth is not None:
        np.save(order.out_dir / TRUTH, truth, allow_pickle=False)
    return Made(
        sha256=dataset_sha256(table.points, truth),
        points_sha256=file_sha256(order.out_dir / POINTS),
        truth_sha256=None if truth is None else file_sha256(order.out_dir / TRUTH),
        profile=profile(table, counts),
    )


def main() -> None:
    order = Order.model_validate_json(sys.stdin.buffer.read())
    confine(order.limits)
    try:
        answer = Answer(made=make(order))
    except InvalidDataset as refused:
        answer = Answer(failure=refused.failure)
    except MemoryError:
        answer = Answer(
            failure=Failure.of(
                FailureCode.INVALID_DATA,
                f"preparing the data needs more than the {order.limits.memory_bytes:,} bytes of memory it may use",
                "Use fewer rows or columns.",
            )
        )
    partial = order.out_dir / f".{ANSWER}"
    partial.write_text(answer.model_dump_json())
    os.replace(partial, order.out_dir / ANSWER)


if __name__ == "__main__":
    main()
