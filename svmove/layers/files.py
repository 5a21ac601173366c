"""Which files are layers of the policy: found by themselves, or named.

A file in the current folder is never read by itself: whoever may write to some folder would decide how a root who
stands in it moves disks. For the same reason one that is found must belong to whoever runs svmove, or to root.
"""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from svmove.layers.fault import Fault, PolicyError

SYSTEM = "/etc/svmove"
_NAME = "policy.toml"


def layers(environment: Mapping[str, str], named: Path | None) -> tuple[Path, ...]:
    """Lowest first: of the system, of the user, and the one that is `named`, which must be there.

    Raises PolicyError for one that somebody else may write to.
    """
    found = [path for path in found_by_themselves(environment) if _is_there(path)]
    if faults := [fault for path in found if (fault := _unsafe(path)) is not None]:
        raise PolicyError(faults)
    if named is not None and not any(_same(path, named) for path in found):
        found.append(named)
    return tuple(found)


def found_by_themselves(environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Where they would be."""
    found = [Path(environment.get("SVMOVE_ETC") or SYSTEM) / _NAME]
    configuration = environment.get("XDG_CONFIG_HOME", "")
    if configuration.startswith("/"):  # the specification says to ignore others
        found.append(Path(configuration) / "svmove" / _NAME)
    elif (home := environment.get("HOME", "")).startswith("/"):
        found.append(Path(home) / ".config" / "svmove" / _NAME)
    return tuple(found)


def _is_there(path: Path) -> bool:
    """Also one that can't be read, which is told then."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _same(path: Path, other: Path) -> bool:
    try:
        return path.samefile(other)
    except OSError:
        return False


def _unsafe(path: Path) -> Fault | None:
    try:
        found = path.stat()
    except OSError:
        return None
    if found.st_uid not in (0, os.geteuid()):
        text = f"it belongs to user {found.st_uid}, who could decide how svmove moves disks"
        remedy = f"chown it to root, or name it: --policy {path}"
    elif found.st_mode & stat.S_IWOTH:
        text, remedy = "everybody may write to it", f"chmod o-w {path}"
    else:
        return None
    return Fault(layer=str(path), line=None, key=None, text=text, remedy=remedy)
