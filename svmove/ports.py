"""What a move needs of the outside world, as protocols: the hypervisor and a clock; its host: `svmove.ports_host`.

`svmove.virt` and `svmove.host` have the real ones; a test hands in its own and can stop the world between
any two calls. Every method may raise `UnreachableError`; what else it raises, it says.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from types import MappingProxyType
from typing import Protocol, runtime_checkable

from svmove.events import Event
from svmove.fleet import Counters, DiskKey
from svmove.health import Setup
from svmove.location import Secret, SecretState
from svmove.model import Agent, Domain, InactiveImage, Job, Pool, Tuning, Versions, Volume
from svmove.outcomes import Progress
from svmove.retries import Retry
from svmove.survey import Survey
from svmove.volumes import CopyOptions, DiskPlan, VolumeSpec


class Clock(Protocol):
    def now(self) -> float:
        """Unix time, for records."""
        ...

    def monotonic(self) -> float:
        """Seconds, for durations and deadlines; never persisted."""
        ...

    def sleep(self, seconds: float) -> None: ...


class Events(Protocol):
    def next(self, timeout: float) -> Event | None:
        """The next event of the domain, or None after `timeout` seconds."""
        ...


class Hypervisor(Protocol):
    """A libvirt daemon. A domain is named by its UUID, a disk by its target, a volume by pool and name."""

    @property
    def uri(self) -> str: ...
    def retried(self) -> tuple[Retry, ...]:
        """What was tried again since this was asked last; also of the connection to its host."""
        ...

    def versions(self) -> Versions: ...
    def domain_names(self) -> tuple[str, ...]: ...
    def find_domain(self, name: str) -> Domain:
        """Raises NotFoundError with the nearest names."""
        ...

    def domain(self, uuid: str) -> Domain:
        """Raises NotFoundError."""
        ...

    def setup(self) -> Setup:
        """What the daemon can do, and as whom. Raises HypervisorError."""
        ...

    def survey(self) -> Survey:
        """All domains, pools and volumes, in few calls. Raises HypervisorError."""
        ...

    def counters(self) -> Mapping[DiskKey, Counters]:
        """What all guests that run have asked of their disks, in one call. Raises HypervisorError."""
        ...

    def opened(self, uuid: str) -> frozenset[str]:
        """The identities (`svmove.location.identity`) of all images on the network that QEMU has open, as it says
        itself: /proc tells of files alone. Raises HypervisorError."""
        ...

    def paths_in_use(self, *, besides: str, ours: Collection[str] = (), certain: bool = True) -> Mapping[str, str]:
        """Every path that a domain other than `besides` (a UUID) names, live or inactive, or that lies below
        another volume (but those at the paths `ours`) → who that is, in words.

        Raises HypervisorError; where nothing is to be deleted or overwritten, `certain=False` passes over volumes
        that can't be read: a failing array may have some."""
        ...

    def inactive_images(self, *, besides: str) -> tuple[InactiveImage, ...]:
        """The images in files and devices, of formats that can be based on another one, of the domains that are off,
        other than `besides`. The chain of a guest that runs is in its live XML; of one that is off libvirt tells the
        top, and of a volume what lay below it when its pool was refreshed last."""
        ...

    def secret_state(self, secret: Secret) -> SecretState: ...
    def pools(self) -> tuple[Pool, ...]: ...
    def refresh_pool(self, pool: str) -> None: ...
    def volume_names(self, pool: str) -> frozenset[str]: ...
    def volume_at(self, path: str) -> Volume | None: ...
    def create_volume(self, spec: VolumeSpec) -> Volume: ...
    def delete_volume(self, pool: str, name: str, path: str) -> None:
        """Idempotent: a volume that is gone is deleted. One of that name at another path is not touched."""
        ...

    def start_copy(self, uuid: str, target: str, destination: VolumeSpec, options: CopyOptions) -> None: ...

    def job(self, uuid: str, target: str) -> Job | None: ...
    def writes(self, uuid: str, target: str) -> tuple[int, int]:
        """Requests and bytes that the guest has written to the disk since it was started."""
        ...

    def tuning(self, uuid: str, target: str) -> Tuning:
        """The disk's I/O limits as they are in force."""
        ...

    def set_tuning(self, uuid: str, target: str, tuning: Tuning) -> None:
        """While the guest runs; the XML of its next start stays. Other limits are lifted; the group stays."""
        ...

    def set_bandwidth(self, uuid: str, target: str, bandwidth: int | None) -> None: ...
    def request_pivot(self, uuid: str, target: str) -> None:
        """Returns at once; the event COMPLETED tells. Raises NotReadyError when the job is alive but not ready."""
        ...

    def cancel_copy(self, uuid: str, target: str) -> None:
        """Returns at once; the event CANCELED tells. Idempotent: no job, no error."""
        ...

    def lay_over(self, uuid: str, overlays: Mapping[str, VolumeSpec]) -> None:
        """From now on, all at one instant, each disk writes into its overlay (target → a volume that is based on the
        disk's file), and what was written before stands still."""
        ...

    def begin_merge(self, uuid: str, target: str) -> None:
        """Begins to bring a disk's topmost file into the one below it. READY tells; `request_pivot` ends it."""
        ...

    def suspend(self, uuid: str) -> None: ...
    def resume(self, uuid: str) -> None: ...
    def agent(self, uuid: str, seconds: float) -> Agent:
        """Whether the guest's agent answers in that time. A frozen one does not."""
        ...

    def trim(self, uuid: str, seconds: float) -> None:
        """All mounted file systems of the guest discard what they don't use. Raises HypervisorError, also when that
        takes longer than `seconds`; the guest may then go on with it."""
        ...

    def freeze(self, uuid: str, seconds: float) -> int:
        """Freezes all mounted file systems of the guest: how many. The guest must run. Raises HypervisorError, also
        when it takes longer than `seconds` (whole ones, at least 1); then it is not known whether they are frozen."""
        ...

    def thaw(self, uuid: str, seconds: float) -> int:
        """Undoes `freeze`: how many were frozen. The guest must run. Idempotent. Raises what `freeze` raises."""
        ...

    def begin_export(self, uuid: str, scratch: Mapping[str, str], socket: str) -> None:
        """Freezes the disks named by `scratch` (target → scratch file) as they are now, behind an NBD socket."""
        ...

    def end_export(self, uuid: str, socket: str) -> None:
        """Ends the export behind `socket`, and no other backup. Idempotent."""
        ...

    def exports(self, uuid: str, socket: str) -> bool:
        """Whether the export behind `socket` is still there."""
        ...

    def set_marker(self, uuid: str, move: str | None, disks: Sequence[DiskPlan] = ()) -> None:
        """Writes the move's id, and where the copies of `disks` lie, into the domain's metadata; or removes it."""
        ...

    def lost_bitmaps(self, uuid: str) -> Mapping[str, Collection[str]]:
        """Checkpoints of a running domain → their disks that have no bitmap of it any more. Empty when it is off."""
        ...

    def forget_checkpoint(self, uuid: str, name: str, targets: Collection[str]) -> None:
        """Takes disks whose bitmaps are gone out of a checkpoint; one that covers no other disk goes. No bitmap is
        touched. Idempotent: a checkpoint that is gone is forgotten. Raises HypervisorError."""
        ...

    def set_sources(
        self,
        uuid: str,
        sources: Mapping[str, tuple[str, str]],
        *,
        running: bool,
        keys: Mapping[str, Secret | None] = MappingProxyType({}),
        slices: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        """The disks of a domain's next start: target → (path, format), by one definition. Target `volumes.NVRAM` is the
        file of its UEFI variables, whose format stays. `keys`: what opens those that are encrypted, by path. `slices`:
        how many bytes the guest sees of those that are larger, by path.

        Raises HypervisorError, also when the domain is not `running`, or not off, any more."""
        ...

    def redirect_snapshots(self, uuid: str, moved: Mapping[str, str]) -> None:
        """Where the metadata of the domain's snapshots names a file that has moved, it names the new one: path → path.
        Idempotent."""
        ...

    def change_medium(self, uuid: str, target: str, path: str, format_: str, *, live: bool, config: bool) -> None:
        """Puts another image into a CD-ROM or floppy drive, now and for the next start. Raises HypervisorError, also
        when the guest does not give up what is in there; then the live drive was tried first."""
        ...

    def events(self, uuid: str) -> AbstractContextManager[Events]: ...
    def reconnect(self) -> None:
        """Opens the connection anew, with back-off. Raises UnreachableError when the policy's time is over."""
        ...


class Cancel(Protocol):
    def is_set(self) -> bool: ...


@runtime_checkable
class Waking(Cancel, Protocol):
    """One that also wakes who sleeps in a poll."""

    def fileno(self) -> int:
        """Readable when it is set."""
        ...


Listener = Callable[[Progress], None]

# Told the id of a move in which the guest would suffer if svmove died now, and None when that is over.
Guard = Callable[[str | None], None]
