"""What svmove relies on of the machine that a hypervisor runs on. See `tests.contract.hypervisor`."""

import pytest

from svmove.errors import HostError, SvmoveError
from svmove.events import EventKind
from svmove.model import DomainState
from svmove.volumes import CopyOptions
from tests.contract.side import Side, awaited


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
        assert side.host.filesystem_kind(side.folder) not in (None, "")
        assert side.host.filesystem_kind(side.folder + "/none") is None
        assert side.host.missing(["sync"]) == ()
        qemu = side.process()
        assert side.host.may_use(side.folder, qemu.uid, qemu.gid, "x") is True
        assert side.host.may_use(side.folder + "/none", qemu.uid, qemu.gid, "x") is False
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
