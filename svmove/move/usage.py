"""Which files somebody uses: what libvirt tells, and what the images of guests that are off say themselves."""

from collections.abc import Collection, Iterator

from svmove import location
from svmove.errors import HostError, HypervisorError
from svmove.model import InactiveImage
from svmove.move.observe import same
from svmove.ports import Hypervisor
from svmove.ports_host import Host


def in_use(
    hypervisor: Hypervisor, host: Host, *, besides: str, ours: Collection[str] = (), certain: bool = True
) -> dict[str, str]:
    """Identity of each file that somebody uses → who, in words. By identity: a path may be a link.

    For the arguments see `Hypervisor.paths_in_use`. Raises HypervisorError, also when `certain` and an image can't be
    read; HostError.
    """
    named = hypervisor.paths_in_use(besides=besides, ours=ours, certain=certain)
    used = {identity: who for path, who in named.items() if (identity := same(path, host)) is not None}
    for image in hypervisor.inactive_images(besides=besides):
        for identity in _chain(image, host, certain=certain):
            used.setdefault(identity, image.user)
    return used


def _chain(image: InactiveImage, host: Host, *, certain: bool) -> Iterator[str]:
    """Of an image and the files below it, as far as they are there: what is missing has lost what it was based on."""
    passed = set[str]()
    below: tuple[str, str] | None = image.path, image.format
    while below is not None:
        path, format_ = below
        identity = same(path, host)
        if identity is None or identity in passed:
            return
        passed.add(identity)
        yield identity
        if format_ == "raw" or location.is_network(path):
            return
        try:
            below = host.based_on(path, format_)
        except HostError as error:
            if certain:
                raise HypervisorError(
                    f"{path}, of {image.user}, can't be read, so it is not known what it is based on: {error.text}",
                    remedy="mend it, or undefine that guest, then try again (of a move: svmove resume)",
                ) from error
            return
