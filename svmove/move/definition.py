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
    """By path, of images that are larger than the disk: the bytes that count of them, with a LUKS header. Raises
    HostError."""
    found = {}
    for disk in move.plan.disks:
        ends = ((disk.source, disk.source_format), (disk.destination.path, disk.destination.format))
        for path, format_ in ends:
            if path in paths and format_ == "raw":  # what qcow2 has in it makes a file larger, and not the disk
                # Another tool's header may be longer than ours.
                locked = disk.keys[path] is not None
                header = move.world.host.image(path, format_).payload_offset if locked else 0
                if move.world.host.size(path) > (length := header + disk.destination.capacity):
                    found[path] = length
    return found
