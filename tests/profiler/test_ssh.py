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
from kit import slow_but

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
pytestmark = [
    pytest.mark.skipif(not (SSHD and shutil.which("ssh") and shutil.which("ssh-keygen")), reason="no OpenSSH server"),
    pytest.mark.skipif(not re.fullmatch(r"[\w./+-]+", sys.executable), reason="this Python's path is an odd one"),
]

from lts_nb.core.errors import InputError, MeasurementFailed, Remark  # noqa: E402
from lts_nb.core.workload import Workload  # noqa: E402
from lts_nb.profiler.store import Store, measure_once  # noqa: E402
from lts_nb.profiler.targets import link, linked, ssh  # noqa: E402
from lts_nb.profiler.targets.conformance import SMALL, check_samples, check_target  # noqa: E402
from lts_nb.profiler.targets.registry import describe_target, get_target  # noqa: E402
from lts_nb.profiler.timing import VISIT, Effort  # noqa: E402
from lts_nb.space.architecture import Architecture  # noqa: E402
from lts_nb.space.memory import kv_cache_bytes  # noqa: E402

SERVER = """
Port {port}
ListenAddress 127.0.0.1
HostKey {place}/host
AuthorizedKeysFile {place}/authorized
PidFile {place}/pid
PasswordAuthentication yes
KbdInteractiveAuthentication no
StrictModes no
UsePAM no
SetEnv TMPDIR={place}/temporary
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
        (place / "temporary").mkdir()  # of the far side: others may measure on this machine
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


def another_python(place: Path, start: str) -> str:
    "A program that does what a shell is told, and ends as Python with what it is given."
    (place / "python").write_text(f"#!/bin/sh\n{start}\n")
    (place / "python").chmod(0o755)
    return str(place / "python")


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
    monkeypatch.setattr(ssh.Link, "_exchange", lambda self, text, *s: sent.append(len(text)) or write(self, text, *s))
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


def test_a_file_that_may_not_be_so_large_leaves_no_half(server, cache, tmp_path):
    limited = another_python(tmp_path, f'ulimit -f 2000\ntrap "" XFSZ\nexec {sys.executable} "$@"')
    target = connect(server, cache, python=limited, folder=str(tmp_path / "far"))
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
    said = refusal(connect(server, cache, "changed"))
    assert "its host key has changed" in said and f"ssh-keygen -R '[127.0.0.1]:{server.port}'" in said


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
        target = connect(server, cache, python=another_python(tmp_path, f'exec {start} "$@"'))
        with pytest.raises(InputError, match=finding) as e:
            target.measure(SMALL, REQUEST, VISIT, memory=False)
        assert "\n" not in str(e.value)
        target.close()


def test_two_measurements_never_share_a_board(server, cache, tmp_path, monkeypatch):
    "Whatever the folder and the engine: the lock is the machine's."
    import fcntl

    first = connect(server, cache)
    first.measure(SMALL, REQUEST, VISIT, memory=False)
    source = Path(ssh.runner.__file__).read_text().replace("seconds: float = 60.0", "seconds: float = 0.2")
    hasty = server.place / "hasty.py"
    hasty.write_text(source)
    monkeypatch.setattr(ssh.runner, "__file__", str(hasty))
    second = connect(server, cache, engine="onnx-cpu-int8", folder=str(tmp_path / "another"))
    with open(server.place / "temporary" / ssh.runner.LOCK, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another measurement runs on that machine"):
            second.measure(SMALL, REQUEST, VISIT, memory=False)
    for target in (second, first, second):
        assert target.measure(SMALL, REQUEST, VISIT, memory=False).latency_s > 0
    first.close()
    second.close()


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
    for folder in ("", " ", "a\0b", 7, None):
        with pytest.raises(InputError, match="^folder=.*: must be the name of a folder on the far side"):
            get_target("ssh://a@b", folder=folder)


@pytest.mark.parametrize(
    "options, finding",
    [
        (dict(engine="torch-cpu"), "engine='torch-cpu': must be one of onnx-cpu, onnx-cpu-int8, llama-cpp$"),
        (dict(engine=[]), "engine=.*: must be one of"),
        (dict(kv="float32"), "kv='float32': is no option of engine 'onnx-cpu'; it takes dtype$"),
        (dict(engine="onnx-cpu-int8", dtype="float32"), "dtype='float32': must be one of int8$"),
        (dict(threads=0), "threads=0: must be a whole number from 1 to 1,024$"),
        (dict(config="no such file"), "config='no such file': is no file$"),
        (dict(cores=2), "unknown option 'cores'; it takes engine and threads and dtype and kv and"),
    ],
)
def test_wrong_options(options, finding):
    with pytest.raises(InputError, match=finding) as e:
        get_target("ssh://a@b", **options)
    assert "\n" not in str(e.value)


def test_formats_of_llama_cpp():
    pytest.importorskip("gguf")
    with pytest.raises(InputError, match="^kv='q8_0': must be one of float16, float32$"):
        get_target("ssh://a@b", engine="llama-cpp", kv="q8_0")
    with pytest.raises(InputError, match="^dtype='int8': must be one of float32, float16, q8_0"):
        get_target("ssh://a@b", engine="llama-cpp", dtype="int8")
    usual, exact = (get_target("ssh://a@b", engine="llama-cpp", threads=2, kv=kv) for kv in (None, "float32"))
    assert usual.key == "ssh://a@b llama-cpp threads=2 dtype=float32 kv=float16"
    assert exact.key == "ssh://a@b llama-cpp threads=2 dtype=float32 kv=float32"
    assert usual != exact and exact.runner_engine == "llama-f32"
    for target in (usual, exact):
        assert get_target(**describe_target(target)) == target and target.options()["kv"] == target.kv


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


def test_keys_and_values_of_llama_cpp(server, cache):
    "Their format reaches the far side, and measurements with another one are others in a store."
    pytest.importorskip("gguf"), pytest.importorskip("llama_cpp")
    deep = Architecture("llama", 64, (4, 8) * 8, (64,) * 16, 100, 300, n_kv_head=(4, 2) * 8, d_head=64)
    store, request = Store(), Workload(1, 200, 1)
    for kv, n_bytes in (("float16", 2), ("float32", 4)):
        target = connect(server, cache, engine="llama-cpp", dtype="q8_0", kv=kv)
        m, _ = measure_once(store, deep, request, target, target.environment(), effort=VISIT)
        assert abs(m.kv_cache_bytes - kv_cache_bytes(deep, 1, 256, n_bytes)) <= 0.01 * 2**20
        assert m.extra["logits_checked"] == 1
        target.close()
    assert len(store) == 2


@pytest.mark.parametrize("engine", slow_but(["onnx-cpu", "onnx-cpu-int8", "llama-cpp"], "onnx-cpu-int8"))
def test_the_far_engine_is_tried(server, cache, monkeypatch, engine):
    "It computes something else there, and all is well here."
    if engine == "llama-cpp":
        pytest.importorskip("gguf"), pytest.importorskip("llama_cpp")
    small = Architecture("llama", 64, (2,), (64,), 100, 32, n_kv_head=(1,), d_head=32)
    monkeypatch.setattr(linked, "CHECKED", {})
    source, place = Path(ssh.runner.__file__).read_text(), server.place / "wrong.py"
    right = "opened.logits(np.array(tokens, np.int64)).tolist()"
    assert right in source
    for logits, told in (
        (right.replace(".tolist", ".__mul__(2).tolist"), "gives logits that differ from PyTorch's by .* so nothing"),
        ("[[[float('nan')]]]", "gives logits that differ from PyTorch's by inf"),
        ("1 / 0", "does not run, so nothing is timed .the engine failed .division by zero"),
    ):
        place.write_text(source.replace(right, logits))
        with monkeypatch.context() as patched:
            patched.setattr(ssh.runner, "__file__", str(place))
            target = connect(server, cache, engine=engine)
        with pytest.raises(InputError, match=f"^target='ssh://.*: a small llama in .* {told}") as e:
            target.measure(small, REQUEST, VISIT)
        assert "\n" not in str(e.value)
        target.close()
    target = connect(server, cache, engine=engine)
    assert target.measure(small, REQUEST, VISIT, memory=False).extra["logits_checked"] == 1
    assert len(linked.CHECKED) == 1
    target.close()


BENCH = """#!/bin/sh
case "$*" in *--version*) echo "version: 1 (made up)";; *) echo '[{"samples_ns": [5000000]}]';; esac
"""


def test_a_far_program_is_timed_unchecked(server, cache, tmp_path, monkeypatch):
    pytest.importorskip("gguf")
    monkeypatch.setattr(linked, "CHECKED", {})
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['llama_cpp'] = None")
    (tmp_path / "llama-bench").write_text(BENCH)
    (tmp_path / "llama-bench").chmod(0o755)
    python = another_python(tmp_path, f'PYTHONPATH={tmp_path} PATH={tmp_path}:$PATH exec {sys.executable} "$@"')
    small = Architecture("llama", 64, (2,), (64,), 100, 32, n_kv_head=(1,), d_head=32)
    target = connect(server, cache, engine="llama-cpp", python=python)
    with pytest.warns(Remark, match="^target='ssh://.*: its engine gives no logits") as said:
        found = [target.measure(small, Workload(1, 8, n), VISIT, memory=False) for n in (1, 2)]
    assert len(said) == 1 and [m.extra["logits_checked"] for m in found] == [0, 0]
    assert found[0].prefill_s == 0.005
    target.close()
    target = connect(server, cache, engine="llama-cpp", python=python, kv="float32")
    with pytest.raises(InputError, match="^kv='float32': is not what llama-bench can do"):
        target.measure(small, Workload(1, 8), VISIT)
    target.close()


# --- far sides as they are


def test_shells_that_print(server, cache, tmp_path):
    "A greeting is not an answer; a shell that lets nobody in is told by its last words."
    greeting = "echo Welcome; echo '{\"value\": '; printf 'no line feed'; echo warning >&2"
    target = connect(server, cache, python=another_python(tmp_path, f'{greeting}\nexec {sys.executable} "$@"'))
    check_samples(target, target.measure(SMALL, REQUEST, VISIT, memory=False), REQUEST, 1)
    target.close()
    closed = another_python(tmp_path, "echo This account is currently not available.; exit 1")
    said = refusal(connect(server, cache, python=closed))
    assert said.endswith("cannot start a runner there (exit code 1: This account is currently not available.)")


def test_a_shell_that_says_nothing(server, cache, tmp_path, monkeypatch):
    monkeypatch.setattr(link, "OPENING_S", 0.5)
    said = refusal(connect(server, cache, python=another_python(tmp_path, "exec sleep 60")))
    assert "does not answer (no answer within 0.5 s" in said


def test_an_old_python(server, cache, tmp_path):
    old = "import sys; sys.version_info = (3, 6, 9); exec(sys.argv[2])"
    python = another_python(tmp_path, f"exec {sys.executable} -c '{old}' \"$@\"")
    assert "its Python is 3.6: must be 3.9 or newer; say python=" in refusal(connect(server, cache, python=python))


def test_a_numpy_that_is_broken(server, cache, tmp_path):
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("raise ImportError('libopenblas.so.0: cannot open it')")
    python = another_python(tmp_path, f'PYTHONPATH={tmp_path} exec {sys.executable} "$@"')
    said = refusal(connect(server, cache, python=python))
    assert said.endswith("cannot start a runner there (exit code 1: ImportError: libopenblas.so.0: cannot open it)")


def test_what_a_power_cut_left_of_the_runner(server, cache, tmp_path):
    folder = tmp_path / "far"
    for _ in range(2):
        target = connect(server, cache, folder=str(folder))
        assert target.environment()["numpy"]
        target.close()
        (runner,) = folder.glob("runner-*.py")
        runner.write_bytes(b"")


def test_a_folder_at_home(server, cache, tmp_path):
    python = another_python(tmp_path, f'HOME={tmp_path} exec {sys.executable} "$@"')
    target = connect(server, cache, python=python, folder="~/kept here")
    assert target.environment()["numpy"]
    target.close()
    assert list((tmp_path / "kept here").glob("runner-*.py"))


def test_a_folder_that_cannot_be(server, cache, tmp_path):
    (tmp_path / "file").touch()
    said = refusal(connect(server, cache, folder=str(tmp_path / "file" / "below")))
    assert said.endswith("cannot be written there (Not a directory); say a folder= that can be")


def test_a_command_in_the_configuration(server, cache):
    "A shell's comfort that would take the place of the runner."
    config = server.place / "comfort.config"
    config.write_text((server.place / "known.config").read_text() + "  RemoteCommand true\n  RequestTTY force\n")
    target = connect(server, cache, "comfort")
    assert target.environment()["numpy"]
    target.close()


# --- a real file system that is full


def mounting(place: Path, options: str) -> str:
    "What mounts a file system in memory for one process and its children. Skips where that is not allowed."
    place.mkdir()
    mount = f"mount -t tmpfs -o {options} tmpfs {place}"
    tried = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no file system can be mounted here: {tried.stderr.strip()}")
    return f'exec unshare -rm sh -c \'{mount} && exec {sys.executable} "$@"\' sh "$@"'


@pytest.fixture
def small_disk(server, cache, tmp_path):
    "A target whose far side keeps its files on 4 MB, and where these lie."
    if not shutil.which("unshare"):
        pytest.skip("no unshare, which mounts a file system for one process")
    place = tmp_path / "far"
    target = connect(server, cache, python=another_python(tmp_path, mounting(place, "size=4m")), folder=str(place))
    target.environment()
    (runner,) = (process for process in server.runners() if str(place) in process.cmdline())
    yield target, Path(f"/proc/{runner.pid}/root{place}")
    target.close()


def test_a_full_disk_there(small_disk):
    "No half file stays, what fits is measured, and old probes make room."
    target, folder = small_disk
    wide = replace(SMALL, d_model=256, n_head=(2,) * 2, d_inner=(1024,) * 2)  # over 6 MB
    with pytest.raises(OSError, match="cannot be written .No space left on device") as e:
        target.measure(wide, REQUEST, VISIT, memory=False)
    assert "\n" not in str(e.value)
    assert not [path for path in folder.iterdir() if path.suffix in (".part", ".probe")]
    fits = [replace(SMALL, d_model=192, n_head=(2, 2), d_inner=(d_inner,) * 2) for d_inner in (512, 640)]
    for architecture in fits:  # one at a time
        assert target.measure(architecture, REQUEST, VISIT, memory=False).latency_s > 0
        (probe,) = folder.glob("*.probe")
        os.utime(probe, (0, 0))


def test_a_disk_that_is_full_before(small_disk):
    "Not even a graph has room; afterwards it has."
    target, folder = small_disk
    filler = folder / "filler"
    with contextlib.suppress(OSError), open(filler, "wb") as file:
        while True:
            file.write(bytes(4096))
    with pytest.raises(OSError, match="No space left on device"):
        target.measure(SMALL, REQUEST, VISIT, memory=False)
    filler.unlink()
    assert target.measure(SMALL, REQUEST, VISIT, memory=False).latency_s > 0


def test_no_room_for_a_runner(server, cache, tmp_path):
    python = another_python(tmp_path, mounting(tmp_path / "far", "size=8k"))
    target = connect(server, cache, python=python, folder=str(tmp_path / "far" / "below"))
    with pytest.raises(OSError, match="^target='ssh://.*folder=.*: cannot be written there .No space left on device.$"):
        target.environment()
    target.close()


def test_a_home_that_is_read_only(server, cache, tmp_path):
    python = another_python(tmp_path, mounting(tmp_path / "far", "ro"))
    said = refusal(connect(server, cache, python=python, folder=str(tmp_path / "far" / "below")))
    assert "below': cannot be written there (Read-only file system); say a folder= that can be" in said
