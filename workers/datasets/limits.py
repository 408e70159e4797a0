"""What the preparation of one dataset may cost."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

_GIB = 2**30


class PrepareLimits(BaseModel):
    """Bounds on the input and on the child process that reads it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_bytes_in_file: int = Field(default=2 * _GIB, gt=0)
    max_cells: int = Field(default=100_000_000, gt=0, description="rows x coordinates")
    max_columns: int = Field(default=10_000, gt=0)
    # Address space: 10^8 cells are 0.75 GiB, and parsing, sorting out duplicates and the profile hold a few copies.
    memory_bytes: int = Field(default=6 * _GIB, gt=0)
    cpu_seconds: int = Field(default=600, gt=0)
    wall_seconds: float = Field(default=900.0, gt=0)
