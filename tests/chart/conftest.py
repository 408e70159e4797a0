from __future__ import annotations

import pytest

from tests.chart.rendering import CONFIGURATIONS, Object, objects


@pytest.fixture(params=CONFIGURATIONS)
def configuration(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def rendered(configuration: str) -> list[Object]:
    return objects(configuration)
