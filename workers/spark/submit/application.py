"""The SparkApplication of one attempt at a batch, as the Kubeflow operator takes it (sparkoperator.k8s.io/v1beta2).

What Spark's own settings cannot say stands in pod templates: the operator's other way, its webhook, may be off.
"""

from __future__ import annotations

from typing import Any

from app.contracts.assignment import BatchAssignment
from app.contracts.objects import assignment_key
from app.contracts.store import StoreConfig
from workers.settings import SparkSettings
from workers.spark.session import table_settings
from workers.spark.submit.sizing import MIB, PodSize, Sizes

GROUP, VERSION, PLURAL = "sparkoperator.k8s.io", "v1beta2", "sparkapplications"
SPARK_VERSION = "4.0.4"
DRIVER_CONTAINER, EXECUTOR_CONTAINER = "spark-kubernetes-driver", "spark-kubernetes-executor"
DRIVER_PORT, BLOCK_PORT, UI_PORT = 7078, 7079, 4040
"""Fixed, so that network policies can name them. The first two are open to executors, BLOCK_PORT also between them;
the UI is asked by the driver itself alone."""
USER = 10001
SCRATCH = "/scratch"
_TMP_BYTES = 2**30


def application_name(assignment: BatchAssignment) -> str:
    return f"batch-{assignment.batch_id}-a{assignment.attempt}"


def labels(assignment: BatchAssignment, settings: SparkSettings) -> dict[str, str]:
    """Of the application; the operator hands them on to its pods."""
    return {
        **settings.labels,
        "app.kubernetes.io/name": "corepoint",
        "app.kubernetes.io/instance": settings.instance,
        "app.kubernetes.io/part-of": "corepoint",
        "app.kubernetes.io/managed-by": "corepoint",
        "corepoint.io/queue": assignment.queue.value,
        "corepoint.io/run": str(assignment.run_id),
        "corepoint.io/batch": str(assignment.batch_id),
        "corepoint.io/attempt": str(assignment.attempt),
    }


def spark_application(
    assignment: BatchAssignment, size: Sizes, settings: SparkSettings, store: StoreConfig
) -> dict[str, Any]:
    """The object to create. It names the store's Secret, never what is in it, and nothing of the control plane."""
    name = application_name(assignment)
    key = assignment_key(assignment.run_id, assignment.batch_id, assignment.attempt)
    return {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "SparkApplication",
        "metadata": {"name": name, "namespace": settings.namespace, "labels": labels(assignment, settings)},
        "spec": {
            "type": "Python",
            "pythonVersion": "3",
            "mode": "cluster",
            "sparkVersion": SPARK_VERSION,
            "image": settings.image,
            "imagePullPolicy": settings.image_pull_policy,
            "imagePullSecrets": list(settings.image_pull_secrets),
            "mainApplicationFile": f"local://{settings.main_file}",
            "arguments": [key],
            "restartPolicy": {"type": "Never"},
            "timeToLiveSeconds": settings.ttl_seconds,
            "sparkConf": _spark_conf(size, store),
            "driver": {
                **_pod(size.driver, settings),
                "serviceAccount": settings.service_account,
                "labels": {"app.kubernetes.io/component": "spark-driver"},
                "template": _template(
                    DRIVER_CONTAINER, _driver_env(settings, store), settings, grace=settings.grace_seconds, token=True
                ),
            },
            "executor": {
                **_pod(size.executor, settings),
                "instances": size.executors,
                "serviceAccount": settings.executor_service_account,
                "labels": {"app.kubernetes.io/component": "spark-executor"},
                "template": _template(EXECUTOR_CONTAINER, _executor_env(settings), settings, grace=5, token=False),
            },
            **_dynamic_allocation(size, settings),
        },
    }


def _pod(size: PodSize, settings: SparkSettings) -> dict[str, Any]:
    own = {"coreRequest": str(size.cores), "coreLimit": str(size.cores)}
    return {
        "cores": size.cores,
        **(own if settings.core_limits else {"coreRequest": f"{100 * size.cores}m"}),
        "memory": f"{size.heap_mib}m",
        "memoryOverhead": f"{size.overhead_mib}m",
    }


def _dynamic_allocation(size: Sizes, settings: SparkSettings) -> dict[str, Any]:
    if not settings.dynamic_allocation:
        return {}
    bounds = {
        "minExecutors": size.executors,
        "initialExecutors": size.executors,
        "maxExecutors": settings.executors_max,
    }
    return {"dynamicAllocation": {"enabled": True, **bounds}}


def _spark_conf(size: Sizes, store: StoreConfig) -> dict[str, str]:
    threads = size.executors * size.executor.cores
    return {
        "spark.driver.port": str(DRIVER_PORT),
        "spark.driver.blockManager.port": str(BLOCK_PORT),
        "spark.blockManager.port": str(BLOCK_PORT),
        "spark.ui.port": str(UI_PORT),
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.log.level": "WARN",
        "spark.default.parallelism": str(threads),
        **table_settings(threads),
        # It would go with the first session, and later executors would not find the driver. It goes with its pod.
        "spark.kubernetes.driver.service.deleteOnTermination": "false",
        # A retried task or stage would be in the time of the fit without anybody knowing.
        "spark.task.maxFailures": "1",
        "spark.stage.maxConsecutiveAttempts": "1",
        "spark.executor.maxNumFailures": str(max(3, 2 * size.executors)),
        "spark.scheduler.minRegisteredResourcesRatio": "0",  # the driver waits itself, so that it can be stopped
        # A crash of native code then shows where it was.
        "spark.sql.execution.pyspark.udf.faulthandler.enabled": "true",
        # Peak memory of executors with their Python workers: sampled there, told with each heartbeat.
        "spark.executor.processTreeMetrics.enabled": "true",
        "spark.executor.metrics.pollingInterval": "200",
        "spark.executor.heartbeatInterval": "1s",
        **_s3a(store),
    }


def _s3a(store: StoreConfig) -> dict[str, str]:
    """Without an endpoint it is AWS, and the SDK's own defaults hold. Tasks run once, so their files may be moved by
    the tasks themselves: half the copies within the store."""
    settings = {
        "fs.s3a.buffer.dir": f"{SCRATCH}/s3a",
        "mapreduce.fileoutputcommitter.algorithm.version": "2",
    }
    if store.endpoint is not None:
        settings |= {
            "fs.s3a.endpoint": store.endpoint,
            "fs.s3a.endpoint.region": store.region,
            "fs.s3a.path.style.access": "true",
            "fs.s3a.connection.ssl.enabled": str(store.endpoint.startswith("https:")).lower(),
        }
    return {f"spark.hadoop.{key}": value for key, value in settings.items()}


def _executor_env(settings: SparkSettings) -> list[dict[str, Any]]:
    # One task is one thread, also in the numeric libraries of its Python worker.
    plain = {"HOME": "/tmp", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}  # noqa: S108 - an emptyDir
    return _plain(plain) + _credentials(settings)


def _driver_env(settings: SparkSettings, store: StoreConfig) -> list[dict[str, Any]]:
    plain = {
        "HOME": "/tmp",  # noqa: S108 - an emptyDir
        "COREPOINT_IMAGE": settings.image,
        "COREPOINT_SCRATCH": f"{SCRATCH}/run",
        "COREPOINT_CACHE": f"{SCRATCH}/cache",
        "COREPOINT_OBJECTS__KIND": store.kind,
        "COREPOINT_OBJECTS__BUCKET": store.bucket,
    }
    if store.endpoint is not None:
        plain["COREPOINT_OBJECTS__ENDPOINT"] = store.endpoint
    return _plain(plain) + _credentials(settings)


def _plain(values: dict[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "value": value} for name, value in values.items()]


def _credentials(settings: SparkSettings) -> list[dict[str, Any]]:
    """Under AWS's own names, which boto3 and s3a both read."""
    if settings.objects_secret is None:
        return []
    keys = {"AWS_ACCESS_KEY_ID": settings.access_key_name, "AWS_SECRET_ACCESS_KEY": settings.secret_key_name}
    return [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": settings.objects_secret, "key": key}}}
        for name, key in keys.items()
    ]


def _template(
    container: str, env: list[dict[str, Any]], settings: SparkSettings, *, grace: int, token: bool
) -> dict[str, Any]:
    return {
        "spec": {
            "automountServiceAccountToken": token,
            "terminationGracePeriodSeconds": grace,
            "nodeSelector": dict(settings.node_selector),
            "tolerations": list(settings.tolerations),
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": container,
                    "workingDir": SCRATCH,
                    "env": env,
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "spark-local-dir-1", "mountPath": SCRATCH},
                        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir
                    ],
                }
            ],
            # Spark takes a volume of this name as its local directory, instead of one without a limit.
            "volumes": [
                {"name": "spark-local-dir-1", "emptyDir": {"sizeLimit": f"{settings.local_bytes // MIB}Mi"}},
                {"name": "tmp", "emptyDir": {"sizeLimit": f"{_TMP_BYTES // MIB}Mi"}},
            ],
        }
    }
