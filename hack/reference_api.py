"""docs/reference/api.md: every operation of the public API, from its own OpenAPI document."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from reference_markdown import bounds, code, default, kind, sentence, table

from app.contracts.problems import ProblemCode
from app.db.engine import Database
from app.gateways.object_folder import FolderStore
from app.main import create_app
from app.resources import Resources
from app.settings import ApiSettings, DatabaseSettings, Settings
from workers.algorithms.registry import catalogue


class _NoLogs:
    async def run_logs(self, flow_run_ids: list[str], limit: int) -> list[str] | None:
        return None


def _openapi() -> dict[str, Any]:
    # model_construct: the values of this machine's environment must not reach a page.
    memory = DatabaseSettings(url=SecretStr("sqlite+aiosqlite:///:memory:"))
    settings = Settings.model_construct(api=ApiSettings(authentication=False), database=memory)
    with tempfile.TemporaryDirectory() as folder:
        resources = Resources(
            settings=settings,
            database=Database(memory),
            objects=FolderStore(Path(folder), "corepoint", frozenset()),
            catalogue=catalogue(),
            logs=_NoLogs(),
            render_report=lambda comparison: comparison.experiment,
        )
        return create_app(resources).openapi()


def api_page() -> str:
    spec = _openapi()
    operations = [(m.upper(), path, one) for path, methods in spec["paths"].items() for m, one in methods.items()]
    everywhere = set.intersection(*(set(_codes(one)) for _, path, one in operations if path.startswith("/v1")))
    page = (
        "# HTTP API\n\nJSON in and out. `http://SERVER/docs` shows the same with every schema.\n\n"
        "Besides what stands at an operation, each may "
        f"answer {', '.join(_problem(one) for one in sorted(everywhere))}.\n\n"
    )
    page += table(
        ("method", "path", "summary"),
        ((m, f"[`{path}`](#{_anchor(one)})", one["summary"]) for m, path, one in operations),
    )
    for method, path, one in operations:
        page += f'## <a id="{_anchor(one)}"></a>{one["summary"]}\n\n```\n{method} {path}\n```\n\n'
        if said := sentence(one.get("description", "")):
            page += f"{said}\n\n"
        if body := one.get("requestBody"):
            page += f"Body: {_contents(body['content'])}\n\n"
        if given := one.get("parameters"):
            page += table(
                ("parameter", "in", "type", "default", "bounds", "meaning"),
                ((code(p["name"]), p["in"], kind(p["schema"], spec["components"]["schemas"]),
                  "required" if p["required"] else default("", p["schema"], []).replace("none", ""),
                  bounds(p["schema"]), p.get("description", "")) for p in given),
            )  # fmt: skip
        page += table(("answer", "what"), _answers(one, everywhere))
    return page


def _anchor(operation: Mapping[str, Any]) -> str:
    return str(operation["operationId"])


def _problem(name: str) -> str:
    return f"[`{name}`](problems.md#{name})"


def _codes(operation: Mapping[str, Any]) -> list[str]:
    """The problem codes of an operation."""
    return [found for answer in operation["responses"].values() if _is_problem(answer) for found in _named(answer)]


def _is_problem(answer: Mapping[str, Any]) -> bool:
    return "application/problem+json" in answer.get("content", {})


def _named(answer: Mapping[str, Any]) -> list[str]:
    return [one.value for one in ProblemCode if code(one.value) in answer["description"]]


def _answers(operation: Mapping[str, Any], everywhere: set[str]) -> Iterator[tuple[str, str]]:
    for status, answer in sorted(operation["responses"].items()):
        if not _is_problem(answer):
            what = answer["description"] if answer["description"] != "Successful Response" else ""
            yield status, ": ".join(filter(None, (what, _contents(answer.get("content", {})))))
        elif own := [name for name in _named(answer) if name not in everywhere]:
            yield status, ", ".join(map(_problem, own))


def _contents(content: Mapping[str, Any]) -> str:
    """Media types with the model or type each holds."""
    return (
        ", ".join(
            f"{code(_title(held['schema']))} as {media}" if _title(held.get("schema", {})) else media
            for media, held in content.items()
        )
        or "nothing"
    )


def _title(schema: Mapping[str, Any]) -> str:
    name = str(schema.get("$ref", "")).rsplit("/", 1)[-1]
    # FastAPI's names for a model with one schema for input and another for output, and for a page of models.
    name = name.removesuffix("-Input").removesuffix("-Output")
    outer, _, inner = name.removesuffix("_").partition("_")
    return f"{outer}[{inner}]" if inner else outer
