"""Where the walk through a schema stands: what a place is called, whether it is required, and of what."""

from __future__ import annotations

from dataclasses import dataclass, replace

from jaxdiff.schema.fields import Standing, Step
from jaxdiff.schema.leaf_nodes import is_null
from jaxdiff.schema.normal.nodes import Union


@dataclass(frozen=True)
class Place:
    """Where a node stands.

    required_with: see `Field`; None where something above is optional and this is so in it. depth: levels that are left
    to go down. context: what the objects and lists around say of themselves. one_of_several: what one branch requires,
    another may lack. steps: the unions around, and inside of them the optional values. needed: what is there of the
    last of them has it.
    """

    name: str
    pointer: str
    required: bool
    required_with: str | None
    depth: int
    context: str = ""
    one_of_several: bool = False
    steps: tuple[Step, ...] = ()
    needed: bool = True

    def inside(self, name: str, token: str, required: bool) -> Place:
        """The place of a child: what is required of an optional parent goes with it."""
        always = required and not self.one_of_several
        parent = self.required_with or ("" if self.required else self.pointer)
        return Place(
            name, f"{self.pointer}/{token}", self.required and always, parent if always else None,
            self.depth - 1, self.context, steps=self.steps, needed=required,
        )  # fmt: skip

    def in_branch(self, union: Union, number: int) -> Place:
        """The place, of a union, as that of one of its branches."""
        several = len(union.branches) - sum(is_null(branch.node) for branch in union.branches) > 1
        steps, step = self.steps, Step(self.pointer, number, len(union.branches))
        if steps:
            steps = (*steps, replace(step, optional=not self.needed))
        elif several:
            steps = (replace(step, optional=not self.required, required_with=self.required_with or ""),)
        # What may be of another kind, or null, need not be of this one.
        return replace(self, required=False, required_with=None, one_of_several=several, steps=steps, needed=True)

    def entered(self) -> Place:
        """The place, of an object or a list, for what is inside of it."""
        return self._with_step(Step(self.pointer)) if self.steps and not self.needed else self

    def in_entry(self, number: int, needed: bool, name: str, half: str) -> Place:
        """The place, of a map, as that of the "key" or the "value" of an entry, which are there together."""
        found = self.inside(f"{name}.{half}", f"~{half}{number}", needed)
        step = Step(f"{self.pointer}/~entry{number}", optional=not needed)
        return found._with_step(step) if self.steps else found

    def standings(self, needed: bool) -> tuple[Standing, ...]:
        """Those of a field here. needed: whether it has a value wherever it is needed."""
        return (Standing(self.steps, self.needed and needed),) if self.steps else ()

    def _with_step(self, step: Step) -> Place:
        return replace(self, steps=(*self.steps, step), needed=True)
