"""`python -m convert` in a checkout is `jaxdiff convert`."""

from jaxdiff_convert.cli import main

raise SystemExit(main())
