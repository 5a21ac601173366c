"""A throwaway guest, pools and private libvirt daemon: for the demo, the tests, the benchmarks."""

from svmove.lab.check import CheckResult, DiskCheck
from svmove.lab.errors import LabError
from svmove.lab.lab import Lab
from svmove.lab.specs import DOMAIN, LAB_GUEST, POOLS, DiskSpec, Format, GuestSpec
from svmove.lab.status import DiskStatus, LabStatus

__all__ = [
    "DOMAIN",
    "LAB_GUEST",
    "POOLS",
    "CheckResult",
    "DiskCheck",
    "DiskSpec",
    "DiskStatus",
    "Format",
    "GuestSpec",
    "Lab",
    "LabError",
    "LabStatus",
]
