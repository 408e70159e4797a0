"""Prepares a dataset in a child process with bounded memory and time: the data may be anybody's."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from app.contracts.dataset import DatasetSpec
from workers.datasets.child import ANSWER, POINTS, TRUTH, Answer, Order
from workers.datasets.errors import InvalidDataset, refuse
from workers.datasets.limits import PrepareLimits
from workers.datasets.prepared import PreparedFiles

__all__ = ["InvalidDataset", "PrepareLimits", "PreparedFiles", "prepare"]

_LOG = "child.log"
_LAST_WORDS_BYTES = 2_000
# A profile of 10,000 columns has some 2 MB.
_ANSWER_BYTES = 32 << 20
_SMALLER = "Use fewer rows or columns, or a simpler file."


def prepare(spec: DatasetSpec, source_file: Path | None, out_dir: Path, limits: PrepareLimits) -> PreparedFiles:
    """Load, clean, scale and profile into `out_dir`: points.npy float64 (n, d), truth.npy int64 (n,) if there is truth.

    Raises InvalidDataset for whatever is wrong with the data, also when the child was ended by a limit;
    ValueError when an upload, s3 or path source comes without `source_file`; RuntimeError for our own defects.
    """
    if spec.source.builtin is None and spec.source.generate is None and source_file is None:
        raise ValueError("this source needs source_file")
    out_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name in (ANSWER, POINTS, TRUTH):
        (out_dir / name).unlink(missing_ok=True)
    order = Order(
        spec=spec, source_file=source_file and source_file.absolute(), out_dir=out_dir.absolute(), limits=limits
    )
    status = _run(order)
    answer = _answer(out_dir / ANSWER) if status == 0 else None
    if answer is None:
        _explain(status, limits, _last_words(out_dir / _LOG))
    if answer.failure is not None:
        raise InvalidDataset(answer.failure)
    if answer.made is None:
        raise RuntimeError("the child that prepares data answered neither points nor a failure")
    made = answer.made
    return PreparedFiles(
        points=out_dir / POINTS,
        truth=out_dir / TRUTH if made.truth_sha256 is not None else None,
        sha256=made.sha256,
        points_sha256=made.points_sha256,
        truth_sha256=made.truth_sha256,
        n=made.profile.n,
        d=made.profile.d,
        profile=made.profile,
    )


def _run(order: Order) -> int | None:
    """Exit status of the child (negative: signal), or None when its wall time was over."""
    with (order.out_dir / _LOG).open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-s", "-P", "-m", "workers.datasets.child"],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=order.out_dir,
            env=_environment(order.out_dir),
            start_new_session=True,
        )
        try:
            child.communicate(order.model_dump_json(by_alias=True).encode(), timeout=order.limits.wall_seconds)
        except subprocess.TimeoutExpired:
            return None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
        return child.returncode


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours but where Python finds this package: no credentials, no proxies, no settings."""
    return {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(Path(__file__).parents[2]),
        # Every thread's stack and arena counts as address space, which is limited.
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }


def _answer(path: Path) -> Answer | None:
    try:
        if path.stat().st_size > _ANSWER_BYTES:
            return None
        return Answer.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _explain(status: int | None, limits: PrepareLimits, last_words: str) -> NoReturn:
    if status is None:
        refuse(f"preparing the data took longer than {limits.wall_seconds:g} s and was stopped", _SMALLER)
    if status == -signal.SIGXCPU:
        refuse(f"preparing the data took more than {limits.cpu_seconds:,} s of CPU and was stopped", _SMALLER)
    if status == -signal.SIGKILL:
        refuse("the process that prepared the data was killed, most likely for want of memory", _SMALLER)
    if status < 0:
        refuse(
            f"the data brought its reader down ({signal.Signals(-status).name}), within the limits of "
            f"{limits.memory_bytes:,} bytes of memory and {limits.cpu_seconds:,} s of CPU",
            "Write the file again with another program; it may be damaged or forged.",
        )
    raise RuntimeError(f"the child that prepares data ended with status {status}: {last_words}")


def _last_words(path: Path) -> str:
    return path.read_bytes()[-_LAST_WORDS_BYTES:].decode(errors="replace")
