"""What an answer's tokens say, by a plain look at all of them at once."""

from itertools import groupby

from jaxdiff.base.frozen import FrozenBase


def whole_text(
    base: FrozenBase, tokens: list[int], stop: tuple[str, ...], think: tuple[int, int] | None, thinking: bool = False
) -> tuple[str, str, bool]:
    """Thought, answer, and whether a stop string has ended it."""
    marked = []
    for token in tokens:
        if think is not None and token == think[thinking]:
            thinking = not thinking
            marked.append((None, token))
        else:
            marked.append((thinking, token))
    texts = {True: "", False: ""}
    after_tag = think is not None and bool(marked) and marked[0][0] is True
    for kind, group in groupby(marked, key=lambda pair: pair[0]):
        if kind is None:
            after_tag = True
            continue
        text = base.decode([token for _, token in group])
        text = text.lstrip() if after_tag else text
        if kind:
            texts[True] += text.rstrip()
            continue
        for end in range(len(text) + 1):
            complete = [stop for stop in stop if text[:end].endswith(stop)]
            if complete:
                return texts[True], texts[False] + text[: end - max(map(len, complete))], True
        texts[False] += text
    return texts[True], texts[False], False
