"""A domain and its volumes, made through virsh.

Order, so that a kill at any instant leaves something that the next `up` can tell: volumes, their data, the
definition, the start. What has a definition has whole disks.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from lxml import etree
from lxml.builder import E, ElementMaker

from svmove.lab import fill
from svmove.lab.command import Virsh, run
from svmove.lab.errors import LabError
from svmove.lab.paths import LabPaths
from svmove.lab.specs import DiskSpec, Format, GuestSpec

# In a domain's metadata: whose it is. The value is the lab's directory.
MARKER_URI = "https://svmove.org/xmlns/lab/1"

_CONSOLE = "console=ttyS0 quiet mitigations=off nokaslr panic=1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Boot:
    kernel: Path
    initramfs: Path


def domain_xml(
    spec: GuestSpec,
    paths: LabPaths,
    files: dict[str, Path],
    *,
    domain_type: str,
    boot: Boot | None,
    direct: bool,
) -> etree._Element:
    """The definition; `files` maps a disk's target to its volume's path, `direct` says O_DIRECT works there.

    No UUID: libvirt makes a random one, so that two labs never share one. `cpu` maximum under TCG, because
    fio's crc32c then uses the SSE4.2 instruction: 64 instead of 74 % of a core.
    """
    lab = ElementMaker(namespace=MARKER_URI, nsmap={"lab": MARKER_URI})
    system = E.os(E.type("hvm", arch=_architecture()))
    if boot is not None:
        system.extend(
            (
                E.kernel(str(boot.kernel)),
                E.initrd(str(boot.initramfs)),
                E.cmdline(_command_line(spec)),
            )
        )
    devices = E.devices(
        *(_disk(disk, files[disk.target], direct=direct) for disk in spec.disks),
        E.serial(E.source(path=str(paths.console(spec.name)), append="on"), type="file"),
        E.channel(E.target(type="virtio", name="org.qemu.guest_agent.0"), type="unix"),
        E.controller(type="usb", model="none"),
        E.memballoon(model="none"),
    )
    return E.domain(
        E.name(spec.name),
        E.metadata(lab.lab(directory=str(paths.root))),
        E.memory(str(spec.memory), unit="b"),
        E.vcpu("1"),
        system,
        E.features(E.acpi()),
        E.cpu(mode="maximum" if domain_type == "qemu" else "host-passthrough"),
        E.on_poweroff("destroy"),
        E.on_reboot("restart"),
        E.on_crash("destroy"),
        devices,
        type=domain_type,
    )


def _command_line(spec: GuestSpec) -> str:
    """The guest's init reads the last ones."""
    disks = ",".join(disk.target for disk in spec.disks)
    said = f"svmove.disks={disks} svmove.rate_iops={spec.write_iops} svmove.bs={spec.write_block}"
    return f"{_CONSOLE} life={spec.life} {said}"


def _disk(disk: DiskSpec, file: Path, *, direct: bool) -> etree._Element:
    driver = E.driver(name="qemu", type=disk.format.value, discard="unmap")
    if direct:
        driver.set("cache", "none")
        driver.set("io", "native")
    return E.disk(
        driver,
        E.source(file=str(file)),
        E.target(dev=disk.target, bus="virtio"),
        E.serial(f"lab-{disk.target}"),
        type="file",
        device="disk",
    )


def _architecture() -> str:
    return os.uname().machine


def make_volume(virsh: Virsh, domain: str, disk: DiskSpec, *, direct: bool) -> Path:
    """A volume with the disk's data, replacing one that a killed `up` left.

    Raises:
        LabError: libvirt or qemu-img said no.
    """
    name = disk.volume(domain)
    if name in _volumes(virsh, disk.pool):
        virsh("vol-delete", "--pool", disk.pool, name)
    volume = E.volume(
        E.name(name),
        E.capacity(str(disk.capacity), unit="b"),
        E.allocation("0"),
        E.target(E.format(type=disk.format.value)),
    )
    if disk.format is Format.QCOW2:
        volume[-1].append(E.compat("1.1"))  # libvirt's default is still QEMU 0.10's
    virsh.define("vol-create", volume, disk.pool)
    path = Path(virsh("vol-path", "--pool", disk.pool, name))
    if not disk.extents:
        return path
    if disk.format is Format.RAW:
        fill.write(path, disk, direct=direct)
        return path
    # A name that a second attempt finds again, when the first was killed.
    raw = path.with_name(f".filling-{name}")
    try:
        raw.write_bytes(b"")
        os.truncate(raw, disk.capacity)
        fill.write(raw, disk, direct=direct)
        cache = "none" if direct else "writeback"
        run(["qemu-img", "convert", "-n", "-W", "-T", cache, "-t", cache,
             "-f", "raw", "-O", disk.format.value, raw, path])  # fmt: skip
    finally:
        raw.unlink(missing_ok=True)
    return path


def _volumes(virsh: Virsh, pool: str) -> list[str]:
    return [line.split()[0] for line in virsh("vol-list", pool).splitlines() if line.strip()]


def directory_of(virsh: Virsh, domain: str) -> str | None:
    """Which lab a domain belongs to, by its marker; None when it has none."""
    try:
        text = virsh("metadata", domain, "--uri", MARKER_URI, "--config")
        return etree.fromstring(text.encode()).get("directory")
    except (LabError, etree.XMLSyntaxError):
        return None
