"""Measurements over a real OpenSSH server on this machine, and everything that can go wrong with a connection."""

import contextlib
import getpass
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = [
    pytest.mark.skipif(not (SSHD and shutil.which("ssh") and shutil.which("ssh-keygen")), reason="no OpenSSH server"),
    pytest.mark.skipif(not re.fullmatch(r"[\w./+-]+", sys.executable), reason="this Python's path is an odd one"),
]

from lts_nb.core.errors import InputError, MeasurementFailed  # noqa: E402
from lts_nb.core.workload import Workload  # noqa: E402
from lts_nb.profiler.store import Store, measure_once  # noqa: E402
from lts_nb.profiler.targets import ssh  # noqa: E402
from lts_nb.profiler.targets.conformance import SMALL, check_samples, check_target  # noqa: E402
from lts_nb.profiler.targets.registry import describe_target, get_target  # noqa: E402
from lts_nb.profiler.timing import VISIT, Effort  # noqa: E402

SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
PidFile {place}/pid
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
"""
CLIENT = """
Host *
  IdentityFile {place}/key
  IdentitiesOnly yes
  UserKnownHostsFile {place}/{known}
  GlobalKnownHostsFile none
"""
REQUEST = Workload(1, 8, 2)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    "An OpenSSH server with keys of its own, for this user."

    def __init__(self, place: Path):
        self.place, self.port, self.process = place, free_port(), None
        for name in ("host", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", place / name], check=True)
        shutil.copy(place / "key.pub", place / "authorized")
        kind, key = (place / "host.pub").read_text().split()[:2]
        (place / "known").write_text(f"[127.0.0.1]:{self.port} {kind} {key}\n")
        (place / "unknown").write_text("")
        other = (place / "key.pub").read_text().split()[1]
        (place / "changed").write_text(f"[127.0.0.1]:{self.port} {kind} {other}\n")
        for known in ("known", "unknown", "changed"):
            (place / f"{known}.config").write_text(CLIENT.format(place=place, known=known))
        (place / "sshd.config").write_text(SERVER.format(place=place, port=self.port))
        self.start()

    def start(self):
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        command = [SSHD, "-D", "-e", "-f", self.place / "sshd.config"]
        self.process = subprocess.Popen(command, stderr=open(self.place / "log", "a"))
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.skip(f"sshd does not start: {(self.place / 'log').read_text()[-200:]}")

    def connections(self) -> list:
        "The server's processes for connections, and all that they run."
        return psutil.Process(self.process.pid).children(recursive=True)

    def runners(self) -> list:
        found = []
        for process in self.connections():
            with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                found += [process] * ("runner-" in " ".join(process.cmdline()))
        return found

    def stop(self):
        for process in self.connections():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.kill()
        self.process.wait()

    @property
    def address(self) -> str:
        return f"ssh://{getpass.getuser()}@127.0.0.1:{self.port}"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("sshd"))
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return str(tmp_path_factory.mktemp("cache"))


def connect(server, cache, known="known", **options):
    options = dict(python=sys.executable, folder=str(server.place / "far"), cache=cache) | options
    return get_target(server.address, config=str(server.place / f"{known}.config"), **options)


@pytest.fixture
def target(server, cache):
    target = connect(server, cache)
    target.link.pause = 0.05
    yield target
    target.close()


def refusal(target) -> str:
    "The one line with which a target refuses to say what it runs on."
    with pytest.raises(InputError) as e:
        target.environment()
    target.close()
    assert "\n" not in str(e.value)
    return str(e.value)


def test_it_keeps_the_contract(target):
    check_target(target)
    assert get_target(**describe_target(target)) == target


def test_a_measurement_tells_of_the_far_machine(target):
    m = target.measure(SMALL, REQUEST, Effort(repetitions=3, seconds=0))
    check_samples(target, m, REQUEST, 3)
    assert {"cpu", "cores", "governor", "onnxruntime", "numpy", "torch"} <= m.environment.keys()
    assert m.extra["file_bytes"] > m.weight_bytes > 4 * 100 * 32
    assert target.cache_bytes() == m.environment["last_level_cache_bytes"]
    assert m.peak_bytes > 0 and m.kv_cache_bytes == 2 * 4 * 2 * 32 * 10


def test_nothing_travels_twice(server, target, monkeypatch):
    target.measure(SMALL, REQUEST, VISIT, memory=False)
    sent, write = [], ssh.Link._exchange
    monkeypatch.setattr(ssh.Link, "_exchange", lambda self, content: sent.append(len(content)) or write(self, content))
    before = {path: path.stat().st_mtime_ns for path in (server.place / "far").glob("[0-9a-f]*")}
    target.renew()
    target.measure(SMALL, REQUEST, VISIT, memory=False)
    after = {path: path.stat().st_mtime_ns for path in before if path.suffix != ".probe"}
    assert after == {path: time for path, time in before.items() if path in after}
    assert not [content for content in sent if content > 60_000]


def cut_when(server, which, target, times):
    "Kill processes of connections as soon as a runner measures, so many times."

    def cut():
        for _ in range(times):
            while not server.runners():
                time.sleep(0.005)
            time.sleep(0.3)
            for process in which():
                process.kill()
            time.sleep(0.2)

    thread = threading.Thread(target=cut, daemon=True)
    thread.start()
    return thread


def ssh_servers(server) -> list:
    return [p for p in server.connections() if p.name().startswith("sshd")]


def test_a_cut_connection_is_made_again(server, target):
    target.environment()
    asked = dict(repetitions=3, seconds=1.5)
    thread = cut_when(server, lambda: ssh_servers(server), target, 1)
    m = target.measure(SMALL, REQUEST, Effort(**asked), memory=False)
    thread.join()
    check_samples(target, m, REQUEST, 3)
    deadline = time.monotonic() + 20
    while len(server.runners()) > 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(server.runners()) == 1  # nobody goes on measuring for nobody


def test_a_connection_that_stays_cut_is_one_line_and_resumes(server, target):
    store, environment = Store(), target.environment()
    server.stop()
    try:
        target.close()
        with pytest.raises(ConnectionError, match=r"the connection broke 4 times. Nothing is lost") as e:
            measure_once(store, SMALL, REQUEST, target, environment, effort=VISIT)
        assert "\n" not in str(e.value)
    finally:
        server.start()
    m, _ = measure_once(store, SMALL, REQUEST, target, environment, effort=VISIT)
    assert m.latency_s > 0


def test_a_runner_that_dies_fails_one_measurement(server, target):
    target.environment()
    thread = cut_when(server, server.runners, target, 1)
    with pytest.raises(MeasurementFailed, match="signal 9, as when memory runs out"):
        target.measure(SMALL, REQUEST, Effort(seconds=2.0), memory=False)
    thread.join()
    assert target.measure(SMALL, REQUEST, VISIT, memory=False).latency_s > 0


def test_a_full_disk_there_leaves_no_half_file(server, cache, tmp_path):
    limited = tmp_path / "python"
    limited.write_text(f'#!/bin/sh\nulimit -f 300\ntrap "" XFSZ\nexec {sys.executable} "$@"\n')
    limited.chmod(0o755)
    target = connect(server, cache, python=str(limited), folder=str(tmp_path / "far"))
    wide = replace(SMALL, d_model=256, n_head=(2,), d_inner=(512,))  # over a megabyte
    with pytest.raises(OSError, match="cannot be written .File too large") as e:
        target.measure(wide, REQUEST, VISIT, memory=False)
    assert "\n" not in str(e.value)
    assert not [path for path in (tmp_path / "far").iterdir() if path.suffix in (".part", ".probe")]
    assert target.measure(SMALL, REQUEST, VISIT, memory=False).latency_s > 0  # there is room for this one
    target.close()


def test_an_unknown_host_key_is_refused_with_the_way_to_accept_it(server, cache):
    said = refusal(connect(server, cache, "unknown"))
    assert "its host key is unknown" in said and f"ssh-keyscan -p {server.port} 127.0.0.1" in said
    assert not (server.place / "unknown").read_text()
    assert "its host key has changed" in refusal(connect(server, cache, "changed"))


def test_who_may_not_enter(server, cache):
    target = get_target(
        server.address.replace(getpass.getuser(), "nobody_of_that_name"),
        config=str(server.place / "known.config"),
        cache=cache,
    )
    assert "does not let nobody_of_that_name in without a password: put a key there" in refusal(target)


def test_nobody_there(server, cache):
    config = str(server.place / "known.config")
    closed = get_target(f"ssh://x@127.0.0.1:{free_port()}", config=config, cache=cache)
    assert re.search(r"does not answer .*refused", refusal(closed))
    assert "is the name of no host" in refusal(get_target("ssh://x@nowhere.invalid", config=config, cache=cache))


def test_what_is_missing_there(server, cache, tmp_path):
    assert "cannot start Python there" in refusal(connect(server, cache, python="/no/python"))
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('none')")
    for start, finding in (
        (f"{sys.executable} -S", "has no numpy: python3 -m pip install numpy"),
        (f"env PYTHONPATH={tmp_path} {sys.executable}", "engine: needs the package onnxruntime where models run"),
    ):
        lacking = tmp_path / "python"
        lacking.write_text(f'#!/bin/sh\nexec {start} "$@"\n')
        lacking.chmod(0o755)
        target = connect(server, cache, python=str(lacking))
        with pytest.raises(InputError, match=finding) as e:
            target.measure(SMALL, REQUEST, VISIT, memory=False)
        assert "\n" not in str(e.value)
        target.close()


def test_one_measurement_at_a_time(server, target, monkeypatch):
    import fcntl

    target.environment()
    source = Path(ssh.runner.__file__).read_text().replace("seconds: float = 60.0", "seconds: float = 0.2")
    hasty = server.place / "hasty.py"
    hasty.write_text(source)
    monkeypatch.setattr(ssh.runner, "__file__", str(hasty))
    target = connect(server, target.cache)
    with open(server.place / "far" / "lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another measurement runs on that machine"):
            target.measure(SMALL, REQUEST, VISIT, memory=False)
    assert target.measure(SMALL, REQUEST, VISIT, memory=False).latency_s > 0
    target.close()


@pytest.mark.parametrize(
    "address",
    [
        "ssh://a@b;id",
        "ssh://a@$(id)",
        "ssh://a'@b",
        "ssh://-x@b",
        "ssh://a@-oX",
        "ssh://a@b:0x",
        "ssh://a b@c",
        "ssh://b",
    ]
    + ["ssh://a@b\n", "ssh://a@b:70000", "ssh://a@b/c", "ssh://@b", "ssh://ä@b"],
)
def test_odd_addresses(address):
    with pytest.raises(InputError, match="must be ssh://user@host") as e:
        get_target(address)
    assert "\n" not in str(e.value)


def test_odd_options():
    for odd in ("python3 -c x", "p'x", "$(id)", "-c", "a;b", ""):
        with pytest.raises(InputError, match="must be a name or path"):
            get_target("ssh://a@b", python=odd)
    with pytest.raises(InputError, match="engine='torch-cpu': must be one of onnx-cpu"):
        get_target("ssh://a@b", engine="torch-cpu")


def test_odd_folders_stay_folders(server, cache, tmp_path):
    folder = tmp_path / "a folder; touch oh 'no' $(id)"
    target = connect(server, cache, folder=str(folder))
    assert target.measure(SMALL, REQUEST, VISIT, memory=False).latency_s > 0
    target.close()
    assert {path.suffix for path in folder.iterdir()} >= {".py", ".probe"}
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_threads_of_the_far_side(server, cache):
    target = connect(server, cache, threads=1024)
    with pytest.raises(InputError, match="threads=1024: must be at most"):
        target.measure(SMALL, REQUEST, VISIT)
    target.close()
