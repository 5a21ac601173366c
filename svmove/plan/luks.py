"""LUKS: what an encrypted disk takes, and which images can't be asked for want of a secret.

What is a hole in an encrypted raw file is no zeros for who has the key. So from one all is copied, and into one QEMU
writes encrypted zeros where the source has a hole. A qcow2 marks its clusters as zero beside what it encrypts, so it
stays thin.
"""

from svmove import location
from svmove.location import SecretState
from svmove.model import Disk, Image
from svmove.plan.case import Case
from svmove.plan.choice import Choice
from svmove.volumes import VolumeSpec


def dense(disk: Disk, spec: VolumeSpec) -> bool:
    """Whether the copy has all its bytes allocated, whatever the source has."""
    return (spec.luks is not None and spec.format == "raw") or (disk.luks is not None and disk.format == "raw")


def header(spec: VolumeSpec) -> str:
    """What is to be said beside a size that has a header in it."""
    return f" with its LUKS header of {spec.header}" if spec.header else ""


def copied(choice: Choice, image: Image, spec: VolumeSpec) -> int:
    """Bytes that are copied of a disk's own file."""
    if dense(choice.disk, spec):
        return spec.capacity
    return min(image.allocated_bytes, image.virtual_bytes)


def unreadable(case: Case, where: str | None) -> bool:
    """Whether an image on the network was not looked at, because of its secret."""
    secret = location.secret_of(where) if where else None
    return secret is not None and case.inventory.secrets.get(secret, SecretState.READABLE) != SecretState.READABLE
