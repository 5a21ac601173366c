"""What svmove relies on, of any hypervisor and its host. The fake and the real one pass the same tests.

`tests/move/test_contract.py` runs them against the fake world, `tests/real/test_contract.py` against the lab.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from svmove.errors import HostError, HypervisorError, NotFoundError, NotReadyError, SvmoveError, UnverifiedError
from svmove.model import Agent, CopyWay, DomainState, EventKind, Tuning
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


class FreezeContract:
    """Method `snapshot`: an overlay takes the writes, what was frozen is copied and proven, the overlay is merged."""

    @pytest.fixture
    def overlay(self, side: Side) -> VolumeSpec:
        """Of vda, beside its file."""
        source = side.path()
        name = f"{side.name}-vda.over"
        path = f"{source.rpartition('/')[0]}/{name}"
        made = VolumeSpec(
            pool=side.pools[0],
            name=name,
            path=path,
            format="qcow2",
            capacity=side.capacity,
            compat="1.1",
            backing=source,
            backing_format="qcow2",
        )
        side.hypervisor.create_volume(made)
        return made

    def test_an_overlay_is_empty_until_it_takes_the_writes_and_names_what_lies_below(
        self, side: Side, overlay: VolumeSpec
    ) -> None:
        source, process = side.path(), side.process()
        assert side.host.extents(overlay.path, "qcow2") == ()
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        live = side.live()
        inactive = side.hypervisor.domain(side.uuid).inactive_disk("vda")
        assert inactive is not None
        assert (live.path, live.chain, live.mirror, inactive.path) == (overlay.path, (source,), None, overlay.path)
        assert side.path("vdb") != overlay.path
        assert all(side.host.holds(process, path) for path in (source, overlay.path))

    def test_what_was_frozen_once_can_not_be_frozen_into_the_same_overlay(
        self, side: Side, overlay: VolumeSpec
    ) -> None:
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        with pytest.raises(HypervisorError):
            side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        assert side.path() == overlay.path

    def test_a_merge_is_ready_pivots_and_leaves_the_file_below_alone(self, side: Side, overlay: VolumeSpec) -> None:
        source, process = side.path(), side.process()
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        with side.hypervisor.events(side.uuid) as events:
            side.hypervisor.begin_merge(side.uuid, "vda")
            awaited(events, EventKind.READY, "vda")
            mirror = side.live().mirror
            assert mirror is not None
            assert (mirror.job, mirror.path, mirror.ready) == ("active-commit", source, True)
            side.hypervisor.request_pivot(side.uuid, "vda")
            awaited(events, EventKind.COMPLETED, "vda")

        def witnessed() -> bool:
            inactive = side.hypervisor.domain(side.uuid).inactive_disk("vda")
            names = {side.path(), inactive.path if inactive else None}
            return names == {source} and not side.host.holds(process, overlay.path)

        side.until(witnessed)
        assert (side.live().chain, side.live().mirror) == ((), None)

    def test_a_disk_without_a_file_below_it_can_not_be_merged(self, side: Side) -> None:
        with pytest.raises(HypervisorError):
            side.hypervisor.begin_merge(side.uuid, "vda")
        assert side.live().mirror is None

    def test_an_overlay_that_qemu_has_open_is_not_committed_and_one_of_a_guest_that_is_off_is(
        self, side: Side, overlay: VolumeSpec
    ) -> None:
        source = side.path()
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        with pytest.raises(HostError):
            side.host.commit_overlay(overlay.path, "qcow2")
        with side.hypervisor.events(side.uuid) as events:
            side.off()
            awaited(events, EventKind.STOPPED)
        side.until(lambda: side.host.holders(overlay.path) == ())
        for _ in range(2):
            side.host.commit_overlay(overlay.path, "qcow2")
        side.hypervisor.set_sources(side.uuid, {"vda": (source, "qcow2")}, running=False)
        inactive = side.hypervisor.domain(side.uuid).inactive_disk("vda")
        assert inactive is not None
        assert inactive.path == source

    def test_what_is_frozen_is_copied_and_compared_while_the_guest_runs(self, side: Side, overlay: VolumeSpec) -> None:
        source, made = side.path(), side.spec()
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        side.hypervisor.create_volume(made)
        told: list[tuple[int, int]] = []

        def saved(offset: int, end: int) -> bool:
            told.append((offset, end))
            return True

        side.host.copy_image(
            source, "qcow2", made.path, "qcow2", length=None, begin=0, bandwidth=lambda: None, saved=saved
        )
        assert told[-1][0] == told[-1][1]
        assert side.host.extents(source, "qcow2") == side.host.extents(made.path, "qcow2")

        def compared() -> int | None:
            capacity = side.capacity
            return side.host.compare_local(
                source, "qcow2", made.path, "qcow2", 0, capacity, lambda _size: True, layer=True
            )

        assert compared() is None
        side.spoil(made.path, side.capacity // 2)
        assert compared() is not None
        assert not side.host.shares_all(source, made.path)

    def test_a_chain_of_a_guest_that_is_off_becomes_one_file_as_the_guest_sees_it(
        self, side: Side, overlay: VolumeSpec
    ) -> None:
        source, made = side.path(), side.spec()
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        side.hypervisor.create_volume(made)
        side.off()
        side.until(lambda: side.host.holders(overlay.path) == ())
        assert [path for path, _ in side.host.chain(overlay.path, "qcow2")] == [source]
        way = side.host.copy_image(
            overlay.path,
            "qcow2",
            made.path,
            "qcow2",
            length=side.capacity,
            begin=0,
            bandwidth=lambda: None,
            saved=lambda *_: True,
            flatten=True,
        )
        assert (way, side.host.chain(made.path, "qcow2")) == (CopyWay.CONVERT, ())

        def compared() -> int | None:
            return side.host.compare_local(
                overlay.path, "qcow2", made.path, "qcow2", 0, side.capacity, lambda _size: True, layer=False
            )

        assert compared() is None
        side.spoil(made.path, side.capacity // 2)
        assert compared() is not None
        side.hypervisor.set_sources(side.uuid, {"vda": (source, "qcow2")}, running=False)

    def test_a_copy_that_is_told_to_stop_says_so(self, side: Side, overlay: VolumeSpec) -> None:
        source, made = side.path(), side.spec()
        side.hypervisor.lay_over(side.uuid, {"vda": overlay})
        side.hypervisor.create_volume(made)
        with pytest.raises(HostError):
            side.host.copy_image(
                source,
                "qcow2",
                made.path,
                "qcow2",
                length=None,
                begin=0,
                bandwidth=lambda: None,
                saved=lambda *_: False,
            )

    def test_a_domain_without_snapshots_has_none_to_redirect(self, side: Side) -> None:
        for _ in range(2):
            side.hypervisor.redirect_snapshots(side.uuid, {side.path(): "/nowhere"})
        assert side.hypervisor.domain(side.uuid).snapshots == ()


class HostContract:
    def test_a_locked_image_of_a_guest_that_is_off_keeps_the_guest_from_starting(self, side: Side) -> None:
        path = side.path()
        with pytest.raises(HostError), side.host.locked(path):
            pass
        side.off()
        side.until(lambda: side.host.process(side.uuid) is None)
        with side.host.locked(path):
            before = side.host.stamp(path)
            with pytest.raises(SvmoveError, match='Failed to get "write" lock'):
                side.on()
            side.until(lambda: side.hypervisor.domain(side.uuid).state is DomainState.OFF)
            assert side.host.stamp(path) == before
            assert side.host.chain(path, "qcow2") == ()
        side.spoil(path, 512)
        assert side.host.stamp(path) != before
        side.on()
        assert side.hypervisor.domain(side.uuid).state is DomainState.RUNNING
        side.off()

    def test_a_file_has_an_identity_that_another_of_its_name_has_not(self, side: Side) -> None:
        made = side.spec()
        assert side.host.identity(made.path) is None
        side.hypervisor.create_volume(made)
        first = side.host.identity(made.path)
        assert first is not None
        assert first != side.host.identity(side.path())

    def test_what_is_not_there_has_no_size_and_is_no_image(self, side: Side) -> None:
        path = side.spec().path
        for ask in (side.host.size, side.host.allocated, lambda path: side.host.image(path, "qcow2")):
            with pytest.raises(HostError):
                ask(path)

    def test_an_image_tells_its_size_and_a_new_volume_is_blank_until_it_is_copied_to(self, side: Side) -> None:
        image = side.host.image(side.path(), "qcow2")
        assert (image.format, image.virtual_bytes) == ("qcow2", side.capacity)
        assert side.host.allocated(side.path()) > 0
        assert not side.host.is_blank(side.path(), "qcow2", 0.0)
        assert not side.host.is_blank(side.spec().path, "qcow2", 0.0)
        with side.hypervisor.events(side.uuid) as events:
            made = side.spec()
            side.hypervisor.create_volume(made)
            assert side.host.is_blank(made.path, "qcow2", 0.0)
            side.hypervisor.start_copy(side.uuid, "vda", made, CopyOptions())
            awaited(events, EventKind.READY, "vda")
            side.hypervisor.cancel_copy(side.uuid, "vda")
            awaited(events, EventKind.CANCELED, "vda")
        side.until(lambda: not side.host.holders(made.path))
        assert not side.host.is_blank(made.path, "qcow2", 0.0)

    def test_a_file_is_given_room_which_changes_nothing_in_it(self, side: Side) -> None:
        path = side.path()
        size, identity = side.host.size(path), side.host.identity(path)
        assert side.host.allocate(path, size)
        assert side.host.allocated(path) >= size
        assert (side.host.size(path), side.host.identity(path)) == (size, identity)
        with pytest.raises(HostError):
            side.host.allocate(path, 1 << 50)
        with pytest.raises(HostError):
            side.host.allocate(side.spec().path, size)

    def test_a_path_lies_on_a_file_system_if_there_is_one(self, side: Side) -> None:
        assert side.host.filesystem(side.folder) is not None
        assert side.host.filesystem(side.folder) == side.host.filesystem(side.folder)
        assert side.host.filesystem(side.folder + "/none") is None
        assert side.host.takes_direct(side.folder) is True
        assert side.host.takes_direct(side.folder + "/none") is None
        assert side.host.shared(side.path()) == side.host.shared(side.folder + "/none") == 0

    def test_a_file_is_copied_into_one_that_is_there_and_both_are_the_same_until_one_is_changed(
        self, side: Side
    ) -> None:
        one, other = side.more_cds()
        size = side.host.image(one, "raw").virtual_bytes

        def copy(source: str, destination: str, *, go_on: bool = True) -> None:
            side.host.copy_image(
                source,
                "raw",
                destination,
                "raw",
                length=None,
                begin=0,
                bandwidth=lambda: None,
                saved=lambda _offset, _end: go_on,
            )

        def difference(left: str, right: str) -> int | None:
            return side.host.compare_local(left, "raw", right, "raw", 0, size, lambda _size: True, layer=False)

        assert difference(one, other) == 0
        with pytest.raises(HostError):
            copy(one, other, go_on=False)
        copy(one, other)
        assert difference(one, other) is None
        for wrong in ((one, "/nowhere"), ("/nowhere", other)):
            with pytest.raises(HostError):
                copy(*wrong)
            with pytest.raises(HostError):
                difference(*wrong)

    def test_storage_answers_and_has_room(self, side: Side) -> None:
        assert side.host.answers(side.path(), 5.0)
        probe = side.host.probe(side.path())
        assert probe.took(5.0) is not None
        probe.give_up()
        assert side.host.trouble(side.path(), 5.0) is None
        assert side.host.room_left(side.path()) is None  # of a file the pool tells
        assert 0 < side.host.free(side.scratch) < 1 << 60

    def test_while_libvirt_lives_nobody_else_lets_a_guest_go_on(self, side: Side) -> None:
        process = side.process()
        side.hypervisor.suspend(side.uuid)
        with pytest.raises(HostError):
            side.host.go_on(process)
        assert side.hypervisor.domain(side.uuid).state is DomainState.PAUSED
