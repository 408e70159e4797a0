"""MLflow: one run per trial, mirrored from its manifest. MLflow may be down or empty; nothing is lost by that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from app.contracts.measurement import MEMORY_ROUND, TrialManifest

if TYPE_CHECKING:
    from mlflow.entities import Metric
    from mlflow.tracking import MlflowClient

TRIAL_TAG = "corepoint.trial_id"


class MlflowGateway:
    """Blocking; call it from a thread."""

    def __init__(self, tracking_uri: str) -> None:
        self._tracking_uri = tracking_uri
        self._client: MlflowClient | None = None

    def mirror(self, experiment: str, label: str, manifest: TrialManifest, tags: dict[str, str]) -> str:
        """Write the trial's figures once; answers the MLflow run's id. A run of the same trial is adopted."""
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
        runs = client.search_runs([experiment_id], f"tags.`{TRIAL_TAG}` = '{manifest.trial_id}'", max_results=1)
        return str(runs[0].info.run_id) if runs else None


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
