"""Fetches the jars by which Spark reads and writes s3a:// and checks them against hack/s3a-jars.sha256.

hack/s3a-jars does the same where there is curl, for tests; a slim base image has Python alone.
"""

from __future__ import annotations

import hashlib
import sys
import urllib.request
from pathlib import Path

CENTRAL = "https://repo1.maven.org/maven2"


def fetch(path: str, sha256: str, target: Path) -> None:
    with urllib.request.urlopen(f"{CENTRAL}/{path}", timeout=60) as answer:  # noqa: S310 - https, a constant host
        content = answer.read()
    if (found := hashlib.sha256(content).hexdigest()) != sha256:
        sys.exit(f"fetch_jars: {path} has sha256 {found}, expected {sha256}")
    target.write_bytes(content)


def main(pins: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for line in pins.read_text().splitlines():
        sha256, path = line.split()
        fetch(path, sha256, folder / Path(path).name)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
