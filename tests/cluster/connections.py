"""Every TCP connection between pods during the tests, as the node's connection tracking saw it."""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from tests.chart.reachability import Pod, matches
from tests.cluster.kube import Kube

PAUSE_SECONDS = 1.0
_FLOW = re.compile(r"src=(\S+) dst=(\S+) sport=\d+ dport=(\d+).*?src=(\S+) dst=\S+ sport=(\d+)")


@dataclass(frozen=True)
class Connection:
    """From the pod that asked to the pod that was reached, behind any service address."""

    source: str
    destination: str
    port: int


@dataclass
class Known:
    """Who had which address when: addresses are given to other pods later."""

    pod: Pod
    first: float
    last: float


@dataclass(frozen=True)
class Service:
    """What a service address stands for."""

    namespace: str
    selector: dict[str, str]
    targets: dict[int, int | str]  # by port of the service: the containers' port, or its name


@dataclass
class Recorder:
    """Reads `conntrack -E` and the lists of pods and services until stopped."""

    kube: Kube
    seen: dict[Connection, float] = field(default_factory=dict)
    pods: dict[str, list[Known]] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)

    def start(self) -> None:
        assert shutil.which("conntrack"), "the package conntrack is needed"
        self._process = subprocess.Popen(
            ["conntrack", "-E", "-e", "NEW", "-p", "tcp"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._over = threading.Event()
        self._threads = [threading.Thread(target=target, daemon=True) for target in (self._flows, self._addresses)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._over.set()
        self._process.terminate()
        self._process.wait(10)
        for thread in self._threads:
            thread.join(30)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def owner(self, address: str, moment: float) -> Known | None:
        """The pod of this address at that time, or the nearest in time: a pod may be gone before it was listed."""
        owners = self.pods.get(address, [])
        return min(owners, key=lambda known: max(known.first - moment, moment - known.last, 0.0), default=None)

    def reached(self, connection: Connection, moment: float) -> tuple[Known | None, int]:
        """The pod that was reached, or was meant, and its port.

        Until the node has learned of a new service, a connection leaves for the service's own address and gets no
        answer. It is judged as what it would have become.
        """
        service = self.services.get(connection.destination)
        if service is None:
            return self.owner(connection.destination, moment), connection.port
        behind = [
            known
            for owners in self.pods.values()
            for known in owners
            if known.pod.namespace == service.namespace and matches({"matchLabels": service.selector}, known.pod.labels)
        ]
        target = service.targets.get(connection.port, connection.port)
        if not behind:
            return None, connection.port
        return behind[0], behind[0].pod.ports[target] if isinstance(target, str) else target

    def _flows(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            match = _FLOW.search(line)
            if match:
                source, _, _, answered_by, port = match.groups()
                self.seen.setdefault(Connection(source, answered_by, int(port)), time.time())

    def _addresses(self) -> None:
        while not self._over.wait(PAUSE_SECONDS):
            try:
                pods, services = self.kube.raw("/api/v1/pods"), self.kube.raw("/api/v1/services")
            except (AssertionError, subprocess.TimeoutExpired):
                continue
            for pod in pods["items"]:
                self._note(pod)
            for service in services["items"]:
                self._note_service(service)

    def _note(self, pod: dict[str, Any]) -> None:
        address = pod["status"].get("podIP")
        if address is None or pod["spec"].get("hostNetwork"):
            return
        # The label that the API server gives to every namespace: what policies here select them by.
        namespace = {"kubernetes.io/metadata.name": pod["metadata"]["namespace"]}
        known, moment = Pod.from_object(pod, namespace_labels=namespace), time.time()
        owners = self.pods.setdefault(address, [])
        if owners and owners[-1].pod == known:
            owners[-1].last = moment
        else:
            owners.append(Known(known, moment, moment))

    def _note_service(self, service: dict[str, Any]) -> None:
        spec = service["spec"]
        # Without a selector (the API server's own) there are no pods behind it.
        if spec.get("clusterIP", "None") != "None" and spec.get("selector"):
            targets = {port["port"]: port.get("targetPort", port["port"]) for port in spec["ports"]}
            self.services[spec["clusterIP"]] = Service(service["metadata"]["namespace"], spec["selector"], targets)
