"""What a lab remembers between two commands: one small JSON file, replaced as a whole."""

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from svmove.lab.errors import LabError


class Checked(BaseModel):
    """The guest as the last check saw it: `offset` bytes of console were read; blocks by fio job."""

    model_config = ConfigDict(frozen=True)

    at: float
    offset: int
    writes: dict[str, int]
    reads: dict[str, int]


class State(BaseModel):
    """`connect` is the URI of somebody else's daemon, or None for the lab's own."""

    model_config = ConfigDict(frozen=True)

    connect: str | None = None
    checked: Checked | None = None


def load(path: Path) -> State | None:
    """None when there is no lab. Raises LabError when the file says nothing that can be understood."""
    try:
        return State.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise LabError(f"{path} is damaged: {error}", remedy="svmove lab down, then svmove lab up") from error


def save(path: Path, state: State) -> None:
    scratch = path.with_suffix(".new")
    scratch.write_text(json.dumps(state.model_dump(), indent=2) + "\n")
    scratch.replace(path)
