"""svmove's own view of the Vagrant lab from outside: each machine is another host, over SSH, whose user is not root.

remote.py SSH_CONFIG    (what `vagrant ssh-config` printed)

On each a guest without an operating system is made, moved from pool to pool from here, and taken away. What fails ends
it, with the reason and the exit code of a failure.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import paramiko

GUEST = "smoke"
PLACES = {"nfs": f"/srv/pools/nfs/{GUEST}.img", "lvm": f"/dev/svmove/{GUEST}", "dir-b": f"/srv/pools/dir-b/{GUEST}.img"}


def uri(name: str, config: paramiko.SSHConfig, known: Path) -> str:
    host = config.lookup(name)
    parameters = f"keyfile={host['identityfile'][0]}&known_hosts={known}"
    return f"qemu+ssh://{host['user']}@{host['hostname']}:{host.get('port', '22')}/system?{parameters}"


def svmove(*words: str) -> None:
    print("\n$ svmove", *words, flush=True)
    subprocess.run([Path(sys.executable).with_name("svmove"), *words], check=True)


def inside(ssh_config: Path, name: str, command: str) -> None:
    subprocess.run(["ssh", "-q", "-F", ssh_config, name, command], check=True)


def known_hosts(names: list[str], config: paramiko.SSHConfig, file: Path) -> None:
    """Their keys, as the network tells them: who runs this lab has made these machines himself, a minute ago."""
    hosts = [config.lookup(name)["hostname"] for name in names]
    scanned = subprocess.run(["ssh-keyscan", "-T", "30", *hosts], check=True, capture_output=True, text=True)
    file.write_text(scanned.stdout)


def main(ssh_config: Path) -> None:
    config = paramiko.SSHConfig.from_path(str(ssh_config))
    names = sorted(name for name in config.get_hostnames() if name != "*")
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        known_hosts(names, config, folder / "known_hosts")
        hosts = "".join(f'{name} = "{uri(name, config, folder / "known_hosts")}"\n' for name in names)
        policy = folder / "policy.toml"
        policy.write_text(f"[host]\nsudo = true\n\n[hosts]\n{hosts}")
        common = ["--policy", str(policy), "--journal", str(folder / "journal.sqlite")]
        svmove(*common, "-c", "*", "pools")
        for name in names:
            inside(ssh_config, name, "sudo sh /srv/svmove/vagrant/smoke begin")
            try:
                for place, path in PLACES.items():
                    svmove(*common, "-c", name, "move", GUEST, "--disk", f"vda={place},name={Path(path).name}")
                    inside(ssh_config, name, f"sudo sh /srv/svmove/vagrant/smoke same {path}")
            finally:
                inside(ssh_config, name, "sudo sh /srv/svmove/vagrant/smoke end")
        svmove(*common, "-c", "*", "tasks", "--all")
    print(f"\nremote: {', '.join(names)}: moved from here, and every byte is what it was")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
