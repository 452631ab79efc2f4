"""Words of tools and queries, and how well they meet: BM25 (Robertson and Zaragoza, 2009) by `bm25s`."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxdiff.schema.tools import Tool

# Name, description, parameters, and all of it.
PARTS = 4
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# Endings that are dropped, so that "tables" meets "table", "boxes" meets "box" and "booking" meets "book".
_ENDING = re.compile(r"(?<=\w{3})(?:ing|ed|(?:(?<=ss)|(?<=x)|(?<=[cs]h))es|(?<!s)s)$")


def words(text: str) -> list[str]:
    """Lower-case words of text and identifiers ("bookTable", "book_table"), common endings dropped."""
    return [_ENDING.sub("", word.lower()) for word in _WORD.findall(text)]


class LexicalIndex:
    """The words of a list of tools."""

    def __init__(self, tools: Sequence[Tool]):
        self._count = len(tools)
        documents = [_documents(tool) for tool in tools]
        self._indexes = [_index([document[part] for document in documents]) for part in range(PARTS)]

    def scores(self, query: str) -> np.ndarray:
        """[N, PARTS] float32, the BM25 score of each part of each tool."""
        asked = words(query)
        found = np.zeros((self._count, PARTS), np.float32)
        for part, index in enumerate(self._indexes):
            known = [] if index is None else [word for word in asked if word in index.vocab_dict]
            if index is not None and known:
                found[:, part] = index.get_scores(known)
        return found


def _index(documents: list[list[str]]) -> Any:
    """A `bm25s.BM25`, or None where there are no words."""
    if not any(documents):
        return None
    # Its import starts JAX's devices, which must wait until the processes of a pod have met.
    import bm25s

    # It tells every step on stderr, and says so anew when it is imported.
    logging.getLogger("bm25s").setLevel(logging.WARNING)
    index = bm25s.BM25()
    index.index(documents, show_progress=False)
    return index


def _documents(tool: Tool) -> tuple[list[str], ...]:
    name, description = words(tool.name), words(tool.description)
    parameters: list[str] = []
    for field in tool.fields:
        parameters += words(field.name) + words(field.description)
        parameters += [word for value in field.candidates for word in words(str(value))]
    return name, description, parameters, name + description + parameters
