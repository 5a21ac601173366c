"""What libvirt says of all that it has, in few calls."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from svmove.model import Domain, Pool, Volume


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What libvirt says in few calls. A domain has its live XML, or its inactive one when it is off; not both."""

    domains: tuple[Domain, ...]
    pools: tuple[Pool, ...]
    volumes: tuple[Volume, ...]
    backing: Mapping[str, str] = field(default_factory=dict)  # volume's path → path of the file below it
