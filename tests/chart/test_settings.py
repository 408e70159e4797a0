"""The variables and arguments that the chart sets are ones that the code reads: neither can change alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_settings import BaseSettings

from app.contracts.states import QueueName
from app.processes.__main__ import _parse as parse_process
from app.settings import Settings
from tests.chart.quantities import bytes_of, cpus_of
from tests.chart.rendering import ROOT, Object
from tests.chart.workloads import QUEUE, Workload, environment, workloads
from workers.process import _parse as parse_worker
from workers.settings import WorkerSettings

PREFIX = "COREPOINT_"
READ_BY: dict[str, tuple[type[BaseSettings], ...]] = {
    **dict.fromkeys(("api", "dispatcher", "metrics", "migrate"), (Settings,)),
    **dict.fromkeys(("worker", "pods-worker", "trial"), (WorkerSettings,)),
}
# Read where they are needed, beside the settings.
ELSEWHERE = {"COREPOINT_IMAGE": "workers/measure/environment.py"}
# The command line reads these itself.
CLIENT = {"COREPOINT_SERVER", "COREPOINT_API_KEY", "COREPOINT_CONFIG"}


@pytest.fixture
def pods(rendered: list[Object]) -> list[tuple[Workload, Object, dict[str, str]]]:
    """Every container with our variables, and what it starts with."""
    found = []
    for one in workloads(rendered):
        for container in one.all_containers:
            variables = environment(container, rendered)
            if any(name.startswith(PREFIX) for name in variables):
                found.append((one, container, variables))
    return found


def names(model: type[BaseModel], prefix: str = PREFIX) -> Iterator[str]:
    for name, entry in model.model_fields.items():
        kind: Any = entry.annotation
        yield f"{prefix}{name.upper()}"
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from names(kind, f"{prefix}{name.upper()}__")


def test_every_variable_is_read(pods: list[tuple[Workload, Object, dict[str, str]]]) -> None:
    """One ConfigMap serves control plane and workers; what a container has of its own is read by its own process."""
    anyone = {known for models in READ_BY.values() for model in models for known in names(model)}
    unread = []
    for one, container, variables in pods:
        own = {entry["name"] for entry in container.get("env", [])}
        read = (
            CLIENT if one.component == "test" else {name for model in READ_BY[one.component] for name in names(model)}
        )
        unread += [
            f"{one}, {container['name']}: {name}"
            for name in variables
            if name.startswith(PREFIX) and name not in (read if name in own else anyone) | set(ELSEWHERE)
        ]
    assert unread == []


def test_variables_beside_the_settings_are_read_where_they_are_said_to_be() -> None:
    assert [name for name, path in ELSEWHERE.items() if f'"{name}"' not in (ROOT / path).read_text()] == []


def test_settings_parse(pods: list[tuple[Workload, Object, dict[str, str]]], monkeypatch: pytest.MonkeyPatch) -> None:
    for one, _, variables in pods:
        for model in READ_BY.get(one.component, ()):
            with monkeypatch.context() as patched:
                for name in [name for name in os.environ if name.startswith(PREFIX)]:
                    patched.delenv(name)
                for name, value in variables.items():
                    patched.setenv(name, value)
                model()


def test_queues_are_what_their_workers_have(
    pods: list[tuple[Workload, Object, dict[str, str]]], rendered: list[Object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trial that the planner lets into a queue fits a worker of it, beside what the worker itself needs."""
    variables = next(variables for _, container, variables in pods if container["name"] == "api")
    monkeypatch.setenv("COREPOINT_QUEUES", variables["COREPOINT_QUEUES"])
    queues = Settings().queues
    assert set(queues) == set(QueueName)
    for one in workloads(rendered):
        if one.component != "worker" or one.labels[QUEUE] == QueueName.SPARK:  # executors measure, not the worker
            continue
        limits = one.containers[0]["resources"]["limits"]
        queue = queues[QueueName(one.labels[QUEUE])]
        assert 0.5 * bytes_of(limits["memory"]) <= queue.memory_bytes < bytes_of(limits["memory"])
        assert queue.threads == max(1, int(cpus_of(limits["cpu"])))


def test_arguments_are_ones_the_processes_take(rendered: list[Object]) -> None:
    started = set()
    for one in workloads(rendered):
        for container in one.all_containers:
            words = [*container.get("command", []), *container.get("args", [])]
            match words:
                case ["python", "-m", "app.processes", *rest]:
                    started.add(parse_process(rest).process)
                case ["python", "-m", "workers.process", *rest]:
                    started.add(f"worker {parse_worker(rest).queue[0]}")
    assert started >= {"api", "dispatcher", "migrate", "wait", *(f"worker {queue}" for queue in QueueName)}
