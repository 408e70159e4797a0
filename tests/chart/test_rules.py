"""Every rule holds in every configuration, and every rule is broken by the fault it is there for."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.chart.mutations import BREAKS
from tests.chart.rendering import CONFIGURATIONS, Object, objects
from tests.chart.rules import pods, relations, scaling, secrets

Rule = Callable[[list[Object]], Iterator[str]]

RULES: tuple[Rule, ...] = (
    pods.restricted_pods,
    pods.restricted_containers,
    pods.resources,
    pods.probes,
    pods.images,
    pods.tokens,
    pods.service_accounts,
    pods.service_links,
    pods.environments,
    pods.volumes,
    relations.identities,
    relations.labels,
    relations.selectors,
    relations.services,
    relations.disruption_budgets,
    relations.references,
    relations.checksums,
    relations.policies,
    relations.claims,
    relations.migration,
    scaling.queue_workers,
    scaling.replicas,
    scaling.demand,
    scaling.behavior,
    scaling.grace,
    secrets.leaks,
    secrets.variables,
    secrets.generated,
)


# The Secrets that a user has made before, with the keys that the values files say.
_KEYS = {"api-key-secret", "admin-key", "worker-key"}
_BUNDLED = {"prefect-auth-string", "postgres-password", "minio-access-key", "minio-secret-key"}
_DATABASES = {f"{name}-database-{kind}" for name in ("corepoint", "prefect", "mlflow") for kind in ("password", "url")}
GIVEN: dict[str, dict[str, set[str]]] = {
    "team": {"corepoint-credentials": _KEYS | _BUNDLED | _DATABASES},
    "external": {
        "corepoint-postgres": {"corepoint-database-password"},
        "corepoint-s3": {"access-key", "secret-key"},
        "corepoint-prefect": {"api-key"},
        "corepoint-mlflow": {"username", "password"},
    },
}


def secret(name: str, keys: set[str]) -> Object:
    return {"kind": "Secret", "metadata": {"name": name}, "data": dict.fromkeys(keys, "eA==")}


def _name(rule: Rule) -> str:
    return f"{rule.__module__.rpartition('.')[2]}.{rule.__name__}"


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@pytest.mark.parametrize("rule", RULES, ids=_name)
def test_rule_holds(rule: Rule, configuration: str) -> None:
    rendered = objects(configuration)
    if rule is relations.references:
        rendered += [secret(name, keys) for name, keys in GIVEN.get(configuration, {}).items()]
    assert list(rule(rendered)) == []


@pytest.mark.parametrize(
    ("rule", "fault"),
    [
        pytest.param(rule, fault, id=f"{_name(rule)}-{number}")
        for rule in RULES
        for number, fault in enumerate(BREAKS[_name(rule)])
    ],
)
def test_rule_finds_its_fault(rule: Rule, fault: Callable[[list[Object]], None]) -> None:
    broken = objects("defaults")
    fault(broken)
    assert list(rule(broken)) != []
