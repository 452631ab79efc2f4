"""`python -m train` in a checkout is `jaxdiff train`."""

from jaxdiff.runtime.huge_pages import restart_with_huge_pages

restart_with_huge_pages()

from jaxdiff_train.cli import main  # noqa: E402 - not before it is sure that this is the last start

raise SystemExit(main())
