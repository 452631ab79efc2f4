"""Tools from typed functions and pydantic models, beside `transformers`' own reading of the same functions."""

import datetime
import enum
import functools
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, Field, ValidationError
from transformers.utils import get_json_schema

from jaxdiff.agent.python_tools import collect_tools, python_tool, tool
from jaxdiff.errors import InputError
from jaxdiff.schema.merge import merge


class Seating(enum.Enum):
    """Where guests sit."""

    INSIDE = "inside"
    TERRACE = "terrace"


class Stars(enum.IntEnum):
    ONE = 1
    TWO = 2


class Guest(BaseModel):
    name: str


def book_table(
    restaurant: str,
    people: int,
    price: float,
    outside: bool,
    wishes: list[str],
    seating: Literal["inside", "terrace"] = "inside",
    stars: Stars = Stars.ONE,
    note: str | None = None,
):
    """
    Book a table at a restaurant.

    Args:
        restaurant: name of the restaurant
        people: number of guests
        price: what each guest pays
            at most
        outside: whether to sit outside
        wishes: what else is wished for
        seating: where to sit
        stars: how good it is
        note: left for the cook
    """
    return restaurant, people


def ring(bell: str, times: int = 1):
    """Ring a bell.

    Args:
        bell: which one
        times: how often
    """


def ping():
    """Ping."""


def parameters_of(function) -> dict[str, Any]:
    return python_tool(function).parameters


def property_of(annotation: Any, default: Any = ...) -> dict[str, Any]:
    """What becomes of one parameter of a type."""

    def function(value): ...

    function.__annotations__ = {"value": annotation}
    if default is not ...:
        function.__defaults__ = (default,)
    parameters = parameters_of(function)
    assert parameters.get("required", []) == (["value"] if default is ... else [])
    return parameters["properties"]["value"]


def as_transformers_says(entry: dict[str, Any]) -> dict[str, Any]:
    """Without what only one side writes: `nullable` beside Optional, defaults."""
    return {key: value for key, value in entry.items() if key not in ("nullable", "default")}


@pytest.mark.parametrize("function", [book_table, ring, ping])
def test_same_definition_as_transformers(function):
    theirs = get_json_schema(function)["function"]
    ours = python_tool(function)
    assert ours.name == theirs["name"]
    assert ours.description == theirs["description"]
    assert list(ours.parameters["properties"]) == list(theirs["parameters"]["properties"])
    assert ours.parameters.get("required", []) == theirs["parameters"].get("required", [])
    for name, entry in theirs["parameters"]["properties"].items():
        assert as_transformers_says(ours.parameters["properties"][name]) == as_transformers_says(entry)


def test_defaults_are_kept():
    assert parameters_of(ring)["properties"]["times"]["default"] == 1
    assert parameters_of(book_table)["properties"]["stars"]["default"] == 1


GOOGLE = """Rings.

    Loudly and
    for long.

    Args:
        bell (str): which
            bell
        times (int, optional): how often

    Returns:
        nothing
    """
NUMPY = """Rings.

    Loudly and
    for long.

    Parameters
    ----------
    bell : str
        which
        bell
    times : int, optional
        how often

    Returns
    -------
    None
        nothing
    """
SPHINX = """Rings.

    Loudly and
    for long.

    :param bell: which
        bell
    :param int times: how often
    :returns: nothing
    """


@pytest.mark.parametrize("docstring", [GOOGLE, NUMPY, SPHINX])
def test_docstring_styles(docstring):
    def function(bell: str, times: int = 1): ...

    function.__doc__ = docstring
    found = python_tool(function)
    assert found.description == "Rings.\n\nLoudly and for long."
    described = {name: entry["description"] for name, entry in found.parameters["properties"].items()}
    assert described == {"bell": "which bell", "times": "how often"}


def test_one_numpy_entry_for_two_parameters():
    def function(a: int, b: int):
        """Adds.

        Parameters
        ----------
        a, b : int
            a summand
        """

    assert {entry["description"] for entry in parameters_of(function)["properties"].values()} == {"a summand"}


def test_a_described_type_comes_before_the_docstring():
    def function(a: Annotated[int, Field(description="by type", ge=1)], b: int = Field(3, description="by default")):
        """Adds.

        Args:
            a: by docstring
            b: by docstring
        """

    assert parameters_of(function)["properties"] == {
        "a": {"type": "integer", "description": "by type", "minimum": 1},
        "b": {"type": "integer", "description": "by default", "default": 3},
    }


@pytest.mark.parametrize("docstring", [None, "", "  \n "])
def test_a_docstring_may_be_missing(docstring):
    def function(a: int): ...

    function.__doc__ = docstring
    found = python_tool(function)
    assert found.description == "" and "description" not in found.parameters["properties"]["a"]


@pytest.mark.parametrize(
    ("annotation", "default", "expected"),
    [
        (Optional[int], None, {"type": "integer"}),  # noqa: UP045
        (list[int] | None, None, {"type": "array", "items": {"type": "integer"}}),
        (Seating, ..., {"type": "string", "enum": ["inside", "terrace"], "description": "Where guests sit."}),
        (Seating | None, None, {"type": "string", "enum": ["inside", "terrace"], "description": "Where guests sit."}),
        (Stars, Stars.TWO, {"type": "integer", "enum": [1, 2], "default": 2}),
        (list[Stars], ..., {"type": "array", "items": {"type": "integer", "enum": [1, 2]}}),
        (Literal["a"], "a", {"type": "string", "const": "a", "default": "a"}),
        (datetime.date, datetime.date(2024, 5, 3), {"type": "string", "format": "date", "default": "2024-05-03"}),
        (set[str], ..., {"type": "array", "items": {"type": "string"}, "uniqueItems": True}),
        (Decimal, Decimal("1.5"), {"type": "number", "default": 1.5}),
        (Annotated[Decimal, Field(gt=0)], ..., {"type": "number", "exclusiveMinimum": 0.0}),
        (Annotated[int, Field(title="Number of guests")], ..., {"type": "integer", "title": "Number of guests"}),
        # A default that is no JSON value is applied by the function alone.
        (float, float("inf"), {"type": "number"}),
        (str, object(), {"type": "string"}),
        # Where null says something else than leaving out, it stays.
        (int | None, ..., {"anyOf": [{"type": "integer"}, {"type": "null"}]}),
        (int | None, 3, {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": 3}),
        (int | str | None, None, {"anyOf": [{"type": "integer"}, {"type": "string"}]}),
    ],
)
def test_types(annotation, default, expected):
    assert property_of(annotation, default) == expected


def test_names_that_pydantic_models_could_not_have():
    def function(model_config: int, json: str, _hidden: int, title: str, copy: bool = False): ...

    found = python_tool(function)
    assert list(found.parameters["properties"]) == ["model_config", "json", "_hidden", "title", "copy"]
    assert "title" not in found.parameters
    made = {"model_config": 1, "json": "j", "_hidden": 2, "title": "t"}
    assert found.adapter.validate_json(json.dumps(made)) == {**made, "copy": False}


class Booking(BaseModel):
    """Book a table.

    Attributes:
        restaurant: name of it
        day: overridden below
    """

    restaurant: str
    day: datetime.date = Field(description="day of the booking", alias="when")
    seating: Seating | None = None


def test_a_model_class_is_a_tool():
    found = python_tool(Booking)
    assert (found.name, found.description) == ("Booking", "Book a table.")
    assert found.parameters == {
        "type": "object",
        "properties": {
            "restaurant": {"type": "string", "description": "name of it"},
            "when": {"type": "string", "format": "date", "description": "day of the booking"},
            "seating": {"type": "string", "enum": ["inside", "terrace"], "description": "Where guests sit."},
        },
        "required": ["restaurant", "when"],
    }
    made = found.bind({"restaurant": "Nonna", "when": "2024-05-03", "seating": "terrace"})()
    assert made == Booking(restaurant="Nonna", when=datetime.date(2024, 5, 3), seating=Seating.TERRACE)


class MarkedParent(BaseModel):
    x: int


tool(name="parent")(MarkedParent)


class Child(MarkedParent):
    pass


def test_a_model_does_not_inherit_its_parents_name():
    assert [python_tool(model).name for model in (MarkedParent, Child)] == ["parent", "Child"]


def test_the_decorator_leaves_the_function_as_it_was():
    def double(x: int) -> int:
        """Doubles."""
        return 2 * x

    assert tool(double) is double and double(4) == 8
    assert tool(name="twice", description="Times two.")(double) is double and double(4) == 8
    found = python_tool(double)
    assert (found.name, found.description) == ("twice", "Times two.")


def test_methods_and_wrapped_functions():
    class Shop:
        def __init__(self, name: str):
            self.name = name

        @tool(name="order_in_shop")
        def order(self, item: str) -> str:
            """Orders an item."""
            return f"{item} from {self.name}"

    @tool
    @functools.cache
    def cached(day: datetime.date) -> int:
        """Cached."""
        return day.year

    _, functions = collect_tools([Shop("Corner").order, cached])
    assert list(functions["order_in_shop"].parameters["properties"]) == ["item"]
    assert functions["order_in_shop"].bind({"item": "tea"})() == "tea from Corner"
    assert functions["cached"].bind({"day": "2024-05-03"})() == 2024


def untyped(a: int, b): ...
def spread(a: int, *rest: int): ...
def keywords(a: int, **more: int): ...
def positional(a: int, /, b: int): ...


@pytest.mark.parametrize(
    ("function", "named"),
    [
        (untyped, ["'untyped'", "'b'", "type annotation"]),
        (spread, ["'spread'", "'*rest'"]),
        (keywords, ["'keywords'", "'**more'"]),
        (positional, ["'positional'", "'a'", "positional-only"]),
        (lambda x: x, ["'<lambda>'", "'x'"]),
    ],
)
def test_signatures_that_are_refused(function, named):
    for attempt in (tool, python_tool, lambda function: collect_tools([function])):
        with pytest.raises(InputError) as caught:
            attempt(function)
        assert all(word in str(caught.value) for word in named), str(caught.value)
        assert "\n" not in str(caught.value)


class NotAModel:
    pass


def test_types_that_are_refused():
    def stranger(a: int, b: NotAModel): ...

    with pytest.raises(InputError, match=r"'stranger': parameter 'b' .*NotAModel") as caught:
        python_tool(stranger)
    assert "\n" not in str(caught.value)

    def forward(a: "Nowhere"): ...  # noqa: F821

    with pytest.raises(InputError, match=r"'forward'.*'Nowhere' is not defined"):
        python_tool(forward)


@pytest.mark.parametrize("entry", [NotAModel, functools.partial(ring, times=2), max])
def test_callables_that_are_no_tools(entry):
    with pytest.raises(InputError, match=r"^tool "):
        collect_tools([entry])


GUEST_FIELDS = ["value.name"]


@pytest.mark.parametrize(
    ("annotation", "names"),
    [
        (Guest, GUEST_FIELDS),
        (list[Guest], [name.replace("value", "value[0]") for name in GUEST_FIELDS]),
        (int | str, ["value"]),
        (int | None, ["value"]),
        (tuple[int, int], ["value[0]", "value[1]"]),
        (dict[str, int], ["value[0].key", "value[0].value"]),
    ],
)
def test_whatever_is_annotated_comes_down_to_fields(annotation, names):
    def function(value): ...

    function.__annotations__ = {"value": annotation}
    ((tool,), _) = collect_tools([function])
    assert [field.name for field in tool.fields][: len(names)] == names


DEFINITION = {"name": "convert", "parameters": {"type": "object", "properties": {"amount": {"type": "number"}}}}


def test_mixed_lists():
    tools, functions = collect_tools([{"type": "function", "function": DEFINITION}, ring, Booking])
    assert [found.name for found in tools] == ["convert", "ring", "Booking"]
    assert list(functions) == ["ring", "Booking"]
    again, functions_again = collect_tools([*tools[:1], *functions.values()])
    assert (again, functions_again) == (tools, functions)


@pytest.mark.parametrize("single", [ring, DEFINITION, Booking, python_tool(ring), collect_tools(ring)[0][0]])
def test_a_single_tool(single):
    assert collect_tools(single)[0] == collect_tools([single])[0]


@pytest.mark.parametrize(
    ("tools", "message"),
    [
        ([ring, {"name": "ring"}], r"tools\[1\] and tools\[0\] have the same name 'ring'"),
        ([ring, ring], r"tools\[1\] and tools\[0\] have the same name 'ring'"),
        ([], "empty list"),
        (7, "not int"),
        ([ring, "ring"], r"tools\[1\] must be an object, not str"),
        (tool(name=" ")(lambda: None), r"tools\[0\] has no name"),
    ],
)
def test_lists_that_are_refused(tools, message):
    with pytest.raises(InputError, match=message):
        collect_tools(tools)


def test_a_json_file(tmp_path):
    path = tmp_path / "tools.json"
    path.write_text(json.dumps([DEFINITION]))
    for given_path in (path, str(path)):
        tools, functions = collect_tools(given_path)
        assert [found.name for found in tools] == ["convert"] and functions == {}


@pytest.fixture
def import_state(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", sys.modules.copy())


PYTHON_FILE = """
from __future__ import annotations
from dataclasses import dataclass
from pydantic import BaseModel
from jaxdiff.agent.python_tools import tool
from beside import FACTOR

@dataclass
class Unmarked:
    x: int

def helper(x): return x

@tool
def triple(x: int) -> int:
    "Triples."
    return FACTOR * x

@tool(name="second")
class Second(BaseModel):
    x: int

also = triple
"""


@pytest.mark.usefixtures("import_state")
def test_a_python_file(tmp_path):
    (tmp_path / "beside.py").write_text("FACTOR = 3")
    path = tmp_path / "my_tools.py"
    path.write_text(PYTHON_FILE)
    tools, functions = collect_tools(path)
    assert [found.name for found in tools] == list(functions) == ["triple", "second"]
    assert functions["triple"].bind({"x": 5})() == 15


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (None, "cannot read tool file .*No such file"),
        ("def f(x: int): ...", "marks no function"),
        ("\n\nnonsense", r"fails in line 3: NameError: name 'nonsense' is not defined"),
        ("def f(:\n", "fails: SyntaxError: .*line 1"),
        ("from jaxdiff.agent.python_tools import tool\n@tool\ndef f(x): ...", "fails in line 2: .*'f': parameter 'x'"),
        ("import nowhere_at_all", "fails in line 1: ModuleNotFoundError"),
    ],
)
@pytest.mark.usefixtures("import_state")
def test_python_files_that_are_refused(tmp_path, source, message):
    path = tmp_path / "tools.py"
    if source is not None:
        path.write_text(source)
    with pytest.raises(InputError, match=message) as caught:
        collect_tools(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def typed(
    word: str,
    count: int,
    share: float,
    flag: bool,
    seating: Seating,
    stars: Stars = Stars.ONE,
    days: list[datetime.date] = [],  # noqa: B006 - never changed
    size: Literal[1, 2] | None = None,
):
    return locals()


SOMETIMES = st.none() | st.sampled_from([1, 2])


@given(
    word=st.text(st.characters(codec="utf-8")), count=st.integers(-(2**60), 2**60),
    share=st.floats(allow_nan=False, allow_infinity=False), flag=st.booleans(), seating=st.sampled_from(Seating),
    stars=st.sampled_from(Stars), days=st.lists(st.dates(), max_size=3), size=SOMETIMES,
)  # fmt: skip
def test_arguments_that_the_schema_allows_arrive_in_the_functions_types(**values):
    """JSON of typed values is valid for the schema, and the call sees the typed values again."""
    found = python_tool(typed)
    arguments = json.loads(json.dumps(values, default=_plain))
    if arguments["size"] is None:
        del arguments["size"]
    Draft202012Validator(found.parameters).validate(arguments)
    assert found.bind(arguments)() == values


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value.isoformat()


def test_merged_values_arrive_in_the_functions_types():
    (parsed,), functions = collect_tools(typed)
    read = {"word": "tea", "count": "two dozen", "share": "0.5", "flag": "true", "seating": "terrace", "size": "2"}
    merged = merge(parsed, read)
    made = functions["typed"].bind(merged.arguments)()
    expected = {"word": "tea", "count": 24, "share": 0.5, "flag": True, "seating": Seating.TERRACE, "size": 2}
    assert made == expected | {"stars": Stars.ONE, "days": []}


def test_arguments_that_do_not_fit_are_refused_by_place():
    with pytest.raises(ValidationError) as caught:
        python_tool(ring).bind({"times": "often", "colour": 1})
    assert {problem["loc"] for problem in caught.value.errors()} == {("bell",), ("times",), ("colour",)}


def test_nothing_here_waits_for_jax():
    """The decorator is used in the user's own modules, which should start fast."""
    program = "import sys; from jaxdiff.agent.python_tools import tool; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parent, timeout=60).returncode == 0
