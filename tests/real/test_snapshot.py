"""Moves by the method `snapshot`: frozen, copied out of process, proven before the switch, and one file in the end."""

from tests.real.world import GUEST, World


def test_a_writing_guest_is_frozen_copied_proven_and_merged(guest: World) -> None:
    to, before = guest.other(), guest.elements()
    result = guest.cli.move(GUEST, "--to", to, "--method", "snapshot")

    assert (result.code, result.document["state"], result.document["error"]) == (0, "done", None), result.stdout
    assert guest.where() == {"vda": to, "vdb": to}
    assert all(disk["verified"] for disk in result.document["disks"])
    assert guest.elements() == before
    # One file a disk, as before: no overlay is left, here or there.
    assert guest.files() == {guest.path("vda"), guest.path("vdb")}
    assert [disk.chain for disk in guest.domain().live] == [(), ()]
