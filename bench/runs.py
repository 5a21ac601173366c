"""One measured run of each kind."""

import json
import os
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svmove.lab import DOMAIN, DiskSpec, GuestSpec, Lab
from svmove.lab.watch import Pause, Watch
from svmove.units import GiB, MiB

_DISK = "vda"

# A disk of a size that people have: svmove's start, half a second of Python, weighs less on it. Idle.
LARGE = GuestSpec(
    name="large",
    disks=(DiskSpec(target=_DISK, capacity=8 * GiB, extents=tuple((n * 256 * MiB, 160 * MiB) for n in range(16))),),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """`seconds` of wall time; `pause` as the guest felt it, None for a guest that writes nothing."""

    seconds: float
    pause: Pause | None
    memory: int  # bytes at the peak, the largest of the process and its children


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    run: Run
    copy: float
    verify: float
    pause: float


class Bench:
    """Moves of one guest of the lab."""

    def __init__(self, lab: Lab, guest: str, folder: Path) -> None:
        self._lab = lab
        self._guest = guest
        self._journal = folder / "journal.sqlite"

    def svmove(self) -> Run:
        source = self._source(_DISK)
        run, _ = self._run(self._svmove("--disk", _DISK, "--verify", "none", "--keep-source", to=self._other(_DISK)))
        self._delete(source)
        return run

    def virsh(self) -> Run:
        source, pool = self._source(_DISK), self._other(_DISK)
        to = self._lab.paths.pool(pool) / source.name
        command = ["virsh", "-c", self._lab.uri, "blockcopy", self._guest, _DISK, "--dest", str(to)]
        run, _ = self._run([*command, "--format", "qcow2", "--transient-job", "--wait", "--pivot"])
        self._lab.virsh("pool-refresh", pool)
        self._delete(source)
        return run

    def verified(self) -> Verified:
        """All disks, as a user moves them."""
        run, document = self._run(self._svmove(to=self._other(_DISK)))
        seconds = document["seconds"]
        return Verified(run=run, copy=seconds["copy"], verify=seconds["verify"], pause=seconds["pause"])

    def _svmove(self, *options: str, to: str) -> list[str]:
        command = [str(Path(sys.executable).with_name("svmove")), "--connect", self._lab.uri]
        return [
            *command,
            "--journal",
            str(self._journal),
            "move",
            self._guest,
            "--to",
            to,
            "--json",
            *options,
        ]

    def _run(self, command: list[str]) -> tuple[Run, dict[str, Any]]:
        watch = Watch(self._lab.paths.console(self._guest))
        with watch if self._guest == DOMAIN else nullcontext():
            began = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            assert process.stdout is not None
            with process.stdout:
                said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{command}: exit code {process.returncode}\n{said}")
        run = Run(seconds=seconds, pause=watch.pause, memory=usage.ru_maxrss * 1024)
        return run, json.loads(said) if said.startswith("{") else {}

    def _source(self, target: str) -> Path:
        words = (line.split() for line in self._lab.virsh("domblklist", self._guest).splitlines())
        return next(Path(found[1]) for found in words if found and found[0] == target)

    def _other(self, target: str) -> str:
        return "lab-b" if self._source(target).parent.name == "lab-a" else "lab-a"

    def _delete(self, path: Path) -> None:
        pool = path.parent.name
        self._lab.virsh("pool-refresh", pool)
        self._lab.virsh("vol-delete", path.name, pool)
