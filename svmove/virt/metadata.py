"""A domain's <metadata>: our marker is written, and what others say there is read."""

from collections.abc import Sequence
from typing import Any

import libvirt
from lxml import etree

from svmove.virt import xml
from svmove.volumes import DiskPlan


def tags(domain: etree._Element) -> tuple[tuple[str, str], ...]:
    """What <metadata> says, by path: ("app:app/app:tier", "gold"), ("nova:instance/nova:flavor@name", "m1"). Names have
    the prefixes that `virsh dumpxml` shows. The marker of a move is left out."""
    root = domain.find("metadata")
    found: list[tuple[str, str]] = []
    for element in () if root is None else root:
        if element.tag != f"{{{xml.MARKER_URI}}}move":
            _tags(element, "", found)
    return tuple(found)


def _tags(element: etree._Element, below: str, found: list[tuple[str, str]]) -> None:
    if not isinstance(element.tag, str):  # a comment
        return
    name = etree.QName(element).localname
    path = below + (f"{element.prefix}:{name}" if element.prefix else name)
    if text := (element.text or "").strip():
        found.append((path, text))
    found.extend((f"{path}@{etree.QName(key).localname}", str(value)) for key, value in element.attrib.items())
    for child in element:
        _tags(child, f"{path}/", found)


def write_marker(domain: Any, move: str | None, disks: Sequence[DiskPlan]) -> None:
    """Of the domain that runs and of its next start; None takes it off. Raises libvirtError."""
    flags = 0
    if domain.isActive():
        flags |= libvirt.VIR_DOMAIN_AFFECT_LIVE
    if domain.isPersistent():
        flags |= libvirt.VIR_DOMAIN_AFFECT_CONFIG
    element = None if move is None else xml.marker_element(move, disks)
    domain.setMetadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, element, xml.MARKER_KEY, xml.MARKER_URI, flags)
