"""Synthetic pick-up points of a made-up city, in degrees. No real trip is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_WEST, _EAST, _SOUTH, _NORTH = -74.05, -73.75, 40.60, 40.90
_AVENUES, _STREETS = 40, 120
# Some 5 m and 300 m of latitude.
_CURB, _QUARTER = 5e-5, 3e-3
_HOT_SPOTS = 60
_HOT_SHARE = 0.35


def taxi_trips(n: int, dirty_share: float, random: np.random.Generator) -> NDArray[np.float64]:
    """(n, 2): longitude, latitude. A third each of `dirty_share` of the rows is missing (NaN), zero or far away."""
    import numpy as np

    points = _on_streets(n, random)
    hot = random.random(n) < _HOT_SHARE
    points[hot] = _at_hot_spots(int(hot.sum()), random)
    dirty = random.permutation(n)[: round(n * dirty_share)]
    missing, zero, far = np.array_split(dirty, 3)
    points[missing, random.integers(0, 2, len(missing))] = np.nan
    points[zero] = 0.0
    points[far] = np.column_stack([random.uniform(-180, 180, len(far)), random.uniform(-90, 90, len(far))])
    return points


def _on_streets(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Along jittered line segments; busier streets have more, as trips do."""
    import numpy as np

    along, across = random.random(n), random.normal(0.0, _CURB, n)
    avenue = random.random(n) < 0.6
    west_east = np.sort(random.uniform(_WEST, _EAST, (_AVENUES, 2)), axis=0)
    south_north = np.sort(random.uniform(_SOUTH, _NORTH, (_STREETS, 2)), axis=0)
    points = np.empty((n, 2))
    for chosen, ends, axis, low, high in (
        (avenue, west_east, 1, _SOUTH, _NORTH),
        (~avenue, south_north, 0, _WEST, _EAST),
    ):
        share = random.dirichlet(np.full(len(ends), 0.5))
        segment = random.choice(len(ends), int(chosen.sum()), p=share)
        position = along[chosen]
        first, second = ends[segment].T
        points[chosen, axis] = low + position * (high - low)
        points[chosen, 1 - axis] = first + position * (second - first) + across[chosen]
    return points


def _at_hot_spots(n: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Stations and airports: a few metres to a few hundred wide."""
    import numpy as np

    centers = random.uniform((_WEST, _SOUTH), (_EAST, _NORTH), (_HOT_SPOTS, 2))
    width = np.geomspace(_CURB, _QUARTER, _HOT_SPOTS)
    spot = random.choice(_HOT_SPOTS, n, p=random.dirichlet(np.full(_HOT_SPOTS, 0.7)))
    return centers[spot] + random.normal(0.0, 1.0, (n, 2)) * width[spot, None]
