#!/usr/bin/python
"""What storage pools there are."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pool_info
short_description: Tell of the storage pools of a hypervisor
description:
  - Lists the storage pools of this hypervisor's libvirt daemon, with their capacity and how much of it is in use.
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
  names:
    description: Only these pools. Those that are not there are left out.
    type: list
    elements: str
    default: []
seealso:
  - module: svmove.svmove.pool_evacuate
author:
  - the maintainers of svmove (!UNKNOWN)
"""

EXAMPLES = r"""
- name: Which pools are there?
  svmove.svmove.pool_info:
  register: found

- name: The pool fast must be active, and have room
  svmove.svmove.pool_info:
    names: [fast]
  register: found
  failed_when: >-
    found.pools | length == 0 or not found.pools[0].active or found.pools[0].fill > 0.8
"""

RETURN = r"""
pools:
  description: The pools, with the keys of C(pools) of svmove's JSON documents.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
    type:
      description: Its type, such as V(dir) or V(rbd).
      type: str
    active:
      description: Whether it can be used.
      type: bool
    path:
      description: Where it is mounted. Null for one on the network.
      type: str
    network:
      description: The URI of a pool on the network, else null.
      type: str
    capacity:
      description: In bytes.
      type: int
    allocation:
      description: In bytes.
      type: int
    available:
      description: In bytes.
      type: int
    fill:
      description: How much of it is in use, V(0) to V(1). Null for a pool that is not active.
      type: float
  sample:
    - name: fast
      type: dir
      active: true
      path: /fast
      network: null
      capacity: 107374182400
      allocation: 53687091200
      available: 53687091200
      fill: 0.5
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import cli


def look(svmove, names):
    """The module's result. Raises SvmoveError."""
    code, document = svmove("pools")
    if "pools" not in document:
        raise cli.failure(code, document)
    pools = [{**pool, "fill": _fill(pool)} for pool in document["pools"] if not names or pool["name"] in names]
    return {"changed": False, "pools": pools}


def _fill(pool):
    if not pool["active"] or not pool["capacity"]:
        return None
    return round(1 - pool["available"] / pool["capacity"], 4)


def main():
    module = AnsibleModule(
        argument_spec={**cli.COMMON, "names": {"type": "list", "elements": "str", "default": []}},
        supports_check_mode=True,
    )
    try:
        found = look(cli.of_module(module), module.params["names"])
    except cli.SvmoveError as error:
        module.fail_json(**error.as_result())
    module.exit_json(**found)


if __name__ == "__main__":
    main()
