"""Which moves would relieve pools that are too full, too slow, or hold what a rule wants elsewhere. Pure.

Nothing goes to and fro: a pool takes only what leaves it below both thresholds, so the next call does not relieve it of
that; a disk that was moved lately stays; and a pool must end better than the source was, by a least difference.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from svmove.fleet import DiskKey, Fleet, FleetDisk
from svmove.plan import estimate
from svmove.plan.breaches import Breach, misplaced
from svmove.plan.candidates import bundles, takes
from svmove.plan.heat import Heat
from svmove.plan.ledger import Bundle, Ledger
from svmove.plan.placement import known, outlook
from svmove.plan.rounds import Step, in_rounds, proposals
from svmove.plan.rules import Rules
from svmove.policy import BalancePolicy, Policy
from svmove.proposals import Balance, PoolOutlook, Proposal, Recommendation, Why
from svmove.units import show_duration

# Seconds that a disk's move costs whatever its size: rather one that is enough than ten small ones.
_EACH = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Choice:
    what: Bundle
    to: str
    score: float  # what it brings for what it costs; the highest is chosen


class _Search:
    def __init__(self, fleet: Fleet, policy: Policy, pools: Sequence[str], now: float) -> None:
        self.fleet = fleet
        self.policy: BalancePolicy = policy.balance
        self.rules = Rules(policy.affinity, fleet.disks)
        self.ledger = Ledger(fleet, self.rules, policy)
        self.heat = Heat(fleet)
        chosen = [pool for pool in fleet.pools if pool.active and (not pools or pool.name in pools)]
        self.names = [pool.name for pool in chosen]
        self.targets = [pool for pool in chosen if takes(pool, self.rules) is None]
        settled = {key for key, at in fleet.moved.items() if now - at < policy.balance.settle}
        disks = [disk for disk in fleet.disks if disk.key not in settled]
        # Of a group one that was moved lately holds the others, for they must go together.
        held = {self.rules.together[key] for key in settled if key in self.rules.together}
        self.from_: dict[str, list[Bundle]] = {}
        for name in self.names:
            mine = [d for d in disks if d.pool == name and self.rules.together.get(d.key, -1) not in held]
            self.from_[name] = bundles(mine, [p for p in self.targets if p.name != name], self.rules, policy)[0]
        self.steps: list[Step] = []
        self.found: list[tuple[Why, str, Bundle, str, PoolOutlook, PoolOutlook]] = []
        self.unrelieved: dict[str, str] = {}
        self._wrong: dict[DiskKey, Breach] | None = None  # what is misplaced after the steps so far

    def run(self) -> None:
        self._rules()
        self._relieve(Why.SPACE, self._too_full, self._for_space)
        self._relieve(Why.LATENCY, self._too_slow, self._for_latency)

    # What a pool may take

    def _takes(self, what: Bundle, pool: str) -> bool:
        """Whether it stays below both thresholds, so that it need not give it away again."""
        if not self.ledger.fits(what, pool):
            return False
        if self.ledger.fill(pool, self.ledger.need(what, pool)) > self.policy.fill:
            return False
        after = self.heat.with_(pool, what.load)
        return after is None or after <= self.policy.latency or what.load == 0

    # What there is to do

    def _too_full(self) -> Iterator[str]:
        names = [name for name in self.names if self.ledger.fill(name) > self.policy.fill]
        return iter(sorted(names, key=lambda name: (-self.ledger.fill(name), name)))

    def _too_slow(self) -> Iterator[str]:
        slow = {
            n: found for n in self.names if (found := self.heat.latency(n)) is not None and found > self.policy.latency
        }
        return iter(sorted(slow, key=lambda name: (-slow[name], name)))

    def _relieve(
        self, why: Why, sources: Callable[[], Iterator[str]], choices: Callable[[str], Iterator[_Choice]]
    ) -> None:
        given_up: set[str] = set()
        while len(self.found) < self.policy.moves:
            source = next((name for name in sources() if name not in given_up), None)
            if source is None:
                return
            choice = max(
                choices(source), key=lambda c: (c.score, -c.what.thin, c.to, str(c.what.disks[0])), default=None
            )
            if choice is None:
                given_up.add(source)
                self.unrelieved[source] = why
                continue
            self._take(why, choice)

    def _for_space(self, source: str) -> Iterator[_Choice]:
        place = self.ledger.pools[source].place
        capacity, before = self.ledger.capacity[place], self.ledger.fill(source)
        excess = (before - self.policy.fill) * capacity
        for what in self.from_[source]:
            best: tuple[float, str] | None = None
            for pool in what.pools:
                if self.ledger.pools[pool].place == place:
                    continue
                after = self.ledger.fill(pool, self.ledger.need(what, pool))
                if after + self.policy.difference <= before and self._takes(what, pool):
                    best = min(best or (after, pool), (after, pool))
            if best is not None and what.freed:
                useful = min(what.freed, excess)
                yield _Choice(what=what, to=best[1], score=useful / self._cost(what, best[1]))

    def _for_latency(self, source: str) -> Iterator[_Choice]:
        before = self.heat.latency(source) or 0.0
        for what in self.from_[source]:
            if what.load <= 0:
                continue
            left = self.heat.with_(source, -what.load) or 0.0
            best: tuple[float, str] | None = None
            for pool in what.pools:
                after = self.heat.with_(pool, what.load)
                if after is None or after + self.policy.latency_difference > before or not self._takes(what, pool):
                    continue
                best = min(best or (after, pool), (after, pool))
            if best is not None:
                gain = before - max(left, best[0], self.policy.latency)
                if gain > 0:
                    yield _Choice(what=what, to=best[1], score=gain / self._cost(what, best[1]))

    def _cost(self, what: Bundle, pool: str) -> float:
        """Seconds of the copy; a disk that is in use counts more, since its guest feels it."""
        seconds = sum(
            estimate.seconds(max(disk.allocation, 1), None, self.fleet.past_rates.get((disk.pool, pool)))
            for disk in what.disks
        )
        return (seconds + _EACH * len(what.disks)) * (1 + what.load)

    def _rules(self) -> None:
        """What lies where a rule does not want it goes to where it may be."""
        wrong = misplaced(self.fleet.disks, self.rules, set(self.names))
        for name in self.names:
            for what in list(self.from_[name]):
                breaches = [wrong[disk.key] for disk in what.disks if disk.key in wrong]
                if not breaches or len(self.found) >= self.policy.moves or what not in self.from_[name]:
                    continue
                if not self._still_wrong(what.disks):
                    continue
                fitting = [pool for pool in what.pools if self._takes(what, pool)]
                if all(breach.split for breach in breaches):
                    # Anywhere but with others of its group it would be as wrong as it is.
                    number = self.rules.together[what.disks[0].key]
                    others = {disk.pool for disk in self.rules.members[number]} - {name}
                    fitting = [pool for pool in fitting if pool in others]
                if not fitting:
                    self.unrelieved.setdefault(name, Why.RULE)
                    continue
                to = min(fitting, key=lambda pool: (self.ledger.fill(pool, self.ledger.need(what, pool)), pool))
                self._take(Why.RULE, _Choice(what=what, to=to, score=0), breaches[0].text)

    def _still_wrong(self, disks: Sequence[FleetDisk]) -> bool:
        """Of two that are to be apart it is enough that one goes."""
        if self._wrong is None:
            gone = {disk.key: to for what, to, _ in self.steps for disk in what.disks}
            self._wrong = misplaced(self.fleet.disks, self.rules, set(self.names), gone)
        return any(disk.key in self._wrong for disk in disks)

    def _take(self, why: Why, choice: _Choice, text: str = "") -> None:
        what, to = choice.what, choice.to
        before = {name: (self.ledger.fill(name), self.heat.latency(name)) for name in (what.source, to)}
        self.ledger.put(what, to)
        self.ledger.leave(what)
        self.heat.move(what.source, to, what.load)
        looks = [
            PoolOutlook(
                pool=name,
                fill=before[name][0],
                fill_after=self.ledger.fill(name),
                latency=before[name][1],
                latency_after=self.heat.latency(name),
            )
            for name in (what.source, to)
        ]
        self._wrong = None
        self.from_[what.source].remove(what)
        number = self.rules.together.get(what.disks[0].key)
        for others in self.from_.values() if number is not None else ():
            # The rest of a group that was split was to go to where this part has been.
            others[:] = [one for one in others if self.rules.together.get(one.disks[0].key) != number]
        self.steps.append((what, to, why))
        self.found.append((why, text or _benefit(why, looks[0], looks[1]), what, to, looks[0], looks[1]))


def balance(fleet: Fleet, policy: Policy, pools: Sequence[str] = (), *, now: float) -> Balance:
    """`pools`: only between these; `now`: Unix time. Raises NotFoundError."""
    for name in pools:
        known(fleet, name)
    search = _Search(fleet, policy, pools, now)
    search.run()
    before = Ledger(fleet, search.rules, policy)
    moves = {(m.uuid, m.target): m for m in proposals(in_rounds(search.steps, before), fleet.past_rates)}
    return Balance(
        recommendations=tuple(
            Recommendation(why=why, text=text, moves=_of(what, moves), source=source, destination=destination)
            for why, text, what, _, source, destination in search.found
        ),
        pools=tuple(
            PoolOutlook(
                pool=one.pool,
                fill=one.fill,
                fill_after=one.fill_after,
                latency=one.latency,
                latency_after=search.heat.latency(one.pool),
            )
            for one in outlook(search.names, before, search.ledger)
        ),
        unrelieved={name: str(why) for name, why in search.unrelieved.items()},
    )


def _of(what: Bundle, moves: dict[tuple[str, str], Proposal]) -> tuple[Proposal, ...]:
    return tuple(moves[disk.key] for disk in what.disks)


def _benefit(why: Why, source: PoolOutlook, destination: PoolOutlook) -> str:
    if why is Why.LATENCY:
        return f"{source.pool} {_ms(source.latency)} → {_ms(source.latency_after)}, {destination.pool} " + (
            f"{_ms(destination.latency)} → {_ms(destination.latency_after)}"
        )
    return f"{source.pool} {source.fill:.0%} → {source.fill_after:.0%}, {destination.pool} " + (
        f"{destination.fill:.0%} → {destination.fill_after:.0%}"
    )


def _ms(seconds: float | None) -> str:
    return "?" if seconds is None else show_duration(seconds)
