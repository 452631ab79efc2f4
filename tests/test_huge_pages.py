"""A program begins again once, as the same process and with the same words, unless the C library was told something."""

import os
import subprocess
import sys

import pytest

from jaxdiff.runtime.huge_pages import TUNABLES

PROGRAM = f"""
import os, sys
from jaxdiff.runtime.huge_pages import restart_with_huge_pages
print("begins", os.getpid(), flush=True)
restart_with_huge_pages()
print(os.environ.get({TUNABLES!r}), sys.flags.dev_mode, sys.argv[1:], sys.stdin.read())
"""


def lines_of(**tunables):
    environment = {name: value for name, value in os.environ.items() if name != TUNABLES} | tunables
    command = [sys.executable, "-X", "dev", "-c", PROGRAM, "two words", "--out=x"]
    done = subprocess.run(command, env=environment, input="typed", capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.mark.skipif(sys.platform != "linux", reason="glibc is the C library of Linux alone")
def test_it_begins_again_once():
    first, second, told = lines_of()
    assert first == second and first.startswith("begins ")
    assert told == "glibc.malloc.hugetlb=1 True ['two words', '--out=x'] typed"


def test_what_the_user_says_stands():
    (_, told) = lines_of(**{TUNABLES: "glibc.malloc.check=0"})
    assert told.startswith("glibc.malloc.check=0 True")
