"""The most probable accepted tokens of a slot in plain Python: position after position, state after state."""

import itertools
import math

import numpy as np

FLOOR = -1e5


def known_of(logits):
    """[V] logits of one position, forbidden where they are not a number."""
    return [-math.inf if math.isnan(x) else x for x in np.asarray(logits, np.float32).tolist()]


def scores_of(logits, table, null_id):
    """[V] float32 scores of one position: differences to the best that the table knows, never less than FLOOR."""
    known = known_of(logits)
    best = max(x for t, x in enumerate(known) if t == null_id or (t < len(table.classes) and table.classes[t]))
    found = []
    for x in known:
        if x == best:
            found.append(0.0)
        elif math.isinf(x) or math.isinf(best):
            found.append(FLOOR)
        else:
            found.append(min(0.0, max(x - best, FLOOR)))
    return np.array(found, np.float32)


def plain_best(table, logits, given, null_id):
    """(tokens, score) of the best accepted continuation of what is given (None where nothing is), or (None, -inf)."""
    length, states = len(logits), len(table.accepting)
    scores, known = [scores_of(row, table, null_id) for row in logits], [known_of(row) for row in logits]
    ways = [[t for t in range(len(table.classes)) if table.classes[t]] if g is None else [g] for g in given]
    refused = np.float32(-np.inf)
    ended = np.zeros(length + 1, np.float32)
    for i in reversed(range(length)):
        mine = (scores[i][null_id] if given[i] is None else np.float32(0)) if given[i] in (None, null_id) else refused
        ended[i] = mine + ended[i + 1]
    after = [np.float32(0) if accepting else refused for accepting in table.accepting]
    choices = []
    for i in reversed(range(length)):
        here, chosen = [], []
        for state in range(states):
            best, token = (ended[i], null_id) if table.accepting[state] else (refused, None)
            options = {}
            for t in ways[i]:
                kind = int(table.classes[t])
                score = scores[i][t] if given[i] is None else np.float32(0)
                if kind and (kind not in options or known[i][t] > known[i][options[kind][1]]):
                    options[kind] = (score, t)
            for kind, (score, t) in sorted(options.items()):
                target = int(table.transitions[state, kind])
                if target >= 0 and score + after[target] > best:
                    best, token = score + after[target], t
            here.append(best)
            chosen.append(token)
        after = here
        choices.append(chosen)
    if after[0] == refused:
        return None, -math.inf
    tokens, state = [], 0
    for chosen in reversed(choices):
        token = chosen[state]
        if token == null_id:
            return tokens + [null_id] * (length - len(tokens)), after[0]
        tokens.append(token)
        state = int(table.transitions[state, table.classes[token]])
    return tokens, after[0]


def brute_force(table, logits, given, null_id):
    """The highest sum of any accepted tokens, by trying all."""
    length, size = len(logits), len(table.classes)
    scores = [scores_of(row, table, null_id) for row in logits]
    best = -math.inf
    for tokens in itertools.product(range(size), repeat=length):
        if any(g is not None and g != t for g, t in zip(given, tokens, strict=True)):
            continue
        text = list(itertools.takewhile(lambda t: t != null_id, tokens))
        if any(t != null_id for t in tokens[len(text) :]) or not table.accepts(text):
            continue
        best = max(best, math.fsum(s[t] for s, t, g in zip(scores, tokens, given, strict=True) if g is None))
    return best
