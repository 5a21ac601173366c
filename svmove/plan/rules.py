"""The affinity rules, worked out on a fleet: what each disk belongs to, and where it may be."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from svmove.affinity import AffinityPolicy, Group, Selection, pool_matches
from svmove.fleet import DiskKey, FleetDisk

# Of an `apart` rule: the rule's number, and which of its parties a disk is. Two parties are never in one pool.
Party = tuple[tuple[int, str], str]


class Rules:
    """`together`: by disk, the number of its group; rules that share a disk make one group."""

    def __init__(self, affinity: AffinityPolicy, disks: Sequence[FleetDisk]) -> None:
        self._affinity = affinity
        self._owned: dict[str, list[FleetDisk]] = defaultdict(list)
        for disk in disks:
            self._owned[disk.uuid].append(disk)
        self.together: dict[DiskKey, int] = {}
        self.members: dict[int, list[FleetDisk]] = {}
        self.why_together: dict[int, str] = {}
        self.apart: dict[DiskKey, list[Party]] = defaultdict(list)
        self.titles: dict[int, str] = {}
        self._excluded: dict[DiskKey, str] = {}
        self._pins: dict[DiskKey, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        self._group()
        for number, rule in enumerate(affinity.apart):
            self._part(number, rule)
        for exclusion in affinity.exclude:
            self._excluded |= {disk.key: exclusion.title for disk in self._selected(exclusion)}
        for pin in affinity.pin:
            for disk in self._selected(pin):
                self._pins[disk.key].append((pin.pools, pin.title))

    def closed(self, pool: str) -> bool:
        return self._affinity.is_closed(pool)

    def excluded(self, disk: FleetDisk) -> str | None:
        """The rule by which neither an evacuation nor a balance moves it."""
        return self._excluded.get(disk.key)

    def pinned_elsewhere(self, disk: FleetDisk, pool: str) -> str | None:
        """The rule by which it may not be in that pool."""
        pins = self._pins.get(disk.key, ())
        return next((title for pools, title in pins if not pool_matches(pools, pool)), None)

    def parties(self, disks: Iterable[FleetDisk]) -> tuple[Party, ...]:
        return tuple(party for disk in disks for party in self.apart.get(disk.key, ()))

    def _selected(self, rule: Selection) -> list[FleetDisk]:
        found = []
        for disks in self._owned.values():
            whole = rule.has_guest(disks[0].guest, disks[0].tags)
            found += [disk for disk in disks if whole or (rule.disks and rule.has_disk(disk.guest, disk.target))]
        return found

    def _group(self) -> None:
        root: dict[DiskKey, DiskKey] = {}

        def find(key: DiskKey) -> DiskKey:
            while root[key] != key:
                root[key] = root[root[key]]
                key = root[key]
            return key

        titles: dict[DiskKey, str] = {}
        found: dict[DiskKey, FleetDisk] = {}
        for rule in self._affinity.together:
            for disks in _groups(rule, self._selected(rule)).values():
                for disk in disks:
                    root.setdefault(disk.key, disk.key)
                    titles.setdefault(disk.key, rule.title)
                    found[disk.key] = disk
                    root[find(disk.key)] = find(disks[0].key)
        numbers: dict[DiskKey, int] = {}
        for key, disk in found.items():
            number = numbers.setdefault(find(key), len(numbers))
            self.together[key] = number
            self.members.setdefault(number, []).append(disk)
            self.why_together.setdefault(number, titles[key])

    def _part(self, number: int, rule: Group) -> None:
        self.titles[number] = rule.title
        selected = self._selected(rule)
        for name, disks in _groups(rule, selected).items():
            for disk in disks:
                # By its own name a disk is a party of its own; a guest is one, whatever it has.
                alone = rule.each_guest or not rule.has_guest(disk.guest, disk.tags)
                self.apart[disk.key].append(((number, name), str(disk.key) if alone else disk.uuid))


def _groups(rule: Group, disks: Iterable[FleetDisk]) -> Mapping[str, list[FleetDisk]]:
    """By what the rule holds within: the guest, or all ("")."""
    found: dict[str, list[FleetDisk]] = defaultdict(list)
    for disk in disks:
        found[disk.uuid if rule.each_guest else ""].append(disk)
    return found
