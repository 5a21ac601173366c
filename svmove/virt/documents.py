"""The XML documents that libvirt is given to make something of, built with lxml so that no name can break them."""

from collections.abc import Mapping

from lxml import etree
from lxml.builder import E

from svmove.virt.sources import encryption, write, xmlable
from svmove.virt.xml import serialized
from svmove.volumes import VolumeSpec


def copy_destination(spec: VolumeSpec, *, sliced: bool = False) -> str:
    """The <disk> that virDomainBlockCopy wants; type='volume' is not translated there, so it names the image."""
    # QEMU mirrors only between equal sizes; the guest keeps its own. It stays in the domain's XML.
    kind, source = write(spec.path, spec.luks, spec.length if sliced else None)
    return serialized(E.disk(source, E.driver(name="qemu", type=spec.format), type=kind, device="disk"))


def overlays(domain: etree._Element, wanted: Mapping[str, VolumeSpec]) -> str:
    """A snapshot of some disks of a domain into existing overlays. A disk that it does not name would be taken too."""
    disks = []
    for element in domain.iterfind("devices/disk"):
        named = element.find("target")
        target = "" if named is None else named.get("dev", "")
        if (spec := wanted.get(target)) is None:
            disks.append(E.disk(name=target, snapshot="no"))
        else:
            source = E.source(file=xmlable(spec.path))
            disks.append(E.disk(E.driver(type=spec.format), source, name=target, snapshot="external", type="file"))
    return serialized(E.domainsnapshot(E.disks(*disks)))


def volume(spec: VolumeSpec, *, dense: bool = False) -> str:
    """What is no file gets room for its LUKS header, and is plain for libvirt: of RBD it makes no encrypted volumes.

    `dense`: with all of its room. Of less libvirt makes, in a volume group, a snapshot of the old kind, with a table
    of exceptions that runs full and then fails."""
    target = E.target(E.format(type=spec.format))
    if spec.luks is not None and not spec.header:
        target.append(encryption(spec.luks))
    if spec.format == "qcow2":
        if spec.compat is not None:
            target.append(E.compat(spec.compat))
        if spec.cluster_bytes is not None:
            target.append(E.clusterSize(str(spec.cluster_bytes), unit="B"))
        features = E.features()
        if spec.lazy_refcounts:
            features.append(E.lazy_refcounts())
        if spec.extended_l2:
            features.append(E.extended_l2())
        target.append(features)
    return serialized(
        E.volume(
            E.name(xmlable(spec.name)),
            E.capacity(str(spec.length), unit="B"),
            E.allocation(str(spec.length if dense else 0), unit="B"),
            target,
            *_backing(spec),
        )
    )


def _backing(spec: VolumeSpec) -> list[etree._Element]:
    if spec.backing is None:
        return []
    format_ = E.format(type=spec.backing_format or "raw")
    return [E.backingStore(E.path(xmlable(spec.backing)), format_)]


def backup(scratch: Mapping[str, str], socket: str) -> str:
    """A pull-mode backup that exports each disk of `scratch` under its target's name."""
    exported = [
        E.disk(
            E.driver(type="qcow2"),
            E.scratch(file=xmlable(path)),
            name=xmlable(target),
            backup="yes",
            type="file",
            exportname=target,
        )
        for target, path in scratch.items()
    ]
    server = E.server(transport="unix", socket=xmlable(socket))
    return serialized(E.domainbackup(server, E.disks(*exported), mode="pull"))
