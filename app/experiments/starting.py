"""How a run begins: as its experiment says, urgent, or as a preview of it; and what that refuses."""

from __future__ import annotations

from dataclasses import dataclass

from app.contracts.experiment import ExperimentSpec
from app.contracts.problems import ProblemCode
from app.contracts.run_request import RunRequest
from app.contracts.states import QueueName, RunTrigger
from app.domain.plan import Pace
from app.domain.preview import preview_of
from app.problems import RefusedError
from app.settings import Settings


@dataclass(frozen=True)
class Start:
    """`spec` is what is measured; `differs` from the experiment's own for a preview."""

    spec: ExperimentSpec
    pace: Pace

    @property
    def differs(self) -> bool:
        return self.pace is Pace.PREVIEW

    @property
    def trigger(self) -> RunTrigger:
        return RunTrigger.PREVIEW if self.pace is Pace.PREVIEW else RunTrigger.MANUAL


def start_of(spec: ExperimentSpec, asked: RunRequest, settings: Settings) -> Start:
    """Raises RefusedError urgent_conflict, preview_not_available."""
    if asked.preview is None:
        return Start(spec, _unless_conflicting(spec)) if asked.urgent else Start(spec, Pace.USUAL)
    if asked.urgent:
        raise RefusedError.at(ProblemCode.URGENT_CONFLICT, "/urgent", "a preview cannot be more urgent than it is")
    if QueueName.PRIORITY not in settings.queues:
        message = "previews run on the queue priority, which is not configured here"
        raise RefusedError.at(ProblemCode.PREVIEW_NOT_AVAILABLE, "/preview", message)
    return Start(preview_of(spec, asked.preview.rows), Pace.PREVIEW)


def _unless_conflicting(spec: ExperimentSpec) -> Pace:
    if spec.queue is not None:
        message = f"the experiment sends every trial to {spec.queue.value}"
        raise RefusedError.at(ProblemCode.URGENT_CONFLICT, "/urgent", message)
    return Pace.URGENT
