"""Every check of the table: where it fires, and, next to it, where it doesn't."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

import svmove.plan
from svmove.affinity import AffinityPolicy, Pin
from svmove.location import Secret, SecretState
from svmove.model import (
    Agent,
    Checkpoint,
    CopyWay,
    DomainState,
    Inventory,
    Mirror,
    SourceKind,
    Versions,
    WriteRate,
)
from svmove.moves import Finding, Level
from svmove.plan.admission import CHECKS
from svmove.policy import MovePolicy, Policy, SpacePolicy
from svmove.requests import Allocation, Base, DiskRequest, Format, Method, Request, Verify
from svmove.units import GiB, MiB
from svmove.volumes import Taken
from svmove.windows import Moment
from tests.builders import NOW, UUID, disk, domain, image, inventory, planned, pool, request
from tests.fleets import disk as fleet_disk

VDA = "/pools/slow/web-vda.qcow2"
C1 = Checkpoint(name="c1", targets=("vda", "vdb"))


@dataclass(frozen=True, kw_only=True)
class Fires:
    code: str
    found: Inventory = field(default_factory=inventory)
    asked: Request = field(default_factory=request)
    policy: Policy = field(default_factory=Policy)
    level: Level = Level.REFUSE
    target: str | None = None
    also: frozenset[str] = frozenset()  # other codes that come with it
    says: str = ""  # part of text or remedy


def images(**changed: Any) -> Mapping[str, Any]:
    return {VDA: image(**changed)}


def named(*disks: DiskRequest, **changed: Any) -> Request:
    return request(disks=disks or (DiskRequest(target="vda"),), **changed)


BASE = "/pools/slow/base.qcow2"
CHAINED = disk(chain=(BASE,), chain_formats=("qcow2",))


def chained(**changed: Any) -> Inventory:
    """A disk on a base."""
    return inventory(CHAINED, **{"images": {VDA: image(), BASE: image()}, **changed})


OFF = domain(live=(), state=DomainState.OFF)
OFF_CHAINED = domain(live=(), inactive=(CHAINED,), state=DomainState.OFF)
ON_LUN = disk(path="iscsi://10.0.0.5/iqn.2026-11.org:san/2", chain=(BASE,), chain_formats=("qcow2",))
THICK = frozenset({"thinness"})
SAN = "iscsi://10.0.0.5/iqn.2026-11.org:san"
LUN = SAN + "/1"
ENTERS = frozenset({"plain-traces", "thinness"})
BLANK = Taken(size=4 * GiB, blank=True)


def to_lun(**changed: Any) -> Inventory:
    """A pool of LUNs, with one of the disk's own size."""
    there = {"size": 4 * GiB, "blank": True, **changed}
    pools = (pool(type="iscsi-direct", path=None, network=SAN), pool("slow"))
    return inventory(pools=pools, names={"fast": frozenset({"unit:0:0:1"})}, taken={LUN: Taken(**there)})


def lun(name: str = "unit:0:0:1") -> Request:
    return named(DiskRequest(target="vda", name=name))


KEY, OTHER = Secret(uuid="6f2c8d1e-0000-4000-8000-00000000000a"), Secret(usage="other")
LOCKED = disk(luks=KEY, format="raw")
SHUT = {VDA: image(format="raw", encrypted=True, allocated_bytes=4 * GiB)}
NAS = "nbd://10.0.0.7/web"
CEPH = "rbd://me@10.0.0.1/vms?secret-usage=other"


def locked(**changed: Any) -> Inventory:
    """A raw disk in LUKS, fully allocated."""
    return inventory(LOCKED, **{"images": SHUT, "secrets": {KEY: SecretState.READABLE}, **changed})


def ceph(state: SecretState) -> Inventory:
    pools = (pool(type="rbd", path=None, network=CEPH), pool("slow"))
    return inventory(pools=pools, secrets={OTHER: state})


SNAPPED = images(internal_snapshots=("s1", "s2"))

FIRES = [
    # domain_checks
    Fires(code="domain-off", found=inventory(domain=OFF), asked=request(method=Method.MIRROR), says="virsh start"),
    Fires(code="domain-on", asked=request(method=Method.OFFLINE), says="virsh shutdown"),
    Fires(code="managed-save", found=inventory(domain=replace(OFF, managed_save=True)), says="managedsave-remove"),
    Fires(code="domain-state", found=inventory(domain=domain(state=DomainState.OTHER))),
    Fires(code="move-running", found=inventory(domain=domain(marker="m-1")), says="svmove resume m-1"),
    Fires(code="domain-job", found=inventory(domain=domain(job="backup")), says="a backup runs"),
    Fires(code="no-permission", found=inventory(can_read_host=False, images={}), says="sudo"),
    Fires(code="pause-too-short", asked=request(max_pause=0.25), says="250 ms"),
    Fires(code="pause-too-short", asked=request(max_pause=1.2, freeze=True), found=inventory(agent=Agent.ANSWERS)),
    Fires(
        code="no-agent", asked=request(freeze=True), found=inventory(agent=Agent.SILENT), says="start qemu-guest-agent"
    ),
    Fires(
        code="no-agent",
        asked=request(trim=True),
        found=inventory(disk(discard="unmap"), agent=Agent.ABSENT),
        says="channel",
    ),
    Fires(code="deadline-short", asked=request(deadline=1.0), says="--deadline", level=Level.WARN),
    Fires(
        code="cutover-waits",
        asked=request(at=Moment(at=NOW + 7200, zone="UTC")),
        says="from 2023-11-15 00:13:20 (UTC) on",
        level=Level.NOTE,
    ),
    Fires(
        code="window-after-deadline",
        asked=request(at=Moment(at=NOW + 7200, zone="UTC"), deadline=3600.0),
        says="--deadline 3h",
    ),
    Fires(code="pool-emptied", found=inventory(emptied=frozenset({"fast"})), says="evacuate fast --end"),
    # affinity_checks
    Fires(
        code="affinity",
        found=inventory(fleet=(fleet_disk("web/vda", where="slow", uuid=UUID),)),
        policy=Policy(affinity=AffinityPolicy(pin=(Pin(guests=("web",), pools=("slow",)),))),
        target="vda",
        says="pinned",
        level=Level.WARN,
    ),
    # disk_checks
    Fires(code="no-such-disk", asked=named(DiskRequest(target="vdb")), target="vdb", says="vda"),
    # media
    Fires(code="cdrom", found=inventory(disk(device="cdrom", path=None)), asked=named(), target="vda", says="empty"),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True, tray_open=True)),
        asked=named(),
        target="vda",
        says="ejected",
    ),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True, kind=SourceKind.NETWORK)),
        asked=named(),
        target="vda",
        says="not on a file",
    ),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True, chain=("/base",))),
        asked=named(),
        target="vda",
        says="one plain file",
    ),
    Fires(
        code="cdrom",
        found=inventory(disk(device="cdrom", read_only=True), images={}),
        asked=named(),
        target="vda",
        says="can't read",
    ),
    Fires(
        code="bad-name",
        found=inventory(disk(device="cdrom", read_only=True)),
        asked=named(DiskRequest(target="vda", name="a/b")),
        target="vda",
    ),
    Fires(code="floppy", found=inventory(disk(device="floppy")), asked=named(), target="vda", says="write to it"),
    Fires(
        code="no-discard",
        asked=request(trim=True),
        found=inventory(agent=Agent.ANSWERS),
        level=Level.NOTE,
        target="vda",
        says="discard='unmap'",
    ),
    Fires(code="iothread", found=inventory(disk(iothread=True)), target="vda", says="--verify none"),
    Fires(code="lun", found=inventory(disk(device="lun")), target="vda", says="passed through"),
    Fires(code="transient-disk", found=inventory(disk(transient=True)), asked=named(), target="vda"),
    Fires(code="shareable", found=inventory(disk(shareable=True)), asked=named(), target="vda"),
    Fires(
        code="unsupported-source",
        found=inventory(disk(kind=SourceKind.NETWORK, path=None), images={}),
        target="vda",
    ),
    Fires(code="unsupported-source", found=inventory(disk(kind=SourceKind.OTHER)), target="vda"),
    Fires(code="unsupported-source", found=inventory(disk(path=None), images={}), target="vda"),
    Fires(code="unsupported-format", found=inventory(disk(format="vmdk")), target="vda", says="vmdk"),
    Fires(code="encrypted", found=inventory(disk(encrypted=True)), target="vda"),
    Fires(code="encrypted", found=inventory(images=images(encrypted=True)), target="vda"),
    # luks_checks
    Fires(
        code="encrypted",
        found=locked(),
        asked=request(method=Method.SNAPSHOT),
        target="vda",
        also=frozenset({"no-snapshot"}),
    ),
    Fires(
        code="encrypted",
        found=chained(),
        asked=request(encrypt=KEY),
        target="vda",
        also=frozenset({"plain-traces"}),
        says="--flatten",
    ),
    Fires(
        code="encrypted",
        found=locked(domain=domain(replace(LOCKED, chain=(BASE,), chain_formats=("raw",)))),
        target="vda",
        also=frozenset({"unreadable", "raw-chain"}),
        says="files lie below it",
    ),
    Fires(code="encrypted", found=locked(taken={NAS: BLANK}), asked=request(to=NAS), target="vda", says="--decrypt"),
    Fires(
        code="encrypted",
        found=inventory(taken={NAS: BLANK}),
        asked=request(to=NAS, encrypt=KEY),
        target="vda",
        also=ENTERS,
    ),
    Fires(code="secret-missing", found=locked(secrets={KEY: SecretState.EMPTY}), target="vda", says="no value"),
    Fires(
        code="secret-missing",
        found=locked(secrets={OTHER: SecretState.MISSING}),
        asked=request(encrypt=OTHER),
        target="vda",
        says="not in libvirt's store",
    ),
    Fires(code="secret-missing", found=ceph(SecretState.MISSING), target="vda"),
    Fires(code="secret-private", found=locked(secrets={KEY: SecretState.PRIVATE}), target="vda", says="--verify none"),
    Fires(code="secret-private", found=ceph(SecretState.PRIVATE), target="vda", says="private='no'"),
    Fires(code="wrong-key", found=locked(locked={VDA: "Invalid password"}), target="vda", says="Invalid password"),
    Fires(
        code="inactive-differs",
        found=locked(domain=domain(LOCKED, inactive=(replace(LOCKED, luks=None),))),
        target="vda",
        says="not encrypted",
    ),
    Fires(code="decrypted", found=locked(), asked=request(decrypt=True), level=Level.WARN, target="vda"),
    Fires(code="plain-traces", asked=request(encrypt=KEY), level=Level.NOTE, target="vda"),
    Fires(
        code="thinness",  # a qcow2 stays thin
        asked=request(encrypt=KEY, keep_source=True, format=Format.RAW),
        level=Level.NOTE,
        target="vda",
        says="1.0 GiB of 4.0 GiB",
    ),
    Fires(
        code="no-space",
        found=locked(pools=(pool(available=4 * GiB + 256 * MiB), pool("slow"))),
        says="needed",
    ),
    Fires(code="data-file", found=inventory(images=images(data_file="x.data")), target="vda", says="x.data"),
    Fires(code="unreadable", found=inventory(images={}), target="vda", says="qemu-img info"),
    Fires(code="unreadable", found=chained(images=images()), target="vda", says="/pools/slow/base.qcow2"),
    Fires(code="raw-chain", found=chained(), asked=request(format=Format.RAW), target="vda", says="--flatten"),
    Fires(
        code="flatten-snapshots",
        found=chained(domain=domain(CHAINED, snapshots=("before",))),
        asked=request(flatten=True),
        target="vda",
        says="before",
    ),
    Fires(
        code="no-snapshot",
        found=chained(),
        asked=request(flatten=True, method=Method.SNAPSHOT),
        says="--method mirror",
    ),
    Fires(code="internal-snapshots", found=inventory(images=SNAPPED), target="vda", says="shut the guest down"),
    Fires(
        code="internal-snapshots",
        found=inventory(domain=OFF, images=SNAPPED),
        asked=request(format=Format.RAW),
        target="vda",
        says="leave --format out",
    ),
    Fires(
        code="internal-snapshots",
        found=chained(domain=OFF_CHAINED, images={VDA: image(internal_snapshots=("s1",)), BASE: image()}),
        asked=request(flatten=True),
        target="vda",
        says="leave --flatten out",
    ),
    Fires(
        code="internal-snapshots",
        found=chained(domain=OFF_CHAINED, images={VDA: image(), BASE: image(internal_snapshots=("s1",))}),
        asked=request(flatten=True),
        target="vda",
        says="qemu-img snapshot -d NAME /pools/slow/base.qcow2",
    ),
    Fires(
        code="data-file",
        found=chained(domain=OFF_CHAINED, images={VDA: image(), BASE: image(data_file="x.data")}),
        asked=request(flatten=True),
        target="vda",
        says="while the guest runs",
    ),
    Fires(code="block-job", found=inventory(jobs={"vda": "pull"}), target="vda", says="pull"),
    Fires(
        code="block-job",
        found=inventory(disk(mirror=Mirror(job="copy", path="/x", ready=False))),
        target="vda",
        says="copy",
    ),
    Fires(code="inactive-differs", found=inventory(domain=domain(inactive=())), target="vda", says="not in"),
    Fires(
        code="inactive-differs",
        found=inventory(domain=domain(inactive=(disk(path="/other"),))),
        target="vda",
        says="/other",
    ),
    Fires(code="inactive-differs", found=inventory(domain=domain(inactive=(disk(format="raw"),))), target="vda"),
    Fires(code="inactive-differs", found=inventory(domain=domain(inactive=(disk(device="lun"),))), target="vda"),
    Fires(code="used-elsewhere", found=inventory(used_elsewhere={VDA: "domain db"}), target="vda", says="domain db"),
    Fires(code="read-only", found=inventory(disk(read_only=True)), level=Level.NOTE, target="vda", says="template"),
    Fires(code="not-in-a-pool", found=inventory(volumes={}), level=Level.NOTE, target="vda", says="kept"),
    Fires(
        code="checkpoints",
        found=inventory(domain=domain(checkpoints=(C1,))),
        level=Level.NOTE,
        target="vda",
        says="c1",
    ),
    Fires(
        code="checkpoints",
        asked=request(format=Format.RAW),
        found=inventory(domain=domain(checkpoints=(C1,))),
        level=Level.WARN,
        target="vda",
        says="so its checkpoints go: c1; what they cover of vdb stays",
    ),
    Fires(
        code="bitmaps",
        asked=request(format=Format.RAW),
        found=inventory(images=images(bitmaps=("mine",))),
        level=Level.WARN,
        target="vda",
        says="mine",
    ),
    Fires(
        code="zeroes-stay",
        asked=request(allocation=Allocation.THIN),
        found=inventory(images=images(allocated_bytes=4 * GiB)),
        level=Level.NOTE,
        target="vda",
        says="detect_zeroes",
    ),
    Fires(
        code="zeroes-stay",
        asked=request(allocation=Allocation.THIN),
        found=inventory(disk(format="raw"), images=images(format="raw", allocated_bytes=4 * GiB)),
        level=Level.NOTE,
        target="vda",
        says="never written becomes holes",
    ),
    # domain_checks.home
    Fires(
        code="nvram",
        found=inventory(domain=domain(live_nvram="/pools/slow/web.fd")),
        level=Level.NOTE,
        says="stay at /pools/slow/web.fd, in pool slow: QEMU has them open",
    ),
    Fires(
        code="nvram",
        found=inventory(domain=domain(live_nvram="/nv/web.fd")),
        level=Level.NOTE,
        says="when the guest is off, if they are in a pool: svmove move web --to fast",
    ),
    Fires(code="tpm", found=inventory(domain=domain(tpm="/tpm/u")), level=Level.NOTE, says="/tpm/u"),
    # method_checks
    Fires(
        code="no-synchronous",
        asked=request(method=Method.SYNCHRONOUS),
        found=inventory(versions=Versions(libvirt=7_010_000, qemu=11_000_001)),
        says="libvirt 7.10.0",
    ),
    Fires(code="verify-before", asked=request(verify=Verify.BEFORE, method=Method.MIRROR), says="--verify cutover"),
    Fires(code="verify-before", asked=request(verify=Verify.BEFORE, method=Method.SYNCHRONOUS)),
    Fires(
        code="known-bad",
        found=inventory(versions=Versions(libvirt=9_000_000, qemu=8_002_000), images=images(cluster_bytes=4096)),
        level=Level.WARN,
        target="vda",
        says="QEMU 8.2.0, vda: ",
    ),
    # pool_checks
    Fires(code="no-such-pool", asked=request(to="fats"), says="did you mean fast?"),
    Fires(code="no-such-pool", asked=named(DiskRequest(target="vda", pool="zzz")), says="there are: fast, slow"),
    Fires(
        code="pool-inactive", found=inventory(pools=(pool(active=False), pool("slow"))), says="virsh pool-start fast"
    ),
    Fires(
        code="choose-volume",
        also=THICK,
        found=to_lun(),
        asked=request(),
        target="vda",
        says="name=VOLUME, of unit:0:0:1",
    ),
    Fires(
        code="no-such-volume",
        also=THICK,
        found=to_lun(),
        asked=lun("unit:0:0:2"),
        target="vda",
        says="unit:0:0:1",
    ),
    Fires(
        code="volume-too-small",
        also=THICK,
        found=to_lun(size=1),
        asked=lun(),
        target="vda",
        says="larger",
    ),
    Fires(
        code="volume-read-only",
        also=THICK,
        found=to_lun(read_only=True),
        asked=lun(),
        target="vda",
        says="can't be written",
    ),
    Fires(
        code="used-elsewhere",
        also=THICK,
        found=to_lun(used_by="domain db"),
        asked=lun(),
        target="vda",
        says="domain db",
    ),
    Fires(
        code="not-blank",
        also=THICK,
        found=to_lun(blank=False),
        asked=lun(),
        target="vda",
        says="--overwrite",
    ),
    Fires(code="volume-too-small", also=THICK, found=to_lun(size=0), asked=lun(), target="vda", says="is no disk"),
    Fires(
        code="cannot-open",
        also=THICK,
        found=replace(to_lun(), taken={}, troubles={LUN: f"{LUN} can't be opened: Connection refused"}),
        asked=lun(),
        target="vda",
        says="can't be opened: Connection refused",
    ),
    Fires(
        code="slice",
        found=to_lun(size=5 * GiB),
        asked=lun(),
        level=Level.NOTE,
        also=THICK,
        target="vda",
    ),
    Fires(
        code="no-direct",
        found=inventory(disk(direct=True), buffered=frozenset({"fast"})),
        target="vda",
        says="cache='writeback'",
    ),
    Fires(
        code="reflink",
        found=inventory(shared={"vda": 1 * GiB}),
        level=Level.NOTE,
        target="vda",
        says="1.0 GiB share",
    ),
    Fires(code="thinness", found=to_lun(), asked=lun(), level=Level.NOTE, target="vda", says="thin itself"),
    Fires(
        code="not-allocated",
        found=inventory(pools=(pool(type="rbd"), pool("slow"))),
        asked=request(allocation=Allocation.FULL),
        level=Level.WARN,
        target="vda",
    ),
    Fires(
        code="offline-files",
        found=inventory(domain=OFF, pools=(pool(type="rbd"), pool("slow"))),
        asked=request(format=Format.QCOW2),
        target="vda",
        says="leave --format out",
    ),
    Fires(
        code="offline-files",
        found=chained(domain=domain(live=(), inactive=(ON_LUN,), state=DomainState.OFF)),
        target="vda",
        also=frozenset({"unreadable"}),
        says="--flatten",
    ),
    Fires(code="bad-uri", found=inventory(), asked=request(to="http://host/x"), says="nbd://"),
    Fires(code="bad-uri", found=inventory(), asked=request(to="nbd://me:word@host/x"), says="'nbd://me:***@host/x'"),
    Fires(code="bad-uri", found=inventory(), asked=request(to="nbd:///x"), says="neither a server nor a socket"),
    Fires(code="bad-uri", found=inventory(), asked=request(to="rbd://host/vms/x"), says="name the pool"),
    Fires(
        code="pool-inactive",
        found=inventory(pools=(pool(active=False), pool("slow")), troubles={"fast": "no login"}),
        says="no login mend that",
    ),
    Fires(code="pool-type", found=inventory(pools=(pool(type="gluster"), pool("slow"))), says="gluster"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name="a/b")), target="vda"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name="..")), target="vda"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name=".")), target="vda"),
    Fires(code="bad-name", asked=named(DiskRequest(target="vda", name="a\nb")), target="vda"),
    Fires(
        code="name-taken",
        found=inventory(names={"fast": frozenset({"web-vda.qcow2"}), "slow": frozenset()}),
        target="vda",
        says="--disk vda,name=VOLUME",
    ),
    Fires(code="no-space", found=inventory(pools=(pool(available=GiB + 256 * MiB - 1), pool("slow"))), says="1.0 GiB"),
    Fires(
        code="no-space",
        found=chained(pools=(pool(available=2 * GiB), pool("slow"))),
        asked=request(flatten=True),
        says="needed are 2.0 GiB",
    ),
    Fires(code="not-verified", asked=request(verify=Verify.NONE), level=Level.WARN, says="deleted"),
    Fires(
        code="not-verified", asked=request(verify=Verify.NONE, keep_source=True), level=Level.WARN, says="not compared"
    ),
    Fires(code="no-scratch", found=inventory(scratch_free=GiB - 1), says="paths.scratch"),
    # of what lies below a disk
    Fires(
        code="unsupported-format",
        found=chained(domain=domain(disk(chain=(BASE,), chain_formats=("vmdk",)))),
        target="vda",
        says="--flatten",
    ),
    Fires(code="encrypted", found=chained(images={VDA: image(), BASE: image(encrypted=True)}), target="vda"),
    Fires(
        code="data-file",
        found=chained(images={VDA: image(), BASE: image(data_file="/pools/slow/data.raw")}),
        target="vda",
        says="data.raw",
    ),
    # choice: what nobody named
    Fires(
        code="cdrom", found=inventory(disk(), disk("sda", device="cdrom", path=None)), level=Level.NOTE, target="sda"
    ),
    Fires(code="floppy", found=inventory(disk(), disk("fda", device="floppy")), level=Level.NOTE, target="fda"),
    Fires(code="transient-disk", found=inventory(disk(), disk("vdb", transient=True)), level=Level.WARN, target="vdb"),
    Fires(code="shareable", found=inventory(disk(), disk("vdb", shareable=True)), level=Level.WARN, target="vdb"),
    # planner
    Fires(
        code="nothing-to-move",
        found=inventory(disk("sda", device="cdrom", path=None)),
        also=frozenset({"cdrom"}),
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    found = planned(case.asked, case.found, case.policy).findings
    assert {case.code, *case.also} == {finding.code for finding in found}
    finding = next(finding for finding in found if finding.code == case.code)
    assert (case.level, case.target) == (finding.level, finding.target)
    assert case.says in f"{finding.text} {finding.remedy}"


NOT = [
    ("domain-state", request(), inventory(domain=domain(state=DomainState.PAUSED))),
    ("raw-chain", request(format=Format.RAW, flatten=True), chained()),
    ("internal-snapshots", request(flatten=True), inventory(domain=OFF, images=SNAPPED)),  # there is no chain
    ("internal-snapshots", request(), chained(domain=OFF_CHAINED, images={**SNAPPED, BASE: image()})),
    ("flatten-snapshots", request(), chained(domain=domain(CHAINED, snapshots=("before",)))),
    ("name-taken", request(base=Base.FIND), chained(names={"fast": frozenset({"base.qcow2"})})),
    ("pause-too-short", request(max_pause=0.251), inventory()),
    ("pause-too-short", request(freeze=True), inventory(agent=Agent.ANSWERS)),
    ("no-agent", request(freeze=True), inventory(agent=Agent.ANSWERS)),
    ("no-agent", request(), inventory(agent=Agent.ABSENT)),
    ("iothread", request(), inventory(disk(iothread=True), versions=Versions(libvirt=10_000_000, qemu=9_000_000))),
    ("iothread", request(verify=Verify.NONE), inventory(disk(iothread=True))),
    ("no-discard", request(), inventory()),
    ("no-discard", request(trim=True), inventory(disk(discard="unmap"), agent=Agent.ANSWERS)),
    ("deadline-short", request(deadline=3600.0), inventory()),
    ("cutover-waits", request(at=Moment(at=NOW - 1, zone="UTC")), inventory()),
    ("window-after-deadline", request(at=Moment(at=NOW + 60, zone="UTC"), deadline=3600.0), inventory()),
    ("pool-emptied", request(), inventory(emptied=frozenset({"slow"}))),
    ("affinity", request(), inventory(fleet=(fleet_disk("web/vda", where="slow", uuid=UUID),))),
    ("name-taken", request(), inventory(domain=domain(marker="m-1"), names={"fast": frozenset({"web-vda.qcow2"})})),
    ("no-permission", request(), inventory(domain=domain(live=(), state=DomainState.OFF), can_read_host=False)),
    ("no-such-disk", named(), inventory(domain=domain(live=(), state=DomainState.OFF))),  # "off" says it all
    ("unreadable", request(), inventory(images={}, can_read_host=False)),  # "no-permission" says it all
    ("unsupported-source", request(), inventory(disk(kind=SourceKind.VOLUME, pool="slow", volume="web-vda.qcow2"))),
    ("unsupported-format", request(), inventory(disk(format="raw"))),
    ("block-job", request(), inventory(jobs={"vda": "copy"}, domain=domain(marker="m-1"))),  # ours, said already
    ("block-job", request(), inventory(disk(), disk("sda", device="cdrom"), jobs={"sda": "pull"})),
    ("inactive-differs", request(), inventory(domain=domain(persistent=False, inactive=()))),
    ("inactive-differs", request(), inventory(domain=domain(inactive=(disk(), disk("vdb"))))),
    ("used-elsewhere", request(), inventory(used_elsewhere={"/pools/slow/other.qcow2": "db"})),
    ("read-only", request(keep_source=True), inventory(disk(read_only=True))),
    ("not-in-a-pool", request(keep_source=True), inventory(volumes={})),
    ("checkpoints", request(to="slow"), inventory(domain=domain(checkpoints=(C1,)))),
    ("checkpoints", request(), inventory(domain=domain(checkpoints=(replace(C1, targets=("vdb",)),)))),
    ("bitmaps", request(), inventory(images=images(bitmaps=("mine",)))),  # qcow2 carries them
    (
        "bitmaps",  # libvirt's own, of which "checkpoints" tells
        request(format=Format.RAW),
        inventory(domain=domain(checkpoints=(C1,)), images=images(bitmaps=("c1",))),
    ),
    ("zeroes-stay", request(), inventory(images=images(allocated_bytes=4 * GiB))),
    ("zeroes-stay", request(allocation=Allocation.THIN), inventory()),
    (
        "zeroes-stay",
        request(allocation=Allocation.THIN),
        inventory(disk(detect_zeroes="unmap", discard="unmap"), images=images(allocated_bytes=4 * GiB)),
    ),
    ("nvram", request(to="slow"), inventory(domain=domain(live_nvram="/nv/web.fd"))),
    ("nvram", request(), inventory(domain=domain(live_nvram="/pools/fast/web.fd"))),  # there already
    ("no-synchronous", request(method=Method.SYNCHRONOUS), inventory(versions=Versions(libvirt=8_000_000, qemu=1))),
    ("verify-before", request(method=Method.SNAPSHOT, verify=Verify.BEFORE), inventory()),
    ("known-bad", request(), inventory(versions=Versions(libvirt=9_000_000, qemu=7_002_000))),
    ("pool-inactive", request(), inventory(pools=(pool(), pool("slow"), pool("third", active=False)))),
    ("pool-type", request(), inventory(pools=(pool(type="fs"), pool("slow")))),
    ("pool-type", request(), inventory(pools=(pool(type="netfs"), pool("slow")))),
    ("pool-type", request(), inventory(pools=(pool(), pool("slow"), pool("third", type="gluster")))),
    ("bad-name", named(DiskRequest(target="vda", name="a, b.img")), inventory()),
    ("bad-name", named(DiskRequest(target="vda", name="größe.img")), inventory()),
    ("name-taken", request(), inventory(names={"fast": frozenset({"web-vda"}), "slow": frozenset({"web-vda.qcow2"})})),
    ("no-space", request(), inventory(pools=(pool(available=GiB + 256 * MiB), pool("slow")))),
    ("no-space", request(to="slow"), inventory(pools=(pool(), pool("slow", available=0)))),
    ("no-scratch", request(), inventory(scratch_free=GiB)),
    ("no-scratch", request(verify=Verify.NONE), inventory(scratch_free=0)),
    ("no-scratch", request(to="slow"), inventory(scratch_free=0)),
    (
        "data-file",
        request(flatten=True),
        chained(images={VDA: image(), BASE: image(data_file="/pools/slow/data.raw")}),
    ),
    ("nothing-to-move", request(to="slow"), inventory()),
    ("nothing-to-move", request(), inventory(domain=domain(live=(), state=DomainState.OFF))),
]


@pytest.mark.parametrize(("code", "asked", "found"), NOT, ids=[code for code, _, _ in NOT])
def test_a_check_does_not_fire_where_it_has_no_cause(code: str, asked: Request, found: Inventory) -> None:
    assert code not in {finding.code for finding in planned(asked, found).findings}


def test_a_plain_guest_gives_no_finding_at_all() -> None:
    assert planned().findings == ()
    assert not planned().refused


def test_two_disks_that_would_get_one_name_are_both_told() -> None:
    twins = inventory(disk("vda", path="/pools/slow/x.qcow2"), disk("vdb", path="/pools/other/x.qcow2"))
    twins = replace(twins, names={})
    found = planned(request(), twins).findings
    assert [(one.code, one.target) for one in found] == [("name-twice", "vda"), ("name-twice", "vdb")]


def test_two_disks_of_one_name_in_two_pools_are_none_the_worse() -> None:
    twins = inventory(disk("vda", path="/pools/slow/x.qcow2"), disk("vdb", path="/pools/other/x.qcow2"))
    third = replace(twins, names={}, pools=(pool(), pool("slow"), pool("third")))
    asked = named(DiskRequest(target="vda"), DiskRequest(target="vdb", pool="third"))
    assert planned(asked, third).findings == ()


def test_the_space_of_all_disks_in_a_pool_counts_together() -> None:
    two = replace(inventory(disk(), disk("vdb")), pools=(pool(available=2 * GiB), pool("slow")))
    assert [one.code for one in planned(request(), two).findings] == ["no-space"]


def test_pools_on_one_file_system_count_once_together() -> None:
    small = (pool(available=2 * GiB), pool("slow"), pool("third", available=2 * GiB))
    two = inventory(disk(), disk("vdb"), pools=small)
    asked = named(DiskRequest(target="vda"), DiskRequest(target="vdb", pool="third"))
    assert planned(asked, two).findings == ()
    shared = replace(two, filesystems={"fast": "fs-1", "third": "fs-1", "slow": "fs-2"})
    (finding,) = planned(asked, shared).findings
    assert (finding.code, finding.text.startswith("pools fast and third share")) == ("no-space", True)
    apart = replace(two, filesystems={"fast": "fs-1", "third": "fs-2"})
    assert planned(asked, apart).findings == ()


# Copies that share the source's extents

REFLINK = {"vda": CopyWay.REFLINK, "vda:1": CopyWay.REFLINK}
SNAPSHOT, AT_REST = {"method": Method.SNAPSHOT}, {"domain": OFF}
LITTLE = 256 * MiB + GiB // 64 + 1 * MiB  # the reserve, and the maps of 1 GiB


@dataclass(frozen=True, kw_only=True)
class Shares:
    """What must be free at the destination for a disk with 1 GiB allocated."""

    needed: int
    found: Mapping[str, Any] = field(default_factory=dict)
    asked: Mapping[str, Any] = field(default_factory=dict)


SHARES = {
    "snapshot": Shares(needed=LITTLE, asked=SNAPSHOT),
    "offline": Shares(needed=LITTLE, found=AT_REST),
    "mirror": Shares(needed=GiB + 256 * MiB, asked={"method": Method.MIRROR}),
    "another format": Shares(needed=GiB + 256 * MiB, found=AT_REST, asked={"format": Format.RAW}),
    "another way": Shares(needed=GiB + 256 * MiB, found={**AT_REST, "offloads": {"vda": CopyWay.COPY_RANGE}}),
    # The guest would unshare it by and by, up to all of it.
    "a source that is kept": Shares(needed=GiB + 256 * MiB, found=AT_REST, asked={"keep_source": True}),
    # 10 s of the guest's writes: in both overlays, and once more in the copy.
    "a guest that writes": Shares(
        needed=LITTLE + 3 * 10 * MiB, asked=SNAPSHOT, found={"writes": {"vda": WriteRate(requests=16, bytes=MiB)}}
    ),
    "fully allocated": Shares(
        needed=256 * MiB + 4 * GiB // 64 + 1 * MiB, found={**AT_REST, "images": images(allocated_bytes=4 * GiB)}
    ),
    "to be fully allocated": Shares(needed=LITTLE + 3 * GiB, found=AT_REST, asked={"allocation": Allocation.FULL}),
    # Its base is copied out of process by any method; the top is mirrored.
    "a chain, mirror": Shares(
        needed=GiB + LITTLE,
        asked={"method": Method.MIRROR},
        found={"domain": domain(CHAINED), "images": {VDA: image(), BASE: image()}},
    ),
    "a chain, offline": Shares(
        needed=LITTLE + GiB // 64 + 1 * MiB,
        found={"domain": OFF_CHAINED, "images": {VDA: image(), BASE: image()}},
    ),
    "a chain into one file": Shares(
        needed=2 * GiB + 256 * MiB,
        found={"domain": OFF_CHAINED, "images": {VDA: image(), BASE: image()}},
        asked={"flatten": True},
    ),
}


@pytest.mark.parametrize("case", SHARES.values(), ids=SHARES)
def test_of_a_copy_that_shares_its_extents_little_but_the_reserve_counts(case: Shares) -> None:
    def codes(available: int) -> set[str]:
        pools = (pool(available=available), pool("slow"))
        found = inventory(**{"offloads": REFLINK, "pools": pools, **case.found})
        return {one.code for one in planned(request(**case.asked), found).findings} - {"no-snapshot"}

    assert codes(case.needed) == set()
    assert codes(case.needed - 1) == {"no-space"}


@pytest.mark.parametrize(("room", "codes"), [(4 * GiB, ["no-space"]), (4 * GiB + 256 * MiB, [])])
def test_of_a_volume_that_is_to_be_fully_allocated_all_that_it_can_hold_counts(room: int, codes: list[str]) -> None:
    found = inventory(pools=(pool(available=room), pool("slow")))
    assert codes == [one.code for one in planned(request(allocation=Allocation.FULL), found).findings]


def test_space_is_asked_for_what_a_disk_can_hold_at_most() -> None:
    """A file may be allocated beyond its virtual size (preallocated metadata), the copy will not be."""
    small = inventory(images=images(virtual_bytes=GiB, allocated_bytes=40 * GiB), pools=(pool(available=2 * GiB),))
    assert "no-space" not in {one.code for one in planned(request(), small).findings}
    assert planned(request(), small).copy_bytes == GiB


def test_the_policy_sets_the_reserves_and_the_pause() -> None:
    policy = Policy(move=MovePolicy(max_pause=0.2), space=SpacePolicy(reserve=60 * GiB, scratch_reserve=60 * GiB))
    codes = [one.code for one in planned(request(), inventory(), policy).findings]
    assert codes == ["no-space", "no-scratch", "pause-too-short"]


def test_several_causes_are_all_told_at_once() -> None:
    bad = inventory(disk(), images=images(internal_snapshots=("s1",)), used_elsewhere={VDA: "db"}, scratch_free=0)
    found = planned(request(), bad).findings
    assert {"internal-snapshots", "used-elsewhere", "no-scratch"} == {one.code for one in found}


def test_every_refusal_but_a_few_says_what_to_do() -> None:
    without = {
        one.code
        for case in FIRES
        for one in planned(case.asked, case.found, case.policy).findings
        if one.level is Level.REFUSE and one.remedy is None
    }
    assert without <= {"unsupported-format", "nothing-to-move", "encrypted"}


def _codes_in_the_source() -> set[str]:
    """The codes that the rooms' sources name: refuse("code", ...) and Finding(code="code")."""
    found = set()
    for path in Path(svmove.plan.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or ast.unparse(node.func) not in ("refuse", "Finding"):
                continue
            given = [*node.args[:1], *(word.value for word in node.keywords if word.arg == "code")]
            found |= {str(value.value) for value in given if isinstance(value, ast.Constant)}
    return found


def test_every_code_of_the_plan_is_tried_here() -> None:
    codes = _codes_in_the_source()
    assert len(codes) > 20
    # A pool is always known by the time that the checks run: the request would contradict itself.
    assert codes - {case.code for case in FIRES} == {"name-twice", "no-pool"}


def test_every_check_is_in_the_table_once() -> None:
    assert len(set(CHECKS)) == len(CHECKS)
    written = {
        f"{path.stem}.{node.name}"
        for path in Path(svmove.plan.__file__).parent.glob("*_checks.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }
    assert written == {f"{check.__module__.rpartition('.')[2]}.{check.__name__}" for check in CHECKS}


def test_a_finding_can_not_be_changed() -> None:
    found = planned(request(verify=Verify.NONE)).findings
    assert hash(found[0]) == hash(replace(found[0]))
    assert isinstance(found[0], Finding)
