"""What a step reads of tokens is what was stored of the same rows, and what answering reads."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from jaxdiff_train.reading.batches import Batches
from jaxdiff_train.reading.features import extract
from jaxdiff_train.reading.online import TokenBatches, TokenRows, read_online
from tests.train.reader_rows import LONG, ROWS

COUNT = 4
ROOT = Path(__file__).parents[3]
# After so many seconds of waiting devices are waiting for each other.
ENVIRONMENT = os.environ | {
    "XLA_FLAGS": "--xla_cpu_collective_call_terminate_timeout_seconds=60 --xla_cpu_collective_timeout_seconds=60"
}


@pytest.fixture(scope="module")
def tokens(tiny):
    return TokenBatches(tiny, [TokenRows(tiny, ROWS, "rows")], [1.0], COUNT, seed=0)


@pytest.fixture(scope="module")
def read(tiny):
    return jax.jit(read_online(tiny.module))


def test_features_are_the_stored_ones_of_the_same_rows(tiny, tokens, read, tmp_path):
    stored = Batches(tiny, [extract(tiny, ROWS, tmp_path, "rows")], [1.0], 16, seed=0)
    known = {}
    for step in range(4):
        batch = stored.batch(step)
        for row in range(16):
            query = batch.features.query
            mask = query.token_mask[row]
            key = tuple(query.token_ids[row][mask].tolist())
            known[key] = jax.tree.map(lambda x, row=row: x[row], (query, batch.labels))
    batch = jax.device_get(read(tiny.params, tokens.batch(0)))
    assert batch.features.query.token_mask.any(-1).all()
    for row in range(COUNT):
        query = jax.tree.map(lambda x, row=row: x[row], batch.features.query)
        wanted, labels = known[tuple(query.token_ids[query.token_mask].tolist())]
        fields, length = int(query.field_mask.sum()), int(query.token_mask.sum())
        assert fields == int(wanted.field_mask.sum())
        for name in ("key_attention", "name_attention", "definition_attention", "token_logprob"):
            found, expected = (np.asarray(getattr(q, name), np.float32)[:fields, :length] for q in (query, wanted))
            np.testing.assert_allclose(found, expected, atol=0.02, err_msg=name)
        for name in ("key_states", "key_logprob", "field_facts", "candidate_attention", "candidate_facts"):
            found, expected = (np.asarray(getattr(q, name), np.float32)[:fields] for q in (query, wanted))
            if name.startswith("candidate"):
                mask = query.candidate_mask[:fields]
                assert (mask == wanted.candidate_mask[:fields]).all()
                found, expected = found[mask], expected[mask]
            np.testing.assert_allclose(found, expected, atol=0.02, rtol=0.01, err_msg=name)
        for name in ("start", "end", "presence", "candidate", "copied"):
            np.testing.assert_array_equal(getattr(batch.labels, name)[row][:fields], getattr(labels, name)[:fields])


def test_rows_of_a_batch_are_the_same_in_parts(tokens):
    whole = tokens.batch(3)
    parts = [tokens.batch(3, slice(0, 1)), tokens.batch(3, slice(1, COUNT))]
    joined = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    jax.tree.map(np.testing.assert_array_equal, joined, whole)


def test_rows_that_no_size_holds_are_left_out(tiny):
    assert len(TokenRows(tiny, [*ROWS, LONG], "rows")) == len(ROWS)


def test_a_reader_trains_on_a_mesh_as_on_one_device(tmp_path):
    """XLA's CPU client does not keep the order of a program's collectives: on a mesh of two axes fake devices now and
    then wait in different ones for each other, until XLA ends the process (SIGABRT). Such a run says nothing."""
    for attempt in range(5):
        command = [sys.executable, "-m", "tests.train.reading.mesh_run", str(tmp_path / str(attempt))]
        ended = subprocess.run(command, env=ENVIRONMENT, cwd=ROOT, capture_output=True, text=True, check=False)
        if ended.returncode != -signal.SIGABRT:
            break
    assert ended.returncode == 0, ended.stderr[-2000:]
    alone, meshed = json.loads(ended.stdout.splitlines()[-1])
    assert len(alone) == len(meshed) == 4
    np.testing.assert_allclose(meshed, alone, atol=0.02)
