"""The experiments of these tests."""

from __future__ import annotations

BLOBS = """
apiVersion: corepoint/v1
kind: Dataset
name: blobs
source: {generate: {kind: blobs, n: 20000, d: 2, centers: 12, spread: 0.4, seed: 7}}
---
"""

THREE_WAYS = (
    BLOBS
    + """
apiVersion: corepoint/v1
kind: Experiment
name: three-ways
datasets: [blobs]
parameters: {eps: 0.1, min_samples: 10}
algorithms:
  - {name: sequential, algorithm: sklearn-dbscan}
  - {name: parallel, algorithm: sklearn-dbscan-parallel}
  - {name: spark, algorithm: spark-dbscan}
protocol: {rounds: 2, warmUp: 0}
"""
)

LARGE = """
apiVersion: corepoint/v1
kind: Dataset
name: dense
source: {generate: {kind: blobs, n: 14000, d: 2, centers: 1, spread: 0.5, seed: 3}}
---
apiVersion: corepoint/v1
kind: Experiment
name: large
datasets: [dense]
parameters: {eps: 5.0, min_samples: 10}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 1, warmUp: 0}
"""

SMALL = """
apiVersion: corepoint/v1
kind: Dataset
name: tiny
source: {generate: {kind: blobs, n: 500, d: 2, centers: 3, spread: 0.3, seed: 5}}
---
apiVersion: corepoint/v1
kind: Experiment
name: small
datasets: [tiny]
parameters: {eps: 0.2, min_samples: 5}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 1, warmUp: 0, reuse: never}
"""

ISOLATED = """
apiVersion: corepoint/v1
kind: Experiment
name: isolated
datasets: [blobs]
parameters: {eps: 0.1, min_samples: 10}
algorithms:
  - {name: sequential, algorithm: sklearn-dbscan}
protocol: {rounds: 1, warmUp: 0, isolation: pod, reuse: never}
"""

LONG_ROUNDS = 14
LONG = f"""
apiVersion: corepoint/v1
kind: Dataset
name: many
source: {{generate: {{kind: blobs, n: 60000, d: 2, centers: 20, spread: 0.3, seed: 9}}}}
---
apiVersion: corepoint/v1
kind: Experiment
name: long
datasets: [many]
parameters: {{eps: 0.05, min_samples: 10}}
algorithms:
  - {{name: first, algorithm: sklearn-dbscan}}
  - {{name: second, algorithm: sklearn-dbscan-parallel}}
protocol: {{rounds: {LONG_ROUNDS}, warmUp: 0, reuse: never}}
"""

# Longer than a kubelet takes to look at its pods' disks, which is up to a minute.
LONGER = LONG.replace("name: long", "name: longer").replace(f"rounds: {LONG_ROUNDS}", "rounds: 100")

ON_SPARK = """
apiVersion: corepoint/v1
kind: Experiment
name: on-spark
datasets: [many]
parameters: {eps: 0.05, min_samples: 10}
algorithms:
  - {name: sequential, algorithm: sklearn-dbscan}
  - {name: spark, algorithm: spark-dbscan}
protocol: {rounds: 6, warmUp: 0, reuse: never}
"""

VAST = """
apiVersion: corepoint/v1
kind: Dataset
name: held
source: {generate: {kind: blobs, n: 6000, d: 2, centers: 1, spread: 0.5, seed: 3}}
---
apiVersion: corepoint/v1
kind: Dataset
name: vast
source: {generate: {kind: blobs, n: 62000, d: 2, centers: 1, spread: 0.5, seed: 3}}
---
apiVersion: corepoint/v1
kind: Experiment
name: vast
datasets: [held, vast]
parameters: {eps: 5.0, min_samples: 10}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 1, warmUp: 0, isolation: pod, reuse: never}
"""

WAITING = """
apiVersion: corepoint/v1
kind: Experiment
name: waiting
datasets: [vast]
parameters: {eps: 5.0, min_samples: 10}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 1, warmUp: 0, isolation: pod, reuse: never}
"""

ALONE = """
apiVersion: corepoint/v1
kind: Experiment
name: alone
datasets: [many]
parameters: {eps: 0.05, min_samples: 10}
algorithms: [{algorithm: sklearn-dbscan}]
protocol: {rounds: 100, warmUp: 0, isolation: pod, reuse: never}
"""

ENDLESS = """
apiVersion: corepoint/v1
kind: Experiment
name: endless
datasets: [many]
parameters: {eps: 0.05, min_samples: 10}
algorithms: [{algorithm: spark-dbscan}]
protocol: {rounds: 100, warmUp: 0, reuse: never}
"""
