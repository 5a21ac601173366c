"""Domain XML read and changed, with lxml, so that no name can break it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from types import MappingProxyType

from lxml import etree
from lxml.builder import E

from svmove.errors import HypervisorError
from svmove.location import Secret
from svmove.model import Disk, MarkedDisk, Mirror
from svmove.virt.sources import VolumePath, get, luks, read, write, xmlable
from svmove.volumes import NVRAM, DiskPlan

MARKER_URI = "https://svmove.org/xmlns/domain/1"
MARKER_KEY = "svmove"

# No network, no entities, no DTD: the XML comes from a daemon that may be somebody else's.
_PARSER = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)


def parse(text: str) -> etree._Element:
    return etree.fromstring(text.encode(), parser=_PARSER)


def disks(domain: etree._Element, volume_path: VolumePath) -> tuple[Disk, ...]:
    """The <disk> elements of a domain; `volume_path(pool, volume)` resolves those of type='volume'."""
    controllers = {
        controller.get("index")
        for controller in domain.iterfind("devices/controller[@type='scsi']")
        if _has_iothread(controller.find("driver"))
    }
    return tuple(_disk(element, volume_path, controllers) for element in domain.iterfind("devices/disk"))


def _disk(element: etree._Element, volume_path: VolumePath, controllers: Collection[str | None]) -> Disk:
    """`controllers`: the indices of the SCSI controllers that have an iothread."""
    source, target, driver = element.find("source"), element.find("target"), element.find("driver")
    kind, path = read(element, volume_path)
    pool = source.get("pool") if source is not None else None
    volume = source.get("volume") if source is not None else None
    return Disk(
        target=get(target, "dev") or "",
        bus=get(target, "bus"),
        device=element.get("device", "disk"),
        kind=kind,
        path=path,
        format=get(driver, "type") or "raw",
        chain=tuple(path for path, _ in _chain(element, volume_path)),
        chain_formats=tuple(format_ for _, format_ in _chain(element, volume_path)),
        mirror=_mirror(element, volume_path),
        serial=element.findtext("serial"),
        read_only=element.find("readonly") is not None,
        shareable=element.find("shareable") is not None,
        transient=element.find("transient") is not None,
        encrypted=_encrypted(element),
        luks=luks(element),
        iothread=_has_iothread(driver)
        or (get(target, "bus") == "scsi" and get(element.find("address"), "controller") in controllers),
        pool=pool,
        volume=volume,
        discard=get(driver, "discard"),
        detect_zeroes=get(driver, "detect_zeroes"),
        slice_bytes=_slice(source),
        throttled=element.find("iotune") is not None,
        tray_open=get(target, "tray") == "open",
        direct=get(driver, "cache") in ("none", "directsync"),
        flushed=get(driver, "cache") != "unsafe",
    )


def _encrypted(disk: etree._Element) -> bool:
    """By something else than one LUKS passphrase for its top; what it is copied to does not count."""
    known = 0 if luks(disk) is None else 1
    found = disk.xpath("count(.//encryption[not(ancestor::mirror)])")
    return isinstance(found, float) and found > known


def _slice(source: etree._Element | None) -> int | None:
    """Bytes from the start of the image, of which alone the guest sees something."""
    found = None if source is None else source.find("slices/slice[@type='storage']")
    return None if found is None or found.get("offset", "0") != "0" else int(found.get("size", "0"))


def _has_iothread(driver: etree._Element | None) -> bool:
    return driver is not None and (driver.get("iothread") is not None or driver.find("iothreads") is not None)


def _chain(element: etree._Element, volume_path: VolumePath) -> list[tuple[str, str]]:
    """Paths and formats below the top; a network backing file stands as its protocol and name."""
    found = []
    below = element.find("backingStore")
    while below is not None and below.get("type"):
        path = read(below, volume_path)[1]
        source = below.find("source")
        format_ = get(below.find("format"), "type") or "raw"
        found.append((path or f"{get(source, 'protocol')}:{get(source, 'name')}", format_))
        below = below.find("backingStore")
    return found


def _mirror(element: etree._Element, volume_path: VolumePath) -> Mirror | None:
    mirror = element.find("mirror")
    if mirror is None:
        return None
    state = mirror.get("ready")  # absent, yes, pivot, abort
    return Mirror(
        job=mirror.get("job", ""),
        path=read(mirror, volume_path)[1],
        ready=state == "yes",
        ending=state in ("pivot", "abort"),
    )


def nvram(domain: etree._Element) -> str | None:
    """The file of the UEFI variables; None also for one that is on the network."""
    element = domain.find("os/nvram")
    if element is None:
        return None
    return get(element.find("source"), "file") or (element.text or "").strip() or None


def checkpoint_targets(checkpoint: etree._Element) -> tuple[str, ...]:
    """The disks of a checkpoint that have a bitmap of it."""
    found = checkpoint.iterfind("disks/disk")
    return tuple(disk.get("name", "") for disk in found if disk.get("checkpoint", "bitmap") == "bitmap")


def checkpoint_without(text: str, targets: Collection[str]) -> str | None:
    """A checkpoint's XML without bitmaps on those disks; None when no other disk has one."""
    checkpoint = parse(text)
    for disk in checkpoint.iterfind("disks/disk"):
        if disk.get("name") in targets:
            disk.set("checkpoint", "no")
            disk.attrib.pop("bitmap", None)
    return serialized(checkpoint) if checkpoint_targets(checkpoint) else None


def tpm(domain: etree._Element, default: str) -> str | None:
    """Where the state of an emulated TPM lies: a passed-through one keeps it in its chip."""
    for backend in domain.iterfind("devices/tpm/backend"):
        if backend.get("type") == "emulator":
            return get(backend.find("source"), "path") or default  # the element is libvirt 10.10's
    return None


def has_agent(domain: etree._Element) -> bool:
    targets = domain.iterfind("devices/channel/target")
    return any(target.get("name") == "org.qemu.guest_agent.0" for target in targets)


def marker(domain: etree._Element) -> str | None:
    """The id of the move that owns the domain."""
    element = domain.find(f"metadata/{{{MARKER_URI}}}move")
    return None if element is None else element.get("id")


def marked(domain: etree._Element) -> tuple[MarkedDisk, ...]:
    """The disks that the marker tells of; none for one that an older svmove wrote."""
    names = [field.name for field in fields(MarkedDisk)]
    found = domain.iterfind(f"metadata/{{{MARKER_URI}}}move/{{*}}disk")
    return tuple(MarkedDisk(**{name: element.get(name, "") for name in names}) for element in found)


def marker_element(move: str, disks: Sequence[DiskPlan]) -> str:
    """Enough to find both copies of each disk, should the journal be lost."""
    described = [
        E.disk(
            target=disk.target,
            source=xmlable(disk.source),
            source_format=disk.source_format,
            destination=xmlable(disk.destination.path),
            destination_format=disk.destination.format,
            pool=xmlable(disk.destination.pool),
            volume=xmlable(disk.destination.name),
            **_marked_overlay(disk),
            **_marked_keys(disk),
        )
        for disk in disks
    ]
    return serialized(E.move(*described, id=move))


def _marked_overlay(disk: DiskPlan) -> dict[str, str]:
    if disk.overlay is None:
        return {}
    return {
        "overlay": xmlable(disk.overlay.source.path),
        "overlay_destination": xmlable(disk.overlay.destination.path),
    }


def _marked_keys(disk: DiskPlan) -> dict[str, str]:
    keys = {"source_luks": disk.source_luks, "destination_luks": disk.destination.luks}
    return {name: xmlable(str(key)) for name, key in keys.items() if key is not None}


def with_sources(
    text: str,
    sources: Mapping[str, tuple[str, str]],
    keys: Mapping[str, Secret | None] = MappingProxyType({}),
    slices: Mapping[str, int] = MappingProxyType({}),
) -> str:
    """A domain's XML with other images below its disks, and for its UEFI variables: target → (path, format). `keys`: of
    those that are encrypted, by path; `slices`: the bytes that the guest sees of those that are larger, by path."""
    domain = parse(text)
    for target, (path, format_) in sources.items():
        if target == NVRAM:
            _put_nvram(domain, path)
        else:
            _put(domain, target, path, format_, luks=keys.get(path), size=slices.get(path))
    return serialized(domain)


def drive_with(text: str, target: str, path: str, format_: str) -> str:
    """The <disk> of a domain's XML with another medium in it."""
    return serialized(_put(parse(text), target, path, format_))


def _put(
    domain: etree._Element,
    target: str,
    path: str,
    format_: str,
    *,
    luks: Secret | None = None,
    size: int | None = None,
) -> etree._Element:
    """Another image below a disk; `size`: so many bytes of it alone. Raises HypervisorError."""
    disk = next((d for d in domain.iterfind("devices/disk") if get(d.find("target"), "dev") == target), None)
    if disk is None:
        raise HypervisorError(f"the domain has no disk {target}")
    for name in ("source", "backingStore", "encryption"):
        for element in disk.findall(name):
            disk.remove(element)
    kind, source = write(path, luks, size)
    disk.set("type", kind)
    disk.insert(0, source)
    driver = disk.find("driver")
    if driver is None:
        driver = E.driver(name="qemu")
        disk.insert(0, driver)
    driver.set("type", format_)
    return disk


def _put_nvram(domain: etree._Element, path: str) -> None:
    """Another file for the UEFI variables; its template and format stay. Raises HypervisorError."""
    if (element := domain.find("os/nvram")) is None:
        raise HypervisorError("the domain has no UEFI variables")
    if (source := element.find("source")) is not None:
        source.set("file", xmlable(path))
    else:
        element.text = xmlable(path)


def paths(domain: etree._Element, volume_path: VolumePath) -> set[str]:
    """Every path that a domain names as storage: tops, backing files, mirrors, kernels, firmware."""
    found = {
        path
        for name in ("disk", "backingStore", "mirror")
        for element in domain.iter(name)
        if (path := read(element, volume_path)[1])
    }
    boot = (domain.findtext(f"os/{name}") for name in ("kernel", "initrd", "loader"))
    return found | {path for path in (*boot, nvram(domain)) if path}


def redirected(text: str, moved: Mapping[str, str]) -> str | None:
    """A snapshot's XML with new paths in place of old ones, wherever it names a file; None when it names none."""
    snapshot, found = parse(text), False
    for element in snapshot.iter("source"):
        if (path := element.get("file")) is not None and path in moved:
            element.set("file", xmlable(moved[path]))
            found = True
    for element in snapshot.iter("nvram"):  # of the definition that a revert goes back to
        if (path := element.text) is not None and path in moved:
            element.text, found = xmlable(moved[path]), True
    return serialized(snapshot) if found else None


def backup_socket(text: str) -> str | None:
    """The socket of a backup's XML, which has it escaped."""
    server = parse(text).find("server")
    return None if server is None else server.get("socket")


def serialized(element: etree._Element) -> str:
    return etree.tostring(element, encoding="unicode")
