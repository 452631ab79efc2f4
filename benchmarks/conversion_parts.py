"""What a conversion cannot be faster than, each measured alone: `python -m benchmarks.conversion_parts SRC FOLDER`.

Copying the source's files; staging its tensors as stacked arrays; orbax's own write of these arrays, with its default
handler of numpy arrays and, as in a conversion, without compression. Prints seconds as JSON and leaves nothing.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def main(src: Path, folder: Path) -> dict[str, float]:
    """Seconds of each part, imports not counted."""
    import orbax.checkpoint as ocp

    from jaxdiff_convert.params import assemble, nested
    from jaxdiff_convert.sources import open_source
    from jaxdiff_convert.staging import Staging

    seconds: dict[str, float] = {}

    @contextmanager
    def timed(part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[part] = time.perf_counter() - started

    with timed("copy"):
        if src.is_dir():
            shutil.copytree(src, folder / "copy")
        else:
            shutil.copyfile(src, folder / "copy")
    shutil.rmtree(folder / "copy") if src.is_dir() else (folder / "copy").unlink()
    source = open_source(src)
    with timed("staging"):
        leaves = assemble(source, source.dtype(), Staging(folder / "staging"), lambda done, total: None)
    handler = ocp.PyTreeCheckpointHandler(use_compression=False)
    with timed("orbax"), ocp.Checkpointer(handler) as checkpointer:
        checkpointer.save(folder.absolute() / "orbax", args=ocp.args.PyTreeSave(nested(leaves)))
    shutil.rmtree(folder / "orbax")
    shutil.rmtree(folder / "staging")
    return seconds


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), Path(sys.argv[2]))))
