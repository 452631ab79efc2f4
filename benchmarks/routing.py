"""The router on the validation packs: which tool, whether any, chat or think, how many calls, and the time it takes.

Names: the right one among 2 to 64 tools, those of its suite first. Modes: queries against declines (queries of the same
field that no tool of the suite serves), the tools of the same suite or of others. `--rows` adds the rows without a call
of files in the native format, each with its own tools. Errors are printed with `--examples`.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from collections.abc import Mapping, Sequence
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
from jaxdiff.agent.reading import read_calls
from jaxdiff.agent.router import Request, Router
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.store import cache_dir, load_base
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import HeadMismatch, SchemaError
from jaxdiff.routing.features import PairStates
from jaxdiff.routing.head import MECHANISMS
from jaxdiff.runtime.compilation import keep_compiled_programs
from jaxdiff.schema.tools import Tool, parse_tools
from jaxdiff_train.data.packs import VALIDATION_PACKS
from jaxdiff_train.data.rows import read_json_lines
from jaxdiff_train.reading.features import progress_line
from jaxdiff_train.routing.reading import pair_store
from jaxdiff_train.routing.rows import (
    TALK_VALIDATION,
    RoutingRow,
    Shelf,
    declined_rows,
    joined_rows,
    read_shelf,
    single_rows,
    talk_rows,
)

NAME_SIZES, MODE_SIZES = (2, 4, 16, 64), (1, 4, 16)
SEED = 2
LISTED_ROWS, JOINED = 120, 200
TIMED = 20


@dataclass(frozen=True)
class Case:
    """A query beside tools. gold: the name of the one that serves it, or None."""

    tools: tuple[Tool, ...]
    query: str
    gold: str | None


@dataclass(frozen=True)
class Answer:
    """The tool that is chosen, the one nearest by comparison alone, and by mechanism the probability of a call."""

    chosen: str
    nearest: str
    probabilities: dict[str, float]


class Judge:
    """Answers cases as an agent does. Pairs of tool and query are read tool by tool, and kept on disk."""

    def __init__(self, base: FrozenBase, router: Router):
        self.base, self.router = base, router
        self._states: dict[str, Any] = {}

    def states(self, query: str) -> Any:
        """What the router reads of a query."""
        if query not in self._states:
            self._states[query] = self.router.read([query])
        return self._states[query]

    def answer(self, groups: Mapping[str, Sequence[Case]]) -> dict[str, list[Answer]]:
        """The answer to each case of each group."""
        everything = [case for cases in groups.values() for case in cases]
        requests = [self._request(case) for case in track(everything, "comparing", console=Console(stderr=True))]
        considered = [[one.tool, *(tool for tool, _ in one.close)] for one in requests]
        pairs = list({(t, case.query): None for case, tools in zip(everything, considered, strict=True) for t in tools})
        progress = progress_line("pairs")
        store = pair_store(self.base, pairs, cache_dir() / "features", "routing-benchmark", progress)
        places = {pair: place for place, pair in enumerate(store.rows)}
        found = []
        for case, request, tools in zip(everything, requests, considered, strict=True):
            rows = [places[tool, case.query] for tool in tools]
            states = PairStates(
                opening=np.stack([store.part("opening", row)[0] for row in rows]).astype(np.float32),
                hidden=np.stack([store.part("hidden", row)[0] for row in rows]).astype(np.float32),
                query=np.stack([request.opening] * len(rows)),
            )
            (chosen,) = self.router.choose([request], states)
            by_mechanism = {n: float(self.router.tool_probabilities(states, n)[chosen]) for n in MECHANISMS}
            found.append(Answer(tools[chosen].name, request.tool.name, by_mechanism))
        answers = iter(found)
        return {name: [next(answers) for _ in cases] for name, cases in groups.items()}

    def _request(self, case: Case) -> Request:
        ranking = self.router.ranking(case.tools, case.query, self.states(case.query))
        opening = np.asarray(self.states(case.query).opening[0])
        return Request(0, len(case.query), ranking[0][0], opening, self.router.close(ranking))


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.routing", description=__doc__)
    parser.add_argument("--base", default="default", help="name or converted folder (default: default)")
    parser.add_argument("--head", default="default", metavar="PATH", help="folder of a head with a router")
    parser.add_argument("--rows", nargs="*", default=[], metavar="FILE", help="files with rows that call nothing")
    parser.add_argument("--per-tool", type=int, default=5, help="queries a tool (default: 5)")
    parser.add_argument("--every", type=int, default=1, help="take every so manieth decline (default: 1, all)")
    parser.add_argument("--examples", type=int, default=0, help="print so many errors of each kind")
    options = parser.parse_args(argv)
    keep_compiled_programs()
    base = load_base(options.base)
    router = find_router(base, options.head)
    if router is None:
        raise HeadMismatch(f"head {options.head!r} has no router for base {base.name!r}")
    judge, shelf = Judge(base, router), read_shelf(VALIDATION_PACKS)
    rows = single_rows(VALIDATION_PACKS, shelf, options.per_tool, SEED)
    declines = declined_rows(VALIDATION_PACKS)[:: options.every]
    groups = {f"name among {size}": cases(shelf, rows, size, same=True) for size in NAME_SIZES}
    for same, size in itertools.product((True, False), MODE_SIZES):
        where = f"among {size} of {'the same suite' if same else 'other suites'}"
        groups[f"relevance {where}"] = cases(shelf, rows, size, same)
        groups[f"irrelevance {where}"] = cases(shelf, declines, size, same)
    groups |= {f"no call, {Path(path).parent.name}/{Path(path).stem}": no_calls(Path(path)) for path in options.rows}
    answers = judge.answer(groups)

    shown = report.table("Routing, percent right", "", "rows", "percent")
    figures: dict[str, Any] = {"mechanism": router.calibration.mechanism}
    found: dict[str, tuple[int, float]] = {}
    for name, group in groups.items():
        found |= shares(name, group, answers[name], router)
    found |= listed_names(base, groups["name among 4"]) | talk(judge) | requests(router, shelf, rows)
    for name, (count, percent) in found.items():
        shown.add_row(name, str(count), f"{percent:.1f}")
        figures[name] = {"rows": count, "percent": round(percent, 1)}
    figures["milliseconds"] = timings(base, router, shelf, rows, options.head)
    for name, value in figures["milliseconds"].items():
        shown.add_row(f"{name}, ms", "", f"{value:.0f}")
    for line in errors(groups, answers, router, options.examples):
        print(line)
    report.publish("routing", shown, figures)


def candidates(
    shelf: Shelf, own: Sequence[str], suite: str | None, size: int, same: bool, rng: random.Random
) -> tuple[Tool, ...]:
    """`size` tools: `own`, then (if `same`) others of the suite, then any of other suites; shuffled."""
    near = [name for name in shelf.of_suite(suite) if name not in own] if same else []
    far = [name for name in shelf.tools if shelf.suites[name] != suite]
    chosen = [*own, *rng.sample(near, len(near))][:size]
    chosen += rng.sample(far, size - len(chosen))
    rng.shuffle(chosen)
    return tuple(shelf.tools[name] for name in chosen)


def cases(shelf: Shelf, rows: Sequence[RoutingRow], size: int, same: bool) -> list[Case]:
    """Each row beside `size` tools."""
    rng = random.Random(SEED)
    found = []
    for row in rows:
        own = [call[0] for call in row.calls]
        found.append(Case(candidates(shelf, own, row.suite, size, same, rng), row.query, own[0] if own else None))
    return found


def shares(name: str, group: Sequence[Case], answers: Sequence[Answer], router: Router) -> dict[str, tuple[int, float]]:
    """Rows and percent right of one group: of names, or by mechanism of whether there is a call."""
    count = len(group)
    if name.startswith("name"):
        right = sum(answer.chosen == case.gold for case, answer in zip(group, answers, strict=True))
        alone = sum(answer.nearest == case.gold for case, answer in zip(group, answers, strict=True))
        return {name: (count, 100 * right / count), f"{name}, compared alone": (count, 100 * alone / count)}
    pairs = list(zip(group, answers, strict=True))
    return {
        f"{name}, {mechanism}": (count, 100 * sum(_is_right(case, a, router, mechanism) for case, a in pairs) / count)
        for mechanism in MECHANISMS
    }


def _is_right(case: Case, answer: Answer, router: Router, mechanism: str) -> bool:
    called = answer.probabilities[mechanism] >= router.calibration.tool[mechanism].threshold
    return called == (case.gold is not None)


def errors(
    groups: Mapping[str, Sequence[Case]], answers: Mapping[str, Sequence[Answer]], router: Router, most: int
) -> list[str]:
    """Some wrong answers among four tools of one suite."""
    best, lines = router.calibration.mechanism, []
    for name, group in groups.items():
        if name != "name among 4" and not name.endswith("among 4 of the same suite"):
            continue
        wrong = []
        for case, answer in zip(group, answers[name], strict=True):
            if name == "name among 4" and answer.chosen != case.gold:
                wrong.append(f"{name}: {case.query!r}: {answer.chosen}, not {case.gold}")
            elif name != "name among 4" and not _is_right(case, answer, router, best):
                wrong.append(f"{name}: {case.query!r}: probability of a call {answer.probabilities[best]:.2f}")
        lines += wrong[:most]
    return lines


def listed_names(base: FrozenBase, group: Sequence[Case]) -> dict[str, tuple[int, float]]:
    """Right names by the base itself, after a list of the tools."""
    chosen = group[:: max(1, len(group) // LISTED_ROWS)]
    right = sum(
        list_ranking(base, case.tools, case.query)[0][0].name == case.gold
        for case in track(chosen, "names after a list", console=Console(stderr=True))
    )
    return {"name among 4, after a list": (len(chosen), 100 * right / len(chosen))}


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


def no_calls(path: Path) -> list[Case]:
    """Rows of a file that call nothing, beside their own tools; the last message is the query."""
    found = []
    for _, record in read_json_lines(path):
        if not record["calls"]:
            try:
                found.append(Case(parse_tools(record["tools"]), record["messages"][-1]["content"], None))
            except SchemaError:
                continue
    return found


def timings(
    base: FrozenBase, router: Router, shelf: Shelf, rows: Sequence[RoutingRow], head_path: str
) -> dict[str, float]:
    """Medians: routing among 16 tools that are known, reading the chosen one, and one fill."""
    head, prefixes = find_head(base, head_path), PrefixReader(base)
    tools = list(shelf.tools.values())[:16]
    row = next(row for row in rows if row.calls[0][0] in {tool.name for tool in tools})
    times: dict[str, list[float]] = {"routing": [], "reading": [], "filling": []}
    for _ in range(TIMED + 2):
        started = time.perf_counter()
        request = router.requests(tools, row.query, most=1)[0]
        chosen = time.perf_counter()
        considered = [request.tool, *(tool for tool, _ in request.close)]
        asked = [Asked(tool, prefixes.tool(tool), row.query) for tool in considered]
        known = time.perf_counter()
        readings = read_calls(base, asked)
        states = pair_states([request] * len(asked), readings)
        (one,) = router.choose([request], states)
        router.tool_probabilities(states)
        read = time.perf_counter()
        if head is not None:
            head.fill([readings[one]], DenoiseConfig())
        times["routing"].append(chosen - started)
        times["reading"].append(read - known)
        times["filling"].append(time.perf_counter() - read)
    return {name: round(1000 * statistics.median(values[2:]), 1) for name, values in times.items()}


if __name__ == "__main__":
    raise SystemExit(report.run(main))
