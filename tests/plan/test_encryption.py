"""Checks of what is encrypted, or is to be."""

from dataclasses import replace

import pytest

from svmove.location import SecretState
from svmove.moves import Level
from svmove.requests import Format, Method
from svmove.units import GiB, MiB
from tests.builders import domain, inventory, pool, request
from tests.plan.fires import BASE, BLANK, ENTERS, KEY, LOCKED, NAS, OTHER, VDA, Fires, ceph, chained, locked

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
    Fires(code="encrypted", found=locked(taken={NAS: BLANK}), asked=request(to=NAS), target="vda", says="--decrypt"),
    Fires(
        code="encrypted",
        found=inventory(taken={NAS: BLANK}),
        asked=request(to=NAS, encrypt=KEY),
        target="vda",
        also=ENTERS,
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
        code="no-space",
        found=locked(pools=(pool(available=4 * GiB + 256 * MiB), pool("slow"))),
        says="needed",
    ),
]


@pytest.mark.parametrize("case", FIRES, ids=lambda case: case.code)
def test_a_check_fires_and_no_other_one_does(case: Fires) -> None:
    case.holds()
