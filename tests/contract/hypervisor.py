"""What svmove relies on, of any hypervisor and its host. The fake and the real one pass the same tests.

`tests/move/test_contract.py` runs them against the fake world, `tests/real/test_contract.py` against the lab.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from svmove.errors import HostError, HypervisorError, NotFoundError, NotReadyError, UnverifiedError
from svmove.events import EventKind
from svmove.model import Agent, DomainState, Tuning
from svmove.volumes import NVRAM, CopyOptions, VolumeSpec
from tests.builders import disk_plan
from tests.contract.side import SLOW, Side, awaited


class DomainContract:
    def test_what_is_not_there_is_not_found_and_names_are_told(self, side: Side) -> None:
        with pytest.raises(NotFoundError):
            side.hypervisor.domain("6f2c8d1e-ffff-4000-8000-000000000001")
        with pytest.raises(NotFoundError, match=side.name):
            side.hypervisor.find_domain(f"{side.name}2")

    def test_a_domain_tells_its_disks_live_and_inactive(self, side: Side) -> None:
        domain = side.hypervisor.find_domain(side.name)
        assert (domain.uuid, domain.state, domain.persistent) == (side.uuid, DomainState.RUNNING, True)
        assert (domain.marker, domain.marked, domain.job, domain.io_error) == (None, (), "", False)
        assert [(d.target, d.path, d.format, d.mirror) for d in domain.live] == [
            *((target, side.path(target), "qcow2", None) for target in ("vda", "vdb")),
            ("sda", side.cd, "raw", None),
        ]
        assert [(d.target, d.path) for d in domain.inactive] == [(d.target, d.path) for d in domain.live]

    def test_a_domain_that_is_off_has_no_live_disks_no_process_and_holds_no_file(self, side: Side) -> None:
        path, process = side.path(), side.process()
        assert side.host.holds(process, path)
        with side.hypervisor.events(side.uuid) as events:
            side.off()
            awaited(events, EventKind.STOPPED)
        domain = side.hypervisor.domain(side.uuid)
        assert (domain.state, domain.live, len(domain.inactive)) == (DomainState.OFF, (), 3)
        side.until(lambda: side.host.process(side.uuid) is None)
        assert side.host.holders(path) == ()

    def test_a_start_is_told(self, side: Side) -> None:
        side.off()
        with side.hypervisor.events(side.uuid) as events:
            side.on()
            awaited(events, EventKind.STARTED)
        side.off()

    def test_a_domain_that_is_off_refuses_what_only_a_running_one_can_do(self, side: Side) -> None:
        side.off()
        for act in (side.hypervisor.suspend, side.hypervisor.resume):
            with pytest.raises(HypervisorError):
                act(side.uuid)
        with pytest.raises(HypervisorError):
            side.hypervisor.job(side.uuid, "vda")
        side.hypervisor.end_export(side.uuid, "/nowhere/socket")
        assert not side.hypervisor.exports(side.uuid, "/nowhere/socket")

    def test_a_guest_is_suspended_and_goes_on_once_or_twice(self, side: Side) -> None:
        with side.hypervisor.events(side.uuid) as events:
            side.hypervisor.suspend(side.uuid)
            awaited(events, EventKind.PAUSED)
        assert side.hypervisor.domain(side.uuid).state is DomainState.PAUSED
        side.hypervisor.resume(side.uuid)
        side.hypervisor.resume(side.uuid)
        assert side.hypervisor.domain(side.uuid).state is DomainState.RUNNING

    def test_a_marker_is_read_as_it_was_written_and_removed_once_or_twice(self, side: Side) -> None:
        plan = disk_plan(source=side.path(), destination=side.spec())
        side.hypervisor.set_marker(side.uuid, "20240101-120000-abc123", [plan])
        domain = side.hypervisor.domain(side.uuid)
        (marked,) = domain.marked
        assert domain.marker == "20240101-120000-abc123"
        assert (marked.target, marked.source, marked.destination) == ("vda", side.path(), side.spec().path)
        assert (marked.pool, marked.volume) == (side.pools[1], side.spec().name)
        side.hypervisor.set_marker(side.uuid, None)
        side.hypervisor.set_marker(side.uuid, None)
        domain = side.hypervisor.domain(side.uuid)
        assert (domain.marker, domain.marked) == (None, ())

    def test_what_the_guest_wrote_is_counted_and_nothing_when_it_is_off(self, side: Side) -> None:
        assert side.hypervisor.writes(side.uuid, "vda") == (0, 0)
        side.off()
        with pytest.raises(HypervisorError):
            side.hypervisor.writes(side.uuid, "vda")

    @pytest.mark.parametrize("running", [False, True])
    def test_the_next_start_is_set_of_a_domain_that_is_as_it_was_thought(self, side: Side, running: bool) -> None:
        made = side.spec()
        side.hypervisor.create_volume(made)
        source, kept, sources = side.path(), side.path("vdb"), {"vda": (made.path, "qcow2")}
        with pytest.raises(HypervisorError):
            side.hypervisor.set_sources(side.uuid, sources, running=False)
        if running:
            side.hypervisor.set_sources(side.uuid, sources, running=True)
            assert side.path() == source
        side.off()
        with pytest.raises(HypervisorError):
            side.hypervisor.set_sources(side.uuid, sources, running=True)
        if not running:
            side.hypervisor.set_sources(side.uuid, sources, running=False)
        inactive = {disk.target: disk.path for disk in side.hypervisor.domain(side.uuid).inactive}
        assert inactive == {"vda": made.path, "vdb": kept, "sda": side.cd}

    def test_the_file_of_the_uefi_variables_is_told_and_set_with_a_disk_by_one_definition(self, side: Side) -> None:
        assert side.hypervisor.domain(side.uuid).nvram is None
        with pytest.raises(HypervisorError):
            side.hypervisor.set_sources(side.uuid, {NVRAM: ("/nowhere.fd", "raw")}, running=True)
        old = side.uefi()
        domain = side.hypervisor.domain(side.uuid)
        assert (domain.live_nvram, domain.inactive_nvram, domain.nvram) == (None, old, old)
        disk, variables = side.spec(), replace(side.spec("vars"), format="raw")
        for made in (disk, variables):
            side.hypervisor.create_volume(made)
        sources = {"vda": (disk.path, "qcow2"), NVRAM: (variables.path, "raw")}
        side.hypervisor.set_sources(side.uuid, sources, running=False)
        domain = side.hypervisor.domain(side.uuid)
        first = domain.inactive_disk("vda")
        assert (first and first.path, domain.nvram) == (disk.path, variables.path)

    def test_a_guest_whose_agent_nobody_runs_is_silent_and_can_not_be_asked(self, side: Side) -> None:
        assert side.hypervisor.agent(side.uuid, 1.0) is Agent.SILENT
        for ask in (side.hypervisor.trim, side.hypervisor.freeze, side.hypervisor.thaw):
            with pytest.raises(HypervisorError):
                ask(side.uuid, 1.0)
        side.hypervisor.suspend(side.uuid)
        with pytest.raises(HypervisorError):
            side.hypervisor.thaw(side.uuid, 1.0)

    def test_a_medium_is_changed_now_and_for_the_next_start_each_alone(self, side: Side) -> None:
        first, (second, third) = side.cd, (side.more_cds())
        side.hypervisor.change_medium(side.uuid, "sda", second, "raw", live=True, config=False)
        assert side.drive() == (second, first)
        assert side.host.holds(side.process(), second)
        side.hypervisor.change_medium(side.uuid, "sda", third, "raw", live=False, config=True)
        assert side.drive() == (second, third)
        side.hypervisor.change_medium(side.uuid, "sda", first, "raw", live=True, config=True)
        assert side.drive() == (first, first)
        with pytest.raises(HypervisorError):
            side.hypervisor.change_medium(side.uuid, "sda", "/nowhere.iso", "raw", live=True, config=True)
        assert side.drive() == (first, first)

    def test_a_checkpoint_forgets_a_disk_once_or_twice_and_goes_with_its_last_one(self, side: Side) -> None:
        side.checkpoint("c1")
        (point,) = side.hypervisor.domain(side.uuid).checkpoints
        assert (point.name, sorted(point.targets)) == ("c1", ["vda", "vdb"])
        assert side.hypervisor.lost_bitmaps(side.uuid) == {}
        for _ in range(2):
            side.hypervisor.forget_checkpoint(side.uuid, "c1", ["vda"])
            (point,) = side.hypervisor.domain(side.uuid).checkpoints
            assert point.targets == ("vdb",)
        for _ in range(2):
            side.hypervisor.forget_checkpoint(side.uuid, "c1", ["vdb"])
            assert side.hypervisor.domain(side.uuid).checkpoints == ()


class VolumeContract:
    def test_a_volume_is_made_once_found_and_deleted_once_or_twice(self, side: Side) -> None:
        made, hypervisor = side.spec(), side.hypervisor
        assert hypervisor.create_volume(made).path == made.path
        with pytest.raises(HypervisorError):
            hypervisor.create_volume(made)
        found = hypervisor.volume_at(made.path)
        assert found is not None
        assert (found.pool, found.name, found.capacity) == (made.pool, made.name, side.capacity)
        assert made.name in hypervisor.volume_names(made.pool)
        for _ in range(2):
            hypervisor.delete_volume(made.pool, made.name, made.path)
            assert hypervisor.volume_at(made.path) is None
            assert made.name not in hypervisor.volume_names(made.pool)

    def test_a_volume_of_that_name_elsewhere_is_not_deleted(self, side: Side) -> None:
        made = side.spec()
        side.hypervisor.create_volume(made)
        with pytest.raises(HypervisorError):
            side.hypervisor.delete_volume(made.pool, made.name, f"/elsewhere/{made.name}")
        assert side.host.identity(made.path) is not None

    def test_pools_are_told_with_their_space(self, side: Side) -> None:
        found = {pool.name: pool for pool in side.hypervisor.pools()}
        assert set(side.pools) <= set(found)
        assert all(pool.active and pool.path and pool.available for pool in found.values())
        assert found[side.pools[1]].path == side.folder


class CopyContract:
    def test_a_copy_needs_its_volume_and_a_disk_has_one_copy_at_a_time(self, side: Side) -> None:
        made = side.spec()
        with pytest.raises(HypervisorError):
            self._begin(side, made)
        assert side.hypervisor.job(side.uuid, "vda") is None
        side.hypervisor.create_volume(made)
        self._begin(side, made)
        with pytest.raises(HypervisorError):
            self._begin(side, made)

    def test_a_copy_is_told_when_it_is_ready_and_both_files_are_held(self, side: Side) -> None:
        source, process = side.path(), side.process()
        with side.hypervisor.events(side.uuid) as events:
            made = side.start()
            awaited(events, EventKind.READY, "vda")
        disk = side.live()
        assert disk.mirror is not None
        assert (disk.path, disk.mirror.job, disk.mirror.path) == (source, "copy", made.path)
        assert (disk.mirror.ready, disk.mirror.ending) == (True, False)
        job = side.hypervisor.job(side.uuid, "vda")
        assert job is not None
        assert (job.kind, job.remaining) == ("copy", 0)
        assert side.hypervisor.job(side.uuid, "vdb") is None
        assert all(side.host.holds(process, path) for path in (source, made.path))
        assert process.pid in side.host.holders(made.path)

    def test_a_copy_that_is_not_ready_can_not_pivot(self, side: Side) -> None:
        with pytest.raises(HypervisorError):
            side.hypervisor.request_pivot(side.uuid, "vda")
        side.start(bandwidth=SLOW)
        with pytest.raises(NotReadyError):
            side.hypervisor.request_pivot(side.uuid, "vda")
        disk = side.live()
        assert disk.mirror is not None
        assert not disk.mirror.ready

    def test_a_cap_can_be_lifted_while_it_copies_and_there_is_none_without_a_copy(self, side: Side) -> None:
        with pytest.raises(HypervisorError):
            side.hypervisor.set_bandwidth(side.uuid, "vda", None)
        with side.hypervisor.events(side.uuid) as events:
            side.start(bandwidth=SLOW)
            side.hypervisor.set_bandwidth(side.uuid, "vda", None)
            awaited(events, EventKind.READY, "vda")

    def test_limits_are_set_on_a_running_disk_alone_and_lifted_again(self, side: Side) -> None:
        own = side.hypervisor.tuning(side.uuid, "vda")
        assert (own.limits, own.group) == ({}, "")
        held = Tuning(limits={"write_iops_sec": 100, "write_bytes_sec": 1 << 20, "read_iops_sec": 500})
        side.hypervisor.set_tuning(side.uuid, "vda", held)
        assert side.hypervisor.tuning(side.uuid, "vda") == held
        assert side.hypervisor.tuning(side.uuid, "vdb") == own
        with pytest.raises(HypervisorError):
            side.hypervisor.set_tuning(side.uuid, "vda", Tuning(limits={"total_iops_sec": 9, "write_iops_sec": 9}))
        side.hypervisor.set_tuning(side.uuid, "vda", Tuning(limits={"total_iops_sec": 900}))
        assert side.hypervisor.tuning(side.uuid, "vda").limits == {"total_iops_sec": 900}
        side.hypervisor.set_tuning(side.uuid, "vda", own)
        assert side.hypervisor.tuning(side.uuid, "vda") == own

    def test_a_copy_that_becomes_ready_while_the_guest_stands_can_pivot_then(self, side: Side) -> None:
        with side.hypervisor.events(side.uuid) as events:
            side.start(bandwidth=SLOW)
            side.hypervisor.suspend(side.uuid)
            side.hypervisor.set_bandwidth(side.uuid, "vda", None)
            awaited(events, EventKind.READY, "vda")
            side.hypervisor.request_pivot(side.uuid, "vda")
            awaited(events, EventKind.COMPLETED, "vda")

    def test_a_copy_begun_again_on_the_same_volume_is_whole(self, side: Side) -> None:
        """With synchronous writes, after one that was cancelled in mid-copy."""
        with side.hypervisor.events(side.uuid) as events:
            made = side.start(bandwidth=SLOW)
            side.hypervisor.cancel_copy(side.uuid, "vda")
            awaited(events, EventKind.CANCELED, "vda")
            side.until(lambda: not side.host.holds(side.process(), made.path))
            side.hypervisor.start_copy(side.uuid, "vda", made, CopyOptions(synchronous=True))
            awaited(events, EventKind.READY, "vda")

    def test_a_pivot_is_told_and_witnessed_by_libvirt_and_qemu(self, side: Side) -> None:
        source, process = side.path(), side.process()
        with side.hypervisor.events(side.uuid) as events:
            made = side.start()
            awaited(events, EventKind.READY, "vda")
            side.hypervisor.suspend(side.uuid)
            side.hypervisor.request_pivot(side.uuid, "vda")
            awaited(events, EventKind.COMPLETED, "vda")

        def witnessed() -> bool:
            domain = side.hypervisor.domain(side.uuid)
            live, inactive = domain.disk("vda"), domain.inactive_disk("vda")
            named = {disk.path for disk in (live, inactive) if disk is not None}
            return named == {made.path} and not side.host.holds(process, source)

        side.until(witnessed)
        assert side.host.holds(process, made.path)
        assert side.hypervisor.job(side.uuid, "vda") is None
        assert side.hypervisor.domain(side.uuid).state is DomainState.PAUSED
        assert side.path("vdb") != made.path

    def test_a_copy_is_cancelled_and_the_source_and_the_file_stay(self, side: Side) -> None:
        source, process = side.path(), side.process()
        with side.hypervisor.events(side.uuid) as events:
            made = side.start(bandwidth=SLOW)
            side.hypervisor.cancel_copy(side.uuid, "vda")
            awaited(events, EventKind.CANCELED, "vda")
        side.until(lambda: not side.host.holds(process, made.path))
        side.hypervisor.cancel_copy(side.uuid, "vda")
        assert side.hypervisor.job(side.uuid, "vda") is None
        disk = side.live()
        assert (disk.path, disk.mirror) == (source, None)
        assert side.host.identity(made.path) is not None

    def test_a_guest_that_stops_in_mid_copy_starts_again_from_its_source(self, side: Side) -> None:
        source = side.path()
        with side.hypervisor.events(side.uuid) as events:
            side.start(bandwidth=SLOW)
            side.off()
            awaited(events, EventKind.STOPPED)
        side.hypervisor.cancel_copy(side.uuid, "vda")
        inactive = side.hypervisor.domain(side.uuid).inactive_disk("vda")
        assert inactive is not None
        assert inactive.path == source

    def _begin(self, side: Side, made: VolumeSpec) -> None:
        side.hypervisor.start_copy(side.uuid, "vda", made, CopyOptions())


class ExportContract:
    @pytest.fixture
    def released(self, side: Side) -> str:
        """The path of what vda was on before it pivoted, under a suspended guest."""
        source, process = side.path(), side.process()
        with side.hypervisor.events(side.uuid) as events:
            side.start()
            awaited(events, EventKind.READY, "vda")
            side.hypervisor.suspend(side.uuid)
            side.hypervisor.request_pivot(side.uuid, "vda")
            awaited(events, EventKind.COMPLETED, "vda")
        side.until(lambda: not side.host.holds(process, source))
        return source

    @pytest.fixture
    def socket(self, side: Side) -> Iterator[str]:
        """Of an export of vda as it is."""
        process, socket = side.host.process(side.uuid), f"{side.scratch}/export.sock"
        assert process is not None
        file = f"{side.scratch}/vda.qcow2"
        side.host.make_scratch(side.scratch, {file: side.capacity}, process)
        side.hypervisor.begin_export(side.uuid, {"vda": file}, socket)
        yield socket
        side.hypervisor.end_export(side.uuid, socket)

    def _compare(self, side: Side, path: str, socket: str, length: int | None = None) -> int | None:
        return side.host.compare(path, "qcow2", socket, "vda", 0, length or side.capacity, lambda _size: True)

    def test_an_export_needs_its_scratch_file(self, side: Side) -> None:
        with pytest.raises(HypervisorError):
            side.hypervisor.begin_export(side.uuid, {"vda": f"{side.scratch}/vda.qcow2"}, f"{side.scratch}/sock")
        assert side.hypervisor.domain(side.uuid).job == ""

    def test_an_export_is_seen_by_its_socket_and_ended_by_it_alone(self, side: Side, socket: str) -> None:
        assert side.hypervisor.domain(side.uuid).job == "backup"
        assert side.hypervisor.exports(side.uuid, socket)
        assert not side.hypervisor.exports(side.uuid, "/nowhere/socket")
        side.hypervisor.end_export(side.uuid, "/nowhere/socket")
        assert side.hypervisor.exports(side.uuid, socket)
        for _ in range(2):
            side.hypervisor.end_export(side.uuid, socket)
            assert not side.hypervisor.exports(side.uuid, socket)
        assert side.hypervisor.domain(side.uuid).job == ""
        for _ in range(2):
            side.host.remove_scratch(side.scratch)

    def test_what_qemu_released_at_the_pivot_is_equal_to_what_it_has(
        self, side: Side, released: str, socket: str
    ) -> None:
        side.hypervisor.resume(side.uuid)
        seen: list[int] = []

        def advanced(size: int) -> bool:
            seen.append(size)
            return True

        found = side.host.compare(released, "qcow2", socket, "vda", 0, side.capacity, advanced)
        assert (found, sum(seen)) == (None, side.capacity)

    def test_what_qemu_has_open_can_not_be_compared(self, side: Side, socket: str) -> None:
        with pytest.raises(HostError):
            self._compare(side, side.path(), socket)

    def test_a_comparison_finds_where_the_first_difference_lies(self, side: Side, released: str, socket: str) -> None:
        wrong = side.capacity // 2 + 512
        side.spoil(released, wrong)
        found = self._compare(side, released, socket)
        assert found is not None
        assert found // 65536 == wrong // 65536
        assert self._compare(side, released, socket, side.capacity // 2) is None

    def test_a_comparison_can_be_stopped_and_ends_with_its_export(self, side: Side, released: str, socket: str) -> None:
        with pytest.raises(UnverifiedError):
            side.host.compare(released, "qcow2", socket, "vda", 0, side.capacity, lambda _size: False)
        side.hypervisor.end_export(side.uuid, socket)
        with pytest.raises(HostError):
            self._compare(side, released, socket)

    def test_an_export_ends_with_the_guest(self, side: Side, socket: str) -> None:
        side.off()
        assert not side.hypervisor.exports(side.uuid, socket)
