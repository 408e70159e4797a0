"""The smallest things that a test of the API needs, and the moves that a dispatcher and a worker make."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import httpx
from sqlalchemy import func, select

from app.clock import now
from app.contracts.dataset import ColumnProfile, DistanceSketch, PreparedDataset, Profile
from app.contracts.failures import Failure, FailureCode
from app.contracts.measurement import (
    Artifact,
    BatchReport,
    Environment,
    Fingerprint,
    MemoryFigure,
    Outcome,
    Phases,
    Quality,
    Sample,
    TrialManifest,
)
from app.db.models import Base, Batch, Run
from app.main import create_app, create_internal_app
from app.resources import Resources
from app.runs import transitions
from app.runs.planning import plan_run
from app.runs.transitions import roll_up

POINTS_SHA256 = "ab" * 32
GIB = 1 << 30
ENVIRONMENT = Environment(
    cpu_model="test cpu",
    cpu_quota=2.0,
    memory_limit_bytes=4 * GIB,
    image="corepoint 0.1.0",
    hostname="host",
    kernel="6.1",
    python="3.11",
)


def dataset_spec(name: str = "blobs", **changes: Any) -> dict[str, Any]:
    return {"name": name, "source": {"generate": {"kind": "blobs", "n": 1000}}, **changes}


def experiment_spec(name: str = "first", **changes: Any) -> dict[str, Any]:
    return {
        "apiVersion": "corepoint/v1",
        "kind": "Experiment",
        "name": name,
        "datasets": ["blobs"],
        "parameters": {"eps": 0.3, "min_samples": 5},
        "algorithms": [{"algorithm": "sklearn-dbscan"}, {"algorithm": "sklearn-dbscan-parallel"}],
        "protocol": {"rounds": 2},
        **changes,
    }


def prepared(n: int = 1000, neighbours: float = 10.0) -> PreparedDataset:
    sketch = DistanceSketch(n=n, radii=[0.1, 1.0], mean_neighbours=[1.0, neighbours])
    column = ColumnProfile(name="x", minimum=0, maximum=1, mean=0.5, standard_deviation=0.1, constant=False)
    return PreparedDataset(
        sha256=POINTS_SHA256,
        n=n,
        d=2,
        points_key=f"datasets/{POINTS_SHA256}/points.npy",
        points_sha256="cd" * 32,
        profile=Profile(
            n=n, d=2, rows_read=n, rows_missing=0, rows_infinite=0, rows_outside_box=0, rows_dropped=0, duplicates=0,
            columns=[column, column], sketch=sketch,
        ),
    )  # fmt: skip


def sample(trial_id: UUID, number: int, fit: float = 0.5) -> Sample:
    return Sample(
        trial_id=trial_id, round=number, order=0, attempt=1, started_at=datetime(2026, 1, 1, tzinfo=UTC),
        phases=Phases(fit=fit), fit_cpu_seconds=fit,
    )  # fmt: skip


def manifest(assignment: dict[str, Any], trial: dict[str, Any], fit: float = 0.5) -> TrialManifest:
    trial_id = UUID(trial["trial_id"])
    same = "11" * 32
    return TrialManifest(
        trial_id=trial_id,
        run_id=assignment["run_id"],
        batch_id=assignment["batch_id"],
        attempt=assignment["attempt"],
        algorithm=trial["algorithm"],
        algorithm_version="1",
        parameters=trial["parameters"],
        dataset_sha256=POINTS_SHA256,
        sample_size=trial["sample_size"],
        seed=trial["seed"],
        environment=ENVIRONMENT,
        samples=[sample(trial_id, number, fit) for number in range(3)],
        memory=MemoryFigure(peak_bytes=200, baseline_bytes=100, method="vmhwm"),
        fingerprint=Fingerprint(
            core_sha256=same, partition_sha256=same, noise_sha256=same, labels_sha256=same, inadmissible_borders=0
        ),
        quality=Quality(clusters=3, core_points=900, noise_share=0.05),
        labels=Artifact(key="labels.parquet", sha256=same, size_bytes=10),
        finished_at=now(),
    )


def success(assignment: dict[str, Any], trial: dict[str, Any], fit: float = 0.5) -> Outcome:
    return Outcome(trial_id=trial["trial_id"], manifest=manifest(assignment, trial, fit))


def failure(trial: dict[str, Any], code: FailureCode) -> Outcome:
    trial_id = UUID(trial["trial_id"])
    return Outcome(trial_id=trial_id, failure=Failure.of(code, "it did not work"), samples=[sample(trial_id, 0)])


@dataclass
class World:
    """The two applications, and what stands around them."""

    resources: Resources
    api: httpx.AsyncClient
    internal: httpx.AsyncClient

    @classmethod
    @asynccontextmanager
    async def over(cls, resources: Resources) -> AsyncIterator[World]:
        public = httpx.ASGITransport(app=create_app(resources), raise_app_exceptions=False)
        inside = httpx.ASGITransport(app=create_internal_app(resources), raise_app_exceptions=False)
        async with (
            httpx.AsyncClient(transport=public, base_url="http://api") as api,
            httpx.AsyncClient(transport=inside, base_url="http://internal") as internal,
        ):
            yield cls(resources, api, internal)

    async def dataset(self, name: str = "blobs", ready: PreparedDataset | None = None, **changes: Any) -> str:
        """A dataset that a worker has prepared; its id."""
        created = await self.api.post("/v1/datasets", json=dataset_spec(name, **changes))
        assert created.status_code == 202, created.text
        await self.report_dataset(created.json()["id"], {"prepared": (ready or prepared()).model_dump(mode="json")})
        return str(created.json()["id"])

    async def report_dataset(self, dataset_id: str, told: dict[str, Any]) -> None:
        claim = {"dataset_id": dataset_id, "attempt": 1, "flow_run_id": "f", "worker": "w"}
        claimed = await self.internal.post("/internal/v1/datasets:claim", json=claim)
        assert claimed.status_code == 200, claimed.text
        reported = await self.internal.post(
            f"/internal/v1/datasets/{dataset_id}:report",
            json={"attempt": 1, **told},
            headers={"X-Corepoint-Batch-Token": claimed.json()["token"]},
        )
        assert reported.status_code == 200, reported.text

    async def experiment(self, name: str = "first", **changes: Any) -> dict[str, Any]:
        created = await self.api.post("/v1/experiments", json=experiment_spec(name, **changes))
        assert created.status_code == 202, created.text
        found: dict[str, Any] = created.json()
        return found

    async def plan(self, run_id: str) -> list[dict[str, Any]]:
        """What the dispatcher does with a new run; its batches."""
        async with self.resources.database.write() as session:
            run = await session.get(Run, UUID(run_id))
            assert run is not None
            await plan_run(session, run, self.resources.catalogue, self.resources.settings)
            await roll_up(session, run.id, now())
        listed = await self.api.get(f"/v1/runs/{run_id}/batches")
        found: list[dict[str, Any]] = listed.json()["items"]
        return found

    async def planned(self, name: str = "first", **changes: Any) -> tuple[str, list[dict[str, Any]]]:
        """A run with its batches, over a dataset that is ready."""
        experiment = await self.experiment(name, **changes)
        return experiment["latest_run_id"], await self.plan(experiment["latest_run_id"])

    async def claim(self, batch: dict[str, Any], flow_run_id: str = "flow-1", **changes: Any) -> httpx.Response:
        asked = {
            "batch_id": batch["id"],
            "attempt": batch["attempt"],
            "flow_run_id": flow_run_id,
            "worker": "worker-1",
            "environment": ENVIRONMENT.model_dump(mode="json"),
            **changes,
        }
        return await self.internal.post("/internal/v1/batches:claim", json=asked)

    async def loses_all_attempts(self, batch: dict[str, Any], reason: str, *, code: FailureCode) -> None:
        """Each attempt of the batch is claimed and lost."""
        for attempt in range(1, self.resources.settings.leases.attempts + 1):
            await self.claimed({**batch, "attempt": attempt})
            async with self.resources.database.write() as session:
                row = await session.get(Batch, UUID(batch["id"]))
                assert row is not None
                await transitions.lose(session, row, reason, now(), code=code)

    async def claimed(self, batch: dict[str, Any], flow_run_id: str | None = None) -> dict[str, Any]:
        answer = await self.claim(batch, flow_run_id or str(uuid4()))
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found

    async def say(self, verb: str, assignment: dict[str, Any], **body: Any) -> httpx.Response:
        """heartbeat, report or release of a claimed batch."""
        return await self.internal.post(
            f"/internal/v1/batches/{assignment['batch_id']}:{verb}",
            json={"attempt": assignment["attempt"], **body},
            headers={"X-Corepoint-Batch-Token": assignment["token"]},
        )

    async def report(self, assignment: dict[str, Any], outcomes: list[Outcome]) -> httpx.Response:
        told = BatchReport(
            batch_id=assignment["batch_id"],
            attempt=assignment["attempt"],
            outcomes=outcomes,
            environment=ENVIRONMENT,
        )
        return await self.say("report", assignment, **told.model_dump(mode="json", exclude={"attempt"}))

    async def finished(self, name: str = "first", **changes: Any) -> str:
        """A run whose every trial succeeded."""
        run_id, batches = await self.planned(name, **changes)
        for batch in batches:
            assignment = await self.claimed(batch)
            answer = await self.report(assignment, [success(assignment, trial) for trial in assignment["trials"]])
            assert answer.status_code == 200, answer.text
        return run_id

    async def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = (await self.api.get(f"/v1/runs/{run_id}")).json()
        return found

    async def trials(self, run_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.api.get(f"/v1/runs/{run_id}/trials")).json()["items"]
        return found

    async def rows(self) -> dict[str, int]:
        """Rows of every table that has some."""
        counts: dict[str, int] = {}
        async with self.resources.database.read() as session:
            for table in Base.metadata.sorted_tables:
                number = await session.scalar(select(func.count()).select_from(table))
                if number:
                    counts[table.name] = number
        return counts
