"""What is read from files and given to others: immutable, of the fields it names and no others."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """The base of such models. A field that it does not name raises `pydantic.ValidationError`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
