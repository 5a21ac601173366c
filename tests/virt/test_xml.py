"""Domain XML read, and the XML that libvirt is given: any name is carried exactly or refused, and breaks nothing."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from lxml import etree

from svmove.errors import HypervisorError
from svmove.model import Disk, Mirror, SourceKind
from svmove.virt import documents, xml
from tests.builders import disk_plan, spec

UGLY = "'\"<&>;$ `\\]]>\n\t größe \u2028 😀 <!-- -->&amp;"
NAMES = st.text(max_size=30) | st.text(alphabet=UGLY, max_size=30)


def disks(inner: str, *, volumes: dict[tuple[str, str], str] | None = None) -> tuple[Disk, ...]:
    found = xml.parse(f"<domain><devices>{inner}</devices></domain>")
    return xml.disks(found, lambda pool, volume: (volumes or {}).get((pool, volume)))


def disk(inner: str, attributes: str = "type='file' device='disk'") -> Disk:
    return disks(f"<disk {attributes}><target dev='vda' bus='virtio'/>{inner}</disk>")[0]


# Read


def test_a_plain_disk_is_read() -> None:
    found = disk("<driver name='qemu' type='qcow2'/><source file='/p/a.qcow2' index='1'/><serial>S1</serial>")
    assert found == Disk(
        target="vda",
        device="disk",
        kind=SourceKind.FILE,
        path="/p/a.qcow2",
        format="qcow2",
        bus="virtio",
        serial="S1",
    )


def test_what_a_disk_does_with_discards_and_an_open_tray_are_read() -> None:
    assert disk("<driver discard='unmap'/>").discard == "unmap"
    assert disk("<driver/>").discard is None
    (open_,) = disks("<disk type='file' device='cdrom'><target dev='sda' tray='open'/></disk>")
    assert open_.tray_open


@pytest.mark.parametrize(
    ("inner", "iothread"),
    [
        ("<disk><driver iothread='1'/><target dev='vda'/></disk>", True),
        ("<disk><driver><iothreads><iothread id='1'/></iothreads></driver><target dev='vda'/></disk>", True),
        ("<disk><driver/><target dev='vda'/></disk>", False),
        ("<controller type='scsi' index='1'><driver iothread='2'/></controller>"
         "<disk><target dev='sda' bus='scsi'/><address type='drive' controller='1'/></disk>", True),
        ("<controller type='scsi' index='1'><driver iothread='2'/></controller>"
         "<disk><target dev='sda' bus='scsi'/><address type='drive' controller='0'/></disk>", False),
        ("<controller type='scsi' index='0'><driver iothread='2'/></controller>"
         "<disk><target dev='sda' bus='sata'/><address type='drive' controller='0'/></disk>", False),
    ],
)  # fmt: skip
def test_a_disk_with_an_iothread_or_on_a_controller_with_one_is_known(inner: str, iothread: bool) -> None:
    assert disks(inner)[0].iothread is iothread


@pytest.mark.parametrize(
    ("attributes", "source", "kind", "path"),
    [
        ("type='file'", "<source file='/a'/>", SourceKind.FILE, "/a"),
        ("type='file' device='cdrom'", "", SourceKind.FILE, None),
        ("type='block'", "<source dev='/dev/sdb'/>", SourceKind.BLOCK, "/dev/sdb"),
        ("type='network'", "<source protocol='rbd' name='p/i'/>", SourceKind.NETWORK, "rbd:///p/i"),
        ("type='volume'", "<source pool='p' volume='v'/>", SourceKind.VOLUME, "/p/v"),
        ("type='volume'", "<source pool='p' volume='gone'/>", SourceKind.VOLUME, None),
        ("type='volume'", "", SourceKind.OTHER, None),
        ("type='vhostuser'", "<source type='unix' path='/s'/>", SourceKind.OTHER, None),
    ],
)
def test_each_kind_of_source_is_read(attributes: str, source: str, kind: SourceKind, path: str | None) -> None:
    found = disks(f"<disk {attributes}>{source}<target dev='vda'/></disk>", volumes={("p", "v"): "/p/v"})[0]
    assert (kind, path) == (found.kind, found.path)


def test_a_volume_source_keeps_its_names() -> None:
    found = disk("<source pool='p' volume='v'/>", "type='volume'")
    assert (found.pool, found.volume) == ("p", "v")


@pytest.mark.parametrize(
    ("inner", "flag"),
    [
        ("<readonly/>", "read_only"),
        ("<shareable/>", "shareable"),
        ("<transient/>", "transient"),
        ("<encryption format='luks'/>", "encrypted"),
        ("<source file='/a'><encryption format='luks'/></source>", "encrypted"),
    ],
)
def test_a_flag_is_read_and_only_that_one(inner: str, flag: str) -> None:
    found = disk(inner)
    flags = {name: getattr(found, name) for name in ("read_only", "shareable", "transient", "encrypted")}
    assert flags == {name: name == flag for name in flags}


def test_without_a_driver_the_format_is_raw() -> None:
    assert disk("<source file='/a'/>").format == "raw"


def test_the_chain_is_read_nearest_first_and_ends_at_the_empty_element() -> None:
    inner = """<source file='/top'/>
      <backingStore type='file'><format type='qcow2'/><source file='/middle'/>
        <backingStore type='network'><source protocol='rbd' name='p/base'/><backingStore/></backingStore>
      </backingStore>"""
    assert disk(inner).chain == ("/middle", "rbd:///p/base")
    assert disk("<source file='/top'/><backingStore/>").chain == ()


@pytest.mark.parametrize(
    ("ready", "expected", "ending"),
    [("ready='yes'", True, False), ("", False, False), ("ready='pivot'", False, True), ("ready='abort'", False, True)],
)
def test_a_mirror_is_read(ready: str, expected: bool, ending: bool) -> None:
    inner = f"<source file='/a'/><mirror type='file' job='copy' {ready}><source file='/b'/></mirror>"
    assert disk(inner).mirror == Mirror(job="copy", path="/b", ready=expected, ending=ending)
    assert disk("<source file='/a'/>").mirror is None


def test_paths_are_those_of_all_that_a_domain_names() -> None:
    found = xml.parse(
        """<domain><os><loader>/l</loader><nvram>/n</nvram><kernel>/k</kernel><initrd>/i</initrd></os><devices>
        <disk type='file'><source file='/top'/><backingStore type='file'><source file='/base'/></backingStore>
        <mirror type='file'><source file='/copy'/></mirror></disk>
        <disk type='volume'><source pool='p' volume='v'/></disk>
        <disk type='network'><source protocol='rbd' name='x'/></disk>
        <disk type='file' device='cdrom'/></devices></domain>"""
    )
    expected = {"/l", "/n", "/k", "/i", "/top", "/base", "/copy", "/p/v", "rbd:///x"}
    assert expected == xml.paths(found, lambda pool, volume: f"/{pool}/{volume}")


@pytest.mark.parametrize(
    "element",
    [
        "<nvram template='/t'>/old</nvram>",
        "<nvram type='file' format='raw'>\n <source file='/old'/>\n</nvram>",
    ],
)
def test_the_file_of_the_uefi_variables_is_read_and_set_with_the_disks_in_either_form(element: str) -> None:
    text = f"""<domain><os><loader>/l</loader>{element}</os><devices>
        <disk type='file'><source file='/top'/><target dev='vda'/></disk></devices></domain>"""
    assert xml.nvram(xml.parse(text)) == "/old"
    assert xml.paths(xml.parse(text), lambda _pool, _volume: None) == {"/l", "/old", "/top"}
    set_ = xml.parse(xml.with_sources(text, {"vda": ("/new-top", "raw"), "nvram": ("/new & <x>", "raw")}))
    assert xml.nvram(set_) == "/new & <x>"
    (before,), (after,) = (list(one.iter("nvram")) for one in (xml.parse(text), set_))
    assert dict(after.attrib) == dict(before.attrib)
    assert [one.path for one in xml.disks(set_, lambda _pool, _volume: None)] == ["/new-top"]


@pytest.mark.parametrize("path", ["/dev/sdb1", "iscsi://me@10.0.0.5/iqn.2026-11.org:san/1?secret-usage=san", "/a.img"])
def test_of_a_larger_image_the_guest_is_given_a_slice_which_is_read_back(path: str) -> None:
    text = "<domain><devices><disk type='file'><source file='/old'/><target dev='vda'/></disk></devices></domain>"
    for size in (None, 4096):
        slices = {} if size is None else {path: size}
        changed = xml.with_sources(text, {"vda": (path, "raw")}, slices=slices)
        (found,) = xml.disks(xml.parse(changed), lambda _pool, _volume: None)
        assert (found.path, found.slice_bytes) == (path, size)


def test_a_guest_without_uefi_variables_is_given_none() -> None:
    with pytest.raises(HypervisorError, match="no UEFI variables"):
        xml.with_sources("<domain><os/></domain>", {"nvram": ("/new", "raw")})


def test_a_snapshot_s_definition_names_the_uefi_variables_where_they_are_now() -> None:
    text = "<domainsnapshot><domain><os><nvram template='/t'>/old</nvram></os></domain></domainsnapshot>"
    assert '<nvram template="/t">/new</nvram>' in (xml.redirected(text, {"/old": "/new"}) or "")
    assert xml.redirected(text, {"/other": "/new"}) is None


def test_an_entity_is_never_resolved(tmp_path: Any) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    text = (
        f"<!DOCTYPE domain [<!ENTITY x SYSTEM 'file://{secret}'>]><domain><devices><disk><serial>&x;</serial>"
        "<target dev='vda'/></disk></devices></domain>"
    )
    assert "s3cret" not in repr(xml.disks(xml.parse(text), lambda _p, _v: None))


# Written


def carried(build: Any, path: str, attribute: str | None, name: str) -> None:
    """`name` comes back exactly from the XML that was built with it, or was refused."""
    refused: HypervisorError | None = None
    try:
        text = build(name)
    except HypervisorError as error:
        refused = error
    if refused is not None:
        assert not name.isprintable()
        assert refused.remedy is not None
        return
    found = etree.fromstring(text.encode())
    element = found.find(path)
    assert element is not None
    assert name == ((element.text or "") if attribute is None else element.get(attribute))


@given(NAMES)
@example(UGLY)
@example("\ud800")
@example("\x00")
@example("\uffff")
@example("\r\n")
def test_a_path_is_carried_or_refused_in_a_copy(name: str) -> None:
    carried(lambda path: documents.copy_destination(spec(path=path)), "source", "file", f"/pools/{name}")


@given(NAMES)
@example(UGLY)
@example("\x1b[2J")
@example("\r\n")
def test_a_name_is_carried_or_refused_in_a_volume(name: str) -> None:
    carried(lambda given_: documents.volume(spec(name=given_)), "name", None, name)


@given(NAMES)
@example(UGLY)
@example("\x00")
def test_scratch_files_are_carried_or_refused_in_a_backup(name: str) -> None:
    carried(lambda path: documents.backup({"vda": path}, "/s"), "disks/disk/scratch", "file", name)


@given(NAMES)
@example("\x00")
def test_a_socket_is_carried_or_refused_in_a_backup(name: str) -> None:
    carried(lambda socket: documents.backup({"vda": "/x"}, socket), "server", "socket", name)


@given(st.text(alphabet=st.characters(exclude_categories=["C"]), max_size=30))
@example("/srv/a&b's <scratch>/nbd.sock")
def test_the_socket_of_a_backup_is_read_again(socket: str) -> None:
    assert socket == xml.backup_socket(documents.backup({"vda": "/x"}, socket))


def test_a_push_backup_has_no_socket() -> None:
    assert xml.backup_socket("<domainbackup mode='push'><disks/></domainbackup>") is None


@given(NAMES)
@example(UGLY)
@example("\x01")
def test_a_target_is_carried_or_refused_in_a_backup(name: str) -> None:
    carried(lambda target: documents.backup({target: "/x"}, "/s"), "disks/disk", "exportname", name)


@given(st.text(alphabet=st.characters(exclude_categories=["C"]), max_size=30))
@example(UGLY.replace("\n", "").replace("\t", ""))
def test_what_is_written_is_read_again(name: str) -> None:
    """A path that libvirt is given as a destination is the one that its live XML names later."""
    built = documents.copy_destination(spec(path=f"/pools/fast/{name}"))
    found = xml.disks(xml.parse(f"<domain><devices>{built}</devices></domain>"), lambda _p, _v: None)[0]
    assert (found.path, found.format, found.kind) == (f"/pools/fast/{name}", "qcow2", SourceKind.FILE)


@given(st.text(alphabet=st.characters(exclude_categories=["C"]), max_size=30))
def test_a_marker_comes_back(move: str) -> None:
    disks = (disk_plan(), disk_plan(target="vdb", source="/pools/slow/<&'\".img", source_format="raw"))
    domain = xml.parse(f"<domain><metadata>{_namespaced(xml.marker_element(move, disks))}</metadata></domain>")
    assert move == xml.marker(domain)
    found = [(marked.target, marked.source, marked.source_format) for marked in xml.marked(domain)]
    assert found == [(planned.target, planned.source, planned.source_format) for planned in disks]
    assert {marked.destination for marked in xml.marked(domain)} == {planned.destination.path for planned in disks}


def _namespaced(element: str) -> str:
    """As libvirt does with what setMetadata is given: it puts it into the key's namespace."""
    found = etree.fromstring(element)
    for inner in found.iter():
        inner.tag = f"{{{xml.MARKER_URI}}}{inner.tag!s}"
    return etree.tostring(found, encoding="unicode")


def test_a_domain_of_nobody_has_no_marker() -> None:
    assert xml.marker(xml.parse("<domain><metadata><other id='x'/></metadata></domain>")) is None
    assert xml.marker(xml.parse("<domain/>")) is None


def test_a_copy_names_the_format_so_that_nothing_is_probed() -> None:
    found = etree.fromstring(documents.copy_destination(spec(format="raw")))
    assert (found.get("type"), found.find("driver").get("type")) == ("file", "raw")  # type: ignore[union-attr]


def test_the_options_of_a_qcow2_volume_are_written() -> None:
    text = documents.volume(spec(cluster_bytes=2**21, compat="1.1", extended_l2=True, lazy_refcounts=True))
    found = etree.fromstring(text)
    assert found.findtext("target/compat") == "1.1"
    assert found.findtext("target/clusterSize") == str(2**21)
    assert {element.tag for element in found.iterfind("target/features/*")} == {"extended_l2", "lazy_refcounts"}
    assert (found.findtext("capacity"), found.findtext("allocation")) == (str(spec().capacity), "0")


def test_a_raw_volume_has_no_options_of_qcow2() -> None:
    found = etree.fromstring(documents.volume(spec(format="raw", compat="1.1", lazy_refcounts=True)))
    assert [element.tag for element in found.iterfind("target/*")] == ["format"]


def test_a_backup_exports_each_disk_under_its_target() -> None:
    found = etree.fromstring(documents.backup({"vda": "/s/a", "vdb": "/s/b"}, "/s/nbd"))
    assert found.get("mode") == "pull"
    exported = [(one.get("name"), one.get("exportname"), one.get("backup")) for one in found.iterfind("disks/disk")]
    assert exported == [("vda", "vda", "yes"), ("vdb", "vdb", "yes")]


def test_an_agent_is_there_when_the_domain_has_its_channel() -> None:
    def has(name: str) -> bool:
        return xml.has_agent(
            xml.parse(f"<domain><devices><channel><target name='{name}'/></channel></devices></domain>")
        )

    assert has("org.qemu.guest_agent.0")
    assert not has("com.redhat.spice.0")


@given(name=NAMES)
@example(name=UGLY)
def test_a_drive_gets_another_medium_and_keeps_all_else(name: str) -> None:
    path = f"/pools/{name}"
    drive = (
        "<disk type='volume' device='cdrom'><source pool='p' volume='v' index='2'/><backingStore/>"
        "<driver name='qemu' type='raw'/><target dev='sda' bus='sata'/><readonly/><alias name='sata0-0-0'/></disk>"
    )
    text = f"<domain><devices><disk><target dev='vda'/></disk>{drive}</devices></domain>"
    try:
        found = xml.parse(xml.drive_with(text, "sda", path, "qcow2"))
    except HypervisorError:
        return  # what XML can't carry is refused
    assert (found.get("type"), found.get("device")) == ("file", "cdrom")
    assert [dict(source.attrib) for source in found.iterfind("source")] == [{"file": path}]
    assert found.find("backingStore") is None
    assert {child.tag for child in found} == {"source", "driver", "target", "readonly", "alias"}
