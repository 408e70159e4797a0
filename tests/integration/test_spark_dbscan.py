"""The Spark program on a real Spark session gives scikit-learn's labels, whatever the partitions and the row order."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from numpy.typing import NDArray
from sklearn.cluster import DBSCAN
from sklearn.datasets import make_blobs

from workers.algorithms.adapter import Resources
from workers.algorithms.registry import get
from workers.spark.clusterer import SparkClusterer
from workers.spark.java import missing_java
from workers.spark.placement import slots, spark_hash

# py4j leaves sockets to the garbage collector; the session's fixture collects them before other tests run.
pytestmark = [
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*<socket.socket:pytest.PytestUnraisableExceptionWarning"),
]
GIB = 2**30
# Small cases end before the second compiler's work pays.
FAST_START = "-XX:TieredStopAtLevel=1"


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SparkClusterer]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAVA_TOOL_OPTIONS", FAST_START)
        for name in [name for name in os.environ if name.startswith("COVERAGE")]:
            patch.delenv(name)  # Spark's Python workers, traced, take twice as long; the steps have unit tests
        clusterer = SparkClusterer(2, 3 * GIB, tmp_path_factory.mktemp("spark") / "session")
    yield clusterer
    clusterer.close()
    gc.collect()


def reference(points: NDArray[np.float64], eps: float, min_samples: int) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    core = np.zeros(len(points), dtype=bool)
    if len(points) == 0:
        return np.empty(0, dtype=np.int64), core
    model = DBSCAN(eps=eps, min_samples=min_samples, algorithm="kd_tree").fit(points)
    core[model.core_sample_indices_] = True
    return model.labels_, core


def small_points(kind: str, shape: tuple[int, int], seed: int) -> NDArray[np.float64]:
    n, d = shape
    rng = np.random.default_rng(seed)
    if kind == "lattice":
        return rng.integers(0, 12, (n, d)).astype(float)
    if kind == "duplicates":
        return rng.random((n // 4, d))[rng.integers(0, n // 4, n)]
    if kind == "clumps":
        return rng.normal(0, 0.03, (n, d)) + rng.integers(0, 4, (n, 1)) * 0.2
    return rng.random((n, d))


@pytest.mark.parametrize(
    ("kind", "shape", "eps", "min_samples", "leaves"),
    [
        ("uniform", (300, 2), 0.06, 4, 1),
        ("uniform", (300, 2), 0.06, 4, 8),
        ("uniform", (500, 3), 0.15, 6, 5),
        ("clumps", (400, 2), 0.03, 9, 7),
        ("clumps", (300, 4), 0.08, 5, 6),
        ("lattice", (300, 2), 2.0**0.5, 7, 9),
        ("duplicates", (300, 2), 0.05, 6, 5),
        ("uniform", (250, 2), 0.05, 1, 4),
        ("uniform", (250, 2), 1e-6, 3, 4),
        ("uniform", (60, 2), 9.0, 3, 4),
        ("uniform", (2, 2), 0.5, 5, 3),
        ("uniform", (1, 2), 0.5, 1, 2),
        ("uniform", (0, 2), 0.5, 1, 2),
    ],
)
def test_small_leaves_on_spark_give_the_labels_of_scikit_learn(  # noqa: PLR0917 - parameters of the case
    spark: SparkClusterer, kind: str, shape: tuple[int, int], eps: float, min_samples: int, leaves: int
) -> None:
    points = small_points(kind, shape, seed=leaves)
    labels, core = reference(points, eps, min_samples)

    found = spark.fit(points, eps, min_samples, leaves=leaves, least_width=0.0)

    assert np.array_equal(found.core, core)
    assert np.array_equal(found.labels, labels)


def test_twenty_thousand_points_are_clustered_alike_with_any_number_of_partitions(spark: SparkClusterer) -> None:
    points, _ = make_blobs(20_000, centers=25, cluster_std=0.35, random_state=3)
    expected = reference(points, 0.15, 12)
    assert expected[0].max() > 5

    for leaves in (1, 11):
        found = spark.fit(points, 0.15, 12, leaves=leaves)
        assert np.array_equal(found.core, expected[1])
        assert np.array_equal(found.labels, expected[0])
        assert found.details["leaves"] == leaves
    assert found.details["cut_edges"] > 0
    assert 1.0 < found.details["replication"] < 3.0


def test_labels_follow_the_row_order_as_those_of_scikit_learn_do(spark: SparkClusterer) -> None:
    points = small_points("clumps", (500, 2), seed=1)
    shuffled = points[np.random.default_rng(0).permutation(len(points))]
    found = spark.fit(shuffled, 0.03, 8, leaves=4, least_width=0.0)
    assert np.array_equal(found.labels, reference(shuffled, 0.03, 8)[0])
    assert not np.array_equal(found.labels, reference(points, 0.03, 8)[0])


def test_a_view_of_mapped_points_is_not_taken_for_the_file(spark: SparkClusterer, tmp_path: Path) -> None:
    np.save(tmp_path / "points.npy", small_points("uniform", (200, 2), seed=2))
    mapped = np.load(tmp_path / "points.npy", mmap_mode="r", allow_pickle=False)
    for points in (mapped[:100], mapped[100:], mapped[::2]):
        assert np.array_equal(spark.fit(points, 0.1, 4).labels, reference(points, 0.1, 4)[0])


def test_points_with_nan_are_refused(spark: SparkClusterer) -> None:
    points = small_points("uniform", (100, 2), seed=0)
    points[40, 1] = np.nan
    with pytest.raises(Exception, match="NaN or infinities"):
        spark.fit(points, 0.1, 5)


def test_leaves_are_placed_by_the_hash_that_spark_computes(spark: SparkClusterer) -> None:
    from pyspark.sql import SparkSession, functions

    session = SparkSession.getActiveSession()
    assert session is not None
    rows = session.range(0, 200).select("id", functions.hash(functions.col("id").cast("int")).alias("hash")).collect()
    assert [spark_hash(row["id"]) for row in rows] == [row["hash"] for row in rows]
    for partitions in (1, 2, 7, 64):
        assert sorted(spark_hash(int(key)) % partitions for key in slots(partitions)) == list(range(partitions))


BARE_CHILD = """
import sys
from pathlib import Path
import numpy as np
from workers.algorithms.adapter import Resources
from workers.algorithms.registry import get
points = np.load(sys.argv[1], mmap_mode="r", allow_pickle=False)
resources = Resources(threads=2, memory_limit_bytes=3 * 2**30, scratch=Path(sys.argv[2]))
adapter = get("spark-dbscan")
adapter.open(resources)
adapter.prepare(points, resources)
found = adapter.fit(points, {"eps": 0.05, "min_samples": 6, "partitions": 3}, resources)
adapter.close()
np.save(sys.argv[3], found.labels)
"""


def test_the_adapter_runs_in_a_bare_child_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """A new session, a scrubbed environment, another working directory: as the measuring parent starts it."""
    points = small_points("uniform", (900, 2), seed=5)
    np.save(tmp_path / "points.npy", points)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    kept = {key: os.environ[key] for key in ("PATH", "JAVA_HOME") if key in os.environ}
    child = subprocess.Popen(
        [sys.executable, "-c", BARE_CHILD, "points.npy", str(scratch), "labels.npy"],
        env=kept | {"HOME": str(tmp_path), "TMPDIR": str(scratch), "JAVA_TOOL_OPTIONS": FAST_START},
        cwd=tmp_path,
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    _, errors = child.communicate(timeout=120)

    assert child.returncode == 0, errors.decode()[-2_000:]
    labels = np.load(tmp_path / "labels.npy", allow_pickle=False)
    assert np.array_equal(labels, reference(points, 0.05, 6)[0])
    assert [process.pid for process in psutil.process_iter() if _still_runs_in(process, child.pid)] == []
    assert list(scratch.glob("spark-dbscan*")) == []


def _still_runs_in(process: psutil.Process, session: int) -> bool:
    try:
        # Spark's launcher script leaves a zombie that only the container's init could reap.
        return os.getsid(process.pid) == session and process.status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


def test_without_java_the_adapter_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert missing_java() is None
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "no-java"))
    missing = get("spark-dbscan").missing()
    assert missing is not None
    assert "Java 17" in missing
    with pytest.raises(RuntimeError, match="Java 17"):
        get("spark-dbscan").open(Resources(1, GIB, tmp_path))
