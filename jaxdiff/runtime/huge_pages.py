"""Huge pages for large blocks of memory.

On a CPU, XLA takes the intermediate results of a program from the C library at every call and gives them back after
it, so that the kernel lays them out anew each time, 4 KiB by 4 KiB: a fifth of the time of a training step.
"""

import os
import sys

TUNABLES = "GLIBC_TUNABLES"


def restart_with_huge_pages() -> None:
    """Begins this program again, in the same process, with a C library that asks for huge pages.

    glibc (2.35 and newer) reads that when it starts and not later; others do not mind. Nothing happens elsewhere than
    on Linux, or where `GLIBC_TUNABLES` says something already. To be called first: what was done before is lost.
    """
    if sys.platform == "linux" and TUNABLES not in os.environ:
        os.environ[TUNABLES] = "glibc.malloc.hugetlb=1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
