"""Datasets: the document a user writes, and the profile a worker makes of it."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, StringConstraints, model_validator

from app.contracts.base import API_VERSION, Document, Message, ResourceName, Sha256
from app.contracts.experiment import LabelText

ColumnName = Annotated[str, StringConstraints(min_length=1, max_length=128)]
S3Uri = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\x00]{1,1024}$")]


class _Generator(Document):
    n: int = Field(ge=1, le=1_000_000_000, description="points")
    seed: int = Field(default=0, ge=0, lt=2**32)


class Blobs(_Generator):
    kind: Literal["blobs"] = "blobs"
    d: int = Field(default=2, ge=1, le=1_000)
    centers: int = Field(default=10, ge=1, le=10_000)
    spread: float = Field(default=0.5, gt=0)
    noise_share: float = Field(default=0.1, ge=0, lt=1, description="share of points drawn uniformly")


class Moons(_Generator):
    kind: Literal["moons"] = "moons"
    noise: float = Field(default=0.05, ge=0)


class Circles(_Generator):
    kind: Literal["circles"] = "circles"
    noise: float = Field(default=0.05, ge=0)
    factor: float = Field(default=0.5, gt=0, lt=1)


class UniformNoise(_Generator):
    kind: Literal["noise"] = "noise"
    d: int = Field(default=2, ge=1, le=1_000)


class Anisotropic(_Generator):
    kind: Literal["anisotropic"] = "anisotropic"
    centers: int = Field(default=3, ge=1, le=10_000)
    spread: float = Field(default=1.0, gt=0)


class Lattice(_Generator):
    kind: Literal["grid"] = "grid"
    d: int = Field(default=2, ge=1, le=10)
    step: float = Field(default=1.0, gt=0)


class TaxiTrips(_Generator):
    """Synthetic pick-up points: streets, hot spots, and rows as dirty as real trip records (missing, zero, far)."""

    kind: Literal["taxi-trips"] = "taxi-trips"
    dirty_share: float = Field(default=0.02, ge=0, lt=1)


Generator = Annotated[
    Blobs | Moons | Circles | UniformNoise | Anisotropic | Lattice | TaxiTrips, Field(discriminator="kind")
]
BuiltinName = Literal["world-cities", "iris", "wine", "breast-cancer", "digits"]


class Source(Document):
    """Where the table comes from: exactly one of these."""

    builtin: BuiltinName | None = None
    generate: Generator | None = None
    upload: UUID | None = Field(default=None, description="id answered by POST /v1/uploads")
    s3: S3Uri | None = None
    path: Annotated[str, StringConstraints(min_length=1, max_length=4_096)] | None = Field(
        default=None, description="file the server may read (its settings list the folders); the CLI uploads instead"
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.builtin, self.generate, self.upload, self.s3, self.path)) != 1:
            raise ValueError("a source is exactly one of builtin, generate, upload, s3, path")
        return self


class Cleaning(Document):
    """Declared, in this order: missing values, bounding box, duplicates. Nothing is dropped without being counted."""

    missing: Literal["fail", "drop"] = Field(default="fail", description="rows with NaN or an infinity")
    bounding_box: dict[ColumnName, tuple[float, float]] = Field(
        default_factory=dict, max_length=100, description="column: [lowest, highest]; rows outside are dropped"
    )
    duplicates: Literal["keep", "drop"] = "keep"

    @model_validator(mode="after")
    def _boxes_are_ordered(self) -> Self:
        for column, (low, high) in self.bounding_box.items():
            if not low <= high:
                raise ValueError(f"boundingBox of {column!r}: lowest {low} is above highest {high}")
        return self


class DatasetSpec(Document):
    """`kind: Dataset`: a named table of points, with its declared columns, cleaning and scaling."""

    api_version: Literal["corepoint/v1"] = API_VERSION
    kind: Literal["Dataset"] = "Dataset"
    name: ResourceName
    description: LabelText = ""
    source: Source
    format: Literal["auto", "csv", "parquet", "npy"] = "auto"
    columns: Annotated[list[ColumnName], Field(max_length=10_000)] | None = Field(
        default=None, description="coordinates, in this order; every numeric column by default"
    )
    truth: ColumnName | None = Field(default=None, description="column with the true cluster, for ARI and AMI")
    cleaning: Cleaning = Cleaning()
    scaling: Literal["none", "common", "standard", "minmax"] = Field(
        default="none", description="common: centre, then one scale for all columns (keeps shapes)"
    )


class DistanceSketch(Message):
    """Mean neighbour count (the point itself included) within each radius, over sampled points of all n points.

    `radii` rise strictly; `mean_neighbours` never falls; both have the same length (>= 2).
    """

    n: int = Field(ge=1)
    radii: list[float]
    mean_neighbours: list[float]


class ColumnProfile(Message):
    name: str
    minimum: float
    maximum: float
    mean: float
    standard_deviation: float
    constant: bool


class Profile(Message):
    """What a worker found in a prepared dataset version, after cleaning and scaling unless said otherwise."""

    n: int = Field(ge=1)
    d: int = Field(ge=1)
    rows_read: int = Field(ge=0, description="before cleaning")
    rows_missing: int = Field(ge=0, description="rows with NaN, before cleaning")
    rows_infinite: int = Field(ge=0, description="rows with an infinity, before cleaning")
    rows_outside_box: int = Field(ge=0)
    rows_dropped: int = Field(ge=0)
    duplicates: int = Field(ge=0, description="rows equal to an earlier row")
    columns: list[ColumnProfile]
    has_truth: bool = False
    sketch: DistanceSketch
    warnings: list[str] = []


class PreparedDataset(Message):
    """A dataset version in the object store: float64 points (n x d, C order) as npy, truth as int64 npy."""

    sha256: Sha256 = Field(description="of the canonical bytes: shape, dtype, points, truth")
    n: int
    d: int
    points_key: str
    points_sha256: Sha256
    truth_key: str | None = None
    truth_sha256: Sha256 | None = None
    profile: Profile
