"""One query, start to end: choose the tool, read the query, fill the fields, merge them into a valid call."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import jax

from jaxdiff.agent.fill_ar import fill_ar
from jaxdiff.agent.fill_parallel import fill_parallel
from jaxdiff.agent.filled import Filling
from jaxdiff.agent.heads import Head, find_head
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.result import FieldResult, Result, ToolCall
from jaxdiff.agent.selection import choose_tool
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import load_base
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import HeadMismatch, InputError
from jaxdiff.schema.merge import merge
from jaxdiff.schema.tools import Tool, load_tools, parse_tools

FILLS = ("diffusion", "ar", "parallel")
MAX_SEED = 2**31
logger = logging.getLogger("jaxdiff")


@dataclass(frozen=True)
class Options:
    """How a query is answered.

    fill: "diffusion", "ar" or "parallel". steps: denoising steps. temperature: 0 takes the most probable token.
    seed: of the randomness at a temperature above 0. trace: keep what each denoising step did.
    """

    fill: str
    steps: int = 4
    temperature: float = 0.0
    seed: int = 0
    trace: bool = False

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise InputError(f"fill {self.fill!r} is not known; choose from {', '.join(FILLS)}")
        if not 0 <= self.seed < MAX_SEED:
            raise InputError(f"seed={self.seed} must be in [0, {MAX_SEED})")
        self.denoising()

    def denoising(self) -> DenoiseConfig:
        """The denoising loop's part."""
        return DenoiseConfig(steps=self.steps, temperature=self.temperature)


class Agent:
    """A frozen base, a head for it (or none), and tools."""

    def __init__(self, base: FrozenBase, head: Head | None, tools: Sequence[Tool] | None, options: Options):
        self.base, self.head, self.tools, self.options = base, head, tools, options
        if options.fill == "diffusion":
            self._required_head()
        self._prefixes = PrefixReader(base)

    @classmethod
    def load(
        cls,
        base: str | os.PathLike[str] = "default",
        *,
        tools: Any = None,
        head: str | os.PathLike[str] = "default",
        fill: str | None = None,
        steps: int = 4,
        temperature: float = 0.0,
        seed: int = 0,
        dtype: str | None = None,
        trace: bool = False,
    ) -> Agent:
        """Loads a base (see `load_base`) and a head.

        tools: OpenAI-style function definitions (a list, or the path of a JSON file). head: "default", the one that
        comes with the package, or the folder of another. A base that the default head was not trained for answers by
        fill="parallel" and says so. Raises JaxdiffError: InputError, SchemaError, WeightsError, HeadMismatch, …
        """
        parsed = None if tools is None else _tools(tools)
        checked = Options(fill or "diffusion", steps, temperature, seed, trace)
        loaded = load_base(base, dtype=dtype)
        found = find_head(loaded, head)
        if found is None and fill == "diffusion":
            raise HeadMismatch(f"no head is known for base {loaded.name!r}; give --head, or --fill parallel")
        if found is None and fill is None:
            logger.warning("base %r has no trained head: values are filled by --fill parallel", loaded.name)
            checked = replace(checked, fill="parallel")
        return cls(loaded, found, parsed, checked)

    def __call__(self, query: str, *, tools: Any = None, **changes: Any) -> Result:
        """Answers one query. tools and `changes` (fill, steps, temperature, seed, trace) override for this query alone.

        Raises InputError for an empty query or one longer than the largest bucket, FillError where a required value
        cannot be made valid.
        """
        _check_query(query)
        available = self.tools if tools is None else _tools(tools)
        if not available:
            raise InputError("no tools were given")
        known = [field.name for field in fields(Options)]
        if unknown := sorted(changes.keys() - set(known)):
            raise InputError(f"unknown option {unknown[0]!r}; known: tools, {', '.join(known)}")
        options = replace(self.options, **changes)
        timer = _Timer()
        with timer("choose"):
            tool = choose_tool(self.base, available, query)
        call = self._call(tool, query, options, timer)
        return Result("tool", None, (call,), timer.finish())

    def _call(self, tool: Tool, query: str, options: Options, timer: _Timer) -> ToolCall:
        with timer("prefix"):
            known = self._prefixes.tool(tool)
            jax.block_until_ready(known.prefix.cache)
        if options.fill == "diffusion":
            head = self._required_head()
            with timer("read"):
                reading = head.read(tool, known, query)
            with timer("fill"):
                filling = head.fill(tool, query, reading, options.denoising(), seed=options.seed)
        else:
            fill = fill_ar if options.fill == "ar" else fill_parallel
            with timer("fill"):
                filling = Filling(fill(self.base, tool, known, query))
        with timer("merge"):
            merged = merge(tool, {name: found.value for name, found in filling.fields.items()})
        pointers = {field.name: field.pointer for field in tool.fields}
        kept = {name: found for name, found in filling.fields.items() if name in merged.arguments}
        confidence = filling.absence
        for found in kept.values():
            confidence *= found.confidence
        return ToolCall(
            name=tool.name,
            arguments=merged.arguments,
            confidence=confidence,
            fields={pointers[n]: FieldResult(f.confidence, f.source, f.by) for n, f in kept.items()},
            dropped=merged.dropped,
            trace=filling.trace if options.trace else None,
        )

    def _required_head(self) -> Head:
        if self.head is None:
            raise InputError(f"fill 'diffusion' needs a head, and base {self.base.name!r} was given none")
        return self.head


class _Timer:
    """Wall-clock time by stage."""

    def __init__(self) -> None:
        self._started = time.perf_counter()
        self._stages: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._stages[stage] = 1000 * (time.perf_counter() - started)

    def finish(self) -> dict[str, float]:
        return self._stages | {"total": 1000 * (time.perf_counter() - self._started)}


def _check_query(query: str) -> None:
    if not query.strip():
        raise InputError("the query is empty")
    try:
        query.encode()
    except UnicodeEncodeError as error:
        # Bytes of a command line that are not UTF-8 arrive as lone surrogates.
        raise InputError(f"the query is not text: character {error.start} is half of a surrogate pair") from error


def _tools(tools: Any) -> tuple[Tool, ...]:
    return load_tools(Path(tools)) if isinstance(tools, str | os.PathLike) else parse_tools(tools)
