"""The guest's own agent, through libvirt: is it there, trim, freeze, thaw.

libvirt waits for an agent for ever unless it is told otherwise, and it is told so for the domain as a whole, in
seconds. So each call here says how long, and leaves libvirt's default behind it; what an administrator had set with
`virsh guest-agent-timeout` can't be asked for, and is lost. Before a command libvirt asks the agent whether it is
there, which may take as long again; nothing has been done then.

A frozen agent answers to `thaw` alone, and an agent answers only while its guest runs.
"""

from collections.abc import Callable
from contextlib import suppress
from math import ceil
from typing import Any

import libvirt

from svmove.errors import HypervisorError
from svmove.model import Agent
from svmove.virt import xml
from svmove.virt.connection import Connection


def state(connection: Connection, uuid: str, seconds: float) -> Agent:
    described = connection.ask(lambda c: xml.parse(c.lookupByUUIDString(uuid).XMLDesc(0)))
    if not xml.has_agent(described):
        return Agent.ABSENT
    try:
        _told(connection, uuid, seconds, lambda domain: domain.getTime())
    except HypervisorError:
        return Agent.SILENT
    return Agent.ANSWERS


def trim(connection: Connection, uuid: str, seconds: float) -> None:
    _told(connection, uuid, seconds, lambda domain: domain.fSTrim(None, 0, 0))


def freeze(connection: Connection, uuid: str, seconds: float) -> int:
    return int(_told(connection, uuid, seconds, lambda domain: domain.fsFreeze(None, 0)))


def thaw(connection: Connection, uuid: str, seconds: float) -> int:
    return int(_told(connection, uuid, seconds, lambda domain: domain.fsThaw(None, 0)))


def _told(connection: Connection, uuid: str, seconds: float, command: Callable[[Any], Any]) -> Any:
    def tell(c: Any) -> Any:
        domain = c.lookupByUUIDString(uuid)
        domain.agentSetResponseTimeout(max(ceil(seconds), 1), 0)
        try:
            return command(domain)
        finally:
            with suppress(libvirt.libvirtError):  # the guest has gone off meanwhile
                domain.agentSetResponseTimeout(libvirt.VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK, 0)

    return connection.once(tell)
