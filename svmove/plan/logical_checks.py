"""Checks of destinations in volume groups (LVM): what a logical volume can be called, and how large it is."""

import re
from collections.abc import Iterator

from svmove.moves import Finding, Level
from svmove.plan import luks
from svmove.plan.case import Case, refuse
from svmove.units import MiB

# lvm(8), "Valid names"; the longest of device-mapper's own, GROUP-VOLUME, has 127.
_NAME = re.compile(r"(?!\.{1,2}$)[A-Za-z0-9+_.][A-Za-z0-9+_.-]{0,126}")
# What LVM keeps for volumes of its own making.
_RESERVED = re.compile(
    r"^(snapshot|pvmove)|_(cdata|cmeta|corig|iorig|mimage|mlog|pmspare|rimage|rmeta|tdata|tmeta|vdata|vorigin)"
)
# Unless the group was made with others, which libvirt does not tell.
_EXTENT = 4 * MiB


def names(case: Case) -> Iterator[Finding]:
    for choice in case.choices:
        spec, target = choice.destination, choice.disk.target
        if choice.pool is None or choice.pool.type != "logical" or spec is None:
            continue
        if not _NAME.fullmatch(spec.name) or _RESERVED.search(spec.name):
            yield refuse(
                "bad-name",
                f"{target}: {spec.name!r} can't be a logical volume's name",
                f"give one of letters, digits, + _ . -: --disk {target}={spec.pool},name=VOLUME",
                target,
            )


def sizes(case: Case) -> Iterator[Finding]:
    """What was made larger than the disk is told before; of a volume that is taken `place_checks` tells."""
    for choice in case.choices:
        spec, target = choice.destination, choice.disk.target
        if choice.pool is None or choice.pool.type != "logical" or spec is None or spec.taken:
            continue
        if rest := spec.length % _EXTENT:
            yield Finding(
                level=Level.NOTE,
                code="slice",
                text=f"{target} has {spec.length} bytes{luks.header(spec)}, which is no multiple of an extent (4 MiB, "
                f"unless group {spec.pool} was made with others): its volume has {_EXTENT - rest} more, which are "
                "zeroed, and a <slice> in the guest's XML keeps them from the guest",
                remedy="to use all of it, take the <slices> out of the XML when the guest is off",
                target=target,
            )
