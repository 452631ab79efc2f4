"""The benchmarks' random checkpoint is a whole one: read by `transformers`' classes and converted."""

from transformers import AutoConfig, PreTrainedTokenizerFast

from benchmarks import conversion_fixture
from jaxdiff.base.card import read_card
from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff_convert.convert import convert


def test_random_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion_fixture, "SHARD_BYTES", 100_000)
    config = BaseConfig(
        vocab_size=640, hidden_size=32, intermediate_size=48, num_layers=4, num_heads=4, num_kv_heads=2, head_dim=8,
        rope_layers=(True, True, True, False), rope=RopeConfig(theta=5e6), eos_token_ids=(396,),
        mask_token_id=384, null_token_id=385,
    )  # fmt: skip
    folder = conversion_fixture.write_checkpoint(tmp_path / "source", config)
    assert (folder / "model-00002-of-00002.safetensors").is_file()
    assert AutoConfig.from_pretrained(folder).model_type == "smollm3"
    assert len(PreTrainedTokenizerFast.from_pretrained(folder)) == 640
    card = read_card(convert(folder, tmp_path / "out"))
    assert (BaseConfig.from_dict(card["config"]), card["dtype"]) == (config, "bfloat16")
