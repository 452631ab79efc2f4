"""What a compiled program sends between devices, read from its text (HLO)."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

_KINDS = ("all-gather", "all-reduce", "reduce-scatter", "all-to-all", "collective-permute")
# The first half of an asynchronous collective carries it; the second half only waits.
_COLLECTIVE = re.compile(rf"= (?P<made>.*?) (?P<kind>{'|'.join(_KINDS)})(?:-start)?\(")
_ARRAY = re.compile(r"\b(pred|[suf]\d+|bf16|f8\w*)\[([\d,]*)\]")
_CHANNEL = re.compile(r"channel_id=\d+")
_COMPUTATION = re.compile(r"(?:ENTRY )?%?(?P<name>[^\s(]+) \(.*\{$")
_CALLED = re.compile(r"(?:calls|to_apply|body|condition|branch_computations|called_computations)=\{?%?([^\s{}]+)")
_WHILE = re.compile(r"condition=%?([^\s,]+), body=%?([^\s,]+)")
_KNOWN_ROUNDS = re.compile(r"known_trip_count\W+n\W+(\d+)")
_CONSTANT = re.compile(r"= [su]\d+\[\]\S* constant\((\d+)\)")


@dataclass(frozen=True)
class Collective:
    """One collective of a program.

    kind: as `all-gather`. size: bytes of its largest array on one device. rounds: how often it runs in a step.
    """

    kind: str
    size: int
    rounds: int


def read_collectives(program: str) -> list[Collective]:
    """Collectives of a compiled program (`compiled.as_text()`), those in loops with the loops' rounds.

    Rounds are those that the compiler noted, else the largest constant that the loop's condition compares with.
    """
    computations = _computations(program)
    rounds = _rounds(computations)
    found: dict[str, Collective] = {}
    for name, lines in computations.items():
        for line in lines:
            match = _COLLECTIVE.search(line)
            if not match:
                continue
            size = max((_bytes(*array) for array in _ARRAY.findall(match["made"])), default=0)
            channel = _CHANNEL.search(line)
            # A TPU spreads one collective over the computations that it runs beside; they share its channel.
            key = channel[0] if channel else f"{name} {len(found)}"
            times = min(rounds[name], found[key].rounds) if key in found else rounds[name]
            found[key] = Collective(match["kind"], size, times)
    return list(found.values())


def _computations(program: str) -> dict[str, list[str]]:
    computations: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in program.splitlines():
        opened = _COMPUTATION.match(line)
        if opened:
            lines = computations.setdefault(opened["name"], [])
        else:
            lines.append(line)
    return computations


def _rounds(computations: dict[str, list[str]]) -> dict[str, int]:
    """How often each computation runs in one run of the program."""
    callers: dict[str, list[tuple[str, int]]] = {}
    for name, lines in computations.items():
        for line in lines:
            loop = _WHILE.search(line)
            for called in _CALLED.findall(line):
                called = called.rstrip(",")
                times = _trips(line, computations.get(loop[1], [])) if loop and called == loop[2] else 1
                callers.setdefault(called, []).append((name, times))

    known: dict[str, int] = {}

    def count(name: str) -> int:
        if name not in known:
            known[name] = sum(count(caller) * times for caller, times in callers.get(name, [])) or 1
        return known[name]

    return {name: count(name) for name in computations}


def _trips(line: str, condition: list[str]) -> int:
    noted = _KNOWN_ROUNDS.search(line)
    if noted:
        return int(noted[1])
    constants = [int(found[1]) for found in map(_CONSTANT.search, condition) if found]
    return max(constants, default=1)


def _bytes(kind: str, dims: str) -> int:
    bits = 8 if kind == "pred" or kind.startswith("f8") else int(re.sub(r"\D", "", kind))
    return math.prod(int(size) for size in dims.split(",") if size) * bits // 8
