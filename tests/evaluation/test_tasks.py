"""Names and data of lm-eval's tasks on a machine without internet."""

import json
import shutil
import sys

import pytest
from evaluation_samples import tokenizer, trained, write_task

pytest.importorskip("lm_eval")
import datasets  # noqa: E402

from lts_nb.core.errors import InputError  # noqa: E402
from lts_nb.evaluation import stored_models  # noqa: E402
from lts_nb.evaluation.accuracy import accuracy  # noqa: E402
from lts_nb.evaluation.tasks import TASKS, load_tasks, quiet  # noqa: E402


@pytest.fixture
def asked(monkeypatch, tmp_path):
    "How often the hub was looked for; it is not there, and nothing is in the cache."
    calls = []
    monkeypatch.setattr(stored_models, "hub_answers", lambda: calls.append(1) and False)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hub")
    return calls


def test_misspelled(tmp_path, asked):
    with pytest.raises(InputError, match=r"or a preset \(common\); close to it: hellaswag"):
        load_tasks("hellaswga")
    write_task(tmp_path)
    with pytest.raises(InputError, match=r"or of include, or a preset \(common\); close to it: goes_on"):
        load_tasks("goes_no", tmp_path)
    assert not asked


def test_all_data_missing(tmp_path, asked):
    "Every data set that is missing in one line, at once."
    write_task(tmp_path)
    with pytest.raises(InputError) as error:
        load_tasks(["goes_on", "common"], tmp_path)
    message = str(error.value)
    for part in (*TASKS["common"], "arc_easy: allenai/ai2_arc ARC-Easy;", "of 14 (", "HF_DATASETS_CACHE", "include"):
        assert part in message, part
    assert len(asked) == 1 and "\n" not in message


def test_copied_cache(tmp_path, asked):
    "With a copied cache, made up here under another data set's name, the task runs."
    blanks = [dict(sentence=f"import {name}, _", option1="os", option2="xq", answer="1") for name in "abcd"]
    (tmp_path / "blanks.jsonl").write_text("".join(json.dumps(b) + "\n" for b in blanks), encoding="utf-8")
    files = dict.fromkeys(("train", "validation"), str(tmp_path / "blanks.jsonl"))
    with quiet():
        datasets.load_dataset("json", data_files=files, cache_dir=str(tmp_path / "made"))
    copied = tmp_path / "hub" / "allenai___winogrande" / "winogrande_xl" / "0.0.0" / "copied"
    shutil.copytree(next((tmp_path / "made").glob("json/*/*/*/")), copied)
    for file in copied.glob("json-*"):
        file.rename(copied / file.name.replace("json", "winogrande"))
    info = (copied / "dataset_info.json").read_text(encoding="utf-8")
    info = info.replace('"dataset_name": "json"', '"dataset_name": "winogrande"')
    info = info.replace('"config_name": "default"', '"config_name": "winogrande_xl"')
    (copied / "dataset_info.json").write_text(info, encoding="utf-8")
    found = accuracy(trained(), tokenizer(), "winogrande", shots=(0, 1))
    assert found[["task", "shots", "metric", "n"]].values.tolist() == [["winogrande", k, "acc", 4] for k in (0, 1)]
    assert len(asked) == 1


def test_include(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        load_tasks("goes_on", tmp_path / "nothing")
    with pytest.raises(InputError, match=r"tasks=\[\]: must be names of tasks"):
        load_tasks([], tmp_path)


def test_quiet_restores(monkeypatch):
    import os

    monkeypatch.setenv("DISABLE_MULTIPROC", "0")
    with pytest.raises(KeyError), quiet():
        raise KeyError
    assert os.environ["DISABLE_MULTIPROC"] == "0" and datasets.utils.is_progress_bar_enabled()


def test_without_lm_eval(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "lm_eval"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(InputError, match=r"tasks: need the package lm-eval \(pip install 'lts_nb\[eval\]'\)"):
        load_tasks("goes_on", tmp_path)
