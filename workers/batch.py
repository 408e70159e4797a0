"""The work of a batch, wherever it is done: bring the points, measure what is missing, publish."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from app.contracts.assignment import BatchAssignment, TrialAssignment
from app.contracts.failures import Failure
from app.contracts.measurement import BatchReport, Environment
from app.contracts.objects import ObjectStore
from workers.datasets.errors import ArtifactCorrupt
from workers.datasets.fetch import fetch
from workers.datasets.prepared import PreparedPoints
from workers.measure.block import TrialResult, measure_block
from workers.measure.control import Control
from workers.measure.nursery import Nursery
from workers.measure.sampling import SampleSource
from workers.publish.manifest import publish
from workers.publish.rounds import StoredRounds

Points = Mapping[UUID, PreparedPoints | Failure]


def fetch_points(store: ObjectStore, assignment: BatchAssignment, cache: Path) -> Points:
    """The points of each trial as local files, or why there are none. Each dataset is brought once per machine."""
    return {trial.trial_id: _points(store, trial, cache) for trial in assignment.trials}


def measure_and_publish(  # noqa: PLR0917 - what a batch needs, each of another kind
    store: ObjectStore,
    assignment: BatchAssignment,
    data: Points,
    environment: Environment,
    scratch: Path,
    control: Control,
    *,
    source: SampleSource | None = None,
    nursery: Nursery | None = None,
) -> BatchReport:
    """Measure the rounds that are missing, then publish manifests and the attempt's outcome. See `measure_block`."""
    points = {trial_id: found for trial_id, found in data.items() if not isinstance(found, Failure)}
    measurable = assignment.model_copy(
        update={"trials": [trial for trial in assignment.trials if trial.trial_id in points]}
    )
    rounds = StoredRounds(store, assignment)
    results = measure_block(measurable, points, rounds, environment, scratch, control, source=source, nursery=nursery)
    unread = {trial_id: TrialResult(failure=found) for trial_id, found in data.items() if isinstance(found, Failure)}
    return publish(store, assignment, {**results, **unread}, environment)


def _points(store: ObjectStore, trial: TrialAssignment, cache: Path) -> PreparedPoints | Failure:
    try:
        return fetch(store, trial.dataset, trial.sample_size, trial.sample_seed, cache)
    except ArtifactCorrupt as error:
        return error.failure
