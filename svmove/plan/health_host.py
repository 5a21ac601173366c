"""Lines on libvirt, QEMU, and the machine that they run on."""

from collections.abc import Iterator

from svmove import addresses
from svmove.health import Facts, HostFacts, Line, Mark
from svmove.host.premises import COMMANDS
from svmove.plan.faults import FLOOR, Component, Concerns, Fault, of, show
from svmove.plan.known_bad import FAULTS, remedy
from svmove.units import show_size

_KVM = "/dev/kvm"
# Of a pool of Ceph alone, and without it only the quota is not known.
_OPTIONAL = {"ceph": "rbd"}
# Of a host that is reached by SSH alone: by it a guest goes on there when the connection breaks in its pause.
_FAR = "virsh"


def _known(facts: Facts) -> HostFacts | None:
    """None: nothing is known of the machine, which is told once."""
    return facts.host if facts.host is not None and facts.host.trouble is None else None


def libvirt(facts: Facts) -> Iterator[Line]:
    found = facts.libvirt
    if found.unreachable is not None:
        text, way_out = found.unreachable.text, found.unreachable.remedy
        yield Line(mark=Mark.PROBLEM, subject="libvirt", code="libvirt-unreachable", seen=text, remedy=way_out)
        return
    guests = f"{found.guests} guest" + ("" if found.guests == 1 else "s")
    yield Line(mark=Mark.OK, subject="libvirt", code="libvirt", seen=f"{found.uri} answers; it has {guests}")
    if found.setup.driver != "QEMU":
        yield Line(
            mark=Mark.PROBLEM,
            subject="libvirt",
            code="not-qemu",
            seen=f"it is of the driver {found.setup.driver}, and svmove moves disks of QEMU's guests alone",
            remedy="name another daemon: --connect qemu:///system",
        )
    if facts.host is not None and facts.host.trouble is not None:
        text, way_out = facts.host.trouble.text, facts.host.trouble.remedy
        yield Line(mark=Mark.PROBLEM, subject="host", code="host", seen=text, remedy=way_out)


def versions(facts: Facts) -> Iterator[Line]:
    """Against the floor, and against the rows of the table of faults that the versions alone decide."""
    for component in Component:
        number = of(component, facts.libvirt.versions)
        if not number or (component is Component.QEMU and facts.libvirt.setup.driver != "QEMU"):
            continue
        subject, name = component.value, f"{component} {show(number)}"
        if number < FLOOR[component]:
            seen = f"{name} is older than anything that svmove has been tried with ({show(FLOOR[component])})"
            yield Line(mark=Mark.WARNING, subject=subject, code="old-version", seen=seen, remedy=f"upgrade {component}")
        faults = [f for f in FAULTS if f.component is component and f.in_version(facts.libvirt.versions)]
        if number >= FLOOR[component]:
            clean = "" if faults else ", of which no fault is known that concerns moves"
            yield Line(mark=Mark.OK, subject=subject, code="version", seen=name + clean)
        every = [fault for fault in faults if fault.concerns is Concerns.EVERY]
        some = [fault for fault in faults if fault.concerns is not Concerns.EVERY]
        yield from (_fault(fault, name) for fault in every)
        if some:
            yield Line(
                mark=Mark.NOTE,
                subject=subject,
                code="known-bad-for-some",
                seen=f"{name} has {len(some)} known faults that concern some disks only: "
                + "; ".join(dict.fromkeys(fault.concerns.value for fault in some)),
                remedy="svmove plan tells of each that a move would meet; your distribution may have backported fixes",
            )


def _fault(fault: Fault, name: str) -> Line:
    return Line(
        mark=Mark.WARNING if fault.methods else Mark.NOTE,
        subject=fault.component.value,
        code="known-bad",
        seen=f"{name}: {fault.text} (fixed in {fault.fixed})" + ("" if fault.methods else "; of no move of svmove's"),
        remedy=remedy(fault),
    )


def commands(facts: Facts) -> Iterator[Line]:
    if (host := _known(facts)) is None:
        return
    types = {one.pool.type for one in facts.pools}
    for command in host.missing:
        needed = _OPTIONAL.get(command)
        if command == _FAR and not addresses.is_remote(facts.libvirt.uri):
            continue
        if needed is not None and needed not in types:
            continue
        yield Line(
            mark=Mark.PROBLEM if needed is None else Mark.NOTE,
            subject="commands",
            code="command-missing",
            seen=f"{command} is not installed" + (f": the quota of {needed} pools is not known" if needed else ""),
            remedy=f"apt-get install {COMMANDS[command]}",
        )
    if not set(host.missing) - set(_OPTIONAL) - (set() if addresses.is_remote(facts.libvirt.uri) else {_FAR}):
        there = [command for command in COMMANDS if command not in host.missing]
        yield Line(mark=Mark.OK, subject="commands", code="commands", seen=f"installed: {', '.join(there)}")


def user(facts: Facts) -> Iterator[Line]:
    if (host := _known(facts)) is None:
        return
    if host.looks_into_qemu:
        yield Line(mark=Mark.OK, subject="user", code="user", seen="it may look into QEMU's processes and their images")
        return
    yield Line(
        mark=Mark.PROBLEM,
        subject="user",
        code="no-permission",
        seen="it may not look into QEMU's processes and their images: of a guest that runs nothing could be proven",
        remedy="run svmove as root (sudo)",
    )


def kvm(facts: Facts) -> Iterator[Line]:
    """With a node that libvirt can open, and QEMU's user can't, each start and definition probes QEMU anew (50 s)."""
    host, setup = _known(facts), facts.libvirt.setup
    if host is None:
        return
    if setup.kvm and host.kvm_node and host.kvm_open is False:
        yield Line(
            mark=Mark.WARNING,
            subject="kvm",
            code="kvm-shut",
            seen=f"libvirt can open {_KVM}, QEMU's user can't: each start and definition probes QEMU anew, some 50 s",
            remedy=f"chgrp kvm {_KVM} && chmod 660 {_KVM}, and restart libvirtd",
        )
    elif setup.kvm and host.kvm_node:
        yield Line(mark=Mark.OK, subject="kvm", code="kvm", seen=f"libvirt has KVM, and QEMU's user may open {_KVM}")
    else:
        seen = "libvirt has no KVM here: guests are emulated, and move all the same"
        yield Line(mark=Mark.OK, subject="kvm", code="no-kvm", seen=seen)


def confinement(facts: Facts) -> Iterator[Line]:
    """Where a security driver watches QEMU: nobody has tried svmove there, so the hint is all that there is."""
    scratch = facts.host.scratch if facts.host else ""
    for driver in facts.libvirt.setup.confined_by:
        rules = {
            "apparmor": f"if a verification says so: add '{scratch}/** rwk,' to "
            "/etc/apparmor.d/local/abstractions/libvirt-qemu",
            "selinux": f"if a verification says so: semanage fcontext -a -t svirt_image_t '{scratch}(/.*)?' && "
            f"restorecon -R {scratch}",
        }
        if driver not in rules:
            continue
        yield Line(
            mark=Mark.NOTE,
            subject="security",
            code="confined",
            seen=f"{driver} watches over QEMU; it may keep it from the scratch folder {scratch} (Permission denied)",
            remedy=rules[driver],
        )


def scratch(facts: Facts) -> Iterator[Line]:
    if (host := _known(facts)) is None or not host.scratch:
        return
    needed, subject, bad = 2 * facts.policy.space.scratch_reserve, f"scratch {host.scratch}", False
    if host.scratch_free < needed:
        bad = True
        yield Line(
            mark=Mark.PROBLEM,
            subject=subject,
            code="no-scratch",
            seen=f"{show_size(host.scratch_free)} free for the verification's scratch files; needed are "
            f"{show_size(needed)}",
            remedy="free some, or set paths.scratch in the policy",
        )
    if host.scratch_open is False:
        bad = True
        yield Line(
            mark=Mark.PROBLEM,
            subject=subject,
            code="scratch-shut",
            seen="QEMU's user can't get there, and it writes what a guest overwrites while it is compared",
            remedy=f"let it through, on each folder of the way: chmod o+x {host.scratch}; or set paths.scratch in the "
            "policy",
        )
    if host.scratch_kind in ("tmpfs", "ramfs"):
        yield Line(
            mark=Mark.NOTE,
            subject=subject,
            code="scratch-in-memory",
            seen=f"it is on {host.scratch_kind}: what guests overwrite while they are compared takes the host's memory",
            remedy="set paths.scratch in the policy to a folder on a disk",
        )
    if not bad:
        yield Line(
            mark=Mark.OK,
            subject=subject,
            code="scratch",
            seen=f"{show_size(host.scratch_free)} free on {host.scratch_kind or 'its file system'}"
            + (", and QEMU's user gets there" if host.scratch_open else ""),
        )
