"""What the machine has and lets QEMU's user do, by commands alone."""

import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence

from svmove.errors import HostError
from svmove.host.command import run

# Each command that this room runs → the Debian package that has it.
COMMANDS = {
    "qemu-img": "qemu-utils",
    "qemu-io": "qemu-utils",
    "dd": "coreutils",
    "stat": "coreutils",
    "sync": "coreutils",
    "test": "coreutils",
    "fallocate": "util-linux",
    "setpriv": "util-linux",
    "ceph": "ceph-common",
    "virsh": "libvirt-clients",  # of another host alone
}


class Premises:
    def missing(self, commands: Sequence[str]) -> tuple[str, ...]:
        return tuple(command for command in commands if shutil.which(command) is None)

    def may_use(self, path: str, uid: int, gid: int, how: str) -> bool | None:
        """The kernel is asked, as that user: access lists and groups count, and so does a server that squashes root."""
        if os.geteuid() not in (0, uid):
            return None
        groups = "--init-groups" if _is_known(uid) else "--clear-groups"
        become = ["setpriv", f"--reuid={uid}", f"--regid={gid}", groups, "--"] if os.geteuid() == 0 else []
        try:
            found = [_ended_well([*become, "test", f"-{letter}", path]) for letter in how]
        except (OSError, subprocess.TimeoutExpired):
            return None
        return None if None in found else all(found)

    def filesystem_kind(self, path: str) -> str | None:
        try:
            return run(["stat", "--file-system", "--format=%T", "--", path], timeout=10.0).strip()
        except HostError:
            return None


def _ended_well(argv: Sequence[str]) -> bool | None:
    """What test(1) says. None: it was not asked."""
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, timeout=10.0, check=False)
    return {0: True, 1: False}.get(done.returncode) if not done.stderr else None


def _is_known(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True
