"""Lines of `svmove doctor` on libvirt, QEMU and their host."""

from dataclasses import replace

from svmove.health import Facts, LibvirtFacts, Mark, Trouble
from svmove.model import Versions
from tests.builders import NOW, pool
from tests.plan.health import (
    FAST,
    GONE,
    JOURNAL,
    LIBVIRT,
    SETUP,
    Told,
    host,
    libvirt,
    setup,
)

OLD = Versions(libvirt=8_000_000, qemu=11_000_001)
RBD = replace(FAST, pool=pool("vms", type="rbd", path=None, network="rbd://10.0.0.1/vms"), kind=None, direct=None)

TOLD = [
    Told(
        code="libvirt-unreachable",
        mark=Mark.PROBLEM,
        facts=Facts(now=NOW, libvirt=LibvirtFacts(uri="qemu:///system", unreachable=GONE), journal=JOURNAL),
        subject="libvirt",
        says="start libvirtd",
    ),
    Told(
        code="not-qemu",
        mark=Mark.PROBLEM,
        facts=setup(driver="Xen"),
        subject="libvirt",
        says="--connect qemu:///system",
    ),
    Told(
        code="host",
        mark=Mark.PROBLEM,
        facts=host(trouble=Trouble(text="it is on another host", remedy="run svmove on h2")),
        subject="host",
        says="run svmove on h2",
    ),
    Told(code="old-version", mark=Mark.WARNING, facts=libvirt(versions=OLD), subject="libvirt", says="older than"),
    Told(
        code="known-bad",
        mark=Mark.WARNING,
        facts=libvirt(versions=Versions(libvirt=12_000_000, qemu=10_000_000)),
        subject="QEMU",
        says="issues/3273",
        also=("known-bad", "known-bad-for-some"),
    ),
    Told(
        code="known-bad",
        mark=Mark.NOTE,
        facts=libvirt(versions=Versions(libvirt=9_000_000, qemu=11_000_001)),
        subject="libvirt",
        says="of no move of svmove's",
    ),
    Told(
        code="known-bad-for-some",
        mark=Mark.NOTE,
        facts=libvirt(versions=Versions(libvirt=10_000_000, qemu=7_002_022)),
        subject="QEMU",
        says="disks on IDE or SATA; disks with an iothread",
    ),
    Told(
        code="command-missing",
        mark=Mark.PROBLEM,
        facts=host(missing=("qemu-img",)),
        subject="commands",
        says="apt-get install qemu-utils",
    ),
    Told(
        code="command-missing",
        mark=Mark.NOTE,
        facts=replace(host(missing=("ceph",)), pools=(RBD,), pool_names=frozenset({"vms"})),
        subject="commands",
        says="the quota of rbd pools",
    ),
    Told(
        code="no-permission", mark=Mark.PROBLEM, facts=host(looks_into_qemu=False), subject="user", says="root (sudo)"
    ),
    Told(code="kvm-shut", mark=Mark.WARNING, facts=host(kvm_open=False), subject="kvm", says="chmod 660 /dev/kvm"),
    Told(
        code="confined",
        mark=Mark.NOTE,
        facts=setup(confined_by=("apparmor",)),
        subject="security",
        says="'/var/lib/svmove/scratch/** rwk,'",
    ),
    Told(
        code="confined", mark=Mark.NOTE, facts=setup(confined_by=("selinux",)), subject="security", says="svirt_image_t"
    ),
    Told(
        code="no-scratch",
        mark=Mark.PROBLEM,
        facts=host(scratch_free=1),
        subject="scratch /var/lib/svmove/scratch",
        says="paths.scratch",
    ),
    Told(
        code="scratch-shut",
        mark=Mark.PROBLEM,
        facts=host(scratch_open=False),
        subject="scratch /var/lib/svmove/scratch",
        says="chmod o+x",
    ),
    Told(
        code="scratch-in-memory",
        mark=Mark.NOTE,
        facts=host(scratch_kind="tmpfs"),
        subject="scratch /var/lib/svmove/scratch",
        says="the host's memory",
    ),
]
QUIET = [
    ("confined", setup(confined_by=("other",))),
    ("command-missing", host(missing=("ceph",))),  # no pool needs it
    ("kvm-shut", replace(host(kvm_open=False), libvirt=replace(LIBVIRT, setup=replace(SETUP, kvm=False)))),
    ("kvm-shut", host(kvm_node=False, kvm_open=False)),
    ("kvm-shut", host(kvm_open=None)),
    ("scratch-shut", host(scratch_open=None)),
]
