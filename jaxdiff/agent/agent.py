"""One query, start to end: plan which mode answers, fill the calls or write the text."""

from __future__ import annotations

import logging
import os
from collections.abc import Generator, Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from jaxdiff.agent import execution
from jaxdiff.agent.directive import directive
from jaxdiff.agent.execution import RunResult
from jaxdiff.agent.extraction import Extraction, schema_tool
from jaxdiff.agent.fill_ar import fill_ar
from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.fill_parallel import fill_parallel
from jaxdiff.agent.filled import FilledField, Filling
from jaxdiff.agent.heads import Head, find_head, find_router
from jaxdiff.agent.messages import Message, parse_messages
from jaxdiff.agent.options import Options
from jaxdiff.agent.planning import PlannedCall, Planner
from jaxdiff.agent.python_tools import PythonTool, collect_tools
from jaxdiff.agent.result import FieldResult, Result, ToolCall
from jaxdiff.agent.router import Router
from jaxdiff.agent.speaking import Speaker
from jaxdiff.agent.text_pieces import Piece, whole
from jaxdiff.agent.timing import Timer
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import load_base
from jaxdiff.errors import HeadMismatch, InputError
from jaxdiff.schema.tools import Tool

logger = logging.getLogger("jaxdiff")


class Agent:
    """A frozen base, a head for it (or none), a router (or none), and tools.

    functions: by name, the tools that Python can call; see `run`.
    """

    def __init__(
        self,
        base: FrozenBase,
        head: Head | None,
        tools: Sequence[Tool] | None,
        options: Options,
        router: Router | None = None,
        functions: Mapping[str, PythonTool] | None = None,
    ):
        self.base, self.head, self.router, self.options = base, head, router, options
        self.tools, self.functions = tools, dict(functions or {})
        if options.fill == "diffusion":
            self._required_head()
        self._planner = Planner(base, router)
        self._speaker = Speaker(base)

    @classmethod
    def load(
        cls,
        base: str | os.PathLike[str] = "default",
        *,
        tools: Any = None,
        head: str | os.PathLike[str] = "default",
        fill: str | None = None,
        dtype: str | None = None,
        **options: Any,
    ) -> Agent:
        """Loads a base (see `load_base`), a head and its router.

        tools: OpenAI-style function definitions, typed functions, pydantic models (a list of any of them), or the path
        of a JSON or Python file. head: "default", the one that comes with the package, or the folder of another. A base
        that the default head was not trained for answers by fill="parallel" and says so. options: see `Options`.
        Raises JaxdiffError: InputError, SchemaError, WeightsError, HeadMismatch, …
        """
        found_tools, functions = (None, {}) if tools is None else collect_tools(tools)
        checked = _changed(Options(fill or "diffusion"), options)
        loaded = load_base(base, dtype=dtype)
        found = find_head(loaded, head)
        if found is None and fill == "diffusion":
            raise HeadMismatch(f"no head is known for base {loaded.name!r}; give --head, or --fill parallel")
        if found is None and fill is None:
            logger.warning("base %r has no trained head: values are filled by --fill parallel", loaded.name)
            checked = replace(checked, fill="parallel")
        return cls(loaded, found, found_tools, checked, find_router(loaded, head), functions)

    def __call__(self, query: Any, /, *, tools: Any = None, **changes: Any) -> Result:
        """Answers a query: a text, or messages as in the OpenAI chat API, the last from the user or from a tool.

        Calls are filled from the user's last message alone, answers in text written from all; results of a tool are
        told in text, unless a call is demanded.
        tools and `changes` (see `Options`) override for this query alone. Raises InputError for messages that cannot
        be answered, options that contradict each other and a text longer than the largest bucket; FillError where a
        required value cannot be made valid.
        """
        return whole(self.stream(query, tools=tools, **changes))

    def stream(self, query: Any, /, *, tools: Any = None, **changes: Any) -> Generator[Piece, None, Result]:
        """Answers as a call of the agent does, text piece by piece; the generator's value is the whole answer.

        Calls come as a whole: no pieces.
        """
        available = self.tools if tools is None else collect_tools(tools)[0]
        options = _changed(self.options, changes)
        if isinstance(query, str):
            check_query(query)
        allowed = directive(options.mode, options.tool_choice, [tool.name for tool in available or ()])
        messages = parse_messages(query)
        asked = next((message for message in reversed(messages) if message.role == "user"), messages[-1])
        if messages[-1].role == "tool" and len(allowed.modes) > 1:
            # Results are told in words, unless a call is demanded.
            allowed = replace(allowed, modes=tuple(mode for mode in allowed.modes if mode != "tool"))
        timer = Timer()
        plan = self._planner.plan(
            asked.content or "", available or (), allowed, timer, names=options.names, decide_by=options.decide_by
        )
        if plan.mode == "tool":
            calls = self._fill(plan.calls, options, timer)
            return Result("tool", None, calls, timer.finish(), modes=plan.modes)
        return (yield from self._speak(messages, plan.mode, plan.modes, options, timer))

    def extract(self, schema: Any, text: str, /, **changes: Any) -> Extraction:
        """Fills a JSON Schema from a text: the object that the text describes, without tools and without routing.

        schema: a JSON Schema of an object; its title and description tell what is looked for. changes: see `Options`.
        Raises InputError, SchemaError and UnsupportedSchema for a text or schema that cannot be used, FillError where
        a required value cannot be made valid.
        """
        options = _changed(self.options, changes)
        check_query(text, "text")
        timer = Timer()
        (found,) = self._fill([self._planner.call(schema_tool(schema), text, timer)], options, timer)
        return Extraction(found, timer.finish())

    def run(self, query: Any, /, *, tools: Any = None, **changes: Any) -> RunResult:
        """Answers, and makes the calls of the answer; what a tool raises is its result's error. See `__call__`."""
        found, functions = self._callable(tools)
        return execution.run(self, query, functions, tools=found, **changes)

    async def arun(self, query: Any, /, *, tools: Any = None, **changes: Any) -> RunResult:
        """As `run`; the agent answers in a thread, and the calls are made at the same time."""
        found, functions = self._callable(tools)
        return await execution.arun(self, query, functions, tools=found, **changes)

    def _callable(self, tools: Any) -> tuple[Any, dict[str, PythonTool]]:
        return (None, self.functions) if tools is None else collect_tools(tools)

    def _speak(
        self,
        messages: Sequence[Message],
        mode: str,
        modes: dict[str, float] | None,
        options: Options,
        timer: Timer,
    ) -> Generator[Piece, None, Result]:
        thinking = mode == "think"
        pieces = self._speaker.stream(messages, options.speaking(thinking))
        while True:
            try:
                with timer("write"):
                    piece = next(pieces)
            except StopIteration as end:
                # A base that cannot think has answered in chat mode, and said so.
                answered = mode if self._speaker.thinks else "chat"
                return Result(answered, end.value.text, (), timer.finish(), end.value.thinking, modes)
            yield piece

    def _fill(self, planned: Sequence[PlannedCall], options: Options, timer: Timer) -> tuple[ToolCall, ...]:
        asked = [call.asked for call in planned]
        if options.fill == "diffusion":
            head = self._required_head()
            with timer("read"):
                known = [call.reading for call in planned if call.reading is not None]
                readings = known if known and isinstance(head, ReaderHead) else head.read(asked)
            with timer("fill"):
                fillings = head.fill(readings, options.denoising(), seed=options.seed)
        else:
            fill = fill_ar if options.fill == "ar" else fill_parallel
            with timer("fill"):
                fillings = [fill(self.base, call.tool, call.known, call.query) for call in asked]
        with timer("merge"):
            return tuple(_call(call, filling, options.trace) for call, filling in zip(planned, fillings, strict=True))

    def _required_head(self) -> Head:
        if self.head is None:
            raise InputError(f"fill 'diffusion' needs a head, and base {self.base.name!r} was given none")
        return self.head


def _call(planned: PlannedCall, filling: Filling, trace: bool) -> ToolCall:
    tool = planned.asked.tool
    merged = filling.merge(tool)
    kept = {name: found for name, found in filling.fields.items() if name in merged.places}
    # Nothing speaks for what had to be put in.
    confidence = 0.0 if merged.repaired else filling.absence
    for found in kept.values():
        confidence *= found.confidence

    def in_query(source: tuple[int, int]) -> tuple[int, int]:
        return source[0] + planned.start, source[1] + planned.start

    def result_of(found: FilledField) -> FieldResult:
        source = None if found.source is None else in_query(found.source)
        return FieldResult(found.confidence, source, found.by, tuple(map(in_query, found.sources)), found.cut)

    return ToolCall(
        name=tool.name,
        arguments=merged.arguments,
        confidence=confidence,
        fields={merged.places[name]: result_of(found) for name, found in kept.items()},
        dropped=merged.dropped,
        repaired=merged.repaired,
        trace=filling.trace if trace else None,
    )


def check_query(query: str, what: str = "query") -> None:
    """Raises InputError for a query that is empty or not text."""
    if not query.strip():
        raise InputError(f"the {what} is empty")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        # Bytes of a command line that are not UTF-8 arrive as lone surrogates.
        raise InputError(f"the {what} is not text: character {error.start} is half of a surrogate pair") from error


def _changed(options: Options, changes: Mapping[str, Any]) -> Options:
    known = [field.name for field in fields(Options)]
    if unknown := sorted(changes.keys() - set(known)):
        raise InputError(f"unknown option {unknown[0]!r}; known: tools, {', '.join(known)}")
    return replace(options, **changes)
