"""A private PostgreSQL for tests: own data directory, loopback only, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=60", "shared_buffers=32MB")


def _binaries() -> Path:
    on_path = shutil.which("initdb")
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = installed[-1] if installed else Path(on_path or "")
    assert found.name == "initdb", "PostgreSQL's server programs are needed (package postgresql)"
    return found.resolve().parent


def _as_user() -> tuple[list[str], tuple[int, int] | None]:
    """PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return [], None
    names = {entry.pw_name: entry for entry in pwd.getpwall()}
    user = names.get("postgres") or names["nobody"]
    prefix = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--"]
    return prefix, (user.pw_uid, user.pw_gid)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a running server, without a database's name."""
    prefix, owner = _as_user()
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="corepoint-postgres-"))
    if owner is not None:
        os.chown(folder, *owner)
    port = _free_port()
    data = folder / "data"
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

    def call(*command: str) -> None:
        # To a file, not a pipe: the server inherits it and would hold a pipe open.
        with (folder / "output").open("ab") as output:
            finished = subprocess.run(
                [*prefix, *command], env=environment, cwd=folder, stdout=output, stderr=output, timeout=60, check=False
            )
        assert finished.returncode == 0, (folder / "output").read_text()

    options = " ".join(f"-c {setting}" for setting in (*_FAST, "listen_addresses=127.0.0.1", f"port={port}"))
    try:
        call(str(binaries / "initdb"), "-D", str(data), "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync")
        call(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-o", f"{options} -k {folder}", "start")
        try:
            yield f"postgresql+asyncpg://test@127.0.0.1:{port}"
        finally:
            call(str(binaries / "pg_ctl"), "-D", str(data), "-w", "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
