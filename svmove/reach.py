"""A hypervisor and its host, wherever they are: here, or on another machine by SSH."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from svmove import addresses
from svmove.host.local import LocalHost
from svmove.policy import Policy
from svmove.ports_host import Host
from svmove.retries import Retries
from svmove.virt.hypervisor import LibvirtHypervisor

if TYPE_CHECKING:
    from svmove.host.remote.line import Line

# Of another host: there is no journal there, beside which it could be.
_SCRATCH = "/var/lib/svmove/scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    hypervisor: LibvirtHypervisor
    host: Host
    scratch: str | None  # the folder for scratch files; None: beside the journal


def reach(uri: str, policy: Policy) -> Reached:
    """Raises UnreachableError; UsageError for a URI that means nothing, or no SSH."""
    scratch = policy.paths.scratch
    if not addresses.is_remote(uri):
        hypervisor = LibvirtHypervisor(uri, policy.retry)
        return Reached(hypervisor=hypervisor, host=LocalHost(hypervisor.secret), scratch=scratch)
    from svmove.host.remote.host import remote_host
    from svmove.host.remote.tunnel import Tunnel

    retries = Retries(policy.retry)
    line = _line(uri, policy, retries)
    hypervisor = LibvirtHypervisor(uri, policy.retry, Tunnel(line).open, retries)
    return Reached(hypervisor=hypervisor, host=remote_host(line, hypervisor.secret), scratch=scratch or _SCRATCH)


def host_alone(uri: str, policy: Policy) -> Host:
    """Without libvirt, whose daemon may be gone; so no image with a secret can be read. Raises what `reach` does."""
    if not addresses.is_remote(uri):
        return LocalHost()
    from svmove.host.nodes import no_secrets
    from svmove.host.remote.host import remote_host

    return remote_host(_line(uri, policy, Retries(policy.retry)), no_secrets)


def _line(uri: str, policy: Policy, retries: Retries) -> "Line":
    from svmove.host.remote.line import Line  # paramiko takes 0.15 s

    return Line(addresses.parse(uri), policy.host, retries)
