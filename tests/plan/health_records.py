"""Lines of `svmove doctor` on what svmove itself keeps: policy, journal, moves."""

from dataclasses import replace

from svmove.budgets import PoolPolicy
from svmove.health import Mark, Trouble
from svmove.policy import Policy
from svmove.units import MiB
from tests.builders import NOW
from tests.plan.health import GONE, WELL, Told, journal, moves

TOLD = [
    Told(
        code="policy",
        mark=Mark.PROBLEM,
        facts=replace(WELL, policy_trouble=Trouble(text="policy.toml, line 3: no such key")),
        subject="policy",
        says="svmove policy check",
    ),
    Told(
        code="unknown-pool",
        mark=Mark.WARNING,
        facts=replace(WELL, policy=Policy(pools={"fats": PoolPolicy()})),
        subject="policy",
        says="there are: fast",
    ),
    Told(
        code="journal",
        mark=Mark.PROBLEM,
        facts=journal(trouble=Trouble(text="read-only", remedy="run as root")),
        subject="journal",
        says="run as root",
    ),
    Told(code="journal-volatile", mark=Mark.WARNING, facts=journal(kind="tmpfs"), subject="journal", says="--journal"),
    Told(code="journal-shared", mark=Mark.WARNING, facts=journal(kind="nfs"), subject="journal", says="postgresql://"),
    Told(code="journal-full", mark=Mark.WARNING, facts=journal(free=MiB), subject="journal", says="1.0 MiB free"),
    Told(code="clock", mark=Mark.WARNING, facts=journal(newest=NOW + 3600), subject="clock", says="in the future"),
    Told(code="no-zones", mark=Mark.WARNING, facts=replace(WELL, zones=False), subject="clock", says="tzdata"),
    Told(code="unfinished", mark=Mark.WARNING, facts=moves(left=("m-1",)), subject="moves", says="svmove resume m-1"),
    Told(code="held", mark=Mark.WARNING, facts=moves(held=("m-1",)), subject="moves", says="svmove show m-1"),
    Told(code="journal-lost", mark=Mark.WARNING, facts=moves(unknown=("m-1",)), subject="moves", says="resume --all"),
    Told(code="leftovers", mark=Mark.NOTE, facts=moves(removable=2), subject="moves", says="svmove gc --yes"),
    Told(code="leftovers-kept", mark=Mark.NOTE, facts=moves(kept=1), subject="moves", says="svmove gc says why"),
    Told(code="moves", mark=Mark.WARNING, facts=moves(trouble=GONE), subject="moves", says="can't connect"),
]
QUIET = [
    ("clock", journal(newest=NOW + 2)),
    ("journal-full", journal(free=None, on_server=True, kind=None)),
]
