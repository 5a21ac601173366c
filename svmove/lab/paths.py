"""Where everything of one lab lies: below one directory, so that its end is the directory's end.

The QEMU user is not root, so the directory must be one that others can traverse: not below /root or a
clone in somebody's 0700 home.
"""

import os
from dataclasses import dataclass
from pathlib import Path

from svmove.lab.errors import LabError

DEFAULT_ROOT = Path("/var/lib/svmove-lab")
DEFAULT_CACHE = Path("/var/cache/svmove-lab")

# sun_path holds 108 bytes with the final NUL; libvirtd appends "-admin-sock" and the like below run/.
_LONGEST_ROOT = 107 - len("/run/libvirt-admin-sock")


@dataclass(frozen=True, slots=True, kw_only=True)
class LabPaths:
    """Absolute, without symbolic links: QEMU and libvirt compare paths as text."""

    root: Path
    cache: Path = DEFAULT_CACHE

    @classmethod
    def at(cls, root: Path | None = None) -> "LabPaths":
        """The lab at `root`, else at $SVMOVE_LAB, else at /var/lib/svmove-lab.

        Raises:
            LabError: too long for a UNIX socket, or a character that a config file or URI can't carry.
        """
        chosen = (root or Path(os.environ.get("SVMOVE_LAB") or DEFAULT_ROOT)).absolute().resolve()
        if len(os.fsencode(chosen)) > _LONGEST_ROOT:
            raise LabError(
                f"{chosen} is too long: a UNIX socket's path has at most 107 bytes",
                remedy=f"choose a lab directory of at most {_LONGEST_ROOT} bytes",
            )
        if any(character in str(chosen) for character in " \"'?&#%,:\\") or chosen == Path("/"):
            raise LabError(f"{str(chosen)!r} can't be a lab directory", remedy="use letters, digits, / - _ .")
        return cls(root=chosen, cache=Path(os.environ.get("SVMOVE_LAB_CACHE") or DEFAULT_CACHE))

    @property
    def state(self) -> Path:
        return self.root / "lab.json"

    @property
    def lock(self) -> Path:
        """Beside the root, because the root comes and goes under the lock."""
        return self.root.with_name(self.root.name + ".lock")

    @property
    def cache_lock(self) -> Path:
        return self.cache.with_name(self.cache.name + ".lock")

    @property
    def etc(self) -> Path:
        return self.root / "etc"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def config(self) -> Path:
        return self.etc / "libvirtd.conf"

    @property
    def socket(self) -> Path:
        return self.run / "libvirt-sock"

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.socket}"

    @property
    def uri_file(self) -> Path:
        return self.root / "uri"

    @property
    def boot(self) -> Path:
        """The guest's kernel and initramfs."""
        return self.root / "boot"

    @property
    def consoles(self) -> Path:
        """One file a guest: what it wrote to its serial port, over all its boots."""
        return self.root / "console"

    def console(self, domain: str) -> Path:
        return self.consoles / f"{domain}.log"

    def pool(self, name: str) -> Path:
        return self.root / "pools" / name

    def make(self) -> None:
        """Raises LabError when the QEMU user could not reach the directory."""
        for parent in self.root.parents:
            if parent.exists() and not parent.stat().st_mode & 0o001:
                raise LabError(
                    f"QEMU's user can't enter {parent}, so a lab at {self.root} can't work",
                    remedy=f"choose another lab directory, such as {DEFAULT_ROOT}",
                )
        for directory in (self.root, *(self.root / name for name in ("etc", "run", "lib", "cache", "log"))):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
        for directory in (self.boot, self.consoles, self.root / "pools"):
            directory.mkdir(mode=0o755, exist_ok=True)
