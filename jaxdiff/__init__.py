"""Function calls by diffusion over a frozen language model, in JAX.

>>> agent = jaxdiff.Agent.load("default", tools=[...])
>>> result = agent("Book a table for four at Nonna Rosa tomorrow evening")
>>> result.calls[0].arguments
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jaxdiff.errors import JaxdiffError

if TYPE_CHECKING:
    from jaxdiff.agent.agent import Agent
    from jaxdiff.agent.conversation import Conversation
    from jaxdiff.agent.python_tools import tool
    from jaxdiff.base.store import load_base

__all__ = ["Agent", "Conversation", "JaxdiffError", "load_base", "tool"]

_PLACES = {
    "Agent": "jaxdiff.agent.agent",
    "Conversation": "jaxdiff.agent.conversation",
    "load_base": "jaxdiff.base.store",
    "tool": "jaxdiff.agent.python_tools",
}


def __getattr__(name: str) -> Any:
    # Loaded when first used: `import jaxdiff` alone does not wait for JAX.
    if name in _PLACES:
        import importlib

        return getattr(importlib.import_module(_PLACES[name]), name)
    raise AttributeError(f"module 'jaxdiff' has no attribute {name!r}")
