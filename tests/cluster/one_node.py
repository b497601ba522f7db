"""A real SLURM of one node, from Debian's packages slurm-wlm and munge, in a folder of its own; as root.

`python tests/cluster/one_node.py FOLDER` starts it and prints what to export; it ends with Ctrl-C. It works
in a container: processes are tracked by /proc, there are no task plugin, no cgroups and no accounting.
"""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "scancel", "sinfo")
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
LONG = 60.0  # seconds: it takes few
CONFIG = """\
ClusterName=finebayes
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmdParameters=config_overrides
NodeName=here NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} State=UNKNOWN
PartitionName=cpu Nodes=here Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> str:
    """Why there can be no SLURM on this machine, in a sentence; "" if there can."""
    lacking = [name for name in PROGRAMS if shutil.which(name, path=PATH) is None]
    if lacking:
        return f"{', '.join(lacking)} not installed: apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmd is to be started as root"


@contextlib.contextmanager
def slurm(folder: Path, cpus: int = 2) -> Iterator[dict[str, str]]:
    """A running SLURM with a partition `cpu` of so many cores; yields the environment of its commands."""
    folder = folder.resolve()
    for part in (folder, folder / "state", folder / "spool"):
        part.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o755)  # munged wants a way to its socket that others can go
    key, host = folder / "munge.key", socket.gethostname().partition(".")[0]
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, host=host, cpus=cpus, ports=_free_ports(2)))
    (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
    environment = os.environ | {"SLURM_CONF": str(config), "PATH": f"{os.environ['PATH']}:{PATH}"}
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    commands = (
        ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", *files],
        ["slurmctld", "-D", "-c", "-f", str(config)],
        ["slurmd", "-D", "-N", "here", "-f", str(config)],
    )
    with contextlib.ExitStack() as stack:
        for words in commands:
            stack.enter_context(_daemon(words, folder, environment))
        _wait_for(lambda: (folder / "munge.socket").exists(), "munged", folder)
        _wait_for(lambda: "idle" in _states(environment), "slurmd", folder)
        yield environment


@contextlib.contextmanager
def _daemon(words: list[str], folder: Path, environment: dict[str, str]) -> Iterator[None]:
    """A daemon in the foreground of a session of its own, which ends with the block."""
    with open(folder / f"{words[0]}.out", "wb") as log:
        process = subprocess.Popen(
            words, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _states(environment: dict[str, str]) -> str:
    words = ["sinfo", "--noheader", "--format=%T"]
    return subprocess.run(words, env=environment, capture_output=True, text=True).stdout


def _wait_for(condition, name: str, folder: Path) -> None:
    deadline = time.monotonic() + LONG
    while not condition():
        if time.monotonic() > deadline:
            logs = "\n".join(path.read_text()[-1000:] for path in sorted(folder.glob("slurm*.*o*")))
            raise RuntimeError(f"{name} did not start in {LONG:g} s:\n{logs}")
        time.sleep(0.1)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for listening in sockets:
        listening.bind(("127.0.0.1", 0))
    ports = [listening.getsockname()[1] for listening in sockets]
    for listening in sockets:
        listening.close()
    return ports


if __name__ == "__main__":
    if sentence := missing():
        raise SystemExit(sentence)
    with slurm(Path(sys.argv[1])) as variables:
        print(f"export SLURM_CONF={variables['SLURM_CONF']}", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
