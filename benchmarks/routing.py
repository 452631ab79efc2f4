"""The router on the validation packs: which tool, whether any, chat or think, how many calls, and the time it takes.

Names: the right one among 2 to 64 tools, those of its suite first. Modes: queries against declines (queries of the same
field that no tool of the suite serves), the tools of the same suite or of others. `--rows` adds the rows without a call
of files in the native format, each with its own tools. Errors are printed with `--examples`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks import report
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.heads import find_head, find_router
from jaxdiff.agent.listing import list_ranking
from jaxdiff.agent.planning import pair_states
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.reading import Reading, read_calls
from jaxdiff.agent.router import Request, Router
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import load_base
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import HeadMismatch, SchemaError
from jaxdiff.routing.head import MECHANISMS
from jaxdiff.runtime.compilation import keep_compiled_programs
from jaxdiff.schema.tools import Tool, parse_tools
from jaxdiff_train.packs import VALIDATION_PACKS
from jaxdiff_train.routing_rows import (
    TALK_VALIDATION,
    RoutingRow,
    Shelf,
    declined_rows,
    joined_rows,
    read_shelf,
    single_rows,
    talk_rows,
)
from jaxdiff_train.rows import read_json_lines

NAME_SIZES, MODE_SIZES = (2, 4, 16, 64), (1, 4, 16)
SEED = 2
LISTED_ROWS, JOINED = 120, 200
TIMED = 20


@dataclass
class Judge:
    """Chooses and judges as an agent does; what was read once is kept."""

    base: FrozenBase
    router: Router

    def __post_init__(self) -> None:
        self._prefixes = PrefixReader(self.base, keep=256)
        self._states: dict[str, Any] = {}
        self._readings: dict[tuple[str, str], Reading] = {}

    def states(self, query: str) -> Any:
        """What the router reads of a query."""
        if query not in self._states:
            self._states[query] = self.router.read([query])
        return self._states[query]

    def request(self, tools: Sequence[Tool], query: str) -> Request:
        """The query as one request."""
        ranking = self.router.ranking(tools, query, self.states(query))
        opening = np.asarray(self.states(query).opening[0])
        return Request(0, len(query), ranking[0][0], opening, self.router.close(ranking))

    def answer(self, tools: Sequence[Tool], query: str) -> tuple[Tool, dict[str, float]]:
        """The chosen tool, and by mechanism the probability that it serves the query."""
        request = self.request(tools, query)
        considered = [request.tool, *(tool for tool, _ in request.close)]
        keys = [(tool.name + repr(tool.parameters), query) for tool in considered]
        missing = [i for i, key in enumerate(keys) if key not in self._readings]
        asked = [Asked(considered[i], self._prefixes.tool(considered[i]), query) for i in missing]
        for i, reading in zip(missing, read_calls(self.base, asked), strict=True):
            self._readings[keys[i]] = reading
        states = pair_states([request] * len(keys), [self._readings[key] for key in keys])
        (chosen,) = self.router.choose([request], states)
        found = {name: float(self.router.tool_probabilities(states, name)[chosen]) for name in MECHANISMS}
        return considered[chosen], found


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--head", default="default", metavar="PATH", help="folder of a head with a router")
    parser.add_argument("--rows", nargs="*", default=[], metavar="FILE", help="files with rows that call nothing")
    parser.add_argument("--per-tool", type=int, default=5, help="queries a tool for names (default: 5)")
    parser.add_argument("--mode-queries", type=int, default=2, help="queries a tool for modes (default: 2)")
    parser.add_argument("--examples", type=int, default=0, help="print so many errors of each kind")
    options = parser.parse_args(argv)
    keep_compiled_programs()
    base = load_base("default")
    router = find_router(base, options.head)
    if router is None:
        raise HeadMismatch(f"head {options.head!r} has no router for base {base.name!r}")
    judge, shelf = Judge(base, router), read_shelf(VALIDATION_PACKS)
    rows = single_rows(VALIDATION_PACKS, shelf, options.per_tool, SEED)
    shown = report.table("Routing, percent right", "", "rows", "percent")
    figures: dict[str, Any] = {"mechanism": router.calibration.mechanism}
    errors: list[str] = []
    for part in (
        names(judge, shelf, rows, errors, options.examples),
        listed_names(base, shelf, rows),
        modes(judge, shelf, rows[:: max(1, options.per_tool // options.mode_queries)], errors, options.examples),
        talk(judge),
        requests(router, shelf, rows),
        {f"no call, {Path(path).parent.name}/{Path(path).stem}": no_calls(judge, Path(path)) for path in options.rows},
    ):
        for name, (count, percent) in part.items():
            shown.add_row(name, str(count), f"{percent:.1f}")
            figures[name] = {"rows": count, "percent": round(percent, 1)}
    figures["milliseconds"] = timings(base, judge, shelf, rows, options.head)
    for name, value in figures["milliseconds"].items():
        shown.add_row(f"{name}, ms", "", f"{value:.0f}")
    for line in errors:
        print(line)
    report.publish("routing", shown, figures)


def candidates(
    shelf: Shelf, own: Sequence[str], suite: str | None, size: int, same: bool, rng: random.Random
) -> list[Tool]:
    """`size` tools: `own`, then (if `same`) others of the suite, then any of other suites; shuffled."""
    near = [name for name in shelf.of_suite(suite) if name not in own] if same else []
    far = [name for name in shelf.tools if shelf.suites[name] != suite]
    chosen = [*own, *rng.sample(near, len(near))][:size]
    chosen += rng.sample(far, size - len(chosen))
    rng.shuffle(chosen)
    return [shelf.tools[name] for name in chosen]


def names(
    judge: Judge, shelf: Shelf, rows: Sequence[RoutingRow], errors: list[str], examples: int
) -> dict[str, tuple[int, float]]:
    """Right names among lists of each size, as answered and by the comparison alone."""
    found = {}
    for size in NAME_SIZES:
        rng = random.Random(SEED)
        right = alone = shown = 0
        for row in track(rows, f"names among {size}", console=Console(stderr=True)):
            gold = row.calls[0][0]
            tools = candidates(shelf, [gold], row.suite, size, True, rng)
            chosen = judge.answer(tools, row.query)[0].name
            right += chosen == gold
            alone += judge.request(tools, row.query).tool.name == gold
            if chosen != gold and shown < examples and size == NAME_SIZES[1]:
                errors.append(f"name among {size}: {row.query!r}: {chosen}, not {gold}")
                shown += 1
        found[f"name among {size}"] = (len(rows), 100 * right / len(rows))
        found[f"name among {size}, compared alone"] = (len(rows), 100 * alone / len(rows))
    return found


def listed_names(base: FrozenBase, shelf: Shelf, rows: Sequence[RoutingRow]) -> dict[str, tuple[int, float]]:
    """Right names by the base itself, after a list of four tools."""
    rng, right = random.Random(SEED), 0
    chosen = rows[:: max(1, len(rows) // LISTED_ROWS)]
    for row in track(chosen, "names after a list", console=Console(stderr=True)):
        gold = row.calls[0][0]
        tools = candidates(shelf, [gold], row.suite, 4, True, rng)
        right += list_ranking(base, tools, row.query)[0][0].name == gold
    return {"name among 4, after a list": (len(chosen), 100 * right / len(chosen))}


def modes(
    judge: Judge, shelf: Shelf, rows: Sequence[RoutingRow], errors: list[str], examples: int
) -> dict[str, tuple[int, float]]:
    """Relevance of queries and irrelevance of declines, by mechanism."""
    declines = declined_rows(VALIDATION_PACKS)
    found = {}
    for same in (True, False):
        for size in MODE_SIZES:
            rng = random.Random(SEED)
            where = f"among {size} of {'the same suite' if same else 'other suites'}"
            for kind, group in (("relevance", rows), ("irrelevance", declines)):
                right = dict.fromkeys(MECHANISMS, 0)
                shown = 0
                for row in track(group, f"{kind} {where}", console=Console(stderr=True)):
                    own = [row.calls[0][0]] if row.calls else []
                    tools = candidates(shelf, own, row.suite, size, same, rng)
                    for name, value in judge.answer(tools, row.query)[1].items():
                        correct = (value >= judge.router.calibration.tool[name].threshold) == bool(row.calls)
                        right[name] += correct
                        best = name == judge.router.calibration.mechanism
                        if not correct and best and same and size == 4 and shown < examples:
                            errors.append(f"{kind} {where}: {row.query!r}: probability of a call {value:.2f}")
                            shown += 1
                for name, count in right.items():
                    found[f"{kind} {where}, {name}"] = (len(group), 100 * count / len(group))
    return found


def talk(judge: Judge) -> dict[str, tuple[int, float]]:
    """Chat and think told apart."""
    rows = talk_rows(TALK_VALIDATION)
    found = {}
    for mode in ("chat", "think"):
        group = [row for row in rows if row.mode == mode]
        right = sum(
            (judge.router.think_probability(np.asarray(judge.states(row.query).opening[0]))
             >= judge.router.calibration.think.threshold) == (mode == "think")
            for row in group
        )  # fmt: skip
        found[f"{mode} told from {'think' if mode == 'chat' else 'chat'}"] = (len(group), 100 * right / len(group))
    return found


def requests(router: Router, shelf: Shelf, rows: Sequence[RoutingRow]) -> dict[str, tuple[int, float]]:
    """The right number of calls, of one request and of several; and all names right as well, compared alone."""
    tools = list(shelf.tools.values())[:64]
    listed = {tool.name for tool in tools}
    few = [row for row in rows if row.calls[0][0] in listed]
    joined = joined_rows(few, JOINED, SEED)
    found = {}
    for name, group in (("one request", few[:JOINED]), ("two or three requests", joined)):
        number = all_names = 0
        for row in track(group, name, console=Console(stderr=True)):
            asked = router.requests(tools, row.query)
            number += len(asked) == len(row.calls)
            all_names += [each.tool.name for each in asked] == [call[0] for call in row.calls]
        found[f"number of calls, {name}"] = (len(group), 100 * number / len(group))
        found[f"number and all names among 64, compared alone, {name}"] = (len(group), 100 * all_names / len(group))
    return found


def no_calls(judge: Judge, path: Path) -> tuple[int, float]:
    """Rows of a file that call nothing, answered by no call; the last message is the query."""
    count = right = 0
    for _, record in read_json_lines(path):
        if record["calls"]:
            continue
        try:
            tools = parse_tools(record["tools"])
        except SchemaError:
            continue
        value = judge.answer(tools, record["messages"][-1]["content"])[1][judge.router.calibration.mechanism]
        right += value < judge.router.calibration.tool[judge.router.calibration.mechanism].threshold
        count += 1
    return count, 100 * right / max(count, 1)


def timings(
    base: FrozenBase, judge: Judge, shelf: Shelf, rows: Sequence[RoutingRow], head_path: str
) -> dict[str, float]:
    """Medians: routing among 16 tools that are known, reading the chosen one, and one fill."""
    head, prefixes = find_head(base, head_path), PrefixReader(base)
    tools = list(shelf.tools.values())[:16]
    row = next(row for row in rows if row.calls[0][0] in {tool.name for tool in tools})
    times: dict[str, list[float]] = {"routing": [], "reading": [], "filling": []}
    for _ in range(TIMED + 2):
        started = time.perf_counter()
        request = judge.router.requests(tools, row.query, most=1)[0]
        chosen = time.perf_counter()
        considered = [request.tool, *(tool for tool, _ in request.close)]
        asked = [Asked(tool, prefixes.tool(tool), row.query) for tool in considered]
        known = time.perf_counter()
        readings = read_calls(base, asked)
        states = pair_states([request] * len(asked), readings)
        (one,) = judge.router.choose([request], states)
        judge.router.tool_probabilities(states)
        read = time.perf_counter()
        if head is not None:
            head.fill([readings[one]], DenoiseConfig())
        times["routing"].append(chosen - started)
        times["reading"].append(read - known)
        times["filling"].append(time.perf_counter() - read)
    return {name: round(1000 * statistics.median(values[2:]), 1) for name, values in times.items()}


if __name__ == "__main__":
    raise SystemExit(report.run(main))
