"""Checks of what is encrypted, or is to be."""

from dataclasses import replace

import pytest

from svmove.location import SecretState
from svmove.model import SourceKind
from svmove.moves import Level
from svmove.requests import Format, Method, Verify
from svmove.units import GiB, MiB
from svmove.volumes import LUKS_HEADER
from tests.builders import disk, domain, image, inventory, planned, pool, request
from tests.plan.fires import BASE, BLANK, ENTERS, KEY, LOCKED, LUN, NAS, OTHER, VDA, Fires, ceph, chained, locked

HEADED = replace(BLANK, size=BLANK.size + LUKS_HEADER)

FIRES = [
    Fires(
        code="encrypted",
        found=locked(),
        asked=request(method=Method.SNAPSHOT),
        target="vda",
        also=frozenset({"no-snapshot"}),
    ),
    Fires(
        code="encrypted",
        found=chained(),
        asked=request(encrypt=KEY),
        target="vda",
        also=frozenset({"plain-traces"}),
        says="--flatten",
    ),
    Fires(
        code="encrypted",
        found=locked(domain=domain(replace(LOCKED, chain=(BASE,), chain_formats=("raw",)))),
        target="vda",
        also=frozenset({"unreadable", "raw-chain"}),
        says="files lie below it",
    ),
    Fires(
        code="encrypted",
        found=locked(taken={NAS: HEADED}),
        asked=request(to=NAS, format=Format.QCOW2),
        target="vda",
        says="leave --format out",
    ),
    Fires(
        code="encrypted",
        found=inventory(disk(path=LUN, kind=SourceKind.NETWORK, luks=KEY)),
        target="vda",
        says="qcow2 that is no file",
    ),
    Fires(
        code="volume-too-small",
        found=locked(taken={NAS: BLANK}),
        asked=request(to=NAS),
        target="vda",
        says="4297035776 bytes with its LUKS header of 2068480",
    ),
    Fires(
        code="volume-too-small",
        found=inventory(taken={NAS: BLANK}),
        asked=request(to=NAS, encrypt=KEY),
        target="vda",
        also=ENTERS,
    ),
    Fires(
        code="slice",
        found=locked(taken={NAS: replace(HEADED, size=HEADED.size + 512)}),
        asked=request(to=NAS),
        level=Level.NOTE,
        target="vda",
    ),
    Fires(code="secret-missing", found=locked(secrets={KEY: SecretState.EMPTY}), target="vda", says="no value"),
    Fires(
        code="secret-missing",
        found=locked(secrets={OTHER: SecretState.MISSING}),
        asked=request(encrypt=OTHER),
        target="vda",
        says="not in libvirt's store",
    ),
    Fires(code="secret-missing", found=ceph(SecretState.MISSING), target="vda"),
    Fires(code="secret-private", found=locked(secrets={KEY: SecretState.PRIVATE}), target="vda", says="--verify none"),
    Fires(
        code="secret-private",  # libvirt hands it to QEMU, and nobody makes the header
        found=locked(taken={NAS: HEADED}, secrets={KEY: SecretState.PRIVATE}),
        asked=request(to=NAS, verify=Verify.NONE),
        target="vda",
        also=frozenset({"not-verified"}),
        says="libvirt makes in files alone",
    ),
    Fires(code="secret-private", found=ceph(SecretState.PRIVATE), target="vda", says="private='no'"),
    Fires(code="wrong-key", found=locked(locked={VDA: "Invalid password"}), target="vda", says="Invalid password"),
    Fires(
        code="inactive-differs",
        found=locked(domain=domain(LOCKED, inactive=(replace(LOCKED, luks=None),))),
        target="vda",
        says="not encrypted",
    ),
    Fires(code="decrypted", found=locked(), asked=request(decrypt=True), level=Level.WARN, target="vda"),
    Fires(code="plain-traces", asked=request(encrypt=KEY), level=Level.NOTE, target="vda"),
    Fires(
        code="thinness",  # a qcow2 stays thin
        asked=request(encrypt=KEY, keep_source=True, format=Format.RAW),
        level=Level.NOTE,
        target="vda",
        says="1.0 GiB of 4.0 GiB",
    ),
    Fires(
        code="thinness",  # of a LUN that is thin itself
        found=inventory(taken={NAS: replace(HEADED, thin=True)}),
        asked=request(to=NAS, encrypt=KEY),
        level=Level.NOTE,
        target="vda",
        also=frozenset({"plain-traces"}),
        says="what is empty is written as well",
    ),
    Fires(
        code="no-space",
        found=locked(pools=(pool(available=4 * GiB + 256 * MiB), pool("slow"))),
        says="needed",
    ),
]


def test_a_disk_with_its_key_goes_to_what_is_as_large_with_the_header() -> None:
    plan = planned(request(to=NAS), locked(taken={NAS: HEADED}))
    assert plan.findings == ()
    made = plan.disks[0].destination
    assert (made.capacity, made.header, made.length) == (4 * GiB, LUKS_HEADER, HEADED.size)


@pytest.mark.parametrize("header", [LUKS_HEADER, 2 * MiB])
def test_of_a_slice_the_guest_does_not_see_the_header(header: int) -> None:
    """Another tool's is a bit longer than QEMU's."""
    source = disk(path=LUN, kind=SourceKind.NETWORK, format="raw", luks=KEY, slice_bytes=4 * GiB + header)
    found = image(format="raw", encrypted=True, payload_offset=header, virtual_bytes=5 * GiB, allocated_bytes=4 * GiB)
    plan = planned(request(), inventory(source, images={LUN: found}))
    assert plan.findings == ()
    assert plan.disks[0].destination.capacity == 4 * GiB


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()
