"""The lab's parts that need no guest: what it reads, what it decides, what it writes."""

import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from svmove.lab import (
    LAB_GUEST,
    DiskSpec,
    Format,
    GuestSpec,
    LabError,
    check,
    fill,
    guest,
    initramfs,
    kvm,
    lock,
    report,
    state,
    watch,
)
from svmove.lab.kernel import Kernel
from svmove.lab.paths import DEFAULT_ROOT, LabPaths
from svmove.units import MiB


def sample(
    job: str = "vda", writes: int = 100, *, reads: int = 50, errors: int = 0, worst_us: int = 900
) -> report.Sample:
    return report.Sample(job=job, ms=1, writes=writes, reads=reads, errors=errors, worst_us=worst_us)


BOOT = report.Boot(id="one", disks=("vda", "vdb"))


class TestReport:
    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (
                'svmove-lab {"job":"vda","ms":1700000000123,"writes":12,"reads":7,"errors":1,"worst_us":2310}\r',
                report.Sample(job="vda", ms=1700000000123, writes=12, reads=7, errors=1, worst_us=2310),
            ),
            ('svmove-lab {"clock":12.34}', report.Clock(uptime=12.34)),
            ('svmove-lab {"clock":12}', report.Clock(uptime=12.0)),
            ('svmove-lab {"dead":"no /dev/vdb"}', report.Dead(reason="no /dev/vdb")),
            ('svmove-lab {"boot":"one","disks":"vda vdb"}', BOOT),
            ('kernel says svmove-lab {"clock":1.5}', report.Clock(uptime=1.5)),
            ("[    0.1] a kernel message", None),
            ('svmove-lab {"clock":1', None),
            ('svmove-lab {"clock":"soon"}', None),
            ("svmove-lab []", None),
        ],
    )
    def test_reads_a_line(self, line: str, expected: report.Line | None) -> None:
        assert report.parse(line) == expected

    def test_leaves_a_line_that_is_not_whole_for_the_next_time(self, tmp_path: Path) -> None:
        console = tmp_path / "console"
        console.write_bytes(b'svmove-lab {"clock":1}\nsvmove-lab {"clo')
        lines, offset = report.read(console)
        assert lines == [report.Clock(uptime=1.0)]
        with console.open("ab") as file:
            file.write(b'ck":2}\n')
        assert report.read(console, offset) == ([report.Clock(uptime=2.0)], console.stat().st_size)

    def test_a_console_that_began_anew_is_read_from_its_start(self, tmp_path: Path) -> None:
        console = tmp_path / "console"
        console.write_bytes(b'svmove-lab {"clock":1}\n')
        assert report.read(console, 1_000_000)[0] == [report.Clock(uptime=1.0)]

    def test_no_console_is_an_empty_one(self, tmp_path: Path) -> None:
        assert report.read(tmp_path / "none") == ([], 0)
        assert report.tail(tmp_path / "none") == []

    def test_a_boot_starts_the_counters_again(self) -> None:
        assert report.latest(report.current_boot([sample(writes=900), BOOT, sample(writes=3)]))["vda"].writes == 3

    def test_the_worst_write_of_a_disk(self) -> None:
        lines = [sample(worst_us=2000), sample("vdb", worst_us=80_000), sample(worst_us=40_000)]
        assert report.worst_write(lines) == 0.08
        assert report.worst_write(lines, "vda") == 0.04
        assert report.worst_write([], "vda") is None


class TestCheck:
    def test_counts_from_the_last_check(self) -> None:
        last = state.Checked(at=0.0, offset=0, writes={"vda": 60}, reads={"vda": 10})
        (disk,) = check.judge([sample(writes=100, reads=50)], last, {"vda": 5})
        assert (disk.wrote, disk.verified, disk.reached_host) == (40, 40, 5)

    def test_counts_from_the_boot_when_that_was_later(self) -> None:
        last = state.Checked(at=0.0, offset=0, writes={"vda": 5000}, reads={"vda": 4000})
        (disk,) = check.judge([BOOT, sample(writes=100)], last, {"vda": 5})
        assert disk.wrote == 100

    @pytest.mark.parametrize(
        ("lines", "requests", "says"),
        [
            ([sample(errors=2), sample(errors=2)], 5, "read back 2 blocks"),
            ([sample(errors=1), BOOT, sample()], 5, "read back 1 blocks"),
            ([sample(), report.Dead(reason="fio ended")], 5, "fio ended"),
            ([sample(writes=60)], 5, "wrote nothing"),
            ([], 5, "wrote nothing"),
            ([sample("vdb")], 5, "wrote nothing"),
            ([sample()], 0, "none of them reached"),
        ],
    )
    def test_fails(self, lines: Sequence[report.Line], requests: int, says: str) -> None:
        last = state.Checked(at=0.0, offset=0, writes={"vda": 60}, reads={"vda": 10})
        with pytest.raises(LabError, match=says):
            check.judge(lines, last, {"vda": requests})

    def test_what_it_remembers_makes_the_same_lines_old(self) -> None:
        lines: list[report.Line] = [BOOT, sample(writes=100)]
        with pytest.raises(LabError, match="wrote nothing"):
            check.judge(lines[1:], check.remember(lines, 0, 0.0), {"vda": 5})

    def test_a_damaged_state_says_so(self, tmp_path: Path) -> None:
        (tmp_path / "lab.json").write_text('{"checked": 3}')
        with pytest.raises(LabError, match="damaged"):
            state.load(tmp_path / "lab.json")

    def test_a_state_comes_back(self, tmp_path: Path) -> None:
        kept = state.State(connect="qemu:///system", checked=check.remember([sample()], 9, 1.5))
        state.save(tmp_path / "lab.json", kept)
        assert state.load(tmp_path / "lab.json") == kept
        assert state.load(tmp_path / "none") is None


class TestWatch:
    def test_a_suspend_is_what_the_guests_clock_lost(self) -> None:
        """20 clock lines before and after; the guest's clock stood for 0.3 s in between."""
        lines: list[tuple[float, report.Line]] = []
        for tick in range(40):
            late = 0.002 + 0.001 * (tick % 7)
            uptime = 100 + tick * 0.25
            at = 5000 + tick * 0.25 + late + (0.3 if tick >= 20 else 0.0)
            lines.append((at, report.Clock(uptime=uptime)))
        lines.insert(20, (5005.1, sample(worst_us=40_000)))
        pause = watch.measure(lines, began=5004.9, ended=5005.2)
        assert pause.suspended == pytest.approx(0.3, abs=1e-6)
        assert pause.felt == pytest.approx(0.34, abs=1e-6)

    def test_without_a_suspend_there_is_none(self) -> None:
        lines: list[tuple[float, report.Line]] = [(50 + t, report.Clock(uptime=float(t))) for t in range(10)]
        assert watch.measure(lines, began=54.5, ended=54.6).suspended == 0


class TestKvm:
    def test_without_the_cpus_flag_a_device_that_opens_is_not_enough(self) -> None:
        assert kvm.probe("flags\t\t: fpu vme sse4_2 hypervisor\n", Path("/dev/null")) is kvm.Kvm.ABSENT

    def test_with_the_flag_the_device_must_answer(self, tmp_path: Path) -> None:
        flags = "processor\t: 0\nflags\t\t: fpu svm sse4_2\n"
        assert kvm.probe(flags, Path("/dev/null")) is kvm.Kvm.ABSENT
        assert kvm.probe(flags, tmp_path / "none") is kvm.Kvm.ABSENT

    def test_a_word_that_contains_a_flag_is_none(self) -> None:
        assert kvm.probe("flags\t\t: svm_lock vmx_smx\nmodel name\t: svm\n") is kvm.Kvm.ABSENT


class TestPaths:
    def test_the_default(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("SVMOVE_LAB", raising=False)
        assert LabPaths.at().root == DEFAULT_ROOT

    def test_the_environment(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("SVMOVE_LAB", str(tmp_path / "lab"))
        assert LabPaths.at().root == tmp_path / "lab"
        assert LabPaths.at().uri == f"qemu:///system?socket={tmp_path}/lab/run/libvirt-sock"

    @pytest.mark.parametrize("bad", ["/", "/var/a b", "/var/a?b", '/var/a"b', "/var/" + "x" * 100])
    def test_what_a_socket_or_uri_cant_carry_is_refused(self, bad: str) -> None:
        with pytest.raises(LabError):
            LabPaths.at(Path(bad))

    def test_a_directory_that_qemu_cant_enter_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "closed").mkdir(mode=0o700)
        with pytest.raises(LabError, match="can't enter"):
            LabPaths.at(tmp_path / "closed" / "lab").make()


class TestLock:
    def test_the_second_waits_for_the_first_and_no_file_stays(self, tmp_path: Path) -> None:
        path, order = tmp_path / "lab.lock", []

        def second() -> None:
            with lock.held(path):
                order.append("second")

        with lock.held(path):
            waiting = threading.Thread(target=second)
            waiting.start()
            time.sleep(0.15)
            order.append("first")
        waiting.join()
        assert order == ["first", "second"]
        assert list(tmp_path.iterdir()) == []

    def test_gives_up(self, tmp_path: Path) -> None:
        with (
            lock.held(tmp_path / "lock"),
            pytest.raises(LabError, match="another"),
            lock.held(tmp_path / "lock", timeout=0.1),
        ):
            pass


class TestGuest:
    def test_the_lab_guest(self) -> None:
        paths = LabPaths(root=Path("/lab"))
        boot = guest.Boot(kernel=Path("/lab/boot/vmlinuz"), initramfs=Path("/lab/boot/initramfs"))
        files = {"vda": Path("/lab/a.qcow2"), "vdb": Path("/lab/b.img")}
        domain = guest.domain_xml(LAB_GUEST, paths, files, domain_type="qemu", boot=boot, direct=True)
        assert domain.get("type") == "qemu"
        assert domain.findtext("os/kernel") == "/lab/boot/vmlinuz"
        assert [disk.findtext("serial") for disk in domain.iterfind("devices/disk")] == ["lab-vda", "lab-vdb"]
        assert [driver.get("type") for driver in domain.iterfind("devices/disk/driver")] == ["qcow2", "raw"]
        assert {driver.get("cache") for driver in domain.iterfind("devices/disk/driver")} == {"none"}
        serial = domain.find("devices/serial/source")
        assert serial is not None
        assert serial.get("path") == "/lab/console/lab-guest.log"
        marker = domain.find(f"metadata/{{{guest.MARKER_URI}}}lab")
        assert marker is not None
        assert marker.get("directory") == "/lab"
        assert domain.find("uuid") is None

    def test_a_guest_in_its_firmware_on_a_file_system_without_direct_access(self) -> None:
        spec = GuestSpec(name="tiny", disks=(DiskSpec(target="vda", capacity=MiB),))
        paths = LabPaths(root=Path("/lab"))
        domain = guest.domain_xml(spec, paths, {"vda": Path("/x")}, domain_type="qemu", boot=None, direct=False)
        assert domain.find("os/kernel") is None
        driver = domain.find("devices/disk/driver")
        assert driver is not None
        assert "cache" not in driver.attrib

    def test_enough_data_and_holes(self) -> None:
        """The issue asks for 512 MiB of data; extents must not overlap or leave the disk."""
        for disk in LAB_GUEST.disks:
            ends = [0]
            for offset, length in disk.extents:
                assert offset >= ends[-1]
                assert offset % 4096 == length % 4096 == 0
                ends.append(offset + length)
            assert ends[-1] <= disk.capacity
        assert sum(length for _, length in LAB_GUEST.disks[0].extents) >= 512 * MiB


class TestFill:
    def test_writes_the_extents_and_leaves_the_holes(self, tmp_path: Path) -> None:
        disk = DiskSpec(
            target="vda",
            capacity=64 * MiB,
            format=Format.RAW,
            extents=((MiB, 4096), (8 * MiB, 20 * MiB), (63 * MiB, MiB)),
        )
        path = tmp_path / "disk"
        for direct in (False, fill.supports_direct(tmp_path)):
            path.write_bytes(b"")
            os.truncate(path, disk.capacity)
            fill.write(path, disk, direct=direct)
            content = path.read_bytes()
            assert len(content) == disk.capacity
            assert not any(content[:MiB])
            assert any(content[MiB : MiB + 4096])
            assert not any(content[MiB + 4096 : 8 * MiB])
            assert not any(content[28 * MiB : 63 * MiB])
            blocks = [content[start : start + 4096] for start in range(8 * MiB, 28 * MiB, MiB)]
            assert len(set(blocks)) == len(blocks)


class TestInitramfs:
    def test_a_module_comes_after_those_it_needs(self, tmp_path: Path) -> None:
        drivers = tmp_path / "kernel" / "drivers"
        drivers.mkdir(parents=True)
        needs = {
            "virtio_blk": "virtio_ring,virtio",
            "virtio_pci": "virtio,virtio_pci_modern_dev,virtio_ring",
            "virtio-ring": "",
            "virtio": "virtio_ring",
            "virtio_pci_modern_dev": "",
            "unwanted": "",
        }
        for name, needed in needs.items():
            (drivers / f"{name}.ko").write_bytes(f"ELF\0license=GPL\0depends={needed}\0name={name}\0".encode())
        # virtio_console has no file: it is built in.
        kernel = Kernel(version="1", image=tmp_path / "vmlinuz", modules=tmp_path)
        order = [name for name, _ in initramfs.modules(kernel)]
        assert sorted(order) == sorted(["virtio_ring", "virtio", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk"])
        assert (
            order.index("virtio_ring") < order.index("virtio") < order.index("virtio_pci") < order.index("virtio_blk")
        )
