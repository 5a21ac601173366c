"""What opens the images that a move is about, as the inventory needs it."""

from collections.abc import Mapping, Sequence

from svmove import location
from svmove.errors import HostError
from svmove.location import Secret, SecretState
from svmove.model import Disk, Pool
from svmove.ports import Hypervisor
from svmove.ports_host import Host
from svmove.requests import Request

Secrets = Mapping[Secret, SecretState]


def secrets(request: Request, disks: Sequence[Disk], pools: Sequence[Pool], hypervisor: Hypervisor) -> Secrets:
    """Of all that the move may have to open."""
    wanted = {request.to} | {disk.pool for disk in request.disks}
    named = [pool.network for pool in pools if pool.name in wanted] + [disk.path for disk in disks]
    keys = [location.secret_of(where) for where in named if where]
    keys += [request.encrypt, *(one.encrypt for one in request.disks), *(disk.luks for disk in disks)]
    return {key: hypervisor.secret_state(key) for key in dict.fromkeys(keys) if key is not None}


def opens(where: str, secrets: Secrets) -> bool:
    """Whether svmove can ask an image at all: of a file always, on the network when it knows the secret."""
    secret = location.secret_of(where)
    return secret is None or secrets.get(secret, SecretState.READABLE) is SecretState.READABLE


def locked(disks: Sequence[Disk], host: Host, secrets: Secrets) -> dict[str, str]:
    """By path: why its secret does not open the image."""
    found = {}
    for disk in disks:
        if disk.path and disk.luks is not None and secrets.get(disk.luks) is SecretState.READABLE:
            try:
                host.check_key(disk.path, disk.format)
            except HostError as error:
                found[disk.path] = error.text
    return found


def full(disks: Sequence[Disk], host: Host, secrets: Secrets) -> frozenset[str]:
    """The targets of those whose storage lets writes wait, since its pool is full or over its quota."""
    found = set()
    for disk in disks:
        if disk.path and location.is_network(disk.path) and opens(disk.path, secrets):
            room = host.room_left(disk.path)
            if room is not None and room <= 0:
                found.add(disk.target)
    return frozenset(found)
