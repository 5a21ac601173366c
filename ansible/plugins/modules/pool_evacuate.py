#!/usr/bin/python
"""A storage pool is empty, or takes disks again."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_evacuate
short_description: Empty a storage pool, while its guests run
description:
  - Moves all disks that lie in a pool to others, in an order in which they fit, each guest by a move of its own, live
    and with every byte proven.
  - The pool is marked, so that nothing new is placed there by svmove, until it is opened again with O(state=open).
  - What can't move is told before anything is begun in check mode, and in any case at the end.
  - Run once more after an interruption, it goes on.
extends_documentation_fragment:
  - svmove.svmove.svmove
  - svmove.svmove.svmove.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
  async:
    support: full
options:
  pool:
    description: The pool.
    type: str
    required: true
    aliases: [name]
  state:
    description: V(empty) moves its disks away. V(open) lets it take disks again, and moves nothing.
    type: str
    choices: [empty, open]
    default: empty
  to:
    description: The pools that may be filled. Without any, all that take disks.
    type: list
    elements: str
    default: []
  parallel:
    description: So many guests at a time. The slots of the policy count as well.
    type: int
    default: 2
  allow_unmovable:
    description: With V(true) it is no error that something stays, such as a volume that is no guest's.
    type: bool
    default: false
seealso:
  - module: svmove.svmove.disk_move
author:
  - the maintainers of svmove (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Empty the pool old, into two others
  svmove.svmove.pool_evacuate:
    pool: old
    to: [fast, large]

- name: Let it take disks again
  svmove.svmove.pool_evacuate:
    pool: old
    state: open
"""

RETURN = r"""
pool:
  description: The pool.
  returned: always
  type: str
  sample: old
state:
  description:
    - V(empty), V(left) (something could not, or was not moved), V(interrupted), V(planned) (in check mode, and when
      there was nothing to do), V(open).
  returned: always
  type: str
  sample: empty
to:
  description: The pools that may be filled.
  returned: always
  type: list
  elements: str
moved:
  description: The moves that were carried out, each as M(svmove.svmove.disk_move) returns it.
  returned: with O(state=empty)
  type: list
  elements: dict
failed_moves:
  description: The moves that were refused, rolled back or are held.
  returned: with O(state=empty)
  type: list
  elements: dict
moves:
  description: The moves that are left to be done. In check mode, all that would be done, in their order.
  returned: always
  type: list
  elements: dict
  sample:
    - guest: web
      target: vda
      pool_from: old
      pool_to: fast
      copy_bytes: 612794368
unmovable:
  description: What stays and why, each with C(volume), C(guest), C(target), C(code), C(text) and C(remedy).
  returned: always
  type: list
  elements: dict
estimate:
  description: C(bytes) and C(seconds) of RV(moves).
  returned: with O(state=empty)
  type: dict
  sample: {bytes: 612794368, seconds: 3.1}
code:
  description: A stable code of the cause, such as V(unmovable), or that of the first move that failed.
  returned: failure
  type: str
  sample: unmovable
remedy:
  description: What helps.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import cli, evacuating


def main():
    module = AnsibleModule(
        argument_spec={
            **cli.COMMON,
            "pool": {"type": "str", "required": True, "aliases": ["name"]},
            "state": {"type": "str", "choices": ["empty", "open"], "default": "empty"},
            "to": {"type": "list", "elements": "str", "default": []},
            "parallel": {"type": "int", "default": 2},
            "allow_unmovable": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        result = evacuating.Evacuating(cli.of_module(module), module.params, module.check_mode).run()
    except cli.SvmoveError as error:
        module.fail_json(**error.as_result())
    for document in result.get("moved", ()):
        for text in cli.warnings(document):
            module.warn(f"{document['domain']}: {text}")
    module.exit_json(**result)


if __name__ == "__main__":
    main()
