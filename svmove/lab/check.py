"""The lab's verdict on its guest. Pure: what was reported in, a verdict or an error out."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from svmove.lab import report
from svmove.lab.errors import LabError
from svmove.lab.state import Checked


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCheck:
    """`wrote`, `verified`: blocks of 4 KiB since the last check (or the guest's boot); `reached_host`: write
    requests that QEMU counted while the check looked; `worst_write`: seconds by the guest's clock."""

    target: str
    wrote: int
    verified: int
    reached_host: int
    worst_write: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckResult:
    """`since`: seconds since the last check that passed, None when this is the first."""

    disks: tuple[DiskCheck, ...]
    since: float | None


def judge(lines: Sequence[report.Line], last: Checked | None, reached_host: Mapping[str, int]) -> tuple[DiskCheck, ...]:
    """The verdict on `lines`, what the guest said since `last`; one per disk named in `reached_host`.

    Raises:
        LabError: a block was not what had been written, the guest gave up, a disk was not written to, or
            its writes ended somewhere else than in the disk.
    """
    damaged = [line for line in lines if isinstance(line, report.Sample) and line.errors]
    if damaged:
        raise LabError(
            f"{damaged[-1].job}: fio read back {damaged[-1].errors} blocks that were not what it had written",
            remedy="the guest's data is damaged: keep the lab as evidence, the console says which blocks",
        )
    for line in lines:
        if isinstance(line, report.Dead):
            raise LabError(
                f"the guest stopped writing: {line.reason}",
                remedy="see the console; svmove lab down, then up",
            )
    now = report.latest(report.current_boot(lines))
    same_boot = not any(isinstance(line, report.Boot) for line in lines)
    disks = []
    for target, requests in reached_host.items():
        sample = now.get(target)
        before = last.writes.get(target, 0) if last and same_boot else 0
        read_before = last.reads.get(target, 0) if last and same_boot else 0
        if sample is None or sample.writes <= before:
            raise LabError(f"{target}: the guest wrote nothing since the last check", remedy="svmove lab up")
        if requests <= 0:
            raise LabError(f"{target}: the guest reports writes, but none of them reached QEMU's disk")
        disks.append(
            DiskCheck(
                target=target,
                wrote=sample.writes - before,
                verified=sample.reads - read_before,
                reached_host=requests,
                worst_write=report.worst_write(lines, target) or 0.0,
            )
        )
    return tuple(disks)


def remember(lines: Iterable[report.Line], offset: int, at: float) -> Checked:
    """What the next check starts from; `at` is the wall clock's time in seconds."""
    samples = report.latest(report.current_boot(list(lines))).values()
    return Checked(
        at=at,
        offset=offset,
        writes={sample.job: sample.writes for sample in samples},
        reads={sample.job: sample.reads for sample in samples},
    )
