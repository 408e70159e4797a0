"""The HTML report of a run: one file with its data, its plots and plotly.js inside; it reads nothing from a network."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from app.contracts import quantities
from app.contracts.comparison import Comparison
from app.ui.report import figures, headline, rows

_TEMPLATES = Path(__file__).parent / "templates"
OPEN_GROUPS = 1
"""Task tables shown unfolded: with several tasks the overview leads, and a table is one click away."""


def render_report(comparison: Comparison) -> str:
    """A whole HTML document. Every text of the comparison is escaped; scripts run only by their hash (CSP)."""
    script = _asset("report.js")
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            comparison=comparison,
            raw=comparison.model_dump(mode="json"),
            headline=headline.sentences(comparison),
            groups=[rows.group_rows(group) for group in comparison.groups],
            overview=rows.overview(comparison),
            open_groups=OPEN_GROUPS,
            plots=figures.plots(comparison),
            plotted=len(figures.plotted(comparison)),
            timed=sum(any(entry.timing for entry in group.entries) for group in comparison.groups),
            machines=[rows.machine(environment) for environment in comparison.environments],
            style=Markup(_asset("report.css")),  # noqa: S704 - our own file
            script=Markup(script),  # noqa: S704 - our own file
            plotlyjs=_plotlyjs()[0],
            hashes=[_plotlyjs()[1], _hash(script)],
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["q"] = quantities
    environment.filters["script_json"] = script_json
    return environment


def script_json(value: Any) -> Markup:
    """JSON that cannot end the script element it stands in, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Markup(text)  # noqa: S704 - escaped above


@cache
def _asset(name: str) -> str:
    return (_TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _plotlyjs() -> tuple[Markup, str]:
    text = get_plotlyjs()
    return Markup(text), _hash(text)  # noqa: S704 - plotly's own bundle


def _hash(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
