"""docs/reference/cli.md: every command of the Typer application, and what its exit codes mean."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from types import UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import typer
from reference_markdown import code, either, sentence, table

from app.cli import kinds
from app.cli.exits import EXIT_CODES_HELP
from app.cli.main import app as cli_app


def cli_page() -> str:
    group = typer.main.get_command(cli_app)
    page = f"# Command line\n\n{sentence(group.help or '')}\n\n## Commands\n\n"
    commands = dict(_commands(group))
    first = {name: inspect.getdoc(command.callback) or "" for name, command in commands.items()}
    page += table(
        ("command", "what it does"), ((f"[`{name}`](#{name.replace(' ', '-')})", text) for name, text in first.items())
    )
    for name, command in commands.items():
        page += f"## {name}\n\n{sentence(first[name])}\n\n```\n{_usage(name, command.params)}\n```\n\n"
        types = get_type_hints(command.callback)
        page += _parameters(
            ("argument", "meaning"), [p for p in command.params if p.param_type_name == "argument"], types
        )
        page += _parameters(
            ("option", "value", "default", "meaning"),
            [p for p in command.params if p.param_type_name == "option"],
            types,
        )
    page += "## Kinds\n\nWhat `KIND` may be, in singular, plural or short.\n\n"
    page += table(
        ("kind", "plural", "short"),
        ((code(k.singular), code(k.plural), ", ".join(map(code, k.short))) for k in kinds.KINDS),
    )
    codes = EXIT_CODES_HELP.removeprefix("Exit codes: ").rstrip(".").split("; ")
    page += "## Exit codes\n\n" + table(("code", "meaning"), (line.split(" ", 1) for line in codes))
    page += (
        "## Environment\n\n`COREPOINT_SERVER` is the API's URL, `COREPOINT_API_KEY` the key, and "
        "`COREPOINT_CONFIG` another configuration file. "
        "Options win over the environment, the environment over the file.\n"
    )
    return page


def _commands(group: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """By their full names: those of a group stand where the group does."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield f"{prefix}{name}", command


def _usage(name: str, parameters: Sequence[Any]) -> str:
    words = ["corepoint", name]
    words += [
        f"{p.opts[0]} {p.metavar or p.name.upper()}" for p in parameters if p.param_type_name == "option" and p.required
    ]
    words += [_argument(p) for p in parameters if p.param_type_name == "argument"]
    return " ".join([*words, "[OPTIONS]"])


def _argument(parameter: Any) -> str:
    word = (parameter.metavar or parameter.name.upper()).strip("[]")
    return word if parameter.required else f"[{word}]"


def _parameters(heads: Sequence[str], parameters: Sequence[Any], types: Mapping[str, Any]) -> str:
    if not parameters:
        return ""
    if len(heads) == 2:
        return table(heads, ((code(_argument(p)), sentence(p.help or "")) for p in parameters))
    return table(
        heads,
        (
            (
                ", ".join(map(code, p.opts)),
                _value(p, types[p.name]),
                "required" if p.required else _option_default(p.default),
                sentence(p.help or "") + (f" Environment: `{p.envvar}`." if p.envvar else ""),
            )
            for p in parameters
        ),
    )


def _value(parameter: Any, annotation: Any) -> str:
    if get_origin(annotation) in {Union, UnionType}:
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is list:
        [annotation] = get_args(annotation)
    if parameter.metavar:
        return code(parameter.metavar)
    if annotation is bool:
        return ""
    if issubclass(annotation, Enum):
        return either([code(one.value) for one in annotation])
    limits = "".join(
        f" {sign} {limit:,}" for sign, limit in (("≥", parameter.min), ("≤", parameter.max)) if limit is not None
    )
    return {str: "text", int: "whole number", Path: "path"}[annotation] + limits


def _option_default(value: Any) -> str:
    if value is None or value is False:
        return ""
    return code(value.value if isinstance(value, Enum) else value)
