"""What all modules have in common, of their documentation."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  executable:
    description:
      - The C(svmove) to run on the hypervisor, as a path or as a name that is looked for in C(PATH).
    type: str
    default: svmove
  uri:
    description:
      - The URI of the hypervisor's libvirt daemon.
      - Without it C(SVMOVE_CONNECT), else C(LIBVIRT_DEFAULT_URI), else V(qemu:///system).
    type: str
  policy:
    description:
      - A policy file on the hypervisor, over those of C(/etc/svmove) and of the user.
    type: path
  journal:
    description:
      - Where moves are recorded, such as V(postgresql://svmove@db/svmove), which a fleet shares.
      - Without it C(SVMOVE_JOURNAL), else a file on the hypervisor.
      - It reaches C(svmove) through its environment, never in its argument list, and is kept out of all logs.
        A password is better kept in O(journal_passfile) all the same.
    type: str
  journal_passfile:
    description:
      - A password file of libpq (C(~/.pgpass) form) on the hypervisor, readable by its owner alone.
    type: path
requirements:
  - svmove on the hypervisor, see the role P(svmove.svmove.install#role)
"""

    ATTRIBUTES = r"""
options: {}
attributes:
  check_mode:
    description: Can run in check mode, and says then what would change, without a change.
  diff_mode:
    description: Tells what has changed, or would change in check mode, when in diff mode.
  async:
    description: Can be run with C(async). When its time is over the move is left, and the next run takes it up.
  platform:
    description: The systems that it can be used on.
    support: full
    platforms: linux
"""
