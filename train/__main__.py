"""`python -m train` in a checkout is `jaxdiff train`."""

from jaxdiff_train.cli import main

raise SystemExit(main())
