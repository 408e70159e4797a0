"""What this worker is: hardware, quota, versions. Times compare only between equal environments."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

from app.contracts.measurement import Environment
from workers.measure import cgroup

LIBRARIES = ("numpy", "scipy", "scikit-learn", "joblib", "threadpoolctl", "pandas", "pyarrow", "pyspark", "numba")
_CPU_KEYS = ("model name", "Model", "Hardware", "CPU part")


def capture() -> Environment:
    """Cheap when repeated: versions are looked up once per process. (A quota may change, versions do not.)"""
    limits = cgroup.read_limits()
    cpus, memory = len(os.sched_getaffinity(0)), os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Environment(
        cpu_model=_cpu_model(),
        cpu_quota=min(limits.cpus or cpus, cpus),
        memory_limit_bytes=min(limits.memory_bytes or memory, memory),
        image=os.environ.get("COREPOINT_IMAGE") or f"corepoint {_version('corepoint') or 'unknown'}",
        hostname=platform.node(),
        kernel=platform.release(),
        python=platform.python_version(),
        libraries=_libraries(),
        java=java_version(),
    )


def _cpu_model(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    values: dict[str, str] = {}
    try:
        for line in cpuinfo.read_text().splitlines():
            key, _, value = line.partition(":")
            values.setdefault(key.strip(), value.strip())
    except OSError:
        return platform.processor() or platform.machine()
    named = next((values[key] for key in _CPU_KEYS if values.get(key)), None)
    return named or platform.processor() or platform.machine()


def _version(distribution: str) -> str | None:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


@cache
def _libraries() -> dict[str, str]:
    found = {name: version for name in LIBRARIES if (version := _version(name)) is not None}
    for entry in metadata.entry_points(group="corepoint.algorithms"):
        if entry.dist is not None:
            found[entry.dist.name] = entry.dist.version
    return dict(sorted(found.items()))


def java_version() -> str | None:
    """From the `release` file of the installation ($JAVA_HOME, else the `java` on PATH); None without Java."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin" if home else None)
    return _version_of_java(java) if java is not None else None


@cache
def _version_of_java(java: str) -> str | None:
    try:
        match = re.search(r'^JAVA_VERSION="([^"]+)"', (Path(java).resolve().parents[1] / "release").read_text(), re.M)
    except OSError:
        match = None
    return match[1] if match else _asked_java(java)


def _asked_java(java: str) -> str | None:
    try:
        answer = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = re.search(r'version "([^"]+)"', answer.stderr)
    return match[1] if match else None
