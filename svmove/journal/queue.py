"""Who may begin, and who waits for what: pure.

First come, first served, with priorities. The order of two tickets never changes: a higher priority is a start of
`slots.ageing` seconds, no more, so whoever waits becomes the first of all in the end. Nobody is overtaken for ever:
the first that waits for a full place keeps a slot at the others that it needs. Only the first: of all who wait for
one host, one can go when it has a slot again, and the rest must not block the pools of other hosts.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from svmove.budgets import Budgets, Place, Priority, Waits

# Times slots.ageing.
_START = {Priority.HIGH: 1.0, Priority.NORMAL: 0.0, Priority.LOW: -1.0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    move: str
    priority: Priority
    asked: float  # Unix time
    places: tuple[Place, ...]
    holds: bool  # its slots
    pid: int | None = None  # of the process that works on the move


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    granted: tuple[str, ...]  # the moves that may begin now, in their order
    waiting: Mapping[str, Waits]  # in their order

    def to_call(self, before: "Queue") -> tuple[str, ...]:
        """The moves that should look, now that it is not as `before`: those that may begin, and those that are the
        first of a queue from now on, since they watch over it."""
        return (*self.granted, *(move for move in self._first if move not in before._first))

    @property
    def _first(self) -> list[str]:
        return [move for move, waits in self.waiting.items() if waits.first]


def grant(tickets: Iterable[Ticket], budgets: Budgets) -> Queue:
    """`tickets`: of moves that a process works on; what the others had is free."""
    there = list(tickets)
    holders = defaultdict[Place, list[str]](list)
    for ticket in there:
        for place in ticket.places if ticket.holds else ():
            holders[place].append(ticket.move)
    ahead = defaultdict[Place, list[str]](list)
    granted: list[str] = []
    waiting: dict[str, Waits] = {}
    for ticket in sorted((one for one in there if not one.holds), key=lambda one: _order(one, budgets)):
        full = [place for place in ticket.places if len(holders[place]) >= budgets.limit(place)]
        if full:
            waiting[ticket.move] = _waits(full, ahead, holders)
            if any(ahead[place] for place in full):
                taken = []
            else:  # the next: nobody gets in between where there is room
                taken = [place for place in ticket.places if place not in full]
            for place in ticket.places:
                ahead[place].append(ticket.move)
        else:
            granted.append(ticket.move)
            taken = list(ticket.places)
        for place in taken:
            holders[place].append(ticket.move)
    return Queue(granted=tuple(granted), waiting=waiting)


def _waits(full: list[Place], ahead: Mapping[Place, list[str]], holders: Mapping[Place, list[str]]) -> Waits:
    worst = max(full, key=lambda place: len(ahead[place]))
    watch = {move for place in full for move in ahead[place][-1:] or holders[place]}
    first = any(not ahead[place] for place in full)
    return Waits(place=worst, position=len(ahead[worst]) + 1, first=first, watch=tuple(sorted(watch)))


def _order(ticket: Ticket, budgets: Budgets) -> tuple[float, str]:
    return ticket.asked - _START[ticket.priority] * budgets.slots.ageing, ticket.move
