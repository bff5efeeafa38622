"""Archives that are cut short, changed, or made to harm; and a cache that keeps none of them."""

import http.server
import os
import random
import stat
import threading
import warnings
import zipfile
from functools import partial
from pathlib import Path

import pytest
from study.published_files import FILES, HASHES, pack

from lts_nb.core.errors import InputError
from lts_nb.study.published_archive import ENV, cache_path, fetch_archive, find_archive, read_verified

LAST = list(FILES)[-1]


@pytest.fixture
def good(tmp_path):
    return pack(tmp_path / "good.zip")


@pytest.fixture
def bad(tmp_path):
    return tmp_path / "bad.zip"


def refused(path, finding):
    "The one line with which an archive is refused."
    with pytest.raises(InputError) as caught:
        read_verified(path, HASHES)
    message = str(caught.value)
    assert message.startswith(f"path={str(path)!r}: ") and message.isprintable() and "must be LTS's" in message
    assert finding in message, message


def test_good_ones(good, bad):
    assert read_verified(good, HASHES) == FILES
    assert read_verified(pack(bad, root="archai-4777041"), HASHES) == FILES  # whatever the root is called
    assert read_verified(pack(bad, beside=False), HASHES) == FILES


def test_no_archive_or_cut_short(good, bad):
    refused(Path("no/such.zip"), "is no zip archive, or cut short (No such file or directory)")
    content = good.read_bytes()
    for n in (0, 100, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:n])
        refused(bad, "is no zip archive, or cut short")
    with pytest.raises(InputError, match="the download: is no zip"):
        read_verified(bad, HASHES, "the download")


def test_missing_or_changed(good, bad):
    refused(pack(bad, {name: content for name, content in FILES.items() if name != LAST}), f"{LAST} is missing")
    refused(pack(bad, root="a/b"), "is missing")
    for content in (b"{}", FILES[LAST] + b"\n"):
        refused(pack(bad, FILES | {LAST: content}), f"{LAST} is not what was published")
    content = good.read_bytes()
    at = content.index(b"random_GPT2_wt103/params_summary.yaml") + 60
    bad.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    refused(bad, "random_GPT2_wt103/params_summary.yaml is damaged")


def forge(good, bad, change):
    "The good archive again, with `change(archive, member)` free to alter each member on its way in."
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(bad, "w", zipfile.ZIP_DEFLATED) as new:
        for member in old.infolist():
            info = zipfile.ZipInfo(member.filename)
            info.compress_type = zipfile.ZIP_DEFLATED
            change(new, info)
            new.writestr(info, old.read(member))
    return bad


@pytest.mark.parametrize(
    "name, finding",
    [
        ("/etc/x", "leads elsewhere"),
        ("archai-neurips-lts/../../x", "leads elsewhere"),
        ("C:/x", "leads elsewhere"),
        ("archai-neurips-lts\\..\\x", "leads elsewhere"),
        ("archai-neurips-lts//x", "leads elsewhere"),
        ("../x", "leads elsewhere"),
        ("elsewhere/x", "holds 2 folders or files (archai-neurips-lts, elsewhere)"),
        ("archai-neurips-lts/README.md", "'archai-neurips-lts/README.md' is there twice"),
        ("archai-neurips-lts/\x1b[2J/../x", "leads elsewhere"),  # nothing of a name reaches the terminal raw
    ],
)
def test_names_that_mean_harm(good, bad, name, finding):
    def add(archive, info):
        if info.filename.endswith("README.md"):
            archive.writestr(zipfile.ZipInfo(name), b"x")

    with warnings.catch_warnings(action="ignore"):
        forge(good, bad, add)
    refused(bad, finding)


def test_files_that_mean_harm(good, bad):
    def link(archive, info):
        if info.filename.endswith(LAST):
            info.external_attr = (stat.S_IFLNK | 0o777) << 16

    def method(archive, info):
        if info.filename.endswith(LAST):
            info.compress_type = zipfile.ZIP_BZIP2

    refused(forge(good, bad, link), f"{LAST} is a link")
    refused(forge(good, bad, method), f"{LAST} is packed by method 12")
    refused(pack(bad, FILES | {LAST: bytes(2**21)}), f"{LAST} claims 2,097,152 bytes: at most 1,048,576 are read")
    assert bad.stat().st_size < 10_000  # two megabytes in ten kilobytes
    content = good.read_bytes()
    central = content.index(b"PK\x01\x02")
    bad.write_bytes(content[: central + 8] + b"\x01" + content[central + 9 :])
    refused(bad, "random_GPT2_wt103/config_0/j0/model_config.yaml is encrypted")


def test_bytes_changed_at_random(good, bad):
    "Five hundred archives, each refused in one line or read exactly."
    content, chance, times = good.read_bytes(), random.Random(0), 0
    central = content.index(b"PK\x01\x02")
    for _ in range(500):
        changed = bytearray(content)
        for _ in range(chance.choice((1, 1, 2, 8))):
            at = chance.choice((chance.randrange(len(changed)), chance.randrange(central, len(changed))))
            changed[at] = chance.randrange(256)
        bad.write_bytes(changed)
        try:
            assert read_verified(bad, HASHES) == FILES
        except InputError as error:
            times += 1
            assert str(error).startswith("path=") and str(error).isprintable()
    assert times > 300


def test_where_it_is_looked_for(good, tmp_path, monkeypatch):
    monkeypatch.setenv(ENV, "no/such.zip")
    with pytest.raises(InputError, match="LTS_NB_PUBLISHED='no/such.zip': there is no such file"):
        find_archive()
    with pytest.raises(InputError, match="path='no/such.zip'"):
        find_archive("no/such.zip")
    assert find_archive(good) == good
    monkeypatch.delenv(ENV)
    assert find_archive(cache=tmp_path) is None
    cache_path(tmp_path).write_bytes(good.read_bytes())
    assert find_archive(cache=tmp_path) == cache_path(tmp_path)


@pytest.fixture
def site(tmp_path, monkeypatch):
    "A server in this process that gives out a folder."

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=tmp_path)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_only_a_good_download_is_kept(site, good, bad, tmp_path):
    cache = tmp_path / "cache"
    pack(bad, FILES | {LAST: b"{}"})
    with pytest.raises(InputError, match=f"/bad.zip: {LAST} is not what was published"):
        fetch_archive(cache, f"{site}/bad.zip", HASHES)
    with pytest.raises(OSError, match="could not be downloaded .HTTPError.; without internet, set LTS_NB_PUBLISHED"):
        fetch_archive(cache, f"{site}/none.zip", HASHES)
    assert list(cache.iterdir()) == []
    assert read_verified(fetch_archive(cache, f"{site}/good.zip", HASHES), HASHES) == FILES
    assert list(cache.iterdir()) == [cache_path(cache)]


def test_a_cache_that_cannot_be_written(site, good, monkeypatch):
    "A file stands in the way, as it does for whoever may write anywhere too."
    with pytest.raises(OSError, match="cannot keep .*; set LTS_NB_PUBLISHED to a copy"):
        fetch_archive(good / "cache", f"{site}/good.zip", HASHES)
    monkeypatch.delenv(ENV, raising=False)
    assert find_archive(cache=good / "cache") is None


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="needs folders that may not be written")
def test_a_home_that_cannot_be_entered(site, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir(mode=0o000)
    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(home))
    monkeypatch.delenv(ENV, raising=False)
    assert find_archive() is None
    with pytest.raises(OSError, match="cannot keep .*; set LTS_NB_PUBLISHED to a copy"):
        fetch_archive(url=f"{site}/good.zip", hashes=HASHES)
    home.chmod(0o700)
