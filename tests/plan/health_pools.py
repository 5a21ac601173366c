"""Lines of `svmove doctor` on pools."""

from dataclasses import replace

from svmove.health import Mark
from svmove.location import SecretState
from svmove.plan.places import KINDS
from svmove.units import MiB
from tests.builders import pool
from tests.plan.health import WELL, Told, one_pool, setup

TOLD = [
    Told(
        code="backend-missing",
        mark=Mark.NOTE,
        facts=setup(pool_types=frozenset(KINDS) - {"rbd"}),
        subject="backends",
        says="apt-get install libvirt-daemon-driver-storage-rbd, and restart",
    ),
    Told(
        code="no-such-pool",
        mark=Mark.PROBLEM,
        facts=replace(WELL, asked=frozenset({"fats"}), pools=()),
        subject="pool fats",
        says="there are: fast",
    ),
    Told(
        code="pool-inactive",
        mark=Mark.PROBLEM,
        facts=one_pool(pool=pool("fast", active=False)),
        subject="pool fast",
        says="virsh pool-start fast",
    ),
    Told(
        code="pool-inactive",
        mark=Mark.WARNING,
        facts=one_pool(pool=pool("fast", active=False, autostart=False)),
        subject="pool fast",
        says="virsh pool-start fast",
    ),
    Told(
        code="pool-inactive",
        mark=Mark.PROBLEM,
        facts=replace(one_pool(pool=pool("fast", active=False, autostart=False)), asked=frozenset({"fast"})),
        subject="pool fast",
        says="virsh pool-start fast",
    ),
    Told(
        code="no-autostart",
        mark=Mark.NOTE,
        facts=one_pool(pool=pool("fast", autostart=False)),
        subject="pool fast",
        says="virsh pool-autostart fast",
    ),
    Told(
        code="pool-type",
        mark=Mark.NOTE,
        facts=one_pool(pool=pool("fast", type="gluster")),
        subject="pool fast",
        says="gluster",
    ),
    Told(
        code="secret-missing",
        mark=Mark.PROBLEM,
        facts=one_pool(secrets={"usage:ceph": SecretState.MISSING}),
        subject="pool fast",
        says="virsh secret-define",
    ),
    Told(
        code="secret-missing",
        mark=Mark.PROBLEM,
        facts=one_pool(secrets={"usage:ceph": SecretState.EMPTY}),
        subject="pool fast",
        says="has no value",
    ),
    Told(
        code="secret-private",
        mark=Mark.PROBLEM,
        facts=one_pool(secrets={"usage:ceph": SecretState.PRIVATE}),
        subject="pool fast",
        says="private='no'",
    ),
    Told(
        code="storage-silent",
        mark=Mark.PROBLEM,
        facts=one_pool(silent="no answer in 5 s"),
        subject="pool fast",
        says="no answer in 5 s",
    ),
    Told(code="no-folder", mark=Mark.PROBLEM, facts=one_pool(there=False), subject="pool fast", says="/pools/fast"),
    Told(code="no-access", mark=Mark.PROBLEM, facts=one_pool(open=False), subject="pool fast", says="chmod o+x"),
    Told(
        code="no-direct",
        mark=Mark.NOTE,
        facts=one_pool(direct=False, kind="fuseblk"),
        subject="pool fast",
        says="cache='writeback'",
    ),
    Told(code="in-memory", mark=Mark.WARNING, facts=one_pool(kind="tmpfs"), subject="pool fast", says="the power"),
    Told(
        code="no-space",
        mark=Mark.WARNING,
        facts=one_pool(pool=pool("fast", available=MiB)),
        subject="pool fast",
        says="less than the reserve",
    ),
]
QUIET = [
    ("no-space", one_pool(pool=pool("fast", type="disk", available=0))),  # its partitions are there
    ("backend-missing", setup(pool_types=None)),  # this libvirt can't tell
    ("no-access", one_pool(open=None)),
    ("no-direct", one_pool(direct=None)),
    ("no-such-pool", replace(WELL, asked=frozenset({"fast"}))),
]
