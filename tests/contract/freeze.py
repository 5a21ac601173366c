"""What the method `snapshot` relies on. See `tests.contract.hypervisor`."""

import pytest

from svmove.errors import HostError, HypervisorError
from svmove.events import EventKind
from svmove.model import CopyWay
from svmove.volumes import VolumeSpec
from tests.contract.side import Side, awaited


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
