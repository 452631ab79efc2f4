"""Random schemas are filled by what the denoising loop writes, and what it must not write would be found."""

from random import Random
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import device_texts
from benchmarks.device_texts import TOKENIZER, VOCABULARY, Adversary, DeviceTexts
from benchmarks.random_schemas import RandomDecider
from benchmarks.schema_fills import BUDGET, Fills, divides_in_decimals_alone
from jaxdiff.schema.scaffold.merge import plan
from jaxdiff.schema.scaffold.prepare import prepare

# Without slots so long that they take programs of their own.
SCHEMAS = range(66, 87)


def filled(device):
    fills = Fills(device)
    for seed in SCHEMAS:
        fills.fill(seed)
    fills.finish()
    return fills


def test_values_are_valid_whatever_logits_the_device_is_given():
    device = DeviceTexts(0)
    fills = filled(device)
    assert not fills.wrong and not device.wrong
    assert fills.counts["valid"] == fills.counts["fills"] >= 80
    assert device.counts["slots held to a language"] >= 48 and device.counts["slots without a language"] >= 48
    assert all(device.counts[f"slots, {kind}"] for kind in Adversary.KINDS)


def test_a_text_that_is_not_of_its_language_is_found(monkeypatch):
    def careless(config, logits, tokens, key, constraint):
        return SimpleNamespace(tokens=np.full_like(tokens, TOKENIZER.token_to_id("!")), accepted=np.array([True]))

    monkeypatch.setattr(device_texts, "_denoise", careless)
    device = DeviceTexts(0)
    fills = filled(device)
    assert device.wrong and fills.wrong
    assert all("is not of the language" in line for line in device.wrong)
    assert all("cannot hold '!" in line for line in fills.wrong)
    # Merging repairs what the device should have kept to.
    assert fills.counts["valid"] == fills.counts["fills"]


def test_every_byte_can_be_written_and_no_special_token():
    assert sorted(VOCABULARY.written[0, VOCABULARY.lengths == 1].tolist()) == list(range(256))
    assert VOCABULARY.size - len(VOCABULARY.ids) == len(device_texts.SPECIAL)


@pytest.mark.parametrize(("text", "alone"), [("0.3", True), ("0.2", False), ("0.25", False), ("x", False)])
def test_only_multiples_that_floating_point_refuses_are_excused(text, alone):
    (slot,) = plan(prepare({"type": "number", "multipleOf": 0.1}), RandomDecider(Random(0), "constant"), BUDGET).slots
    assert divides_in_decimals_alone(slot, text) is alone
