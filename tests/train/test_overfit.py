"""A reader learns 64 rows by heart: whole calls, by the path that answers queries, on the default base."""

import jax
import jax.numpy as jnp
import pytest

from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.data.packs import TRAIN_PACKS, expand_packs
from jaxdiff_train.data.rows import supported
from jaxdiff_train.evaluation.evaluate import evaluate
from jaxdiff_train.evaluation.validate import stored_fill
from jaxdiff_train.heads.reader import train_reader
from jaxdiff_train.heads.training import BatchSource, Show
from jaxdiff_train.reading.batches import Batches
from jaxdiff_train.reading.features import extract
from jaxdiff_train.reading.stored import attach_embedding, frozen_part
from jaxdiff_train.settings import TrainSettings


@pytest.mark.slow
def test_64_rows_are_learnt_by_heart(default_base, tmp_path):
    rows = [row for row in expand_packs(TRAIN_PACKS, 4, 0) if supported(row.tool)][:64]
    store = extract(default_base, rows, tmp_path, "validation")
    settings = TrainSettings(
        tmp_path / "run", steps=400, batch_size=32, learning_rate=3e-3, weight_decay=0.0, ema_decay=0.98,
        head_config="dropout=0.0,feature_dropout=0.0",
    )  # fmt: skip
    batches = Batches(default_base, [store], [1.0], settings.batch_size, settings.seed)
    source = BatchSource(default_base.fingerprint, frozen_part(default_base), attach_embedding, batches)
    trained = train_reader(settings, default_base.config, source, Show(print))
    head = ReaderHead(default_base, trained.config, jax.tree.map(jnp.asarray, trained.params))
    asked = [(row, parse_tools([row.tool])[0]) for row in rows]
    report = evaluate(asked, stored_fill(head, asked, tmp_path))
    assert report.all["whole_call"] == 64
    assert report.share("whole_call") >= 99, [(row.query, row.arguments, call) for row, call in report.wrong]
