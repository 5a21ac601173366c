"""A libvirt daemon of the lab's own, in a mount namespace of its own.

Invariants:
- Inside the namespace, and only there, the lab's folders lie over /run and libvirt's compiled-in
  directories. So no definition, socket, pid file, lock or log of a daemon that serves the machine is ever
  seen or written; no D-Bus (so no machined, polkit, firewalld); no default network, so no bridge, dnsmasq
  or firewall rule.
- A process is the lab's when it proves so: its /run is the lab's run/, or its arguments name the lab's
  config. No pid file is believed, so no pid that was given to somebody else is ever signalled.
- The daemon and the guests outlive whoever started them, and the guests outlive the daemon.
"""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from svmove.lab.command import ENVIRONMENT, Virsh, find
from svmove.lab.errors import LabError
from svmove.lab.kvm import Kvm
from svmove.lab.paths import LabPaths

# `slave`: what the host mounts or unmounts later (where it shares its mounts at all) is seen inside,
# nothing that is mounted inside is seen outside. `mount -n`: no traces in /run/mount/utab.
# Without the cgroup mounts libvirt leaves cgroups alone: two labs would else both want
# machine/qemu-1-lab-guest. udev's database, and LVM's and everybody's locks, must stay the machine's.
# /dev/kvm is replaced by a file that nobody may open where KVM does not work, because a half-working one
# makes libvirt probe QEMU again at each definition (20 to 50 s instead of 0.03 s).
_NAMESPACE = r"""
set -eu
root=$1 kvm=$2
shift 2
for shared in udev lock lvm; do
    if [ -d "/run/$shared" ]; then
        mkdir -p "$root/run/$shared"
        mount -n --rbind "/run/$shared" "$root/run/$shared"
    fi
done
mount -n --rbind "$root/run" /run
mkdir -p /run/libvirt
mount -n --bind "$root/etc" /etc/libvirt
mount -n --bind "$root/lib" /var/lib/libvirt
mount -n --bind "$root/cache" /var/cache/libvirt
mount -n --bind "$root/log" /var/log/libvirt
umount -n -R /sys/fs/cgroup 2>/dev/null || :
if [ -e /dev/kvm ]; then
    mkdir -p /run/svmove-lab
    mount -n -t tmpfs -o mode=0755,size=64k tmpfs /run/svmove-lab
    if [ "$kvm" = usable ]; then
        mknod -m 0666 /run/svmove-lab/kvm c 10 232
    else
        : > /run/svmove-lab/kvm
        chmod 0000 /run/svmove-lab/kvm
    fi
    mount -n --bind /run/svmove-lab/kvm /dev/kvm
fi
exec "$@"
"""

_LIBVIRTD_CONF = """\
unix_sock_dir = "{run}"
unix_sock_group = "root"
unix_sock_rw_perms = "0770"
auth_unix_ro = "none"
auth_unix_rw = "none"
log_outputs = "3:file:{log}"
"""

# namespaces: QEMU must see the disks as the daemon does. stdio_handler: there is no virtlogd.
_QEMU_CONF = """\
namespaces = []
stdio_handler = "file"
security_driver = "none"
cgroup_controllers = []
"""

_BOUND = ("/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt")


@dataclass(frozen=True, slots=True)
class Daemon:
    paths: LabPaths

    @property
    def uri(self) -> str:
        return self.paths.uri

    def pid(self) -> int | None:
        """The process id of the running daemon, proven to be this lab's."""
        for pid in self.processes():
            argv = _argv(pid)
            if argv and Path(argv[0]).name == "libvirtd" and str(self.paths.config) in argv:
                return pid
        return None

    def start(self, kvm: Kvm, *, timeout: float = 30.0) -> None:
        """Returns when the daemon answers; does nothing when it already does.

        Raises:
            LabError: no monolithic libvirtd here, no right to make a namespace, or no answer in `timeout` s.
        """
        if self.pid() is None:
            _demand_libvirtd()
            self._configure()
            self.paths.socket.unlink(missing_ok=True)
            with self._log.open("ab") as log:
                subprocess.run(
                    # An orphan at once, so that no caller has to wait for it or is waited for.
                    ["setsid", "--fork", *self._command(kvm)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    check=True,
                    cwd="/",
                    env=ENVIRONMENT,
                )
        deadline = time.monotonic() + timeout
        while not (self.paths.socket.exists() and Virsh(self.uri).answers(timeout=timeout)):
            if time.monotonic() > deadline:
                raise LabError(
                    f"the lab's libvirtd does not answer on {self.paths.socket}: {self._last_words()}",
                    remedy=f"see {self._log} and {self.paths.root / 'log'}; a container needs CAP_SYS_ADMIN",
                )
            time.sleep(0.02)

    def stop(self, *, timeout: float = 15.0) -> None:
        """Ends the daemon in an orderly way; its guests run on. Does nothing when there is none."""
        self._end(signal.SIGTERM, timeout)

    def kill(self) -> None:
        """SIGKILL, as a crash would be; its guests run on. Does nothing when there is none."""
        self._end(signal.SIGKILL, 15.0)

    def processes(self) -> Iterator[int]:
        """Every live process of this lab: the daemon, its helpers, the guests' QEMUs."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal() or int(entry.name) == os.getpid():
                continue
            with suppress(OSError):
                pid = int(entry.name)
                if (self._inside(pid) or self._names_us(pid)) and _alive(pid):
                    yield pid

    def end_all(self, *, timeout: float = 20.0) -> None:
        """Ends the daemon first, then every guest and helper. Raises LabError when one does not go."""
        self.stop()
        deadline = time.monotonic() + timeout
        while left := list(self.processes()):
            if time.monotonic() > deadline:
                raise LabError(f"processes of the lab do not end: {left}", remedy=f"kill -9 {left[0]}, then again")
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)

    def _command(self, kvm: Kvm) -> list[str]:
        """Guests that outlived their daemon keep its namespaces: the next one joins them there, else what is mounted
        for one of both, or reached by it, would be missing for the other."""
        daemon = ["libvirtd", "--config", str(self.paths.config), "--pid-file", str(self.paths.run / "libvirtd.pid")]
        if (guest := next(filter(self._inside, self.processes()), None)) is not None:
            return ["nsenter", f"--mount=/proc/{guest}/ns/mnt", f"--net=/proc/{guest}/ns/net", *daemon]
        made = ["unshare", "--mount", "--propagation", "slave", "sh", "-c", _NAMESPACE]
        return [*made, "svmove-lab", str(self.paths.root), kvm.value, *daemon]

    def _inside(self, pid: int) -> bool:
        """Whether its /run is the lab's; not of one that is gone."""
        with suppress(OSError):
            return os.path.samestat(Path(f"/proc/{pid}/root/run").stat(), self.paths.run.stat())
        return False

    def _names_us(self, pid: int) -> bool:
        """The proofs that are left before the mounts, and after somebody removed the directory by hand."""
        if str(self.paths.config) in _argv(pid):
            return True
        for line in Path(f"/proc/{pid}/mountinfo").read_text(errors="replace").splitlines():
            mounted, point = line.split()[3:5]
            # The first is a path inside its file system, which may itself be mounted on a parent of ours.
            path = mounted.removesuffix("//deleted")
            if point == "/run" and path.endswith(f"/{self.paths.root.name}/run"):
                return str(self.paths.run).endswith(path)
        return False

    @property
    def _log(self) -> Path:
        return self.paths.root / "log" / "start.log"

    def _last_words(self) -> str:
        try:
            return (self._log.read_text(errors="replace").strip().splitlines() or ["no message"])[-1]
        except OSError as error:
            return str(error)

    def _configure(self) -> None:
        self.paths.make()
        log = self.paths.root / "log" / "libvirtd.log"
        self.paths.config.write_text(_LIBVIRTD_CONF.format(run=self.paths.run, log=log))
        (self.paths.etc / "qemu.conf").write_text(_QEMU_CONF)

    def _end(self, number: signal.Signals, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        while (pid := self.pid()) is not None:
            if time.monotonic() > deadline:
                if number == signal.SIGKILL:
                    raise LabError(f"the lab's libvirtd, process {pid}, does not end")
                number, deadline = signal.SIGKILL, time.monotonic() + timeout
            with suppress(ProcessLookupError):
                os.kill(pid, number)
            for _ in range(100):
                if not _alive(pid):
                    break
                time.sleep(0.02)


def _demand_libvirtd() -> None:
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it makes a mount namespace", remedy="run it with sudo")
    if find("libvirtd") is None:
        if find("virtqemud") is not None:
            raise LabError(
                "only modular libvirt daemons are installed; a private daemon needs the monolithic libvirtd",
                remedy="install libvirtd, or use the running daemon: svmove lab up --connect qemu:///system",
            )
        raise LabError("libvirtd is not installed", remedy="run scripts/bootstrap")
    if missing := [directory for directory in _BOUND if not Path(directory).is_dir()]:
        raise LabError(f"{', '.join(missing)} is missing", remedy="apt-get install libvirt-daemon-system")


def _argv(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _alive(pid: int) -> bool:
    """A zombie is dead: where nothing reaps orphans, its entry stays for a while."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
