"""`jaxdiff call` on a tiny converted base: answers, and one clear line for whatever cannot be done."""

import json
import shutil
import subprocess
import sys

import pytest

from jaxdiff.agent.reading import reader_config
from jaxdiff.base.store import read_base
from jaxdiff.cli import main
from jaxdiff.diffusion.head_files import save_head
from jaxdiff_convert.convert import convert
from tests.agent.tiny import few_buckets
from tests.convert.checkpoints import hf_tensors, smollm3_config, write_hf_folder
from tests.diffusion.reader_rows import random_params

QUERY = "Paint the door red wine, naïve 🍷"
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "paint",
            "description": "Paints.",
            "parameters": {
                "type": "object",
                "properties": {
                    "what": {"type": "string"},
                    "colour": {"enum": ["red", "[red] wine"]},
                    "day": {"type": "string", "format": "date"},
                },
                "required": ["what", "colour"],
            },
        },
    }
]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A random SmolLM3 that can read long enough; not to be changed."""
    folder = tmp_path_factory.mktemp("base")
    tensors = {name: weight * 0.3 for name, weight in hf_tensors().items()}
    source = write_hf_folder(folder / "checkpoint", smollm3_config(max_position_embeddings=4096), tensors)
    return convert(source, folder / "tiny", name="tiny")


def write_head(folder, base, **card):
    loaded = read_base(base)
    config = reader_config(loaded.config, hidden=16, canvas_heads=2, canvas_layers=1)
    card = {"base_name": "tiny", "base_fingerprint": loaded.fingerprint, "data": [], "validation": {}} | card
    save_head(folder, "reader", config.to_dict(), random_params(config), card)
    return folder


@pytest.fixture(scope="module")
def head(base, tmp_path_factory):
    return write_head(tmp_path_factory.mktemp("head") / "head", base)


@pytest.fixture(scope="module")
def tools(tmp_path_factory):
    path = tmp_path_factory.mktemp("tools") / "tools.json"
    path.write_text(json.dumps(TOOLS))
    return path


@pytest.fixture(autouse=True)
def here(monkeypatch, tmp_path):
    """No test touches the user's cache, or changes where this process keeps its compiled programs."""
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr("jaxdiff.runtime.compilation.keep_compiled_programs", lambda: None)
    with few_buckets():
        monkeypatch.setattr("jaxdiff.agent.prefix.PROMPT_TOKENS", (1280,))
        yield


def refused(capsys, *words):
    """The line that says why a command line was refused."""
    try:
        status = main([*map(str, words)])
    except SystemExit as stopped:
        status = stopped.code
    out, err = capsys.readouterr()
    assert (status, out) == (2, "")
    assert err.count("\n") == 1 and err.endswith("\n") and "Traceback" not in err
    assert err.startswith("error: ")
    return err


def call(query, base, tools, *more):
    return ("call", query, "--base", base, "--tools", tools, *more)


def test_json_is_one_object_and_nothing_else(capsys, base, head, tools):
    assert main([*map(str, call(QUERY, base, tools, "--head", head, "--json"))]) == 0
    out, err = capsys.readouterr()
    assert err == "" and out.count("\n") == 1
    said = json.loads(out)
    assert list(said) == ["mode", "text", "calls", "timing_ms", "thinking", "modes"]
    assert said["calls"][0]["name"] == "paint"
    assert {"what", "colour"} <= set(said["calls"][0]["arguments"])


def test_a_table_for_people(capsys, base, head, tools):
    assert main([*map(str, call(QUERY, base, tools, "--head", head, "--steps", 2, "--trace"))]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    (line,) = (line for line in out.splitlines() if line.startswith("{"))
    said = json.loads(line)
    assert said["name"] == "paint"
    for name, value in said["arguments"].items():
        (row,) = (row for row in out.splitlines() if row.startswith(f"│ {name} "))
        assert json.dumps(value, ensure_ascii=False)[:10] in row
    assert "confidence" in out and "total" in out and " ms" in out
    assert "step 1" in out or "no denoising step" in out


def test_trace_beside_json_goes_to_stderr(capsys, base, head, tools):
    assert main([*map(str, call(QUERY, base, tools, "--head", head, "--json", "--trace"))]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["mode"] == "tool" and ("step 1" in err or "no denoising step" in err)


def test_unknown_tool_file(capsys, base, tmp_path):
    assert str(tmp_path / "none.json") in refused(capsys, *call(QUERY, base, tmp_path / "none.json"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('[\n  {"name": "a",}\n]', "line 2, column "),
        ("[", "line 1, column 2"),
        ("", "line 1, column 1"),
        ("{}", "must be a JSON list"),
        ("[]", "empty list"),
        ('[{"name": "a", "parameters": []}]', "must be a JSON Schema object"),
        ('[{"name": "a", "parameters": {"type": "string"}}]', "/type"),
        ('[{"name": "a", "parameters": {"properties": {"x/y": {"$ref": "b.json"}}}}]', "'$ref'"),
        ('[{"name": "a", "parameters": {"properties": {"x/y": {"$ref": "b.json"}}}}]', "/properties/x~1y/$ref"),
        ('[{"name": "a", "parameters": {"properties": {"x": {"type": "string", "pattern": "(a)\\\\1"}}}}]',
         "/properties/x"),
        ('[{"name": "a\\nb", "parameters": {"properties": {"x": {"$ref": "b.json"}}}}]', "/properties/x/$ref"),
    ],
)  # fmt: skip
def test_tool_files_that_cannot_be_used(capsys, tmp_path, base, text, named):
    (tmp_path / "tools.json").write_text(text)
    assert named in refused(capsys, *call(QUERY, base, tmp_path / "tools.json"))


@pytest.mark.parametrize(("query", "named"), [("", "empty"), (" \n", "empty"), ("cafe\udce9", "character 4")])
def test_queries_that_cannot_be_read(capsys, base, head, tools, query, named):
    assert named in refused(capsys, *call(query, base, tools, "--head", head))


def test_a_query_longer_than_the_largest_bucket(capsys, base, head, tools):
    assert "largest supported, 192" in refused(capsys, *call("long " * 300, base, tools, "--head", head))


def test_a_query_longer_than_the_base_can_read(capsys, base, head, tools):
    assert "reads at most 4096" in refused(capsys, *call("long " * 3000, base, tools, "--head", head))


def largest_file(folder):
    return max((path for path in folder.rglob("*") if path.is_file()), key=lambda path: path.stat().st_size)


@pytest.mark.parametrize("damage", ["cut off", "only zeros", "without parameters", "card"])
def test_a_damaged_base(capsys, base, tools, tmp_path, damage):
    broken = shutil.copytree(base, tmp_path / "broken")
    weights = largest_file(broken / "params")
    if damage == "cut off":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "only zeros":
        weights.write_bytes(b"\x00" * weights.stat().st_size)
    elif damage == "without parameters":
        shutil.rmtree(broken / "params")
    else:
        (broken / "base.json").write_text('{"format": 1')
    assert str(broken) in refused(capsys, *call(QUERY, broken, tools))


def test_a_base_that_is_not_there(capsys, tools, tmp_path):
    assert "nowhere" in refused(capsys, *call(QUERY, "nowhere", tools))


def test_a_head_of_another_base(capsys, base, tools, tmp_path):
    other = write_head(tmp_path / "other", base, base_fingerprint="0123", base_name="elsewhere")
    line = refused(capsys, *call(QUERY, base, tools, "--head", other))
    assert "elsewhere" in line and "0123" in line


def test_a_head_that_is_not_there_or_damaged(capsys, base, head, tools, tmp_path):
    assert "no head in" in refused(capsys, *call(QUERY, base, tools, "--head", tmp_path / "none"))
    broken = shutil.copytree(head, tmp_path / "broken")
    (broken / "head.safetensors").write_bytes(b"1234")
    assert "damaged head weights" in refused(capsys, *call(QUERY, base, tools, "--head", broken))


def test_diffusion_asked_for_without_a_head(capsys, base, tools):
    assert "no head is known for base 'tiny'" in refused(capsys, *call(QUERY, base, tools, "--fill", "diffusion"))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--fill", "magic"), "'magic'"),
        (("--steps", "0"), "steps=0"),
        (("--steps", "two"), "'two'"),
        (("--temperature", "-1"), "temperature=-1.0"),
        (("--seed", "-1"), "seed=-1"),
        (("--dtype", "int8"), "'int8'"),
        (("--nonsense",), "--nonsense"),
    ],
)
def test_options_that_cannot_be_used(capsys, base, tools, words, named):
    assert named in refused(capsys, *call(QUERY, base, tools, *words))


@pytest.mark.parametrize("words", [(), ("answer",), ("call",)])
def test_commands_that_are_incomplete(capsys, words):
    refused(capsys, *words)


def test_a_required_value_that_cannot_be_made_valid(capsys, base, head, tmp_path):
    def said(schema):
        parameters = {"type": "object", "properties": {"count": schema}, "required": ["count"]}
        (tmp_path / "tools.json").write_text(json.dumps([{"name": "count", "parameters": parameters}]))
        return refused(capsys, *call(QUERY, base, tmp_path / "tools.json", "--head", head))

    assert "no value satisfies" in said({"type": "integer", "minimum": 5, "maximum": 4})
    listed = {"type": "array", "items": {"type": "integer"}, "minItems": 40, "uniqueItems": True}
    assert "cannot fill 'count'" in said(listed)


def test_the_program_answers_by_parallel_where_no_head_fits(base, tmp_path, monkeypatch):
    """A process of its own: what libraries log must not reach stdout, and stderr holds the one warning."""
    properties = {"colour": {"enum": ["red", "blue"]}}
    parameters = {"type": "object", "properties": properties, "required": ["colour"]}
    (tmp_path / "tools.json").write_text(json.dumps([{"name": "paint", "parameters": parameters}]))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    words = call(QUERY, base, tmp_path / "tools.json", "--json")
    done = subprocess.run(
        [sys.executable, "-m", "jaxdiff.cli", *map(str, words)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("\n") == 1 and "no trained head" in done.stderr
    (found,) = json.loads(done.stdout)["calls"][0]["fields"].values()
    assert found["by"] == "parallel" and done.stdout.count("\n") == 1
    assert (tmp_path / "cache" / "compiled").is_dir()


def test_without_tools_the_answer_is_text(capsys, base, head):
    assert main(["call", QUERY, "--base", str(base), "--head", str(head), "--json", "--max-new-tokens", "2"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["mode"] == "chat" and isinstance(said["text"], str) and said["calls"] == []


def test_a_choice_that_is_not_known(capsys, base, head, tools):
    assert "tool_choice names 'bogus'" in refused(
        capsys, *call(QUERY, base, tools, "--head", head, "--tool-choice", "bogus")
    )
    assert "contradict" in refused(
        capsys, *call(QUERY, base, tools, "--head", head, "--mode", "chat", "--tool-choice", "required")
    )
