"""Fixtures that tests of several folders use."""

import os
from pathlib import Path

import pytest
from hypothesis import settings
from kit import SMALL, quick_searches

settings.register_profile("the same examples everywhere", derandomize=True, deadline=None)
settings.load_profile("the same examples everywhere")


def pytest_collection_modifyitems(items):
    "Tests that do once more what others do, with another backbone or engine, take minutes: they wait for LTS_NB_SLOW."
    if "LTS_NB_SLOW" not in os.environ:
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes long; LTS_NB_SLOW=1 runs it"))


@pytest.fixture
def space_file(tmp_path) -> Path:
    "The JSON file of the small space."
    path = tmp_path / "space.json"
    path.write_text(SMALL.to_json(), encoding="utf-8")
    return path


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    "An empty folder, which is the current one."
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(scope="module")
def quickly():
    "Searches in this process are quick ones."
    with quick_searches():
        yield


@pytest.fixture(scope="module")
def one_thread():
    "One thread: another number of threads adds up in another order."
    import torch
    import transformers

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    yield
    torch.set_num_threads(before)
