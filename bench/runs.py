"""One measured run of each kind."""

import json
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from svmove.lab import Lab
from svmove.lab.watch import Watch

_DISK = "vda"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """Seconds; `worst_write` by the guest's own clock, which stands while it is suspended."""

    seconds: float
    worst_write: float
    suspended: float
    memory: int  # bytes at the peak, the largest of the process and its children


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    run: Run
    copy: float
    verify: float
    pause: float


class Bench:
    def __init__(self, lab: Lab, folder: Path) -> None:
        self._lab = lab
        self._journal = folder / "journal.sqlite"

    def svmove(self) -> Run:
        source = self._source(_DISK)
        run, _ = self._run(self._svmove("--disk", _DISK, "--verify", "none", "--keep-source", to=self._other(_DISK)))
        self._delete(source)
        return run

    def virsh(self) -> Run:
        source, pool = self._source(_DISK), self._other(_DISK)
        to = self._lab.paths.pool(pool) / source.name
        command = ["virsh", "-c", self._lab.uri, "blockcopy", self._lab.domain_name, _DISK, "--dest", str(to)]
        run, _ = self._run([*command, "--format", "qcow2", "--transient-job", "--wait", "--pivot"])
        self._lab.virsh("pool-refresh", pool)
        self._delete(source)
        return run

    def verified(self) -> Verified:
        """Both disks, as a user moves them."""
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
            self._lab.domain_name,
            "--to",
            to,
            "--json",
            *options,
        ]

    def _run(self, command: list[str]) -> tuple[Run, dict[str, Any]]:
        with Watch(self._lab.console) as watch:
            began = time.monotonic()
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            assert process.stdout is not None
            said = process.stdout.read()
            _, status, usage = os.wait4(process.pid, 0)
            seconds = time.monotonic() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise RuntimeError(f"{command}: exit code {process.returncode}\n{said}")
        assert watch.pause is not None
        run = Run(
            seconds=seconds,
            worst_write=watch.pause.worst_write,
            suspended=watch.pause.suspended,
            memory=usage.ru_maxrss * 1024,
        )
        return run, json.loads(said) if said.startswith("{") else {}

    def _source(self, target: str) -> Path:
        return next(Path(disk.path) for disk in self._lab.status().disks if disk.target == target)

    def _other(self, target: str) -> str:
        return "lab-b" if self._source(target).parent.name == "lab-a" else "lab-a"

    def _delete(self, path: Path) -> None:
        pool = path.parent.name
        self._lab.virsh("pool-refresh", pool)
        self._lab.virsh("vol-delete", path.name, pool)
