"""Where the server is and with which key: option, then environment, then configuration file, then default."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from app.cli.exits import CommandError, UsageError

DEFAULT_SERVER = "http://127.0.0.1:8787"
_KNOWN = {"server", "api_key"}


@dataclass(frozen=True)
class Connection:
    server: str
    api_key: str | None = field(default=None, repr=False)

    @property
    def is_local(self) -> bool:
        return urlsplit(self.server).hostname in {"127.0.0.1", "localhost", "::1"}


def config_path() -> Path:
    """COREPOINT_CONFIG, else `corepoint/config.toml` in the XDG configuration folder."""
    if explicit := os.environ.get("COREPOINT_CONFIG"):
        return Path(explicit)
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "corepoint" / "config.toml"


def connection(server: str | None) -> Connection:
    """Raises UsageError for a server that is no http(s) URL, CommandError for a file that cannot be used."""
    file = _read(config_path())
    chosen = (server or file.get("server") or DEFAULT_SERVER).rstrip("/")
    parts = urlsplit(chosen)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise UsageError(f"{chosen!r} is not the URL of a server", "For example: --server http://127.0.0.1:8787")
    return Connection(server=chosen, api_key=os.environ.get("COREPOINT_API_KEY") or file.get("api_key") or None)


def _read(path: Path) -> dict[str, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f"cannot read {path}: {error}") from error
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CommandError(f"{path} is not valid TOML: {error}") from error
    if unknown := sorted(set(values) - _KNOWN):
        raise CommandError(f"{path}: unknown key {unknown[0]!r}", hint="The keys are server and api_key.")
    if any(not isinstance(value, str) for value in values.values()):
        raise CommandError(f"{path}: server and api_key are strings")
    if "api_key" in values and os.name == "posix" and path.stat().st_mode & 0o077:
        raise CommandError(f"{path} holds an API key and others can read it", hint=f"chmod 600 {path}")
    return values
