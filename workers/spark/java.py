"""Is there a Java that Spark 4 runs on? Answered without starting Spark."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

OLDEST = 17
"""Spark 4 needs Java 17 or newer (spark.apache.org/docs/4.0.0, "Downloading")."""


def find_java() -> Path | None:
    """The java that Spark's launcher would take: of JAVA_HOME if that is set, else the first on PATH."""
    home = os.environ.get("JAVA_HOME")
    if home:
        candidate = Path(home) / "bin" / "java"
        return candidate if os.access(candidate, os.X_OK) else None
    found = shutil.which("java")
    return Path(found) if found else None


def java_version(java: Path) -> int | None:
    """Feature release (17, 21, ...) of this java, None if it does not tell."""
    release = java.resolve().parent.parent / "release"
    try:
        text = release.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = _ask(java)
    found = re.search(r'version[ =]+"(?:1\.)?(\d+)', text, flags=re.IGNORECASE)
    return int(found.group(1)) if found else None


def missing_java() -> str | None:
    """What is missing, in one sentence; None if a fitting Java is there."""
    java = find_java()
    if java is None:
        home = os.environ.get("JAVA_HOME")
        where = f"JAVA_HOME={home} has no bin/java" if home else "there is no java on PATH and JAVA_HOME is not set"
        return f"Spark needs Java {OLDEST} or newer: {where}"
    version = java_version(java)
    if version is None:
        return f"Spark needs Java {OLDEST} or newer: {java} does not tell its version"
    if version < OLDEST:
        return f"Spark needs Java {OLDEST} or newer: {java} is Java {version}"
    return None


def _ask(java: Path) -> str:
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return answer.stderr + answer.stdout
