"""The real journal, with the world's faults."""

from collections.abc import Mapping
from typing import Any

from svmove.journal import Journal, Kind, Record
from svmove.moves import Plan
from tests.fake.faults import counted
from tests.fake.world import World


class FaultyJournal(Journal):
    """The real journal, which the world's faults strike as well."""

    room = "journal"

    def __init__(self, url: str, world: World) -> None:
        self.world = world
        super().__init__(url)

    @counted
    def begin(self, plan: Plan, uri: str, phase: str) -> Record:
        return super().begin(plan, uri, phase)

    @counted
    def write(
        self,
        move: str,
        at: float,
        phase: str,
        kind: Kind,
        what: str,
        target: str | None,
        data: Mapping[str, Any],
    ) -> None:
        super().write(move, at, phase, kind, what, target, data)

    @counted
    def enter(self, move: str, at: float, phase: str, *, left: str, ended: bool, data: Mapping[str, Any]) -> None:
        super().enter(move, at, phase, left=left, ended=ended, data=data)

    @counted
    def read(self, move: str) -> Record:
        return super().read(move)
