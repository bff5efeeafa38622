"Models that earlier versions saved: their configurations still tell the architecture, and are what is written today."

import json
from pathlib import Path

import pytest
from transformers import AutoConfig

from lts_nb.models.build import architecture_of, config_of
from lts_nb.space.architecture import Architecture

STORED = json.loads((Path(__file__).parent / "stored_configs.json").read_text(encoding="utf-8"))
OURS = ("architectures", "auto_map", "transformers_version")  # written about a model, not read from a configuration


@pytest.mark.parametrize("stored", STORED, ids=lambda stored: stored["architecture"]["backbone"])
def test_stored_configuration(stored, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(stored["config"]), encoding="utf-8")
    architecture = Architecture.from_json(json.dumps(stored["architecture"]))
    config = AutoConfig.from_pretrained(tmp_path)
    assert architecture_of(config) == architecture
    fresh = json.loads(config_of(architecture).to_json_string(use_diff=False))
    for name, value in json.loads(config.to_json_string(use_diff=False)).items():
        if name not in (*OURS, "dtype", "_name_or_path"):
            assert fresh[name] == value, name
