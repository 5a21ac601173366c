"""What is wrong with a policy: each with its file, its line and what to write instead."""

from collections.abc import Iterable
from dataclasses import dataclass

from svmove.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """`layer`: a file, or an option of the command line."""

    layer: str
    line: int | None
    key: str | None
    text: str
    remedy: str | None

    @property
    def place(self) -> str:
        return self.layer if self.line is None else f"{self.layer}:{self.line}"

    @property
    def said(self) -> str:
        return f"{self.place}: {self.key}: {self.text}" if self.key else f"{self.place}: {self.text}"


class PolicyError(UsageError):
    """All that is wrong with it, in the order of the layers and their lines."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        if len(self.faults) == 1:
            super().__init__(f"policy {self.faults[0].said}", remedy=self.faults[0].remedy)
            return
        told = (f"\n  {fault.said}" + (f"\n      {fault.remedy}" if fault.remedy else "") for fault in self.faults)
        super().__init__(f"the policy has {len(self.faults)} errors:{''.join(told)}")
