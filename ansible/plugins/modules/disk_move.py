#!/usr/bin/python
"""A guest's disks are in a pool."""

from __future__ import annotations

DOCUMENTATION = r"""
module: disk_move
short_description: Put the disks of a guest into a storage pool, while it runs
description:
  - Moves the disks of a QEMU/KVM guest to another libvirt storage pool of the same host, live, with every byte proven
    before the source is deleted. A guest that is off is moved by the same task.
  - What is there already is left alone. That is decided by C(svmove plan).
  - A guest that has a move already, since an earlier run was killed or is still at it, gets no second one. One that was
    left is resumed, one that runs is waited for, and one that is held for a person to decide is an error.
  - In check mode the same checks are made as before a move, and what speaks against it is an error then too.
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
  domain:
    description: The guest, running or off.
    type: str
    required: true
    aliases: [guest]
  to:
    description:
      - The destination pool, or an NBD export by its URI.
      - Needed, unless each of O(disks) has a pool.
    type: str
    aliases: [pool]
  disks:
    description: The disks to move. Without any, all that can move.
    type: list
    elements: dict
    default: []
    suboptions:
      target:
        description: The disk as the guest's XML names it, such as V(vda).
        type: str
        required: true
      pool:
        description: Its destination pool, in place of O(to).
        type: str
      format:
        description: Its format at the destination, in place of O(format).
        type: str
        choices: [keep, raw, qcow2]
      name:
        description: The name of the volume at the destination.
        type: str
  format:
    description: The format at the destination. Without it, that of the source.
    type: str
    choices: [keep, raw, qcow2]
  bandwidth:
    description: The limit of the whole move, such as V(200MiB/s). Without it the policy's.
    type: str
  verify:
    description: When every byte is proven. Without it the method's own way, which V(none) takes away.
    type: str
    choices: [cutover, before, none]
  keep_source:
    description: The source volumes are not deleted.
    type: bool
    default: false
  keep_for:
    description: The source volumes are kept for that long, such as V(7d), and C(svmove gc) removes them then.
    type: str
  delete_source:
    description: The source volumes are deleted when every byte is proven, whatever the policy says.
    type: bool
    default: false
  max_pause:
    description: The guest's longest standstill, such as V(500ms). Without it the policy's.
    type: str
  deadline:
    description: The move is rolled back if the guest can't be switched by then, such as V(2h). Without it the policy's.
    type: str
  at:
    description: Copy now, switch the guest not before that time, such as V(22:00).
    type: str
  method:
    description: How the bytes get over. Without it svmove chooses, and says why.
    type: str
    choices: [auto, mirror, synchronous, snapshot, offline]
  flatten:
    description: One file is made of a chain of backing files.
    type: bool
    default: false
  base:
    description: Backing files are copied, found at the destination, or left where they are when others use them too.
    type: str
    choices: [copy, find, stay]
  allocation:
    description: How much of the pool's room the volumes take from the start. Without it as much as the source.
    type: str
    choices: [keep, thin, full]
  trim:
    description: The guest trims its file systems first, through its agent.
    type: bool
    default: false
  freeze:
    description: The guest's file systems are frozen for the switch, through its agent.
    type: bool
    default: false
  overwrite:
    description: A volume that is taken as it is (a LUN, a partition, an export) may have something in it.
    type: bool
    default: false
  encrypt:
    description: The copy is encrypted with LUKS, by this secret of libvirt (its uuid or its usage, not its value).
    type: str
  decrypt:
    description: A disk that is encrypted arrives plain.
    type: bool
    default: false
  priority:
    description: Among the moves that wait for a slot of the host or of a pool. Without it V(normal).
    type: str
    choices: [high, normal, low]
  wait_for_slot:
    description: With V(false) the task fails with the code V(no-slot) when no slot is free.
    type: bool
    default: true
  wait:
    description:
      - With V(false) the move goes on in the background, and RV(move) has its id for M(svmove.svmove.disk_move_info).
    type: bool
    default: true
  resume:
    description: With V(false) a move that was left is an error, with the code V(unfinished), in place of being resumed.
    type: bool
    default: true
seealso:
  - module: svmove.svmove.disk_move_info
  - module: svmove.svmove.pool_evacuate
author:
  - the maintainers of svmove (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Put all disks of a guest into the pool fast
  svmove.svmove.disk_move:
    domain: web
    to: fast

- name: One disk, as qcow2, not faster than that, switched at night
  svmove.svmove.disk_move:
    domain: db
    disks:
      - target: vdb
        pool: archive
        format: qcow2
    bandwidth: 100MiB/s
    at: "22:00 Europe/Berlin"

- name: Begin, and look for the end later
  svmove.svmove.disk_move:
    domain: web
    to: fast
    wait: false
  register: begun

- name: Wait for it
  svmove.svmove.disk_move_info:
    move: "{{ begun.move }}"
  register: found
  until: found.moves[0].state != "running"
  retries: 720
  delay: 10
  when: begun.state in ["started", "running"]
  failed_when: found.moves[0].outcome.state != "done"
"""

RETURN = r"""
move:
  description: The id of the move. Null when there was nothing to do, and in check mode.
  returned: always
  type: str
  sample: 20261128-161500-8bc726
state:
  description:
    - What became of it. V(done), V(already-there), V(started) and V(running) (with O(wait=false)), V(planned) (in
      check mode).
    - Of a task that failed V(refused), V(rolled-back), V(held), V(left), V(unknown).
  returned: always
  type: str
  sample: done
domain:
  description: The guest's name.
  returned: success
  type: str
  sample: web
method:
  description: How the bytes got over, or would.
  returned: success
  type: str
  sample: mirror
disks:
  description: Each disk of the move, with the keys of C(disks) of svmove's JSON documents.
  returned: success
  type: list
  elements: dict
  sample:
    - target: vda
      pool_from: slow
      pool_to: fast
      source: /slow/web.qcow2
      destination: /fast/web.qcow2
      format: qcow2
      copied_bytes: 612794368
      verified: true
media:
  description: Images in CD-ROM and floppy drives that moved with it.
  returned: success
  type: list
  elements: dict
seconds:
  description: How long it took, by C(total), C(copy), C(pause), C(verify) and C(waited).
  returned: success
  type: dict
  sample: {total: 4.4, copy: 1.4, pause: 0.109, verify: 2.3, waited: 0.0}
pause:
  description: The guest's longest standstill in seconds. Null in check mode.
  returned: success
  type: float
  sample: 0.109
bytes:
  description: What was copied, or would be.
  returned: success
  type: int
  sample: 881530471
estimate:
  description: C(bytes) and C(seconds) that the move would take.
  returned: in check mode, when there is something to do
  type: dict
  sample: {bytes: 881530471, seconds: 4.4}
findings:
  description: What svmove said of it, each with C(level), C(code), C(text), C(remedy) and C(target).
  returned: always
  type: list
  elements: dict
resumed:
  description: The ids of moves that had been left, and were taken up by this task.
  returned: always
  type: list
  elements: str
code:
  description: A stable code of the cause, of svmove's documentation or of this collection's README.
  returned: failure
  type: str
  sample: no-space
guest_on:
  description:
    - Which copy the guest has, V(source), V(destination), V(mixed), V(off) or V(unknown). Null when nothing was begun.
  returned: failure
  type: str
  sample: source
remedy:
  description: What helps.
  returned: failure
  type: str
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import cli, moving, request


def main():
    module = AnsibleModule(
        argument_spec={
            **cli.COMMON,
            **request.REQUEST,
            "wait": {"type": "bool", "default": True},
            "resume": {"type": "bool", "default": True},
        },
        required_one_of=[("to", "disks")],
        supports_check_mode=True,
    )
    svmove = cli.of_module(module)
    try:
        result = moving.Moving(svmove, module.params, module.check_mode).run()
    except cli.SvmoveError as error:
        module.fail_json(**error.as_result())
    for text in cli.warnings(result):
        module.warn(text)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
