"""What every command shares: the global options, a Mover made from them, the two consoles."""

import dataclasses
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from svmove.errors import UsageError

if TYPE_CHECKING:
    from rich.console import Console

    from svmove.cli.hosts import Connected
    from svmove.journal import Journal
    from svmove.mover import Mover
    from svmove.placer import Placer
    from svmove.policy import Policy
    from svmove.reach import Reached
    from svmove.virt.hypervisor import LibvirtHypervisor


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    connect: tuple[str, ...]
    policy: Path | None
    journal: str | None
    verbose: bool
    _policy: list["Policy"] = field(default_factory=list, compare=False, repr=False)

    @property
    def uri(self) -> str:
        """Of the one host that a command is about. Raises UsageError when several are named."""
        found = self.hosts()
        if len(found) > 1:
            raise UsageError(
                f"this is done on one host, and {len(found)} are named: {', '.join(host.name for host in found)}",
                remedy="name one: --connect",
            )
        return found[0].uri

    def hosts(self) -> "tuple[Connected, ...]":
        """Raises UsageError, and PolicyError when one is named as the policy has it."""
        from svmove.cli.hosts import resolve

        words = self.connect or (os.environ.get("LIBVIRT_DEFAULT_URI") or "qemu:///system",)
        by_name = any(":" not in word for word in words)
        return resolve(words, self.load_policy().hosts if by_name else {})

    def alone(self, uri: str) -> "Options":
        return dataclasses.replace(self, connect=(uri,))

    def load_policy(self) -> "Policy":
        """Of all layers, as they are when it is asked for first. Raises PolicyError."""
        from svmove.layers.files import layers
        from svmove.policy_file import load_policy

        if not self._policy:
            self._policy.append(load_policy(*layers(os.environ, self.policy)))
        return self._policy[0]

    def environment(self) -> dict[str, str]:
        """The same options, for another process."""
        found = {"SVMOVE_CONNECT": self.uri}
        if self.policy is not None:
            found["SVMOVE_POLICY"] = str(self.policy.absolute())
        if self.journal is not None:
            relative = "://" not in self.journal
            found["SVMOVE_JOURNAL"] = str(Path(self.journal).absolute()) if relative else self.journal
        return found

    def open_journal(self) -> "Journal":
        from svmove.journal import Journal, default_url

        return Journal(self.journal or default_url())

    def mover(self) -> "Mover":
        from svmove.journal import default_url
        from svmove.mover import Mover

        return Mover.connect(self.uri, self.load_policy(), self.journal or default_url())

    def placer(self) -> "Placer":
        from svmove.journal import default_url
        from svmove.placer import Placer

        return Placer.connect(self.uri, self.load_policy(), self.journal or default_url())

    def walker(self) -> "Mover":
        """A Mover for a command that walks a move, with a guard for the guest beside it."""
        from svmove.cli import guard

        self.load_policy()  # or a file that somebody spoils meanwhile would keep the guard from waking the guest
        posted = guard.post(lambda move: self.mover().relieve(move), self._brake)
        mover = self.mover()
        mover.guard = posted
        return mover

    def _brake(self, move: str) -> None:
        from svmove.move.relief import brake
        from svmove.reach import host_alone

        brake(self.open_journal(), host_alone(self.uri, self.load_policy()), move, time.time())

    def reach(self) -> "Reached":
        from svmove.reach import reach

        return reach(self.uri, self.load_policy())

    def hypervisor(self) -> "LibvirtHypervisor":
        return self.reach().hypervisor


def options(context: typer.Context) -> Options:
    found = context.find_root().obj
    assert isinstance(found, Options)
    return found


# rich takes 80 columns where there is no terminal, which folds every path.
_WIDTH_OF_A_FILE = 160


def stdout() -> "Console":
    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH_OF_A_FILE)


def stderr() -> "Console":
    from rich.console import Console

    class Patient(Console):
        def on_broken_pipe(self) -> None:
            """rich would end the process; a move goes on without anybody who looks on."""
            self.quiet = True

    return Patient(stderr=True, highlight=False, width=None if sys.stderr.isatty() else _WIDTH_OF_A_FILE)


def print_json(document: dict[str, Any]) -> None:
    """The ONE document on stdout."""
    print(json.dumps(document, indent=2, ensure_ascii=False))
