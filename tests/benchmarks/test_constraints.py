"""What the benchmark of constraints measures, at a size at which its figures mean nothing."""

import argparse
import string

from benchmarks.constraints import LANGUAGES, denoising, enlarged, preparation

OPTIONS = argparse.Namespace(hidden=8, slots=4, length=24, steps=2, repeats=2)
KNOWN = [*string.printable[:95], "example", " 20", "2024"]


def test_a_vocabulary_is_cut_or_filled_up():
    assert enlarged(KNOWN, 50).size == 50
    vocabulary = enlarged(KNOWN, 300)
    assert vocabulary.size == 300
    assert vocabulary.lengths.max() > len("example")


def test_tables_are_prepared_for_every_language():
    options = argparse.Namespace(**{**vars(OPTIONS), "length": 48})
    for make in LANGUAGES.values():
        found = preparation(make, enlarged(KNOWN, 300), options)
        assert found["milliseconds"]["runs"] == 2
        assert found["states"] > 1 and found["classes"] > 1


def test_both_sides_are_measured_and_compared():
    found = denoising(enlarged(KNOWN, 300), OPTIONS)
    assert found["constrained"]["runs"] == found["unconstrained"]["runs"] == 2
    assert found["ratio"] > 0
