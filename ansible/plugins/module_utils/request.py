"""What a task asks for, as the options of `svmove plan` and `svmove move`. Pure."""

from __future__ import annotations

_WITH_VALUE = (
    "to",
    "format",
    "bandwidth",
    "verify",
    "keep_for",
    "max_pause",
    "deadline",
    "at",
    "method",
    "base",
    "allocation",
    "encrypt",
)
_FLAGS = ("keep_source", "delete_source", "flatten", "trim", "freeze", "overwrite", "decrypt")

DISK = {
    "target": {"type": "str", "required": True},
    "pool": {"type": "str"},
    "format": {"type": "str", "choices": ["keep", "raw", "qcow2"]},
    "name": {"type": "str"},
}

REQUEST = {
    "domain": {"type": "str", "required": True, "aliases": ["guest"]},
    "to": {"type": "str", "aliases": ["pool"]},
    "disks": {"type": "list", "elements": "dict", "options": DISK, "default": []},
    "format": {"type": "str", "choices": ["keep", "raw", "qcow2"]},
    "bandwidth": {"type": "str"},
    "verify": {"type": "str", "choices": ["cutover", "before", "none"]},
    "keep_source": {"type": "bool", "default": False},
    "keep_for": {"type": "str"},
    "delete_source": {"type": "bool", "default": False},
    "max_pause": {"type": "str"},
    "deadline": {"type": "str"},
    "at": {"type": "str"},
    "method": {"type": "str", "choices": ["auto", "mirror", "synchronous", "snapshot", "offline"]},
    "flatten": {"type": "bool", "default": False},
    "base": {"type": "str", "choices": ["copy", "find", "stay"]},
    "allocation": {"type": "str", "choices": ["keep", "thin", "full"]},
    "trim": {"type": "bool", "default": False},
    "freeze": {"type": "bool", "default": False},
    "overwrite": {"type": "bool", "default": False},
    # The uuid or usage of a secret, not its value.
    "encrypt": {"type": "str", "no_log": False},
    "decrypt": {"type": "bool", "default": False},
    "priority": {"type": "str", "choices": ["high", "normal", "low"]},
    "wait_for_slot": {"type": "bool", "default": True},
}


def planned(params):
    """The words after `svmove plan`."""
    words = []
    for key in _WITH_VALUE:
        if params.get(key) is not None:
            words.append(f"{_option(key)}={params[key]}")
    words += [_option(key) for key in _FLAGS if params.get(key)]
    words += [f"--disk={_disk(disk)}" for disk in params.get("disks") or ()]
    # A name that begins with a dash is a name.
    return [*words, "--", params["domain"]]


def moved(params, detach):
    """The words after `svmove move`."""
    words = []
    if params.get("priority"):
        words.append(f"--priority={params['priority']}")
    if not params.get("wait_for_slot", True):
        words.append("--no-wait")
    if detach:
        words.append("--detach")
    return [*words, *planned(params)]


def _option(key):
    return "--" + key.replace("_", "-")


def _disk(disk):
    """A comma in a name is written twice."""
    text = disk["target"].replace(",", ",,")
    if disk.get("pool"):
        text += "=" + disk["pool"].replace(",", ",,")
    return text + "".join(f",{key}={disk[key].replace(',', ',,')}" for key in ("format", "name") if disk.get(key))
