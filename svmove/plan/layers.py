"""What lies below a disk's top, and what is laid over it for the time of a move."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from svmove.model import Disk, Inventory, Pool
from svmove.requests import Base, Request
from svmove.volumes import DiskPlan, Layer, Overlay, VolumeSpec


def layers(disk: Disk, request: Request, inventory: Inventory, pool: Pool | None) -> tuple[Layer, ...]:
    """The chain below a disk, nearest first; each keeps its name and format. Flattened, or on a base that stays,
    they have no destination."""
    found: list[Layer] = []
    stays = request.flatten
    for path, format_ in zip(disk.chain, disk.chain_formats, strict=True):
        volume, image = inventory.volumes.get(path), inventory.images.get(path)
        shared = path in inventory.used_elsewhere
        stays = stays or (shared and request.base is Base.STAY)
        spec = None if stays or pool is None or pool.folder is None else _spec(path, format_, inventory, pool)
        taken = spec is not None and spec.name in inventory.names.get(spec.pool, frozenset())
        found.append(
            Layer(
                source=path,
                source_format=format_,
                pool_from=volume.pool if volume else None,
                volume_from=volume.name if volume else None,
                destination=spec,
                copy_bytes=min(image.allocated_bytes, image.virtual_bytes) if image else 0,
                # What others use stays for them; what is in no pool was never libvirt's.
                delete_source=not (request.keep_source or volume is None or shared)
                and (spec is not None or request.flatten),
                found=taken and request.base is Base.FIND,
            )
        )
    return _linked(found)


def _spec(path: str, format_: str, inventory: Inventory, pool: Pool) -> VolumeSpec:
    image, name = inventory.images.get(path), PurePosixPath(path).name
    return VolumeSpec(
        pool=pool.name,
        name=name,
        path=str(PurePosixPath(pool.folder or "/") / name),
        format=format_,
        capacity=image.virtual_bytes if image else 0,
        # The file is copied as it is, header and all; these are for the pool's own making of it.
        cluster_bytes=image.cluster_bytes if image else None,
        compat=image.compat if image else None,
        extended_l2=image is not None and image.extended_l2,
        lazy_refcounts=image is not None and image.lazy_refcounts,
    )


def _linked(found: Sequence[Layer]) -> tuple[Layer, ...]:
    """Each destination lies on the next one, or on a base that stays where it is."""
    return tuple(
        replace(layer, destination=on(layer.destination, found[number:])) if layer.destination else layer
        for number, layer in enumerate(found, start=1)
    )


def on(spec: VolumeSpec, below: Sequence[Layer], *, flatten: bool = False) -> VolumeSpec:
    """`spec` as the top of what lies below it."""
    if not below or flatten:
        return spec
    first = below[0]
    path = first.destination.path if first.destination else first.source
    return replace(spec, backing=path, backing_format=first.source_format)


def once(disks: Sequence[DiskPlan]) -> tuple[DiskPlan, ...]:
    """A base that several disks lie on is copied with the first of them, and found there by the others."""
    seen: set[str] = set()
    found = []
    for disk in disks:
        marked = []
        for layer in disk.layers:
            path = layer.destination.path if layer.destination else ""
            marked.append(replace(layer, found=layer.found or path in seen))
            seen |= {path} - {""}
        found.append(replace(disk, layers=tuple(marked)))
    return tuple(found)


def overlay(source: str, source_format: str, pool: Pool, destination: VolumeSpec, move: str) -> Overlay | None:
    """Of method `snapshot`: one file beside the source, and its copy beside the destination.

    None where nothing can be laid over: svmove can't make a volume beside the source.
    """
    if pool.folder is None or str(PurePosixPath(source).parent) != str(PurePosixPath(pool.folder)):
        return None
    # The id's last part is unique, and short enough for a name.
    token = move.rpartition("-")[2]

    def over(pool: str, path: str, format_: str) -> VolumeSpec:
        below = PurePosixPath(path)
        name = f"{below.name}.{token}"
        return VolumeSpec(
            pool=pool,
            name=name,
            path=str(below.with_name(name)),
            format="qcow2",
            capacity=destination.capacity,
            compat="1.1",
            backing=path,
            backing_format=format_,
        )

    return Overlay(
        source=over(pool.name, source, source_format),
        destination=over(destination.pool, destination.path, destination.format),
    )
