"""The guest's next start, as libvirt has it written: its disks where the move has brought them, or found them."""

from collections.abc import Collection, Mapping

from svmove.move.context import Move


def define(move: Move, sources: Mapping[str, tuple[str, str]], *, running: bool) -> None:
    """What the guest's next start is from: target → (path, format); the intention first. Raises HypervisorError,
    HostError."""
    paths = {target: path for target, (path, _) in sources.items()}
    slices = cut(move, paths.values())
    move.intend("redefine", sources=paths)
    move.world.hypervisor.set_sources(move.plan.uuid, sources, running=running, keys=move.plan.keys, slices=slices)


def cut(move: Move, paths: Collection[str]) -> dict[str, int]:
    """By path, of images that are larger than the disk: the bytes that the guest sees of them. Raises HostError."""
    found = {}
    for disk in move.plan.disks:
        ends = ((disk.source, disk.source_format), (disk.destination.path, disk.destination.format))
        for path, format_ in ends:
            # A LUKS header, and what qcow2 has in it, make a file larger, and not the disk.
            plain = path in paths and format_ == "raw" and disk.keys[path] is None
            if plain and move.world.host.size(path) > disk.destination.capacity:
                found[path] = disk.destination.capacity
    return found
