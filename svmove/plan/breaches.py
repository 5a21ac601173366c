"""What lies where a rule does not want it."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from svmove.fleet import DiskKey, FleetDisk
from svmove.plan.rules import Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Breach:
    text: str
    split: bool = False  # it is away from its group; anywhere else it would be as well


def misplaced(
    disks: Sequence[FleetDisk],
    rules: Rules,
    pools: Collection[str] | None = None,
    moved: Mapping[DiskKey, str] | None = None,
) -> dict[DiskKey, Breach]:
    """By disk, why it should be elsewhere, of those in `pools`, or in any. `moved`: where some of them are going to be.

    Of parties that should be apart, and of a group that is split, the smaller part is what should go.
    """
    gone = moved or {}
    at = {disk.key: gone.get(disk.key, disk.pool) for disk in disks}
    found: dict[DiskKey, Breach] = {}
    for disk in disks:
        if (rule := rules.pinned_elsewhere(disk, at[disk.key])) is not None:
            found[disk.key] = Breach(text=f"{disk} is pinned elsewhere by {rule}")
    sizes: Counter[tuple[tuple[int, str], str, str]] = Counter()
    there: dict[tuple[tuple[int, str], str], set[str]] = defaultdict(set)
    for disk in disks if rules.apart else ():
        for rule_, party in rules.apart.get(disk.key, ()):
            sizes[rule_, at[disk.key], party] += disk.allocation + 1
            there[rule_, at[disk.key]].add(party)
    stays = {key: max(parties, key=lambda one: (sizes[*key, one], one)) for key, parties in there.items()}
    for disk in disks if rules.apart else ():
        for rule_, party in rules.apart.get(disk.key, ()):
            pool = at[disk.key]
            if party != stays[rule_, pool]:
                text = f"{disk} is to be apart from others in {pool}: {rules.titles[rule_[0]]}"
                found.setdefault(disk.key, Breach(text=text))
    for number, members in rules.members.items():
        weight: Counter[str] = Counter()
        for disk in members:
            weight[at[disk.key]] += disk.allocation + 1
        if len(weight) > 1:
            main = max(weight, key=lambda pool: (weight[pool], pool))
            for disk in members:
                if at[disk.key] != main:
                    text = f"{disk} is to be with others in {main}: {rules.why_together[number]}"
                    found.setdefault(disk.key, Breach(text=text, split=True))
    return {key: text for key, text in found.items() if pools is None or at[key] in pools}
