"""What is written of a router and read back: sizes, calibration; and what cannot be read, by name."""

import json

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.errors import ConfigError
from jaxdiff.routing.config import RouterConfig
from jaxdiff.routing.head import MECHANISMS, Calibration, Cut, init
from tests.routing.random_router import CONFIG

NUMBERS = st.floats(-50, 50)
CUTS = st.builds(Cut, NUMBERS, NUMBERS, st.floats(0, 1))
CALIBRATIONS = st.builds(
    Calibration,
    st.sampled_from(MECHANISMS),
    st.fixed_dictionaries(dict.fromkeys(MECHANISMS, CUTS)),
    CUTS,
    CUTS,
    NUMBERS,
)
WRITTEN = Calibration().to_dict()


@given(CALIBRATIONS)
def test_a_calibration_is_read_back_from_json(calibration):
    assert Calibration.from_dict(json.loads(json.dumps(calibration.to_dict()))) == calibration


@given(CUTS, st.lists(st.floats(-8, 8), min_size=1, max_size=5))
def test_probabilities_are_the_logistic_function(cut, logits):
    # At values that a float64 of the plain formula holds.
    inner = cut.scale * np.array(logits) + cut.shift
    np.testing.assert_allclose(cut.probability(np.array(logits)), (1 + np.tanh(inner / 2)) / 2, atol=1e-12)


def test_probabilities_of_extreme_logits_are_silent():
    with np.errstate(all="raise"):
        np.testing.assert_array_equal(Cut().probability(np.array([-1e6, 1e6])), [0, 1])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"mechanism": "dice"}, "'dice'"),
        ({"mechanism": None}, "None"),
        ({"tool": {"fit": {}}}, "fit, decision"),
        ({"tool": {"fit": {}, "decision": {}, "dice": {}}}, "dice"),
        ({"tool": {"fit": {"slope": 1.0}, "decision": {}}}, "slope"),
        ({"tool": None}, "NoneType"),
        ({"think": {"threshold": 1.5}}, "threshold=1.5"),
        ({"think": {"threshold": float("nan")}}, "threshold=nan"),
        ({"think": {"scale": float("inf")}}, "scale=inf"),
        ({"think": {"scale": "big"}}, "scale='big'"),
        ({"boundary": {"shift": None}}, "shift=None"),
        ({"boundary": [1, 2]}, "calibration"),
        ({"dice": 6}, "dice"),
        ({"reading_weight": "big"}, "reading_weight='big'"),
        ({"reading_weight": float("nan")}, "reading_weight=nan"),
    ],
)
def test_a_calibration_that_cannot_be_is_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        Calibration.from_dict(WRITTEN | changes)


@pytest.mark.parametrize("key", list(WRITTEN))
def test_a_calibration_that_lacks_something_is_named(key):
    with pytest.raises(ConfigError, match=key):
        Calibration.from_dict({name: value for name, value in WRITTEN.items() if name != key})


def test_a_configuration_is_read_back_from_json():
    config = RouterConfig(token_states=3, end_states=4, hidden_state=5, lexical=2, width=7, dropout=0.0)
    assert RouterConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"width": 0}, "width=0"),
        ({"hidden": -3}, "hidden=-3"),
        ({"dropout": 1.0}, "dropout=1.0"),
        ({"dropout": float("nan")}, "dropout=nan"),
        ({"width": 1.5}, "width=1.5"),
        ({"width": "9"}, "width='9'"),
        ({"dropout": "none"}, "dropout='none'"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_configuration_that_cannot_be_is_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        RouterConfig.from_dict(CONFIG.to_dict() | changes)


def test_a_configuration_that_lacks_something_is_named():
    with pytest.raises(ConfigError, match="end_states"):
        RouterConfig.from_dict({"token_states": 3, "hidden_state": 3})


def test_parameters_are_small_and_of_the_sizes_asked_for():
    params = jax.eval_shape(lambda: init(jax.random.key(0), CONFIG))
    assert set(params) == {"names", "fit", "decision", "talk", "boundaries"}
    assert params["names"]["query_mean"]["kernel"].shape == (CONFIG.token_states, CONFIG.width)
    assert params["names"]["lexical_weights"].shape == (CONFIG.lexical,)
    assert params["decision"]["rows"].shape == (2, CONFIG.hidden_state)
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) < 2000
