#!/usr/bin/python
"""What moves there are, and where a guest's disks lie."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_move_info
short_description: Tell of moves, and of where a guest's disks lie
description:
  - Lists the moves that are under way, left by a process that died, or held, on this hypervisor's libvirt daemon.
  - Tells of one move how it ended, and of one guest where its disks are.
extends_documentation_fragment:
  - svmove.svmove.svmove
  - svmove.svmove.svmove.attributes
attributes:
  check_mode:
    support: full
  diff_mode:
    support: N/A
  async:
    support: full
options:
  domain:
    description: Only moves of this guest. RV(disks) has then its disks.
    type: str
    aliases: [guest]
  move:
    description: Only this move, also when it has ended. It has then its C(outcome).
    type: str
  ended:
    description: Moves that have ended as well.
    type: bool
    default: false
seealso:
  - module: svmove.svmove.disk_move
author:
  - the maintainers of svmove (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Where are the disks of web, and is it being moved?
  svmove.svmove.disk_move_info:
    domain: web
  register: found

- name: Nothing may be held for a person to decide
  svmove.svmove.disk_move_info:
  register: found
  failed_when: found.moves | selectattr("state", "equalto", "held") | length > 0

- name: Wait for a move that runs in the background
  svmove.svmove.disk_move_info:
    move: 20261128-161500-8bc726
  register: found
  until: found.moves[0].state != "running"
  retries: 720
  delay: 10
"""

RETURN = r"""
moves:
  description: The moves, the oldest first, with the keys of C(tasks) of svmove's JSON documents.
  returned: success
  type: list
  elements: dict
  contains:
    move:
      description: Its id.
      type: str
    domain:
      description: The guest.
      type: str
    state:
      description: V(running), V(left), V(held), V(ended) or V(unknown).
      type: str
    phase:
      description: How far it is.
      type: str
    outcome:
      description: How it ended, with C(state), C(disks), C(seconds), C(findings) and C(error), as C(svmove show) tells.
      returned: with O(move)
      type: dict
  sample:
    - move: 20261128-161500-8bc726
      domain: web
      state: running
      phase: copying
      done_bytes: 104857600
      end_bytes: 612794368
disks:
  description: The guest's disks, with the keys of C(disks) of svmove's JSON documents.
  returned: with O(domain)
  type: list
  elements: dict
  sample:
    - target: vda
      pool: fast
      volume: web.qcow2
      source: /fast/web.qcow2
      format: qcow2
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import cli


def look(svmove, domain, move, ended):
    """The module's result. Raises SvmoveError."""
    found = {"changed": False}
    if domain is not None:
        code, document = svmove("disks", "--", domain)
        if document.get("error"):
            raise cli.failure(code, document)
        found["disks"] = document["disks"]
        domain = document["domain"]
    everything = ["--all"] if ended or move is not None else []
    _code, document = svmove("tasks", *everything)
    found["moves"] = [
        task
        for task in document["tasks"]
        if domain in (None, task["domain"]) and move in (None, task["move"]) and task.get("here", True)
    ]
    if move is not None:
        code, document = svmove("show", "--", move)
        if "history" not in document:
            raise cli.failure(code, document)
        outcome = {key: value for key, value in document.items() if key not in ("schema", "history")}
        for task in found["moves"]:
            task["outcome"] = outcome
    return found


def main():
    module = AnsibleModule(
        argument_spec={
            **cli.COMMON,
            "domain": {"type": "str", "aliases": ["guest"]},
            "move": {"type": "str"},
            "ended": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    given = module.params
    try:
        found = look(cli.of_module(module), given["domain"], given["move"], given["ended"])
    except cli.SvmoveError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**found)


if __name__ == "__main__":
    main()
