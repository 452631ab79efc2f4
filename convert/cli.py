"""`jaxdiff convert`: which program a command line means."""

from __future__ import annotations

import sys

from jaxdiff.errors import JaxdiffError


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 done, 1 a comparison beyond the tolerance, 2 refused (one line on stderr says why)."""
    arguments = sys.argv[1:] if argv is None else argv
    try:
        return _run(arguments)
    except JaxdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("error: interrupted; nothing was changed", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    # Each imported when it is called for: together they load more than any of them needs.
    match arguments[:1]:
        case ["compare"]:
            from .compare_cli import compare_base

            return compare_base(arguments[1:])
        case ["head"]:
            from .head_cli import convert_head

            return convert_head(arguments[1:])
        case ["inspect"]:
            from .inspect_cli import inspect_path

            return inspect_path(arguments[1:])
        case ["export"]:
            from .export_cli import export

            return export(arguments[1:])
        case _:
            from .base_cli import convert_base

            return convert_base(arguments)
