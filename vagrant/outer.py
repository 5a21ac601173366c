"""A libvirt for vagrant where the system runs none (no systemd, a container): a daemon of the lab's kind.

outer.py up FOLDER      prints its URI
outer.py down FOLDER    ends it, its machines and its networks, and removes FOLDER
"""

import sys
from contextlib import suppress
from pathlib import Path

from svmove.lab import Lab
from svmove.lab.errors import LabError
from svmove.lab.lock import held


def up(lab: Lab) -> None:
    with held(lab.paths.lock):
        lab.paths.make()
        lab.start_daemon()
    print(lab.uri)


def down(lab: Lab) -> None:
    """Networks first: their bridges and firewall rules are the machine's, and outlive the daemon."""
    if lab.paths.root.exists():
        for name in lab.virsh.names("net-list") if lab.virsh.answers() else ():
            with suppress(LabError):
                lab.virsh("net-destroy", name)
    lab.down(keep_cache=True)


if __name__ == "__main__":
    {"up": up, "down": down}[sys.argv[1]](Lab.open(Path(sys.argv[2])))
