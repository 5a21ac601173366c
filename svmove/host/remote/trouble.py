"""Why something that was to run on another host does not, and what to do about it."""

from contextlib import suppress

import paramiko

from svmove.errors import UnreachableError
from svmove.host.remote import ship
from svmove.host.remote.line import BROKEN

# What a command says last is short.
_WORDS = 4096
# What has closed its output ends in a moment (seconds).
_ENDS = 2.0
# A shell's code for a command that is not there.
_NOT_FOUND = 127


def not_started(channel: paramiko.Channel, host: str) -> UnreachableError:
    """Of the agent, or the way to libvirt, when it has ended instead of beginning."""
    code, said = _ended(channel)
    if code == ship.TOO_OLD:
        return UnreachableError(
            f"{host} has {said}, and what svmove does there needs Python 3.11 or later",
            remedy='install one, and name it in the policy: [host] python = "python3.12"',
        )
    if code == _NOT_FOUND:
        return UnreachableError(
            f"{host} has no such Python: {said}", remedy='install python3 there, or name one: [host] python = "..."'
        )
    if said.startswith("sudo:"):
        return UnreachableError(
            f"{host}: {said}",
            remedy="let that user run commands there without a password (sudoers: NOPASSWD), or log in as root",
        )
    if code == ship.NO_LIBVIRT:
        return UnreachableError(
            f"no libvirt on {host}: {said}",
            remedy="start libvirtd there (systemctl start libvirtd); as another user than root: [host] sudo = true",
        )
    return UnreachableError(
        f"svmove can't begin its work on {host}: {said or f'exit code {code}'}",
        remedy="see whether a login shell there ends by itself, or what [host] python and sudo of the policy say",
    )


def _ended(channel: paramiko.Channel) -> tuple[int | None, str]:
    """Its exit code, None when it has none, and the last line of its standard error."""
    said = b""
    channel.settimeout(_ENDS)
    with suppress(*BROKEN):
        while chunk := channel.recv_stderr(_WORDS):
            said = (said + chunk)[-_WORDS:]
    code = channel.recv_exit_status() if channel.status_event.wait(_ENDS) else None
    return code, said.decode(errors="replace").strip().rpartition("\n")[2]
