"""The lab as a whole.

`up` brings about what is missing and leaves what is there, so it repeats, and it also finishes or replaces
what a killed `up` left. `down` takes away what is provably this lab's, and nothing else.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from svmove.lab import check, fill, guest, initramfs, kernel, kvm, lock, pools, report, state, status
from svmove.lab.command import Virsh, find
from svmove.lab.daemon import Daemon
from svmove.lab.errors import LabError
from svmove.lab.paths import LabPaths
from svmove.lab.specs import DOMAIN, LAB_GUEST, POOLS, GuestSpec
from svmove.units import show_size

Say = Callable[[str], None]


def _silent(_text: str) -> None:
    """The default listener of progress."""


@dataclass(frozen=True, slots=True)
class Lab:
    """`connect` is the URI of somebody else's daemon; None for a private one."""

    paths: LabPaths
    connect: str | None = None

    @classmethod
    def open(cls, directory: Path | None = None, *, connect: str | None = None) -> "Lab":
        """The lab at `directory` (default: $SVMOVE_LAB, else /var/lib/svmove-lab), whether it is up or not.

        Raises:
            LabError: a path that can't serve, or a lab that is there and uses another daemon than `connect`.
        """
        paths = LabPaths.at(directory)
        if connect == paths.uri:
            connect = None  # what the lab itself hands out
        if connect == paths.uri:  # SVMOVE_CONNECT is set to this very lab
            connect = None
        known = state.load(paths.state)
        if known is None:
            return cls(paths, connect)
        if connect is not None and connect != known.connect:
            raise LabError(
                f"the lab at {paths.root} uses {known.connect or 'a daemon of its own'}",
                remedy="svmove lab down first, or give the other lab a directory of its own",
            )
        return cls(paths, known.connect)

    @property
    def uri(self) -> str:
        return self.connect or self.paths.uri

    @property
    def daemon(self) -> Daemon:
        """The lab's own daemon. Raises LabError when the lab uses somebody else's: that one is not ours."""
        if self.connect is not None:
            raise LabError(f"{self.connect} is not the lab's own daemon, so the lab does not touch it")
        return Daemon(self.paths)

    @property
    def virsh(self) -> Virsh:
        return Virsh(self.uri)

    @property
    def domain_name(self) -> str:
        return DOMAIN

    @property
    def console(self) -> Path:
        """What lab-guest said; see `report` and `watch`."""
        return self.paths.console(DOMAIN)

    def up(self, say: Say = _silent, *, timeout: float = 90.0) -> status.LabStatus:
        """Daemon, pools, guest; returns when the guest reports writes on each disk.

        Raises:
            LabError: something is missing, a name is somebody else's, or no writes within `timeout` seconds
                of the guest's start.
        """
        _demand_programs()
        with lock.held(self.paths.lock):
            self.paths.make()
            state.save(self.paths.state, state.load(self.paths.state) or state.State(connect=self.connect))
            # The daemon's first look at QEMU takes 4 s: time enough for kernel and initramfs.
            with ThreadPoolExecutor(max_workers=1) as aside:
                boot = aside.submit(self._boot_files, say)
                self.start_daemon(say)
                for name in POOLS:
                    pools.ensure(self.virsh, name, self.paths.pool(name))
                boot.result()
            offset = report.read(self.console)[1]
            self.add_guest(LAB_GUEST, say)
            self._await_writes([disk.target for disk in LAB_GUEST.disks], offset, timeout, samples=1)
        return self.status()

    def start_daemon(self, say: Say = _silent) -> None:
        """The private daemon, when it is not running; adopts the guests that run already. Raises LabError."""
        if self.connect is not None:
            if not self.virsh.answers():
                raise LabError(f"nothing answers at {self.connect}", remedy="start that daemon")
        else:
            if self.daemon.pid() is None:
                say(f"starting a libvirt daemon of the lab's own: {self.uri}")
            self.daemon.start(self._accelerator())
        self.paths.uri_file.write_text(self.uri + "\n")

    def add_guest(self, spec: GuestSpec, say: Say = _silent) -> None:
        """Makes and starts a guest as `spec` says, or starts the one that is defined already. The lab's
        daemon and pools must be up. `down` removes it as well.

        Raises:
            LabError: a foreign domain has the name, or libvirt said no.
        """
        virsh = self.virsh
        if spec.name not in virsh.names("list", "--all"):
            self._define(spec, say)
        elif (owner := guest.directory_of(virsh, spec.name)) != str(self.paths.root):
            raise LabError(
                f"there is a domain {spec.name} already, and it is not this lab's",
                remedy=f"it is the lab's at {owner}: end that one first" if owner else "rename that domain",
            )
        match virsh("domstate", spec.name):
            case "running":
                return
            case "paused":
                virsh("resume", spec.name)
            case _:
                say(f"{spec.name}: starting ({'KVM' if self._accelerator() is kvm.Kvm.USABLE else 'TCG'})")
                virsh("start", spec.name)

    def remove_guest(self, name: str) -> None:
        """Ends and forgets one guest, if it is this lab's; its volumes go with the lab. Raises LabError."""
        virsh = self.virsh
        known = name in virsh.names("list", "--all")
        if not known or guest.directory_of(virsh, name) != str(self.paths.root):
            return
        if virsh("domstate", name) != "shut off":
            virsh("destroy", name)
        virsh("undefine", name, "--managed-save", "--snapshots-metadata", "--checkpoints-metadata", "--nvram")

    def fetch(self, say: Say = _silent) -> None:
        """What `up` wants from outside, into the cache: for a lab whose network leads nowhere. Raises LabError."""
        with lock.held(self.paths.cache_lock):
            initramfs.provide(kernel.provide(self.paths.cache, say), self.paths.cache)

    def down(self, say: Say = _silent, *, keep_cache: bool = False) -> None:
        """Takes away the lab's guests, pools, daemon and files; nothing of it is left.

        `keep_cache` leaves the downloaded kernel for the next `up` (about 200 MiB in /var/cache/svmove-lab).

        Raises:
            LabError: a process does not end, or a foreign daemon does not give back what is ours.
        """
        with lock.held(self.paths.lock):
            if self.connect is not None and self.paths.root.exists():
                self._leave_foreign_daemon()
            # The guests of a private daemon just end with it: nobody will miss their last write.
            Daemon(self.paths).end_all()
            if self.paths.root.exists():
                shutil.rmtree(self.paths.root)
                say(f"{self.paths.root} is gone, and all that ran in it")
            if not keep_cache and self.paths.cache.exists():
                with lock.held(self.paths.cache_lock):
                    shutil.rmtree(self.paths.cache, ignore_errors=True)

    def status(self) -> status.LabStatus:
        """What is there now; changes nothing. Raises LabError when a daemon stops answering meanwhile."""
        exists = self.paths.state.exists()
        pid = Daemon(self.paths).pid() if self.connect is None else None
        reachable = exists and (pid is not None or self.connect is not None) and self.virsh.answers()
        if not reachable:
            return status.LabStatus(root=self.paths.root, uri=self.uri, exists=exists, daemon=pid)
        return status.ask(self.virsh, self.paths, pid)

    def check(self, *, timeout: float = 15.0) -> check.CheckResult:
        """Proves that the guest wrote since the last check and read back everything as it had written it.

        Waits up to `timeout` seconds until each disk's writes are seen to grow: 1 to 3 s when all is well.

        Raises:
            LabError: no lab, the guest does not write, a block was not what had been written, or the writes
                do not reach the disk.
        """
        known, now = state.load(self.paths.state), self.status()
        if known is None or not now.running:
            raise LabError(f"{DOMAIN} is {now.guest or 'not there'}", remedy="svmove lab up")
        targets = [disk.target for disk in now.disks]
        before = {target: self._write_requests(target) for target in targets}
        self._await_writes(targets, report.read(self.console)[1], timeout, samples=2)
        reached = {target: self._write_requests(target) - before[target] for target in targets}
        last = known.checked
        lines, offset = report.read(self.console, last.offset if last else 0)
        disks = check.judge(lines, last, reached)
        at = time.time()
        checked = check.remember(lines, offset, at)
        state.save(self.paths.state, known.model_copy(update={"checked": checked}))
        return check.CheckResult(disks=disks, since=at - last.at if last else None)

    def _define(self, spec: GuestSpec, say: Say) -> None:
        files, direct = {}, fill.supports_direct(self.paths.root)
        for disk in spec.disks:
            say(f"{spec.name} {disk.target}: {show_size(disk.capacity)} {disk.format} in {disk.pool}")
            files[disk.target] = guest.make_volume(self.virsh, spec.name, disk, direct=direct)
        definition = guest.domain_xml(
            spec,
            self.paths,
            files,
            domain_type=self._accelerator().domain_type,
            boot=self._boot_files(say) if spec.operating_system else None,
            direct=direct,
        )
        self.virsh.define("define", definition)

    def _accelerator(self) -> kvm.Kvm:
        found = kvm.probe()
        if found is kvm.Kvm.USABLE and self.connect is not None:
            try:
                self.virsh("domcapabilities", "--virttype", "kvm")
            except LabError:
                return kvm.Kvm.ABSENT
        return found

    def _boot_files(self, say: Say) -> guest.Boot:
        """Copies of the lab's own: libvirt changes the owner of what it boots."""
        boot = guest.Boot(kernel=self.paths.boot / "vmlinuz", initramfs=self.paths.boot / "initramfs")
        if not (boot.kernel.exists() and boot.initramfs.exists()):
            with lock.held(self.paths.cache_lock):
                found = kernel.provide(self.paths.cache, say)
                _copy(initramfs.provide(found, self.paths.cache), boot.initramfs)
                _copy(found.image, boot.kernel)
            say(f"guest kernel {found.version}, with an initramfs of busybox, fio and qemu-ga")
        return boot

    def _await_writes(self, targets: Iterable[str], offset: int, timeout: float, *, samples: int) -> None:
        """Until each disk has `samples` reports after `offset` bytes of console, and wrote."""
        deadline = time.monotonic() + timeout
        while True:
            lines, _ = report.read(self.console, offset)
            silent = [target for target in targets if not _writes(lines, target, samples)]
            dead = [line.reason for line in lines if isinstance(line, report.Dead)]
            if not silent:
                return
            if dead or time.monotonic() > deadline:
                why = dead[0] if dead else f"no writes reported on {', '.join(silent)} in {timeout:.0f} s"
                raise LabError(f"{DOMAIN}: {why}", remedy=f"see its console, {self.console}")
            time.sleep(0.05)

    def _write_requests(self, target: str) -> int:
        """What QEMU counted on that disk, since the guest's start."""
        for line in self.virsh("domblkstat", DOMAIN, target).splitlines():
            if " wr_req " in line:
                return int(line.split()[-1])
        return 0

    def _leave_foreign_daemon(self) -> None:
        virsh = self.virsh
        if not virsh.answers():
            raise LabError(
                f"nothing answers at {self.uri}, which may still have this lab's guest and pools",
                remedy="start that daemon, then again",
            )
        for name in virsh.names("list", "--all"):
            self.remove_guest(name)
        for name, directory in pools.directories(virsh, POOLS).items():
            if directory == self.paths.pool(name):
                pools.remove(virsh, name)


def _writes(lines: Iterable[report.Line], target: str, samples: int) -> bool:
    found = [line for line in lines if isinstance(line, report.Sample) and line.job == target]
    return len(found) >= samples and found[-1].writes > (found[0].writes if samples > 1 else 0)


def _copy(source: Path, target: Path) -> None:
    scratch = target.with_name(target.name + ".new")
    shutil.copyfile(source, scratch)
    scratch.rename(target)


def _demand_programs() -> None:
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes a mount namespace and volumes", remedy="run it with sudo")
    needed = ("virsh", "qemu-img", f"qemu-system-{os.uname().machine}", "cpio", "unshare", "setsid")
    if missing := [name for name in needed if find(name) is None]:
        raise LabError(f"not installed: {', '.join(missing)}", remedy="run scripts/bootstrap")
