"""The LUKS header of a destination that is no file, written by svmove itself.

libvirt makes no encrypted images in Ceph, and what is taken it does not make at all; in volume groups, where it could,
it is done the same way. The header is written when the volume is the move's, before anything is copied. It is new each
time: of an svmove that died over it a half may be there, which opens with no key.
"""

from svmove.errors import CopyError, HostError
from svmove.move import retried
from svmove.move.context import Move
from svmove.move.ownership import used_elsewhere
from svmove.retries import UNMEASURED, Retries
from svmove.volumes import VolumeSpec


def write(move: Move, key: str, spec: VolumeSpec) -> None:
    """Idempotent: once written, it is what the copy is encrypted with. Raises CopyError, HostError."""
    if not spec.header or move.noted("encrypted", key):
        return
    host, made = move.world.host, move.noted("created", key)
    identity = host.identity(spec.path)
    if made is None or identity is None or identity != made.data["identity"]:
        raise CopyError(f"{spec.path} is not what the move has made or taken any more", reason="changed")
    if (who := used_elsewhere(move).get(identity)) is not None:
        raise CopyError(f"{spec.path} can't be encrypted: {who} uses it", reason="changed", remedy="plan again")
    move.intend("encrypt", key, path=spec.path)
    retries = Retries(move.world.policy.retry)
    retries.of_call(_again)(host.write_header, spec.path, move.may_go_on)
    retried.tell(move, retries.taken())
    move.note("encrypted", key)


def _again(error: BaseException) -> bool:
    return isinstance(error, HostError) and UNMEASURED in error.text
