"""The command line starts at once and tells its exit codes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = [
    "httpx",
    "rich",
    "yaml",
    "fastapi",
    "sqlalchemy",
    "prefect",
    "numpy",
    "stamina",
    "plotly",
    "jinja2",
]
_LIST_MODULES = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(m for m in sys.modules if "." not in m)), file=sys.stderr))
from app.cli.main import run
run()
"""


@pytest.mark.parametrize(
    "arguments", [["--help"], ["create", "--help"], ["up", "--help"], ["worker", "start", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIST_MODULES, *arguments], capture_output=True, text=True, check=True, timeout=20
    )
    loaded = json.loads(done.stderr.splitlines()[-1])
    assert "Usage:" in done.stdout
    assert [name for name in HEAVY if name in loaded] == []


def test_help_documents_every_exit_code_and_verb() -> None:
    text = subprocess.run(
        [sys.executable, "-m", "app.cli.main", "--help"], capture_output=True, text=True, check=True, timeout=20
    ).stdout
    for code in ("0 ok", "1 failure", "2 wrong usage", "3 not found", "4 not auth", "5 a run", "124 timeout"):
        assert code in " ".join(text.split())
    verbs = ["get", "describe", "create", "run", "wait", "compare", "logs", "cancel", "export", "delete", "version"]
    verbs += ["up", "demo", "worker"]
    assert all(f"\n  {verb} " in text for verb in verbs)
