"""The bulk view, on libvirt's own test driver: what it says is what the domains and volumes are, one by one."""

from pathlib import Path
from typing import Any

import pytest

from bench import fleet as made_up
from svmove.model import DomainState
from svmove.retries import RetryPolicy
from svmove.virt import metadata, xml
from svmove.virt.hypervisor import LibvirtHypervisor

TAGS = "<app:app xmlns:app='u'><app:tier>gold</app:tier><owner name='ops'>me</owner></app:app>"
NODE = f"""<node>
<domain type='test'><name>web</name><memory>1024</memory><os><type>hvm</type></os><metadata>{TAGS}</metadata><devices>
  <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/x/a/web.qcow2'/>
    <target dev='vda' bus='virtio'/></disk>
  <disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='a' volume='data'/>
    <target dev='vdb' bus='virtio'/></disk>
</devices></domain>
<domain type='test'><name>twin</name><memory>1024</memory><os><type>hvm</type></os><devices/></domain>
<pool type='dir'><name>a</name><target><path>/x/a</path></target>
  <volume><name>web.qcow2</name><capacity>1073741824</capacity><allocation>1048576</allocation>
    <target><path>/x/a/web.qcow2</path><format type='qcow2'/></target></volume>
  <volume><name>data</name><capacity>2097152</capacity><allocation>2097152</allocation>
    <target><path>/x/a/data</path></target></volume>
</pool>
</node>"""


@pytest.fixture
def hypervisor(tmp_path: Path) -> LibvirtHypervisor:
    (tmp_path / "node.xml").write_text(NODE)
    return LibvirtHypervisor(f"test://{tmp_path}/node.xml", RetryPolicy())


def test_domains_pools_and_volumes_are_as_they_are_one_by_one(hypervisor: LibvirtHypervisor) -> None:
    found = hypervisor.survey()
    assert [domain.name for domain in found.domains] == ["twin", "web"]
    for domain in found.domains:
        alone = hypervisor.domain(domain.uuid)
        assert (domain.state, domain.live, domain.tags) == (DomainState.RUNNING, alone.live, alone.tags)
        assert domain.inactive == ()
        assert domain.persistent is alone.persistent
    assert found.pools == hypervisor.pools()
    assert sorted(found.volumes, key=lambda v: v.name) == [
        hypervisor.volume_at("/x/a/data"),
        hypervisor.volume_at("/x/a/web.qcow2"),
    ]


def test_a_volume_that_is_named_by_pool_and_name_has_its_path(hypervisor: LibvirtHypervisor) -> None:
    web = next(domain for domain in hypervisor.survey().domains if domain.name == "web")
    assert [disk.path for disk in web.live] == ["/x/a/web.qcow2", "/x/a/data"]


def test_metadata_is_read_by_the_names_that_virsh_shows(hypervisor: LibvirtHypervisor) -> None:
    web = hypervisor.find_domain("web")
    assert web.tags == (("app:app/app:tier", "gold"), ("app:app/owner", "me"), ("app:app/owner@name", "ops"))


def test_a_move_s_marker_is_no_metadata_of_the_guest_s() -> None:
    marker = f"<m:move xmlns:m='{xml.MARKER_URI}' id='x'/>"
    assert metadata.tags(xml.parse(f"<domain><metadata>{marker}<!-- c --></metadata></domain>")) == ()
    assert metadata.tags(xml.parse("<domain/>")) == ()


def test_a_driver_without_such_figures_has_no_counters(hypervisor: LibvirtHypervisor) -> None:
    assert hypervisor.counters() == {}


def test_a_fleet_is_read_in_few_calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One list of each kind, and one XML of each thing: nothing grows faster than the fleet."""
    import libvirt

    calls: list[str] = []

    def count(kind: type, name: str) -> None:
        real = getattr(kind, name)

        def counted(*args: Any, **options: Any) -> Any:
            calls.append(name)
            return real(*args, **options)

        monkeypatch.setattr(kind, name, counted)

    for kind in (libvirt.virConnect, libvirt.virDomain, libvirt.virStoragePool, libvirt.virStorageVol):
        for name in vars(kind):
            # name, id and uuid are in the handle: no call goes out for them.
            if not name.startswith("_") and name not in ("name", "ID", "UUIDString", "c_pointer", "connect"):
                count(kind, name)
    per_guest = {}
    for guests in (10, 20):
        hypervisor = LibvirtHypervisor(made_up.write(tmp_path / f"{guests}.xml", guests), RetryPolicy())
        calls.clear()
        hypervisor.survey()
        assert calls.count("XMLDesc") == guests + made_up.DISKS * guests + made_up.POOLS
        per_guest[guests] = len(calls) - calls.count("XMLDesc")
    assert per_guest[10] == per_guest[20]
