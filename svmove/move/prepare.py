"""Before anything is copied: nothing has changed since the plan, the domain is marked, and the volumes are made.

Every act is idempotent: it looks first whether it was done, by this process or by one that died.
"""

from svmove import location
from svmove.errors import CopyError, HypervisorError
from svmove.model import Volume
from svmove.move import header
from svmove.move.context import Move
from svmove.move.observe import Seen, Where
from svmove.move.ownership import doubt_about_unrecorded, used_elsewhere
from svmove.move.phases import Phase
from svmove.move.trim import trim
from svmove.volumes import VolumeSpec


def admit(move: Move) -> Phase:
    """The plan may be minutes old: nothing may have changed, and from here on the domain is marked as ours."""
    seen = move.observe()
    if seen.where is not Where.SOURCE:
        raise CopyError(f"the guest is not as the plan saw it: {seen}", reason="changed", remedy="plan again")
    return mark(move, seen)


def mark(move: Move, seen: Seen) -> Phase:
    foreign = [disk for disk in seen.disks if disk.mirror is not None]
    marker = seen.domain.marker
    if foreign or not (marker in (None, move.plan.move) or move.world.journal.has_ended(marker)):
        raise CopyError(f"somebody else has begun to work on the guest: {seen}", reason="changed", remedy="plan again")
    for disk in move.plan.disks:
        for key, path in disk.deletable.items():
            move.note("source", key, identity=move.world.host.identity(path))
    move.intend("mark")
    move.world.hypervisor.set_marker(move.plan.uuid, move.plan.move, move.plan.disks)
    return Phase.ADMITTED


def prepare(move: Move) -> Phase:
    trim(move)
    for disk in move.plan.disks:
        for key, spec in disk.made.items():
            move.may_go_on()
            if move.noted("created", key) is None:
                (take if spec.taken else create)(move, key, spec)
            header.write(move, key, spec)
    return Phase.PREPARED


def take(move: Move, key: str, spec: VolumeSpec) -> None:
    """A volume that is there: what it holds is overwritten from here on, and it is never deleted. Raises CopyError."""
    identity = move.world.host.identity(spec.path)
    if identity is None or (who := used_elsewhere(move).get(identity)) is not None:
        why = f"{who} uses it" if identity else "it is gone"
        raise CopyError(f"{spec.path} can't be taken any more: {why}", reason="changed", remedy="plan again")
    there = move.world.host.taken(spec.path)
    if there is None or not (there.blank or spec.overwrite):  # the plan may be minutes old
        raise CopyError(f"{spec.path} is not blank any more", reason="changed", remedy="plan again")
    move.intend("take", key, pool=spec.pool, name=spec.name, path=spec.path)
    move.note("created", key, pool=spec.pool, name=spec.name, identity=identity)


def create(move: Move, key: str, spec: VolumeSpec) -> None:
    """The volume of that key in the journal, or takes the one that an svmove made before it died. Raises."""
    host = move.world.host
    if (identity := host.identity(spec.path)) is not None:
        _adopt(move, key, spec, identity)
        return
    move.intend("create", key, pool=spec.pool, name=spec.name, path=spec.path)
    try:
        volume = move.world.hypervisor.create_volume(spec)
    except HypervisorError as error:
        # What lies there now is somebody else's, who was quicker, or at least not provably ours.
        move.note("not-created", key, text=error.text)
        if location.is_network(spec.path) and error.remedy is None:
            # Of a full pool librbd says after 30 s that there is no such file.
            error.remedy = (
                f"see whether the storage of pool {spec.pool} is full, or fails (of Ceph: ceph health detail)"
            )
        raise
    move.note("created", key, pool=spec.pool, name=spec.name, identity=host.identity(volume.path))
    if volume.path != spec.path or not _suits(volume, spec):
        raise CopyError(
            f"pool {spec.pool} made {volume.path} with {volume.capacity} bytes; "
            f"wanted were {spec.path} and {spec.length}",
            reason="pool-lies",
        )


def _suits(volume: Volume, spec: VolumeSpec) -> bool:
    """Volume groups give whole extents: of a larger one the guest sees as much as it had."""
    if location.is_file(spec.path):
        return volume.capacity == spec.capacity
    return volume.capacity >= spec.length


def _adopt(move: Move, key: str, spec: VolumeSpec, identity: str) -> None:
    """Takes the volume that an svmove made before it died. Raises CopyError when it isn't provably that."""
    hypervisor = move.world.hypervisor
    if doubt_about_unrecorded(move, key, spec, identity, used_elsewhere(move)) is not None:
        raise CopyError(f"{spec.path} exists already", reason="name-taken", remedy="give another name")
    if location.is_device(spec.path):  # whether the rest of its last extent was zeroed nobody knows
        raise CopyError(f"{spec.path} was only half made", reason="half-made", remedy="move again")
    hypervisor.refresh_pool(spec.pool)  # libvirt may have died over it as well
    volume = hypervisor.volume_at(spec.path)
    if volume is None or volume.name != spec.name or not _suits(volume, spec):
        raise CopyError(f"{spec.path} was only half made", reason="half-made", remedy="move again")
    move.note("created", key, pool=spec.pool, name=spec.name, identity=identity)
