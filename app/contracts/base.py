"""The two kinds of contract: documents that people write (camelCase), and messages between programs (snake_case)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

API_VERSION: Literal["corepoint/v1"] = "corepoint/v1"

# A DNS label (RFC 1123): names appear in Kubernetes objects, object keys and URLs, so nothing else is allowed.
ResourceName = Annotated[
    str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$", min_length=1, max_length=63)
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# What a JSON document may hold as one parameter value. Order matters to pydantic: bool before int.
Scalar = bool | int | float | str


def _must_be_aware(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("a time needs a zone")
    return value


Moment = Annotated[datetime, AfterValidator(_must_be_aware)]
Bytes = Annotated[int, Field(ge=0, description="bytes")]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False, description="seconds")]


class Document(BaseModel):
    """Written by people in YAML or JSON, with camelCase keys; unknown keys are refused, so a typo cannot pass."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=to_camel, populate_by_name=True, allow_inf_nan=False
    )


class Message(BaseModel):
    """Said by one program to another, with snake_case keys; unknown keys are refused on the way in."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
