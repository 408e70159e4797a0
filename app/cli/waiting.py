"""Waiting for runs and datasets: a live view on a terminal, a line per change elsewhere, one deadline for all."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from math import inf
from typing import Any, Protocol, TypeVar

from app.cli.client import Client, parse, segment
from app.cli.exits import DeadlineError, Exit, UnreachableError, UsageError
from app.cli.output import Format, data, dump, note
from app.cli.progress import Snapshot, plain_lines
from app.cli.settings import connection
from app.contracts.failures import Failure
from app.contracts.states import DatasetState, RunState
from app.contracts.views import BatchView, DatasetView, RunView

Answer = TypeVar("Answer")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d|)")
_SECONDS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_ENDED = {RunState.SUCCEEDED, RunState.PARTIAL, RunState.FAILED, RunState.CANCELLED}
_FIRST_LOOK_SECONDS, _LAST_LOOK_SECONDS = 0.1, 2.0
_PATIENCE_SECONDS = 60.0
"""How long the server may be away while we wait: a restart of the API must not end the wait."""


class View(Protocol):
    def show(self, snapshot: Snapshot) -> None: ...


class Clock:
    """One deadline for everything waited for; looks come fast at first and then every two seconds."""

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._pause = _FIRST_LOOK_SECONDS

    @classmethod
    def of(cls, timeout: str | None) -> Clock:
        return cls(None if timeout is None else time.monotonic() + seconds(timeout))

    def sleep(self, subject: str) -> None:
        """Until the next look. Raises DeadlineError when the time is over."""
        left = inf if self._deadline is None else self._deadline - time.monotonic()
        time.sleep(max(0.0, min(self._pause, left)))
        if left <= self._pause:
            raise DeadlineError(f"timeout: {subject} has not ended", "It goes on; `corepoint wait` waits again.")
        self._pause = min(self._pause * 1.5, _LAST_LOOK_SECONDS)


def seconds(text: str) -> float:
    """`90`, `90s`, `10m`, `2h`, `7d`. Raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is no duration", "For example 90s, 10m or 2h.")
    return float(match[1]) * _SECONDS[match[2]]


def wait(reference: str, timeout: str | None, form: Format, server: str | None) -> None:
    clock = Clock.of(timeout)
    with Client(connection(server)) as client:
        kind, slash, name = reference.partition("/")
        if slash and kind in {"dataset", "datasets", "ds"}:
            code = for_dataset(client, name, clock, form)
        else:
            code = for_runs(client, [client.run_id(reference)], clock, form)
    leave(code)


def leave(code: Exit) -> None:
    """End the command with `code`, unless all went well."""
    if code is not Exit.OK:
        import typer

        raise typer.Exit(int(code))


def for_runs(client: Client, run_ids: Iterable[str], clock: Clock, form: Format) -> Exit:
    """Wait until every run has ended. RUNS_FAILED unless all succeeded."""
    code = Exit.OK
    for run_id in run_ids:
        with _view() as view:
            raw = _follow(client, run_id, clock, view)
        run = parse(RunView, raw)
        _result(raw, f"run/{run_id}", run.state, run.failure, form)
        if run.state is RunState.SUCCEEDED:
            note(f"Compare the results: corepoint compare {run_id}")
        else:
            code = Exit.RUNS_FAILED
            note(f"`corepoint describe run {run_id}` shows why.")
    return code


def _follow(client: Client, run_id: str, clock: Clock, view: View) -> Any:
    """Show the run until it has ended; its last state."""
    while True:
        raw = _patiently(partial(client.get, f"/v1/runs/{run_id}"), clock)
        run = parse(RunView, raw)
        over = run.state in _ENDED
        view.show(Snapshot(run, [] if over else _patiently(partial(_batches, client, run_id), clock)))
        if over:
            return raw
        clock.sleep(f"run {run_id}")


def for_dataset(client: Client, name: str, clock: Clock, form: Format) -> Exit:
    """Wait until a dataset is ready. RUNS_FAILED if it could not be prepared."""
    said: str | None = None
    while True:
        raw = _patiently(partial(client.get, f"/v1/datasets/{segment(name)}"), clock)
        dataset = parse(DatasetView, raw)
        if dataset.state in {DatasetState.READY, DatasetState.FAILED}:
            break
        if dataset.state != said:
            note(f"dataset/{name} {dataset.state}")
            said = dataset.state
        clock.sleep(f"dataset {name!r}")
    _result(raw, f"dataset/{name}", dataset.state, dataset.failure, form)
    return Exit.OK if dataset.state is DatasetState.READY else Exit.RUNS_FAILED


def _result(raw: Any, reference: str, state: str, failure: Failure | None, form: Format) -> None:
    if form in {Format.JSON, Format.YAML}:
        dump(raw, form)
    else:
        data(reference if form is Format.NAME else f"{reference} {state}")
    if failure is not None:
        note(f"{failure.code}: {failure.message}")
        note(f"hint: {failure.hint}")


def _batches(client: Client, run_id: str) -> list[BatchView]:
    items, _ = client.pages(f"/v1/runs/{run_id}/batches", 1_000)
    return [parse(BatchView, item) for item in items]


def _patiently(ask: Callable[[], Answer], clock: Clock) -> Answer:
    """The answer; a server that is away for a short while is waited for."""
    away_since: float | None = None
    while True:
        try:
            return ask()
        except UnreachableError:
            now = time.monotonic()
            if away_since is None:
                away_since = now
                note("The server does not answer; still waiting.")
            elif now - away_since > _PATIENCE_SECONDS:
                raise
            clock.sleep("what is waited for")


class _Plain:
    """A line on stderr whenever the run's or a batch's state has changed."""

    def __init__(self) -> None:
        self._said: set[str] = set()

    def show(self, snapshot: Snapshot) -> None:
        for line in plain_lines(snapshot):
            if line not in self._said:
                note(line)
                self._said.add(line)


@contextmanager
def _view() -> Iterator[View]:
    import sys

    if not sys.stderr.isatty():
        yield _Plain()
        return
    from app.cli.progress import live_view

    with live_view() as view:
        yield view
