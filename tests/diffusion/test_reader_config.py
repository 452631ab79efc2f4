import dataclasses
import json
import re

import pytest

from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.errors import ConfigError


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden": 0},
        {"attention": -3},
        {"vocab_size": 0},
        {"canvas_heads": 0},
        {"canvas_layers": -1},
        {"mask_id": -1},
        {"members": 0},
        {"dropout": 1.0},
        {"feature_dropout": -0.1},
    ],
)
def test_errors_name_the_value(changes):
    ((name, value),) = changes.items()
    with pytest.raises(ConfigError, match=re.escape(f"{name}={value}")):
        ReaderConfig.tiny(**changes)


def test_heads_must_divide_the_width():
    with pytest.raises(ConfigError, match=r"hidden=16 .*canvas_heads=3"):
        ReaderConfig.tiny(canvas_heads=3)


def test_plain_values_and_back():
    config = ReaderConfig.tiny(hidden=24, dropout=0.0, canvas_layers=0, mask_id=0)
    values = json.loads(json.dumps(config.to_dict()))
    assert ReaderConfig.from_dict(values) == config
    assert set(values) == {field.name for field in dataclasses.fields(ReaderConfig)}


@pytest.mark.parametrize(("changes", "named"), [({"widht": 3}, "widht"), ({"attention": None}, "attention")])
def test_unknown_and_missing_keys_are_named(changes, named):
    values = ReaderConfig.tiny().to_dict() | changes
    if changes[named] is None:
        del values[named]
    with pytest.raises(ConfigError, match=named):
        ReaderConfig.from_dict(values)


def test_cards_from_before_canvas_attention_are_read():
    values = ReaderConfig.tiny().to_dict()
    assert values.pop("canvas_attention") == "full"
    assert ReaderConfig.from_dict(values) == ReaderConfig.tiny()
    with pytest.raises(ConfigError, match="canvas_attention='causal' is unknown; known: full, block_causal"):
        ReaderConfig.tiny(canvas_attention="causal")


def test_rows_of_its_own():
    assert ReaderConfig.tiny().extra_rows == 2
    assert ReaderConfig.tiny(canvas_vocab_size=50, mask_id=3, null_id=4).extra_rows == 0
