"""The placement of svmove against two solvers: how much of a pool finds room elsewhere, how evenly, in what time.

The solvers are no dependency of svmove: pip install ortools highspy. Without them only svmove's row is printed.
"""

import importlib.util
import itertools
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import typer
from rich.console import Console

from svmove.affinity import AffinityPolicy, Group, Pin
from svmove.fleet import Fleet, FleetDisk, FleetPool
from svmove.plan.candidates import bundles
from svmove.plan.ledger import Bundle, Ledger
from svmove.plan.packing import pack
from svmove.plan.rules import Rules
from svmove.policy import Policy, SpacePolicy
from svmove.units import GiB, MiB, show_duration
from svmove.view import tables

POOLS = 20
_SOLVERS = ("ortools", "highspy")


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """`part`: of the room that there is, so much is to be placed."""

    title: str
    bundles: Sequence[Bundle]
    ledger: Ledger
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    pools: dict[int, str]
    seconds: float


def problem(volumes: int, part: float, *, ruled: bool, seed: int = 1) -> Problem:
    dice = random.Random(seed)  # noqa: S311 (nothing secret)
    # The largest fits in any pool: else there is nothing to be compared.
    largest = (32 if volumes < 1000 else 128) * GiB
    sizes = [min(round(dice.paretovariate(1.1) * 4 * GiB), largest) // MiB * MiB for _ in range(volumes)]
    disks = tuple(
        FleetDisk(
            guest=f"g{number // 3:05d}",
            uuid=f"g{number // 3:05d}",
            target=f"vd{'abc'[number % 3]}",
            pool="old",
            volume=f"v{number}",
            capacity=size,
            allocation=size,
            running=True,
        )
        for number, size in enumerate(sizes)
    )
    # Pools of different sizes, and differently full.
    weights = [dice.uniform(0.5, 2.0) for _ in range(POOLS)]
    room = [round(sum(sizes) / part * weight / sum(weights)) for weight in weights]
    fills = [dice.uniform(0.2, 0.7) for _ in range(POOLS)]
    pools = [
        FleetPool(
            name=f"p{number:02d}",
            type="dir",
            active=True,
            capacity=round(free / (1 - fill)),
            allocation=round(free / (1 - fill)) - free,
            available=free,
            place=f"p{number:02d}",
        )
        for number, (free, fill) in enumerate(zip(room, fills, strict=True))
    ]
    old = FleetPool(
        name="old", type="dir", active=True, capacity=sum(sizes), allocation=sum(sizes), available=0, place="old"
    )
    affinity = AffinityPolicy()
    if ruled:
        # Clusters of ten guests apart, a tenth of all pinned to a quarter of the pools, a tenth kept together.
        starts = range(0, volumes // 3, 50)
        affinity = AffinityPolicy(
            apart=tuple(Group(guests=tuple(f"g{s + n:05d}" for n in range(10))) for s in starts),
            together=tuple(Group(guests=(f"g{s + n:05d}",)) for s in starts for n in range(10, 15)),
            pin=(Pin(guests=("g*5",), pools=("p00", "p01", "p02", "p03", "p04")),),
        )
    policy = Policy(space=SpacePolicy(reserve=0, growth=0.0), affinity=affinity)
    fleet = Fleet(pools=(old, *pools), disks=disks)
    rules = Rules(affinity, disks)
    found, _ = bundles(disks, pools, rules, policy)
    title = f"{volumes} volumes, {part:.0%} of the room" + (", rules" if ruled else "")
    return Problem(title=title, bundles=found, ledger=Ledger(fleet, rules, policy), total=sum(sizes))


def ours(given: Problem, _limit: float) -> Result:
    began = time.perf_counter()
    found = pack(given.bundles, given.ledger, {})
    return Result(pools=dict(found.pools), seconds=time.perf_counter() - began)


def _parties(given: Problem) -> dict[tuple[object, str], dict[str, list[int]]]:
    """By rule and pool: the bundles of each party that may be there."""
    found: dict[tuple[object, str], dict[str, list[int]]] = {}
    for number, what in enumerate(given.bundles):
        for rule, party in set(what.parties):
            for pool in what.pools:
                found.setdefault((rule, pool), {}).setdefault(party, []).append(number)
    return found


def cp_sat(given: Problem, limit: float) -> Result:
    """Most bytes first; then, with all of these, the lowest highest fill."""
    from ortools.sat.python import cp_model

    began = time.perf_counter()
    model = cp_model.CpModel()
    x = {(n, p): model.new_bool_var("") for n, what in enumerate(given.bundles) for p in what.pools}
    for n, what in enumerate(given.bundles):
        model.add_at_most_one(x[n, p] for p in what.pools)
    names = sorted({p for _, p in x})
    highest = model.new_int_var(0, 10000, "")
    for p in names:
        terms = [(given.bundles[n].thin // MiB, var) for (n, q), var in x.items() if q == p]
        load = sum(size * var for size, var in terms)
        capacity = given.ledger.capacity[p] // MiB
        model.add(load <= given.ledger.room[p] // MiB)
        taken = capacity - given.ledger.free[p] // MiB
        model.add((load + taken) * 10000 <= highest * capacity)
    for (_, pool), sides in _parties(given).items():
        here = []
        for numbers in sides.values():
            side = model.new_bool_var("")
            for n in numbers:
                model.add_implication(x[n, pool], side)
            here.append(side)
        model.add_at_most_one(here)
    placed = sum(given.bundles[n].thin // MiB * var for (n, _), var in x.items())
    solver = cp_model.CpSolver()
    solver.parameters.max_time_in_seconds = limit / 2
    solver.parameters.num_workers = 2
    model.maximize(placed)
    if solver.solve(model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return Result(pools={}, seconds=time.perf_counter() - began)
    first = {n: p for (n, p), var in x.items() if solver.boolean_value(var)}
    model.add(placed >= sum(given.bundles[n].thin // MiB for n in first))
    for key, var in x.items():
        model.add_hint(var, first.get(key[0]) == key[1])
    model.minimize(highest)
    status = solver.solve(model)
    if status in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        first = {n: p for (n, p), var in x.items() if solver.boolean_value(var)}
    return Result(pools=first, seconds=time.perf_counter() - began)


def highs(given: Problem, limit: float) -> Result:
    """Likewise, in one: a byte placed counts more than any evenness. The last column is the highest fill."""
    import highspy

    began = time.perf_counter()
    keys = [(n, p) for n, what in enumerate(given.bundles) for p in what.pools]
    column = {key: number for number, key in enumerate(keys)}
    size = [given.bundles[n].thin / GiB for n, _ in keys]
    rows: list[tuple[list[int], list[float], float]] = []  # columns, factors, at most
    for n, what in enumerate(given.bundles):
        rows.append(([column[n, p] for p in what.pools], [1.0] * len(what.pools), 1.0))
    sides: list[list[int]] = []
    columns = len(keys)
    for (_, pool), parties in _parties(given).items():
        sides.append([])
        for numbers in parties.values():
            rows += [([column[n, pool], columns], [1.0, -1.0], 0.0) for n in numbers]
            sides[-1].append(columns)
            columns += 1
    rows += [(side, [1.0] * len(side), 1.0) for side in sides]
    for p in sorted({p for _, p in keys}):
        here = [number for number, (_, q) in enumerate(keys) if q == p]
        loads, capacity = [size[number] for number in here], given.ledger.capacity[p] / GiB
        rows.append((here, loads, given.ledger.room[p] / GiB))
        rows.append(([*here, columns], [*loads, -capacity], given.ledger.free[p] / GiB - capacity))
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_, lp.sense_ = columns + 1, len(rows), highspy.ObjSense.kMaximize
    lp.col_cost_ = [*size, *[0.0] * (columns - len(keys)), -10.0]
    lp.col_lower_, lp.col_upper_ = [0.0] * (columns + 1), [1.0] * (columns + 1)
    lp.integrality_ = [highspy.HighsVarType.kInteger] * columns + [highspy.HighsVarType.kContinuous]
    lp.row_lower_, lp.row_upper_ = [-highspy.kHighsInf] * len(rows), [most for _, _, most in rows]
    lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
    lp.a_matrix_.start_ = [0, *itertools.accumulate(len(indices) for indices, _, _ in rows)]
    lp.a_matrix_.index_ = [number for indices, _, _ in rows for number in indices]
    lp.a_matrix_.value_ = [factor for _, factors, _ in rows for factor in factors]
    model = highspy.Highs()
    model.silent()
    model.setOptionValue("time_limit", limit)
    model.setOptionValue("mip_rel_gap", 1e-4)
    model.passModel(lp)
    model.run()
    values = model.getSolution().col_value
    pools = {n: p for (n, p), value in zip(keys, values, strict=False) if value > 0.5}
    return Result(pools=pools, seconds=time.perf_counter() - began)


def judged(given: Problem, result: Result) -> tuple[str, str, str, str]:
    """Left over, the highest fill, seconds; and whether the ledger agrees with all of it."""
    now = given.ledger.copy()
    right = True
    for number, pool in result.pools.items():
        right &= now.fits(given.bundles[number], pool)
        now.put(given.bundles[number], pool)
    placed = sum(given.bundles[number].freed for number in result.pools)
    highest = max(now.fill(f"p{number:02d}") for number in range(POOLS))
    left = f"{(given.total - placed) / given.total:.3%}"
    return left, f"{highest:.2%}", show_duration(result.seconds), "yes" if right else "NO"


def main(volumes: str = "100,1000,10000", limit: float = 60.0) -> None:
    """`limit`: seconds for each solver and problem."""
    solvers: list[tuple[str, Callable[[Problem, float], Result]]] = [("svmove", ours)]
    if all(importlib.util.find_spec(name) for name in _SOLVERS):
        solvers += [("CP-SAT", cp_sat), ("HiGHS", highs)]
    rows = []
    for number in map(int, volumes.split(",")):
        for part, ruled in ((0.5, False), (0.9, True), (0.99, False), (0.9999, False), (1.1, False)):
            given = problem(number, part, ruled=ruled)
            for title, solve in solvers:
                rows.append((given.title, title, *judged(given, solve(given, limit))))
                print(rows[-1], flush=True)
    headings = ("problem", "by", "left over", "highest fill", "seconds", "all rules kept")
    Console(highlight=False, width=120).print(tables.table(headings, rows, right=headings[2:5]))


if __name__ == "__main__":
    typer.run(main)
