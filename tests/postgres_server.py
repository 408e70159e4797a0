"""A private PostgreSQL for tests: own data directory, loopback only, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.part import Part, free_ports

# Whoever kills its processes loses nothing: what was acknowledged lies with the kernel. Only a power cut would tell.
_QUICK = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB")


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


@contextmanager
def postgres_part(log: Path | None = None, connections: int = 60) -> Iterator[tuple[Part, int]]:
    """A server that is not started yet, and its port. Its data is gone with the context."""
    prefix, owner = _as_user()
    binaries = _binaries()
    folder = Path(tempfile.mkdtemp(prefix="corepoint-postgres-"))
    if owner is not None:
        os.chown(folder, *owner)
    [port] = free_ports(1)
    environment = {"PATH": f"{binaries}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    data = ["-D", str(folder / "data")]
    options = [*_QUICK, f"max_connections={connections}", "listen_addresses=127.0.0.1", f"port={port}"]
    settings = [word for option in options for word in ("-c", option)]
    asked = [str(binaries / "pg_isready"), "--quiet", "-h", "127.0.0.1", "-p", str(port)]
    part = Part(
        "postgres",
        [*prefix, str(binaries / "postgres"), *data, *settings, "-k", str(folder)],
        log or folder / "log",
        lambda: subprocess.run(asked, env=environment, timeout=20, check=False).returncode == 0,
        environment=environment,
        folder=folder,
        end_signal=signal.SIGQUIT,
    )
    try:
        made = subprocess.run(
            [*prefix, str(binaries / "initdb"), *data, "-U", "test", "-A", "trust", "-E", "UTF8", "--no-sync"],
            env=environment, cwd=folder, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert made.returncode == 0, made.stdout + made.stderr
        yield part, port
    finally:
        part.end()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of a running server, without a database's name."""
    with postgres_part() as (part, port):
        part.start()
        part.wait_until_ready()
        yield f"postgresql+asyncpg://test@127.0.0.1:{port}"
