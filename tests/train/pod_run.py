"""`python -m train` on fake devices: `pod_run.py DEVICES WORDS...`. One validation row: the packs would take hours."""

import sys

import jax

from jaxdiff.schema.tools import parse_tools
from jaxdiff_train import cli
from tests.train.reader_rows import ROWS

if __name__ == "__main__":
    jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
    cli.validation_rows = lambda: [(ROWS[0], parse_tools([ROWS[0].tool])[0])]
    sys.exit(cli.main(sys.argv[2:]))
