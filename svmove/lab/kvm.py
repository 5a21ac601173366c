"""KVM only where the CPU can; else TCG.

A machine without the svm or vmx flag may still have a /dev/kvm that opens and even creates a VM, in which
no stock guest gets past its boot ROM. And one that QEMU's user can't open makes libvirt probe QEMU again at
each definition. So the CPU's flag decides, and the device must answer.
"""

import fcntl
import os
import re
from enum import StrEnum
from pathlib import Path

_KVM_GET_API_VERSION = 0xAE00
_API_VERSION = 12


class Kvm(StrEnum):
    USABLE = "usable"
    ABSENT = "absent"

    @property
    def domain_type(self) -> str:
        return "kvm" if self is Kvm.USABLE else "qemu"


def probe(cpuinfo: str | None = None, device: Path = Path("/dev/kvm")) -> Kvm:
    """What guests of this machine can use. Needs root, where the device belongs to root."""
    flags = Path("/proc/cpuinfo").read_text() if cpuinfo is None else cpuinfo
    if not re.search(r"^flags\s*:.*\b(svm|vmx)\b", flags, re.MULTILINE):
        return Kvm.ABSENT
    try:
        descriptor = os.open(device, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return Kvm.ABSENT
    try:
        return Kvm.USABLE if fcntl.ioctl(descriptor, _KVM_GET_API_VERSION) == _API_VERSION else Kvm.ABSENT
    except OSError:
        return Kvm.ABSENT
    finally:
        os.close(descriptor)
