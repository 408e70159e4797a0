"""Who may talk to whom, decided from NetworkPolicy objects the way a CNI that enforces them decides.

A connection is allowed if the policies of its source let it out *and* those of its destination let it in. A pod that no
policy of a direction selects is open in that direction. Node addresses and host processes are outside of all this.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Labels = Mapping[str, str]
Object = Mapping[str, Any]
NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Pod:
    """One end of a connection inside the cluster."""

    labels: Labels
    namespace: str = "default"
    namespace_labels: Labels = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)  # container ports by name, for policies that use names
    address: str | None = None  # where it is known, ipBlocks count too, as they do with most CNIs

    @classmethod
    def from_object(cls, pod: Object, namespace: str = "default", namespace_labels: Labels | None = None) -> Pod:
        """A Pod of the API, or a pod template with the namespace it will live in."""
        containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
        return cls(
            labels=pod["metadata"].get("labels", {}),
            namespace=pod["metadata"].get("namespace", namespace),
            namespace_labels=namespace_labels or {},
            ports={
                port["name"]: port["containerPort"]
                for container in containers
                for port in container.get("ports", [])
                if "name" in port
            },
            address=pod.get("status", {}).get("podIP"),
        )


@dataclass(frozen=True)
class External:
    """One end of a connection outside the pod network: the API server, a node, a host of the internet."""

    address: str


End = Pod | External


class Policies:
    """The NetworkPolicies of a cluster, or of a rendered release."""

    def __init__(self, policies: Iterable[tuple[str, Object]]) -> None:
        self._policies = list(policies)

    @classmethod
    def from_objects(cls, objects: Iterable[Object], namespace: str = "default") -> Policies:
        """Takes the NetworkPolicies of `objects`; those that name no namespace are in `namespace`."""
        return cls(
            (found["metadata"].get("namespace", namespace), found["spec"])
            for found in objects
            if found["kind"] == "NetworkPolicy"
        )

    def allows(
        self,
        source: End | Labels,
        destination: End | Labels,
        port: int,
        protocol: str = "TCP",
    ) -> bool:
        """Whether a connection may be opened. Bare labels are a pod of the namespace `default`."""
        one, other = _end(source), _end(destination)
        target = _Target(port, protocol, other.ports if isinstance(other, Pod) else {})
        return self._direction("Egress", one, other, target) and self._direction("Ingress", other, one, target)

    def isolated(self, pod: Pod | Labels, direction: str) -> bool:
        """Whether any policy selects the pod for `Ingress` or `Egress`, so that what is not allowed is refused."""
        end = _end(pod)
        assert isinstance(end, Pod)
        return any(True for _ in self._selecting(direction, end))

    def _direction(self, direction: str, subject: End, peer: End, target: _Target) -> bool:
        if isinstance(subject, External):
            return True
        rules = [spec.get(direction.lower()) or [] for spec in self._selecting(direction, subject)]
        side = "to" if direction == "Egress" else "from"
        return not rules or any(_admits(rule, side, subject, peer, target) for some in rules for rule in some)

    def _selecting(self, direction: str, pod: Pod) -> Iterable[Object]:
        for namespace, spec in self._policies:
            # What the API server fills in where policyTypes is missing.
            types = spec.get("policyTypes") or ["Ingress", *(["Egress"] if "egress" in spec else [])]
            if direction in types and namespace == pod.namespace and matches(spec.get("podSelector"), pod.labels):
                yield spec


@dataclass(frozen=True)
class _Target:
    port: int
    protocol: str
    names: Mapping[str, int]


def matches(selector: Object | None, labels: Labels) -> bool:
    """Whether a LabelSelector selects the labels; an empty one selects all."""
    selector = selector or {}
    wanted = selector.get("matchLabels") or {}
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _expression(expression, labels) for expression in selector.get("matchExpressions") or []
    )


def _expression(expression: Object, labels: Labels) -> bool:
    key, operator, values = expression["key"], expression["operator"], expression.get("values") or []
    match operator:
        case "In":
            return labels.get(key) in values
        case "NotIn":
            return labels.get(key) not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    raise ValueError(f"unknown operator {operator!r} of a label selector")


def _end(end: End | Labels) -> End:
    return end if isinstance(end, Pod | External) else Pod(labels=end)


def _admits(rule: Object, side: str, subject: Pod, peer: End, target: _Target) -> bool:
    peers, ports = rule.get(side) or [], rule.get("ports") or []
    return (not peers or any(_peer(entry, subject, peer) for entry in peers)) and (
        not ports or any(_port(entry, target) for entry in ports)
    )


def _peer(entry: Object, subject: Pod, peer: End) -> bool:
    if "ipBlock" in entry:
        return peer.address is not None and _in_block(entry["ipBlock"], peer.address)
    if isinstance(peer, External):
        return False
    if "namespaceSelector" in entry:
        labels = {NAMESPACE_NAME: peer.namespace, **peer.namespace_labels}
        if not matches(entry["namespaceSelector"], labels):
            return False
    elif peer.namespace != subject.namespace:
        return False
    return matches(entry.get("podSelector"), peer.labels)


def _in_block(block: Object, address: str) -> bool:
    found = ipaddress.ip_address(address)
    return found in ipaddress.ip_network(block["cidr"]) and not any(
        found in ipaddress.ip_network(excepted) for excepted in block.get("except") or []
    )


def _port(entry: Object, target: _Target) -> bool:
    if entry.get("protocol", "TCP") != target.protocol:
        return False
    port: int | str | None = entry.get("port")
    if port is None:
        return True
    if isinstance(port, str):
        return target.names.get(port) == target.port
    last: int = entry.get("endPort", port)
    return port <= target.port <= last
