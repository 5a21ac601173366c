"""A stage for moves: a fake world, the real journal, the real Mover, and what must hold whatever happens."""

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from svmove.journal import Kind, Record
from svmove.model import DomainState
from svmove.move import runner
from svmove.move.phases import RESTING, Phase
from svmove.mover import Mover
from svmove.moves import Plan
from svmove.outcomes import Outcome, Progress
from svmove.policy import Policy
from svmove.requests import Verify
from tests.builders import request
from tests.fake import FakeClock, FakeHost, FakeHypervisor, Faults, FaultyJournal, World


class Stage:
    def __init__(self, folder: Path, *targets: str, policy: Policy | None = None, uuid: str | None = None) -> None:
        self.world = World(*targets) if uuid is None else World(*targets, uuid=uuid)
        self.url = str(folder / "journal.sqlite")
        self.policy = policy or Policy()
        self.cancel = threading.Event()
        self.journal = FaultyJournal(self.url, self.world)
        self.told: list[Progress] = []
        self.off = False  # the guest is, and is to be so in the end

    def stop_guest(self) -> None:
        self.world.stop_guest()
        self.off = True

    def mover(self) -> Mover:
        """A fresh one, as a new process would have."""
        return Mover(FakeHypervisor(self.world), FakeHost(self.world), self.journal, self.policy, FakeClock(self.world))

    def move(self, **asked: Any) -> Outcome:
        return self.mover().move(request(**asked), listener=self.told.append, cancel=self.cancel)

    def plan(self, **asked: Any) -> Plan:
        return self.mover().plan(request(**asked))

    def run(self, plan: Plan) -> Outcome:
        """As `move`, of a plan that was made before."""
        mover = self.mover()
        runner.begin(self.journal, plan, FakeHypervisor.uri)
        return mover.resume(plan.move, listener=self.told.append, cancel=self.cancel)

    def resume(self, move: str) -> Outcome:
        """In a new process, a while after the old one died."""
        self.world.faults = Faults()
        self.world.pass_time(1.0)
        return self.mover().resume(move, listener=self.told.append, cancel=self.cancel)

    def record(self, move: str | None) -> Record:
        assert move is not None
        self.world.faults = Faults()
        return self.journal.read(move)

    def phases(self, move: str | None) -> list[str]:
        return [entry.what for entry in self.record(move).entries if entry.kind is Kind.PHASE]

    def facts(self, move: str | None, what: str) -> list[Mapping[str, Any]]:
        return [entry.data for entry in self.record(move).all(Kind.FACT, what)]

    def sources(self) -> dict[str, bool]:
        return {target: f"/pools/slow/web-{target}.qcow2" in self.world.files for target in self.world.drives}

    def destinations(self) -> dict[str, bool]:
        return {target: f"/pools/fast/web-{target}.qcow2" in self.world.files for target in self.world.drives}

    def check_proofs(self, move: str) -> None:
        """No source is deleted whose copy was not verified, unless somebody said that it need not be."""
        record = self.record(move)
        for disk in record.plan.disks:
            gone = disk.delete_source and record.last(Kind.FACT, "deleted", disk.target) is not None
            verified = record.last(Kind.FACT, "verified", disk.target)
            equal = verified is not None and not verified.data["mismatches"]
            proven = equal or record.last(Kind.FACT, "waived", disk.target) is not None
            assert proven or not gone or record.plan.verify is Verify.NONE, f"{disk.source}: deleted without its proof"

    def held_in_a_merge(self, move: str) -> bool:
        entries = self.record(move).entries
        return entries[-1].what == Phase.HELD and any(entry.what == "switch" for entry in entries)

    def check(self, move: str) -> Phase:
        """The invariants of every move, at its end. (The world itself watches over each deletion.)"""
        world, record = self.world, self.record(move)
        phase = Phase(record.phase)
        kept = {
            entry.target: entry.data["text"]
            for what in ("source-kept", "destination-kept")
            for entry in record.all(Kind.FACT, what)
        }
        assert phase in RESTING
        expected = DomainState.OFF if self.off else DomainState.RUNNING
        assert world.state is expected, "a guest that was running stands still"
        assert not world.frozen, "a guest that is left frozen can't write any more"
        assert world.locked == set()
        world.check_copies()
        self.check_proofs(move)
        if not self.facts(move, "export-left"):  # since its storage hangs, which the guest would too
            assert world.export is None, "an export was left, whose scratch file grows until the guest is paused"
            assert world.scratch == {}
        for target, drive in world.drives.items():
            assert drive.limits == world.own_limits, f"{target}: the guest is held back for ever"
        if phase is Phase.HELD:
            assert all(self.sources().values()), "a source is gone, though the move is held"
            return phase
        assert world.marker is None
        assert all(drive.mirror is None for drive in world.drives.values())
        known = {f"/pools/{pool}/web-{target}.qcow2" for pool in ("slow", "fast") for target in world.drives}
        for target, medium in world.media.items():
            known |= {f"/pools/slow/{target}.iso", medium.path or "", medium.inactive or ""}
        bases = {path for path in world.files if "/base-" in path}  # of `World.lay_on_a_base`
        known |= bases if phase is Phase.ROLLED_BACK else set()
        extra = [path for path in world.files if path not in known and not any(path in text for text in kept.values())]
        assert extra == [], "a file without an owner"
        on = "fast" if phase is Phase.DONE else "slow"
        for target, medium in world.media.items():
            stays = record.last(Kind.FACT, "medium-stays", target) is not None
            assert stays or {medium.path, medium.inactive} == {f"/pools/{on}/{target}.iso"}
            assert f"/pools/slow/{target}.iso" in world.files, "a medium was deleted"
        for target, drive in world.drives.items():
            assert {drive.path, drive.inactive} == {f"/pools/{on}/web-{target}.qcow2"}
            other = self.sources() if phase is Phase.DONE else self.destinations()
            unknown = "not known" in kept.get(target, "")
            below = [path for path, file in world.files.items() if file is drive.file.below]
            assert set(below) <= (bases if phase is Phase.ROLLED_BACK else set()), "an overlay was left"
            assert unknown or other[target] == (target in kept), "the copy that is not used: gone, or told of"
        return phase
