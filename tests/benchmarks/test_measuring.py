"""The parts of the benchmarks that do not measure: which rows, which answers count, what is printed and refused."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import conversion, report
from benchmarks.__main__ import NAMES, main
from benchmarks.accuracy import frozen_fill, shares_by_margin, spread, training_rows
from benchmarks.parity import leading_equal
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.errors import InputError, JaxdiffError
from jaxdiff_train.evaluation.evaluate import evaluate
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.train.reader_rows import row

ROOT = Path(__file__).parent.parent.parent


def test_rows_are_spread_evenly():
    rows = [(tool, number) for tool in "abcd" for number in range(5)]
    assert spread(rows, None) == spread(rows, 99) == rows
    assert spread(rows, 4) == [("a", 0), ("b", 0), ("c", 0), ("d", 0)]
    assert [tool for tool, _ in spread(rows, 8)] == list("aabbccdd")
    with pytest.raises(InputError, match="limit=0"):
        spread(rows, 0)


def test_margins_are_chosen_on_training_rows_alone():
    lines = (ROOT / "train" / "packs" / "train.jsonl").read_text().splitlines()
    listed = {json.loads(line)["tool"]["name"] for line in lines}
    used = {tool.name for _, tool in training_rows()}
    assert used <= listed and len(used) > len(listed) / 2


def test_equal_tokens_are_counted_up_to_the_first_difference():
    assert leading_equal([1, 2, 3], [1, 2, 3]) == 3
    assert leading_equal([1, 2, 3, 4], [1, 9, 3, 4]) == 1


def test_the_result_line_is_json_with_machine_versions_and_date(capsys):
    shown = report.table("Title", "figure", "value")
    shown.add_row("pace", "3")
    report.publish("pace", shown, {"pace": report.summary([3.0, 1.0, 2.5])}, ("numpy",))
    *_, last = capsys.readouterr().out.splitlines()
    result = json.loads(last.removeprefix("RESULT "))
    assert result["figures"] == {"pace": {"min": 1.0, "median": 2.5, "runs": 3}}
    assert {"python", "jax", "flax", "numpy"} <= set(result["versions"])
    assert result["machine"]["cores"] >= 1 and result["machine"]["cpu"] and result["date"]


def test_errors_are_one_line(capsys):
    def refuse():
        raise JaxdiffError("cannot be measured")

    assert report.run(refuse) == 2
    assert capsys.readouterr().err == "error: cannot be measured\n"
    assert main(["startup", "speed"]) == 2
    assert capsys.readouterr().err == f"error: no benchmark is called 'speed'; choose from {', '.join(NAMES)}\n"


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_the_memory_of_a_process_is_read_while_it_lives():
    hold = "import sys; held = bytearray(b'x' * 50_000_000); print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "ready\n"
    assert 50e6 < conversion.anonymous_bytes(child.pid) < 150e6
    child.communicate("")
    assert conversion.anonymous_bytes(child.pid) == 0


def test_a_failed_conversion_is_told(tmp_path):
    with pytest.raises(JaxdiffError, match=r"absent\.gguf"):
        conversion.convert_once(tmp_path / "absent.gguf", tmp_path / "out")


@pytest.mark.parametrize("name", ["ar", "parallel"])
def test_the_share_of_a_margin_is_that_of_the_fill_at_it(name):
    base, tool = tiny_base(1), tool_of({"count": {"type": "integer"}, "gift": {"type": "boolean"}}, ())
    definition = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    margins = [-30.0, 0.0, 30.0]
    fills = {margin: frozen_fill(base, name, margin, PrefixReader(base)) for margin in margins}
    query = "Paint 12"
    # The gold call is what the fill says at the largest margin, so that margins differ in what is right.
    found = fills[30.0](0, row(query, {}, tool=definition), tool, None)
    gold = found.merge(tool).arguments
    assert gold
    rows = [(row(query, gold, tool=definition), tool), (row(query, {}, tool=definition), tool)]
    shares = shares_by_margin(base, rows, name, margins)
    assert shares == {margin: evaluate(rows, fills[margin]).share("whole_call") for margin in margins}
    assert shares[30.0] == 50.0
