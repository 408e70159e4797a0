"""A Spark session in this process, `local[threads]`: bound to loopback, writing only below its scratch folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import workers
from workers.spark.java import find_java, missing_java

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ARROW_ROWS = 65_536
_GIB = 2**30
_STOP_SECONDS = 15.0


def heap_bytes(memory_limit_bytes: int) -> int:
    """The JVM's heap: half of what the sample may use, as Python workers cluster outside of it; 512 MiB to 16 GiB."""
    return min(16 * _GIB, max(_GIB // 2, memory_limit_bytes // 2))


def start_session(threads: int, memory_limit_bytes: int, scratch: Path) -> SparkSession:
    """Start a JVM and a session. Raises RuntimeError if there is no fitting Java, or a session is there already."""
    if reason := missing_java():
        raise RuntimeError(reason)
    from pyspark.sql import SparkSession

    if SparkSession.getActiveSession() is not None:
        raise RuntimeError("this process has a Spark session already")
    scratch.mkdir(parents=True, exist_ok=True)
    _set_environment()
    builder = SparkSession.builder.master(f"local[{threads}]").appName("corepoint")
    for key, value in _settings(threads, memory_limit_bytes, scratch).items():
        builder = builder.config(key, value)
    session: SparkSession = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


def stop_session(session: SparkSession) -> None:
    """Stop the session and its JVM, and wait until the JVM is gone: no later sample may share the machine with it."""
    from pyspark import SparkContext

    gateway = SparkContext._gateway
    session.stop()
    if gateway is None:
        return
    gateway.shutdown()
    SparkContext._gateway = None
    SparkContext._jvm = None
    process: subprocess.Popen[bytes] = gateway.proc
    if process.stdin is not None:
        process.stdin.close()  # the JVM ends when its standard input does
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def table_settings(threads: int) -> dict[str, str]:
    """What the program expects of any session, local or on a cluster, with so many threads in all."""
    return {
        "spark.sql.execution.arrow.pyspark.enabled": "true",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(ARROW_ROWS),
        "spark.sql.shuffle.partitions": str(max(1, threads)),
        "spark.sql.adaptive.enabled": "false",  # plans are small and placement is ours
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.parquet.compression.codec": "uncompressed",
    }


def _set_environment() -> None:
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    os.environ["SPARK_LOCAL_IP"] = "127.0.0.1"
    os.environ.pop("SPARK_LOCAL_DIRS", None)  # it would win over the setting spark.local.dir
    java = find_java()
    if java is not None:
        os.environ["JAVA_HOME"] = str(java.resolve().parent.parent)


def _settings(threads: int, memory_limit_bytes: int, scratch: Path) -> dict[str, str]:
    # Python workers must find our modules even if the distribution is run from a source tree.
    path = os.pathsep.join([str(Path(workers.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.memory": f"{heap_bytes(memory_limit_bytes) // 2**20}m",
        "spark.driver.extraJavaOptions": f"-XX:-UsePerfData -Djava.io.tmpdir={scratch}",
        "spark.local.dir": str(scratch),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.executorEnv.PYTHONPATH": path,
        **table_settings(threads),
    }
