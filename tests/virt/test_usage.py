"""Who uses which file: what is gone since it was listed is passed over, what can't be read is not taken for unused."""

from collections.abc import Mapping
from typing import Any

import libvirt
import pytest

from svmove.errors import HypervisorError
from svmove.virt import usage

DOMAIN = "<domain><devices><disk type='file'><source file='/pools/db.img'/></disk></devices></domain>"
OVERLAY = (
    "<volume><target><path>/pools/overlay</path></target>"
    "<backingStore><path>/pools/base.img</path></backingStore></volume>"
)


def failing(code: int, origin: int = libvirt.VIR_FROM_STORAGE) -> libvirt.libvirtError:
    """As libvirt's binding makes them: code, domain, message, level, strings, numbers."""
    error = libvirt.libvirtError("")
    error.err = (code, origin, "Input/output error", 2, None, None, None, -1, -1)
    return error


class Thing:
    """A domain, a pool, or a volume."""

    def __init__(self, name: str, text: str | libvirt.libvirtError, *volumes: "Thing") -> None:
        self._name, self._text, self._volumes = name, text, volumes

    def name(self) -> str:
        return self._name

    def UUIDString(self) -> str:  # noqa: N802  (libvirt's)
        return self._name

    def XMLDesc(self, _flags: int = 0) -> str:  # noqa: N802
        if isinstance(self._text, str):
            return self._text
        raise self._text

    def storageVolLookupByName(self, name: str) -> "Thing":  # noqa: N802
        for volume in self._volumes:
            if volume.name() == name:
                return volume
        raise failing(libvirt.VIR_ERR_OPERATION_INVALID)  # as of a pool that is not active

    def listAllVolumes(self) -> tuple["Thing", ...]:  # noqa: N802
        return self._volumes


class Daemon:
    def __init__(self, *things: Thing, pools: Mapping[str, Thing] | None = None) -> None:
        self._things = things
        self._pools = pools or {}

    def storagePoolLookupByName(self, name: str) -> Thing:  # noqa: N802
        if name not in self._pools:
            raise failing(libvirt.VIR_ERR_NO_STORAGE_POOL)
        return self._pools[name]

    def listAllDomains(self) -> tuple[Thing, ...]:  # noqa: N802
        return self._things

    def listAllStoragePools(self, _flags: int) -> tuple[Thing, ...]:  # noqa: N802
        return self._things


def test_a_domain_that_is_gone_since_it_was_listed_uses_nothing() -> None:
    daemon = Daemon(Thing("gone", failing(libvirt.VIR_ERR_NO_DOMAIN)), Thing("db", DOMAIN))
    assert usage.by_domains(daemon, "besides") == {"/pools/db.img": "domain db"}


def test_a_domain_that_can_not_be_read_is_an_error() -> None:
    with pytest.raises(libvirt.libvirtError):
        usage.by_domains(Daemon(Thing("db", failing(libvirt.VIR_ERR_INTERNAL_ERROR))), "besides")


@pytest.mark.parametrize(
    ("defined", "path"),
    [
        ("<pool type='dir'><target><path>/pools/a</path></target></pool>", "/pools/a/db.img"),
        ("<pool type='rbd'><source><name>vms</name></source></pool>", "rbd:///vms/db.img"),
        ("<pool type='scsi'><source/></pool>", None),
        (None, None),
    ],
)
def test_a_volume_of_an_inactive_pool_is_where_the_definition_puts_it(defined: str | None, path: str | None) -> None:
    domain = "<domain><devices><disk type='volume'><source pool='cold' volume='db.img'/></disk></devices></domain>"
    pools = {} if defined is None else {"cold": Thing("cold", defined)}
    used = usage.by_domains(Daemon(Thing("db", domain), pools=pools), "besides")
    assert used == ({} if path is None else {path: "domain db"})


def test_a_pool_that_can_not_be_read_is_an_error() -> None:
    domain = "<domain><devices><disk type='volume'><source pool='cold' volume='db.img'/></disk></devices></domain>"
    pools = {"cold": Thing("cold", failing(libvirt.VIR_ERR_SYSTEM_ERROR))}
    with pytest.raises(libvirt.libvirtError):
        usage.by_domains(Daemon(Thing("db", domain), pools=pools), "besides")


def pool(*volumes: Thing, kind: str = "dir") -> Any:
    return Daemon(Thing("slow", f"<pool type='{kind}'><source/></pool>", *volumes))


def test_a_volume_that_is_deleted_since_it_was_listed_is_based_on_nothing() -> None:
    listed = pool(Thing("gone", failing(libvirt.VIR_ERR_NO_STORAGE_VOL)), Thing("overlay", OVERLAY))
    assert list(usage.by_volumes(listed, (), certain=True)) == ["/pools/base.img"]
    assert usage.by_volumes(listed, ("/pools/overlay",), certain=True) == {}


def test_a_volume_that_can_not_be_read_is_an_error_unless_nothing_depends_on_it() -> None:
    listed = pool(Thing("torn", failing(libvirt.VIR_ERR_SYSTEM_ERROR)), Thing("overlay", OVERLAY))
    assert list(usage.by_volumes(listed, (), certain=False)) == ["/pools/base.img"]
    with pytest.raises(HypervisorError, match=r"volume torn of pool slow can't be read, .*: Input/output error"):
        usage.by_volumes(listed, (), certain=True)


@pytest.mark.parametrize("certain", [True, False])
def test_a_connection_that_is_lost_is_no_volume_that_can_not_be_read(certain: bool) -> None:
    listed = pool(Thing("web", failing(libvirt.VIR_ERR_RPC, libvirt.VIR_FROM_RPC)))
    with pytest.raises(libvirt.libvirtError):
        usage.by_volumes(listed, (), certain=certain)


def test_images_on_the_network_are_not_opened() -> None:
    text = "<pool type='rbd'><source><host name='mon'/><name>vms</name></source></pool>"
    images = Daemon(Thing("ceph", text, Thing("web", failing(libvirt.VIR_ERR_SYSTEM_ERROR))))
    assert usage.by_volumes(images, (), certain=True) == {}
