"""Random features, labels and parameters of a tiny reader."""

import dataclasses

import jax
import numpy as np

from jaxdiff.diffusion.features import Canvas, Labels, QueryFeatures
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig

CONFIG = ReaderConfig.tiny()
RESERVED = ReaderConfig.tiny(canvas_vocab_size=50, mask_id=3, null_id=4)
SIZES = {"F": 3, "T": 7, "C": 4}
# Axes of each feature behind the rows; the last letter stands for a width of the configuration.
AXES = {
    "key_attention": ("FT", "attention"),
    "name_attention": ("FT", "attention"),
    "definition_attention": ("FT", "attention"),
    "token_logprob": ("FT", None),
    "token_states": ("T", "token_states"),
    "token_shape": ("T", "token_facts"),
    "token_matches": ("FT", "token_matches"),
    "key_states": ("F", "key_states"),
    "key_logprob": ("F", "telling"),
    "field_facts": ("F", "field_facts"),
    "candidate_attention": ("FC", "candidate_attention"),
    "candidate_facts": ("FC", "candidate_facts"),
}


def random_params(config: ReaderConfig = CONFIG, seed: int = 0):
    """Parameters of the usual size, none of them zero."""
    rng = np.random.default_rng(seed)

    def random(path, shape):
        name = path[-1].key
        if name.endswith("scale"):
            return np.float32(rng.uniform(1, 1.2, shape.shape))
        return np.float32(rng.normal(0, 0.7 * shape.shape[0] ** -0.5 if len(shape.shape) > 1 else 0.1, shape.shape))

    shapes = jax.eval_shape(lambda: reader.init(jax.random.key(0), config))
    return jax.tree_util.tree_map_with_path(random, shapes)


def random_embedding(config: ReaderConfig = CONFIG, seed: int = 1):
    return np.random.default_rng(seed).normal(0, 0.5, (config.vocab_size, config.embedding)).astype(np.float32)


def random_query(rng, rows: int, config: ReaderConfig = CONFIG, sizes: dict[str, int] = SIZES) -> QueryFeatures:
    """Rows of various length; what lies outside their masks is as random as the rest."""
    widths = dataclasses.asdict(config) | {"candidate_attention": 2 * config.attention}
    fields, tokens, candidates = (sizes[axis] for axis in "FTC")

    def values(axes, width):
        shape = (rows, *(sizes[axis] for axis in axes), *([] if width is None else [widths[width]]))
        return rng.normal(-0.5, 1, shape).astype(np.float32)

    def prefix(shape, size, least):
        return np.arange(size) < rng.integers(least, size + 1, (*shape, 1))

    field_mask = prefix((rows,), fields, 1)
    listed = rng.random((rows, fields, 1)) < 0.5
    return QueryFeatures(
        token_ids=rng.integers(0, config.vocab_size, (rows, tokens)).astype(np.int32),
        token_mask=prefix((rows,), tokens, 4),
        field_kind=rng.integers(0, config.kinds, (rows, fields)).astype(np.int32),
        field_mask=field_mask,
        candidate_mask=prefix((rows, fields), candidates, 1) & listed & field_mask[..., None],
        **{name: values(*axes) for name, axes in AXES.items()},
    )


def padded_query(query: QueryFeatures, rng, more: dict[str, int]) -> QueryFeatures:
    """The same rows behind more padding, which holds random values."""
    rows, fields, tokens = query.key_attention.shape[:3]
    sizes = {"F": fields, "T": tokens, "C": query.candidate_mask.shape[2]}
    outer = random_query(rng, rows, sizes={axis: size + more[axis] for axis, size in sizes.items()})

    def inside(small, large):
        large = np.zeros_like(large) if large.dtype == bool else large.copy()
        large[tuple(slice(n) for n in small.shape)] = small
        return large

    return jax.tree.map(inside, query, outer)


def random_canvas(rng, query: QueryFeatures, slot: int = 3, padding: int = 1) -> Canvas:
    """A slot for each field of each row, then padding."""
    rows, fields = query.field_mask.shape
    size = fields * slot + padding
    field, offset = np.full((rows, size), -1, np.int32), np.zeros((rows, size), np.int32)
    for row in range(rows):
        count = int(query.field_mask[row].sum()) * slot
        field[row, :count], offset[row, :count] = np.arange(count) // slot, np.arange(count) % slot
    return Canvas(field=field, offset=offset, exists=field >= 0)


def random_labels(rng, query: QueryFeatures, canvas: Canvas, config: ReaderConfig = CONFIG) -> Labels:
    """Labels that a row could have: no two spans over the same words, no mask among the tokens."""
    rows, fields = query.field_mask.shape
    start, end, candidate, copied = (np.full((rows, fields), -1, np.int32) for _ in range(4))
    presence = rng.random((rows, fields)) < 0.75
    presence &= query.field_mask
    for row in range(rows):
        length = int(query.token_mask[row].sum())
        cuts = np.sort(rng.choice(length + 1, min(length + 1, 2 * fields), replace=False))
        for i in np.flatnonzero(presence[row]):
            listed = int(query.candidate_mask[row, i].sum())
            if listed:
                candidate[row, i] = rng.integers(listed)
            elif 2 * i + 1 < len(cuts):
                start[row, i], end[row, i] = cuts[2 * i], cuts[2 * i + 1] - 1
                copied[row, i] = rng.integers(2)
    known = [i for i in range(config.canvas_vocab_size) if i != config.mask_id]
    tokens = rng.choice(known, canvas.field.shape).astype(np.int32)
    # Some of the tokens in no span say a further item.
    length = query.token_mask.shape[1]
    place = np.arange(length)[None, None]
    covered = ((start[..., None] <= place) & (place <= end[..., None]) & (start[..., None] >= 0)).any(1)
    further = rng.integers(-1, query.field_mask.sum(1)[:, None], (rows, length)).astype(np.int32)
    further = np.where(covered | ~query.token_mask, -1, further)
    return Labels(
        tokens=tokens, start=start, end=end, presence=presence, candidate=candidate, copied=copied, further=further
    )
