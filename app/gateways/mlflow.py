"""MLflow: one run per trial, mirrored from its manifest. MLflow may be down or empty; nothing is lost by that."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from app.contracts.measurement import MEMORY_ROUND, TrialManifest

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

TRIAL_TAG = "corepoint.trial_id"
_AT_ONCE = 4  # calls: its server has one process, and the threads that read from the object store are not its own
_SERVER_ERROR = 500
T = TypeVar("T")


class MlflowAwayError(ConnectionError):
    """MLflow does not answer, or did not a moment ago: nothing was asked."""


class MlflowGateway:
    """After a call that MLflow did not answer, none is made for `away_seconds`; then one at a time finds out whether
    it is back. Thousands of trials may wait for it. Close it with `close`."""

    def __init__(self, tracking_uri: str, away_seconds: float) -> None:
        self._tracking_uri = tracking_uri
        self._away_seconds = away_seconds
        self._away_until: float | None = None
        self._asking = False
        self._threads = ThreadPoolExecutor(_AT_ONCE, "mlflow")
        self._client: MlflowClient | None = None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def mirror(self, experiment: str, label: str, manifest: TrialManifest, tags: dict[str, str]) -> str:
        """Write the trial's figures; answers the MLflow run's id. A run of the same trial is adopted.

        Two dispatchers at once may write two: who does not get its id into the trial's row deletes its own.
        Raises MlflowAwayError.
        """
        return await self._ask(partial(self._mirror, experiment, label, manifest, tags))

    async def delete(self, run_id: str) -> None:
        """Raises MlflowAwayError."""
        await self._ask(lambda: self._connected().delete_run(run_id))

    async def _ask(self, call: Callable[[], T]) -> T:
        from mlflow.exceptions import MlflowException

        was_away = self._away_until is not None
        if self._away_until is not None and (self._asking or time.monotonic() < self._away_until):
            raise MlflowAwayError("MLflow did not answer a moment ago")
        self._asking = self._asking or was_away
        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except MlflowException as error:
            if error.get_http_status_code() < _SERVER_ERROR:  # type: ignore[no-untyped-call]
                raise
            self._away_until = time.monotonic() + self._away_seconds
            raise MlflowAwayError(str(error)) from error
        except asyncio.CancelledError:  # our caller has waited long enough
            self._away_until = time.monotonic() + self._away_seconds
            raise
        finally:
            if was_away:
                self._asking = False
        self._away_until = None
        return answer

    def _mirror(self, experiment: str, label: str, manifest: TrialManifest, tags: dict[str, str]) -> str:
        from mlflow.entities import Param, RunTag

        client = self._connected()
        experiment_id = self._experiment(client, experiment)
        run_id = self._existing(client, experiment_id, manifest)
        if run_id is None:
            started = int(min(sample.started_at for sample in manifest.samples).timestamp() * 1000)
            run_id = client.create_run(
                experiment_id,
                start_time=started,
                run_name=label,
                tags={TRIAL_TAG: str(manifest.trial_id), "corepoint.run_id": str(manifest.run_id), **tags},
            ).info.run_id
        parameters = {
            **manifest.parameters,
            "algorithm": manifest.algorithm,
            "sample_size": manifest.sample_size,
            "dataset_sha256": manifest.dataset_sha256,
        }
        client.log_batch(
            run_id,
            metrics=_metrics(manifest),
            params=[Param(key, str(value)) for key, value in sorted(parameters.items())],
            tags=[RunTag("corepoint.cpu_model", manifest.environment.cpu_model)],
        )
        client.set_terminated(run_id, "FINISHED", end_time=int(manifest.finished_at.timestamp() * 1000))
        return str(run_id)

    def _connected(self) -> MlflowClient:
        from mlflow.tracking import MlflowClient

        if self._client is None:
            self._client = MlflowClient(tracking_uri=self._tracking_uri)
        return self._client

    @staticmethod
    def _experiment(client: MlflowClient, name: str) -> str:
        from mlflow.exceptions import MlflowException

        found = client.get_experiment_by_name(name)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(name))
        except MlflowException:
            # Two mirrors of one experiment at once: the other one made it.
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
            return str(found.experiment_id)

    @staticmethod
    def _existing(client: MlflowClient, experiment_id: str, manifest: TrialManifest) -> str | None:
        """The same one for everybody who asks, should there be two."""
        runs = client.search_runs([experiment_id], f"tags.`{TRIAL_TAG}` = '{manifest.trial_id}'", max_results=10)
        return min((str(run.info.run_id) for run in runs), default=None)


def _metrics(manifest: TrialManifest) -> list[Metric]:
    from mlflow.entities import Metric

    when = int(manifest.finished_at.timestamp() * 1000)
    single: dict[str, Any] = {
        "peak_memory_bytes": manifest.memory.peak_bytes,
        "extra_memory_bytes": manifest.memory.extra_bytes,
        "clusters": manifest.quality.clusters,
        "noise_share": manifest.quality.noise_share,
        "silhouette": manifest.quality.silhouette,
    }
    rounds = [
        Metric("fit_seconds", sample.phases.fit, int(sample.started_at.timestamp() * 1000), sample.round)
        for sample in manifest.samples
        if sample.round != MEMORY_ROUND and sample.phases.fit is not None
    ]
    return [Metric(name, float(value), when, 0) for name, value in single.items() if value is not None] + rounds
