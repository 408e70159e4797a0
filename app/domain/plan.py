"""From a specification to trials and batches. Equal input gives an equal plan, whatever the order of its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from app.contracts.algorithm import Capabilities
from app.contracts.canonical import canonical_json, derived_id, derived_seed
from app.contracts.experiment import ExperimentSpec
from app.contracts.failures import Failure, FailureCode
from app.contracts.problems import ProblemCode, ProblemError
from app.contracts.states import Isolation, QueueName
from app.domain.catalogue import Algorithm, Catalogue
from app.domain.estimate import Estimate, estimate
from app.domain.grid import Contender, refuse_reserved_keys, resolve
from app.domain.packing import pack
from app.domain.planned import Batch, DatasetFacts, Plan, PlanError, QueueCapacity, Trial
from app.domain.routing import Pace, Route, choose_queue

__all__ = [
    "Batch",
    "Catalogue",
    "DatasetFacts",
    "Pace",
    "Plan",
    "PlanError",
    "QueueCapacity",
    "Trial",
    "check",
    "make_plan",
    "refuse_reserved_keys",
]


@dataclass(frozen=True)
class _Draft:
    """A trial before it has a queue."""

    label: str
    algorithm: Algorithm
    parameters: dict[str, Any]
    problem: dict[str, Any]
    dataset: DatasetFacts
    sample_size: int

    @property
    def group(self) -> tuple[str, int, str]:
        return (self.dataset.sha256, self.sample_size, canonical_json(self.problem))

    @property
    def identity(self) -> tuple[str, str, str, int]:
        return (self.label, canonical_json(self.parameters), self.dataset.sha256, self.sample_size)


@dataclass(frozen=True)
class _Placed:
    draft: _Draft
    route: Route
    estimate: Estimate | None


def check(spec: ExperimentSpec, catalogue: Catalogue) -> int:
    """Number of trials, sample sizes counted as written, before any dataset is known. Raises PlanError."""
    _refuse_contradictions(spec)
    points = sum(len(contender.points) for contender in resolve(spec, catalogue))
    return points * len(spec.datasets) * len(set(spec.sample_sizes))


def make_plan(  # noqa: PLR0917 - all of what a plan depends on
    spec: ExperimentSpec,
    run_id: UUID,
    datasets: Mapping[str, DatasetFacts],
    catalogue: Catalogue,
    queues: Sequence[QueueCapacity],
    pace: Pace = Pace.USUAL,
) -> Plan:
    """All trials of a run with their queues, and the batches that measure them.

    Trials of one comparison group stand together, groups in order of first appearance. Raises PlanError if the
    specification does not fit the catalogue, or a dataset is not in `datasets`.
    """
    _refuse_contradictions(spec)
    contenders = resolve(spec, catalogue)
    missing = [
        ProblemError(pointer=f"/datasets/{index}", message=f"no dataset is called {name!r}")
        for index, name in enumerate(spec.datasets)
        if name not in datasets
    ]
    if missing:
        raise PlanError(ProblemCode.UNKNOWN_DATASET, missing[0].pointer, missing[0].message, missing)
    groups: list[list[Trial]] = []
    position = 0
    for drafts in _groups(spec, contenders, [datasets[name] for name in spec.datasets]):
        groups.append(_trials(spec, run_id, position, _place(spec, drafts, queues, pace)))
        position += len(drafts)
    trials = tuple(trial for group in groups for trial in group)
    return Plan(trials, pack(run_id, groups, spec.protocol))


def _refuse_contradictions(spec: ExperimentSpec) -> None:
    if spec.protocol.isolation == "pod" and spec.protocol.colocate:
        message = "a trial has a pod of its own, or it is measured in one batch with the others: not both"
        raise PlanError(ProblemCode.ISOLATION_CONFLICT, "/protocol/isolation", message)


def _groups(
    spec: ExperimentSpec, contenders: Sequence[Contender], datasets: Sequence[DatasetFacts]
) -> list[list[_Draft]]:
    groups: dict[tuple[str, int, str], dict[tuple[str, str, str, int], _Draft]] = {}
    for dataset in datasets:
        for draft in _drafts(spec, contenders, dataset):
            groups.setdefault(draft.group, {}).setdefault(draft.identity, draft)
    return [list(group.values()) for group in groups.values()]


def _drafts(spec: ExperimentSpec, contenders: Sequence[Contender], dataset: DatasetFacts) -> Iterator[_Draft]:
    sizes = dict.fromkeys(dataset.n if size == "all" else min(size, dataset.n) for size in spec.sample_sizes)
    for size in sizes:
        for contender in contenders:
            names = contender.algorithm.info.problem_parameters
            for point in contender.points:
                problem = {name: point[name] for name in sorted(names) if name in point}
                yield _Draft(contender.label, contender.algorithm, point, problem, dataset, size)


def _place(
    spec: ExperimentSpec, drafts: Sequence[_Draft], queues: Sequence[QueueCapacity], pace: Pace
) -> list[_Placed]:
    placed = [_place_alone(spec, draft, queues, pace) for draft in drafts]
    routed = [one for one in placed if one.route.queue is not None]
    sizes = [one.estimate.total_bytes for one in routed if one.estimate is not None]
    if not spec.protocol.colocate or not sizes:
        return placed
    able = [one.draft.algorithm.info.capabilities for one in routed]
    # The one that asks most of a worker speaks for all.
    demanding = next((one for one in able if one.distributed), able[0])
    together = choose_queue(max(sizes), demanding, True, spec.queue, queues, pace)
    return [one if one.route.queue is None else replace(one, route=together) for one in placed]


def _place_alone(spec: ExperimentSpec, draft: _Draft, queues: Sequence[QueueCapacity], pace: Pace) -> _Placed:
    reason = draft.algorithm.unsupported(draft.parameters, draft.sample_size, draft.dataset.d)
    if reason is not None:
        return _Placed(draft, Route(None, reason, FailureCode.NOT_SUPPORTED), None)
    threads = {queue.name: queue.threads for queue in queues}
    capabilities = draft.algorithm.info.capabilities

    def on(queue: QueueName) -> tuple[Estimate, Route]:
        needed = estimate(
            draft.algorithm, draft.parameters, draft.dataset, draft.sample_size, threads=threads.get(queue, 1)
        )
        route = choose_queue(needed.total_bytes, capabilities, spec.protocol.colocate, spec.queue, queues, pace)
        return needed, route

    expected = _expected_queue(spec, capabilities, pace)
    needed, route = on(expected)
    if route.queue is not None and threads[route.queue] != threads.get(expected, 1):
        # Another queue has other threads, on which bytes and seconds may depend; if that moved the trial again,
        # it would have no place to settle, so the first answer stands.
        again, second = on(route.queue)
        if second.queue == route.queue:
            needed, route = again, second
    return _Placed(draft, route, needed)


def _expected_queue(spec: ExperimentSpec, capabilities: Capabilities, pace: Pace) -> QueueName:
    if pace is Pace.PREVIEW:
        return QueueName.PRIORITY
    if spec.queue is not None:
        return spec.queue
    return QueueName.SPARK if capabilities.distributed and not spec.protocol.colocate else QueueName.DEFAULT


def _trials(spec: ExperimentSpec, run_id: UUID, position: int, group: Sequence[_Placed]) -> list[Trial]:
    reference = _reference(spec, group)
    return [_trial(spec, run_id, position + offset, one, one is reference) for offset, one in enumerate(group)]


def _reference(spec: ExperimentSpec, group: Sequence[_Placed]) -> _Placed | None:
    candidates = [one for one in group if one.draft.label == spec.reference_label]
    # A reference that cannot run would leave its group without any comparison.
    runnable = [one for one in candidates if one.route.queue is not None]
    return next(iter(runnable or candidates), None)


def _trial(spec: ExperimentSpec, run_id: UUID, position: int, placed: _Placed, is_reference: bool) -> Trial:
    draft, route, needed = placed.draft, placed.route, placed.estimate
    algorithm = draft.algorithm.info.name
    data = {"dataset_sha256": draft.dataset.sha256, "sample_size": draft.sample_size}
    what = {"parameters": draft.parameters, **data}
    seed = spec.protocol.seed
    return Trial(
        id=derived_id(run_id, label=draft.label, **what),
        position=position,
        label=draft.label,
        algorithm=algorithm,
        parameters=draft.parameters,
        problem=draft.problem,
        dataset=draft.dataset.name,
        dataset_sha256=draft.dataset.sha256,
        sample_size=draft.sample_size,
        # Seeds do not depend on the run, or no result could be reused; nor on the contender, or equal labels would get
        # different sampled figures.
        sample_seed=derived_seed(seed, purpose="sample", **data),
        seed=derived_seed(seed, purpose="trial", problem=draft.problem, **data),
        is_reference=is_reference,
        queue=route.queue,
        isolation=_isolation(spec, draft.algorithm.info.capabilities),
        routing=route.sentence,
        prediction=needed.fit if needed is not None else None,
        predicted_bytes=needed.total_bytes if needed is not None else None,
        skipped=_skipped(route, needed),
    )


def _isolation(spec: ExperimentSpec, capabilities: Capabilities) -> Isolation:
    # What is distributed has a driver and executors of its own anyway.
    return Isolation.PROCESS if capabilities.distributed else Isolation(spec.protocol.isolation)


def _skipped(route: Route, needed: Estimate | None) -> Failure | None:
    if route.refusal is None:
        return None
    failure = Failure.of(route.refusal, route.sentence)
    if needed is None:
        return failure
    return failure.model_copy(update={"detail": {"predicted_bytes": needed.total_bytes}})
