"""The library's front door to what concerns all guests and pools at once.

placer = Placer.connect("qemu:///system", Policy(), journal_url)
evacuation = placer.evacuation("old", to=("fast", "large"))
"""

from collections.abc import Sequence
from typing import Self

from svmove.clock import SystemClock
from svmove.fleet import Fleet
from svmove.journal import Journal
from svmove.latency import Latencies, Sample, latencies
from svmove.move import fleet
from svmove.move.phases import Phase
from svmove.plan import balance, placement
from svmove.policy import Policy
from svmove.ports import Clock, Hypervisor
from svmove.ports_host import Host
from svmove.proposals import ANY_VOLUME, Balance, Evacuation, NewVolume, Places
from svmove.reach import reach
from svmove.redact import redact


class Placer:
    """Looks at all that one libvirt has, and proposes. Changes nothing but the journal's samples."""

    def __init__(
        self, hypervisor: Hypervisor, host: Host, journal: Journal, policy: Policy, clock: Clock | None = None
    ) -> None:
        self._hypervisor = hypervisor
        self._host = host
        self._journal = journal
        self._policy = policy
        self._clock = clock or SystemClock()

    @classmethod
    def connect(cls, uri: str, policy: Policy, journal_url: str) -> Self:
        """As `Mover.connect`."""
        journal = Journal(journal_url)
        found = reach(uri, policy)
        return cls(found.hypervisor, found.host, journal, policy)

    @property
    def _uri(self) -> str:
        """As the journal knows it: of a shared one, with its host."""
        return self._journal.database.address(redact(self._hypervisor.uri))

    def fleet(self) -> Fleet:
        """As it is now. Raises UnreachableError, HypervisorError, JournalError."""
        now, uri = self._clock.now(), self._uri
        survey, filesystems = fleet.look(self._hypervisor, self._host)
        return fleet.build(
            survey,
            filesystems,
            self._hypervisor.versions(),
            owners={found.uuid: found.move for found in self._journal.moves(uri)},
            past_rates=self._journal.past_rates(),
            moved=self._journal.moved(uri, now - self._policy.balance.settle, {Phase.ROLLED_BACK}),
            latencies=self.latencies(),
            emptying=self._journal.campaigns.marked(uri),
        )

    def evacuation(self, pool: str, to: Sequence[str] = (), *, at_once: int = 1) -> Evacuation:
        """Raises NotFoundError, RefusedError, and what `fleet` raises."""
        return placement.evacuate(self.fleet(), self._policy, pool, to, at_once=at_once)

    def balance(self, pools: Sequence[str] = ()) -> Balance:
        """Raises NotFoundError, and what `fleet` raises."""
        return balance.balance(self.fleet(), self._policy, pools, now=self._clock.now())

    def place(self, size: int, *, count: int = 1, new: NewVolume = ANY_VOLUME, pools: Sequence[str] = ()) -> Places:
        """Raises NotFoundError, and what `fleet` raises."""
        return placement.place(self.fleet(), self._policy, size, count=count, new=new, pools=pools)

    def sample(self) -> Sample:
        """Takes one sample of all disks' counters, and keeps it. Raises HypervisorError, JournalError."""
        found = self._sample()
        self._journal.samples.add(self._uri, found, found.at - self._policy.balance.window)
        return found

    def latencies(self) -> Latencies | None:
        """Of the samples of the last `balance.window`; None: there are not two of them."""
        since = self._clock.now() - self._policy.balance.window
        found = self._journal.samples.read(self._uri, since)
        return latencies(found) if len(found) > 1 else None

    def _sample(self) -> Sample:
        counters = self._hypervisor.counters()
        survey = self._hypervisor.survey()
        at = self._clock.now()
        return Sample(at=at, counters=counters, pools=fleet.pools_of(survey))
