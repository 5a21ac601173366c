"""A pool of a real libvirt is looked at as a whole, and emptied, while a guest writes."""

import signal
from pathlib import Path

from svmove.model import DomainState
from tests.real.cli import finished
from tests.real.world import GUEST, World, copying, disk, until


def test_the_bulk_view_is_what_each_domain_and_volume_says_by_itself(guest: World) -> None:
    path = guest.image("off.qcow2", "8M")
    guest.guest("lab-off", disk(path), start=False)
    found = guest.hypervisor.survey()
    assert [one.name for one in found.domains] == sorted(guest.hypervisor.domain_names())
    for domain in found.domains:
        alone = guest.hypervisor.domain(domain.uuid)
        assert (domain.state, domain.persistent, domain.marker) == (alone.state, alone.persistent, alone.marker)
        assert domain.disks == alone.disks
    assert {one.name: one.state for one in found.domains}["lab-off"] is DomainState.OFF
    assert [one.name for one in found.pools] == [one.name for one in guest.hypervisor.pools()]
    assert {one.path for one in found.volumes} >= {str(file) for file in guest.files()}
    for volume in found.volumes:
        assert guest.hypervisor.volume_at(volume.path) == volume


def test_all_disks_counters_come_in_one_call(guest: World) -> None:
    domain = guest.domain()
    before = guest.hypervisor.counters()
    assert {target for uuid, target in before if uuid == domain.uuid} == {"vda", "vdb"}

    def written() -> bool:
        now = guest.hypervisor.counters()[domain.uuid, "vda"]
        then = before[domain.uuid, "vda"]
        return now.writes > then.writes and now.write_seconds > then.write_seconds

    until(written, "the guest's writes, and the time that they took, are counted")
    requests, _ = guest.hypervisor.writes(domain.uuid, "vda")
    assert requests >= before[domain.uuid, "vda"].writes


def test_samples_tell_of_a_pool_s_latency(guest: World) -> None:
    pool = guest.path("vda").parent.name
    assert guest.cli("sample", "--json").document["disks"] == 2
    # 50 writes a second on each disk; of fewer than 20 nothing is told.
    domain, before = guest.domain(), guest.hypervisor.counters()
    key = (domain.uuid, "vda")
    until(lambda: guest.hypervisor.counters()[key].writes > before[key].writes + 40, "the guest writes")
    assert guest.cli("sample", "--json").code == 0
    found = guest.cli("balance", "--json").document
    latency = {one["pool"]: one["latency"] for one in found["pools"]}[pool]
    assert 0 < latency < 5


def test_a_pool_is_emptied_of_what_can_move_and_the_rest_is_told(guest: World) -> None:
    pool, other = guest.path("vda").parent.name, guest.other()
    off = guest.guest("lab-off", disk(guest.image("off.qcow2", "8M", pool=pool)), start=False)
    guest.image("orphan.img", "1M", "raw", pool=pool)

    planned = guest.cli("evacuate", pool, "--to", other, "--dry-run", "--json").document
    assert {f"{m['guest']}/{m['target']}" for m in planned["moves"]} == {f"{GUEST}/vda", f"{GUEST}/vdb", f"{off}/vda"}
    done = guest.cli("evacuate", pool, "--to", other, "--json")

    found = done.document
    assert (done.code, found["state"], found["failed"]) == (3, "left", []), done.stderr
    assert [one["volume"] for one in found["unmovable"]] == ["orphan.img"]
    assert sorted(one["domain"] for one in found["moved"]) == [GUEST, off]
    assert all(one["verified"] for moved in found["moved"] for one in moved["disks"])
    assert set(guest.where().values()) == {other}
    assert {path.name for path in guest.files() if path.parent.name == pool} == {"orphan.img"}

    refused = guest.cli("evacuate", other, "--to", pool, "--dry-run")
    assert (refused.code, "being emptied" in refused.stderr) == (3, True)
    assert guest.cli.move(off, "--to", pool).codes == ["pool-emptied"]
    assert guest.cli("evacuate", pool, "--end").code == 0
    assert guest.cli("evacuate", other, "--to", pool, "--dry-run").code == 0


def test_what_a_rule_wants_elsewhere_is_brought_there(guest: World) -> None:
    other = guest.other()
    policy = guest.folder / "policy.toml"
    policy.write_text(f"[[affinity.pin]]\nguests = ['{GUEST}']\npools = ['{other}']\n")
    before = guest.cli("--policy", str(policy), "balance", "--json").document
    assert {f"{m['guest']}/{m['target']}" for one in before["recommendations"] for m in one["moves"]} == {
        f"{GUEST}/vda",
        f"{GUEST}/vdb",
    }
    done = guest.cli("--policy", str(policy), "balance", "--apply", "--yes", "--json")
    found = done.document
    assert (done.code, found["state"], found["failed"], found["recommendations"]) == (0, "done", [], []), done.stderr
    assert all(one["verified"] for moved in found["moved"] for one in moved["disks"])
    assert set(guest.where().values()) == {other}


def test_a_move_outlives_the_svmove_that_empties_the_pool_and_the_next_one_goes_on(guest: World) -> None:
    pool, other = guest.path("vda").parent.name, guest.other()
    small = [guest.guest(f"small-{n}", disk(guest.image(f"small-{n}.qcow2", "8M", pool=pool))) for n in range(6)]
    words = ("--policy", str(_slow(guest)), "evacuate", pool, "--to", other, "--json", "--parallel")
    process = guest.cli.start(*words, "1")
    until(lambda: copying(guest), "the copy runs")
    process.send_signal(signal.SIGKILL)
    assert finished(process).code == -signal.SIGKILL
    (task,) = guest.cli("tasks", "--json").document["tasks"]
    assert (task["domain"], task["state"]) == (GUEST, "running")
    assert guest.cli("set", task["move"], "--bandwidth", "none").code == 0

    done = guest.cli(*words, "2")

    found = done.document
    assert (done.code, found["state"]) == (0, "empty"), done.stderr
    assert sorted(one["domain"] for one in found["moved"]) == sorted([GUEST, *small])
    assert next(one["move"] for one in found["moved"] if one["domain"] == GUEST) == task["move"]
    assert {where for name in (GUEST, *small) for where in guest.where(name).values()} == {other}


def _slow(world: World) -> Path:
    """A policy that leaves time to strike in mid-copy."""
    path = world.folder / "policy.toml"
    path.write_text('[move]\nbandwidth = "20MiB/s"\n')
    return path
