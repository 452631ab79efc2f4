"""Compiles JSON Schemas with the grammar engines of others, each in a process of its own that can be ended."""

from __future__ import annotations

import importlib.util
import json
import multiprocessing
import time
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

MODULES = {"llguidance": "llguidance", "xgrammar": "xgrammar", "outlines-core": "outlines_core"}


class Compile(Protocol):
    """Compiles the JSON text of a schema; raises where that is refused."""

    def __call__(self, schema: str) -> None:
        """Compiles."""


@dataclass(frozen=True)
class Compiled:
    """seconds: of the compilation. refused: why there is none; "timeout" where it was ended."""

    seconds: float
    refused: str | None


def installed() -> list[str]:
    """The peers that can be imported."""
    return [name for name, module in MODULES.items() if importlib.util.find_spec(module) is not None]


class Peer:
    """One engine, asked schema by schema."""

    def __init__(self, name: str, tokenizer: Path, limit: float):
        self._name, self._tokenizer, self._limit = name, tokenizer, limit
        self._start()

    def compile(self, schema: Any) -> Compiled:
        """Compiles a schema within the limit of seconds."""
        self._pipe.send(json.dumps(schema))
        if self._pipe.poll(self._limit):
            try:
                seconds, refused = self._pipe.recv()
                return Compiled(seconds, refused)
            except EOFError:
                refused = "the process ended"
        else:
            refused = "timeout"
        self.close()
        self._start()
        return Compiled(self._limit, refused)

    def close(self) -> None:
        """Ends the process."""
        self._process.kill()
        self._process.join()

    def _start(self) -> None:
        # The child of a fork would have the parent's threads and locks.
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(self._name, self._tokenizer, theirs), daemon=True)
        self._process.start()
        theirs.close()
        self._pipe.recv()


def _serve(name: str, tokenizer: Path, pipe: Connection) -> None:
    compile_one = {"llguidance": _llguidance, "xgrammar": _xgrammar, "outlines-core": _outlines}[name](tokenizer)
    compile_one('{"type": "object", "properties": {"a": {"type": "integer"}}}')
    pipe.send("ready")
    while True:
        schema = pipe.recv()
        started = time.perf_counter()
        refused = None
        try:
            compile_one(schema)
        except BaseException as error:  # Panics of Rust code are no `Exception`s.
            refused = f"{type(error).__name__}: {str(error)[:200]}"
        pipe.send((time.perf_counter() - started, refused))


def _llguidance(tokenizer: Path) -> Compile:
    from llguidance import LLMatcher, LLTokenizer

    tokens = LLTokenizer(str(tokenizer))

    def compile_one(schema: str) -> None:
        if error := LLMatcher(tokens, LLMatcher.grammar_from_json_schema(schema)).get_error():
            raise ValueError(error)

    return compile_one


def _xgrammar(tokenizer: Path) -> Compile:
    import xgrammar

    names = _vocabulary(tokenizer)
    info = xgrammar.TokenizerInfo(
        names,
        vocab_type=xgrammar.VocabType.BYTE_LEVEL,
        vocab_size=len(names),
        stop_token_ids=[names.index("<|im_end|>")],
    )
    compiler = xgrammar.GrammarCompiler(info, max_threads=1, cache_enabled=False)

    def compile_one(schema: str) -> None:
        compiler.compile_json_schema(schema)

    return compile_one


def _outlines(tokenizer: Path) -> Compile:
    from outlines_core import Index, Vocabulary
    from outlines_core.json_schema import build_regex_from_schema

    spelled = _byte_alphabet()
    names = _vocabulary(tokenizer)
    tokens: dict[bytes, list[int]] = {}
    for number, name in enumerate(names):
        if all(char in spelled for char in name) and not name.startswith("<|"):
            tokens.setdefault(bytes(spelled[char] for char in name), []).append(number)
    vocabulary = Vocabulary(names.index("<|im_end|>"), tokens)

    def compile_one(schema: str) -> None:
        Index(build_regex_from_schema(schema), vocabulary)

    return compile_one


def _vocabulary(tokenizer: Path) -> list[str]:
    from tokenizers import Tokenizer

    return [token for token, _ in sorted(Tokenizer.from_file(str(tokenizer)).get_vocab().items(), key=lambda t: t[1])]


def _byte_alphabet() -> dict[str, int]:
    """The bytes that the characters of byte-level tokens stand for (as GPT-2 has them)."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}
