"""What holds at one place: all subschemas that speak of a value, taken together, alternative by alternative.

References and `allOf` are followed until only facts and choices are left; then one alternative of each choice is taken
in turn. What contradicts itself on the way is dropped. Where that gives too many cases, a choice becomes a check.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from jaxdiff.errors import UnsupportedSchema
from jaxdiff.schema.normal.facts import TYPES, Atom, Facts, opposites
from jaxdiff.schema.normal.keywords import read
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.statements import Choice, Guard, Statement, Term

# Cases of one place that are looked at before further choices are left to checks.
MAX_CASES = 128
# With more branches than this, pairs are told apart by what they say of types and values at once, not by trying.
_MAX_TRIED_BRANCHES = 10
_MAX_TRIED_CASES = 16

Key = tuple[int, bool]


@dataclass(frozen=True, eq=False)
class Case:
    """All that holds in one alternative.

    choices: those not made yet. said: the subschemas looked at, in order, for what they say of themselves; the first
    `common` of them speak of all cases. seen: keys of the atoms that are in.
    """

    facts: tuple[Facts, ...] = ()
    choices: tuple[Choice, ...] = ()
    guards: tuple[Guard, ...] = ()
    said: tuple[Location, ...] = ()
    common: int = 0
    seen: frozenset[Key] = frozenset()

    @property
    def types(self) -> tuple[str, ...] | None:
        """The types that are left, in the order of who names them first; None where nothing is said of them."""
        left: tuple[str, ...] | None = None
        for facts in self.facts:
            if facts.types is not None:
                left = facts.types if left is None else tuple(name for name in left if name in facts.types)
        return left


class Conjunctions:
    """Takes apart what is said at a place. Keeps what was read.

    is_empty: whether a case without choices holds for no value, given the atoms that it came from; may say no for an
    empty one.
    """

    def __init__(self, is_empty: Callable[[Case, tuple[Atom, ...]], bool]):
        self._is_empty = is_empty
        self._statements: dict[Key, tuple[Atom, Statement]] = {}
        self._ending: set[int] = set()

    def cases(self, atoms: tuple[Atom, ...], limit: int = MAX_CASES) -> Iterator[Case]:
        """The cases in which all atoms hold, without open choices; a value of any of them satisfies all."""
        for atom in atoms:
            self._refuse_endless(atom.location, frozenset())
        start = self._absorb(Case(), atoms)
        if start is not None:
            yield from self._split(replace(start, common=len(start.said)), [limit])

    def common(self, atoms: tuple[Atom, ...]) -> tuple[Location, ...]:
        """The subschemas that speak of all cases, in order."""
        start = self._absorb(Case(), atoms)
        return () if start is None else start.said

    def _split(self, case: Case, left: list[int]) -> Iterator[Case]:
        if case.types == ():
            return
        # Listed values are tried against the whole, so that no choice is to be made.
        if not case.choices or any(facts.enum is not None for facts in case.facts):
            left[0] -= 1
            yield case
            return
        choice, *others = case.choices
        if left[0] <= 0:
            guards = tuple(Guard(frozenset(TYPES), open_choice.check) for open_choice in case.choices)
            yield replace(case, choices=(), guards=case.guards + guards)
            return
        rest = replace(case, choices=tuple(others))
        for terms, guard in self._alternatives(choice, rest):
            chosen = self._absorb(rest, terms)
            if chosen is not None:
                if guard is not None:
                    chosen = replace(chosen, guards=(*chosen.guards, guard))
                yield from self._split(chosen, left)

    def _absorb(self, case: Case, terms: Sequence[Term]) -> Case | None:
        """The case with the terms in it; None where they cannot hold."""
        facts, choices, guards, said = list(case.facts), list(case.choices), list(case.guards), list(case.said)
        seen = set(case.seen)
        waiting: list[Term] = list(reversed(terms))
        while waiting:
            term = waiting.pop()
            if isinstance(term, Facts):
                facts.append(term)
                continue
            if isinstance(term, Guard):
                guards.append(term)
                continue
            if term.impossible:
                return None
            if term.trivial or term.key in seen:
                continue
            seen.add(term.key)
            if not term.negated:
                said.append(term.location)
            statement = self._statement(term)
            if statement.facts:
                facts.append(statement.own_facts)
            choices += statement.choices
            guards += statement.guards
            waiting += reversed(statement.conjuncts)
        return Case(tuple(facts), tuple(choices), tuple(guards), tuple(said), case.common, frozenset(seen))

    def _refuse_endless(self, location: Location, around: frozenset[int]) -> None:
        """Raises UnsupportedSchema for a subschema that asks for itself of the same value: no validator ends there."""
        if isinstance(location.schema, bool) or id(location.schema) in self._ending:
            return
        if id(location.schema) in around:
            raise UnsupportedSchema("$ref", location.pointer, "a reference to itself without end")
        atom = Atom(location)
        statement = self._statement(atom)
        chosen = (term for choice in statement.choices for terms in choice.alternatives for term in terms)
        for term in (*statement.conjuncts, *chosen):
            if isinstance(term, Atom):
                self._refuse_endless(term.location, around | {id(location.schema)})
        self._ending.add(id(location.schema))

    def _statement(self, atom: Atom) -> Statement:
        found = self._statements.get(atom.key)
        if found is None:
            statement = self._opposite(atom) if atom.negated else read(atom.location)
            # The atom is kept with it, so that its key stays its own.
            found = self._statements[atom.key] = (atom, statement)
        return found[1]

    def _opposite(self, atom: Atom) -> Statement:
        """What a negated subschema says: a choice among the opposites of all that it says, or a check."""
        plain = self._statement(atom.opposite())
        nothing = Atom(atom.location.synthetic(False))
        facts = opposites(plain.own_facts, nothing)
        choices_named = all(_is_plain(choice) for choice in plain.choices)
        if facts is None or plain.guards or not choices_named:
            if (types := plain.own_facts.types) is None:
                return Statement(guards=[Guard(frozenset(TYPES), atom)])
            # Of another type nothing is to be checked.
            others = Facts(types=tuple(name for name in TYPES if name not in types))
            checked = (Facts(types=types), Guard(frozenset(TYPES), atom))
            return Statement(choices=[Choice(((others,), checked), atom)])
        alternatives: list[tuple[Term, ...]] = [(entry,) for entry in facts]
        alternatives += [(inner.opposite(),) for inner in plain.conjuncts]
        for choice in plain.choices:
            alternatives.append(tuple(term.opposite() for (term,) in choice.alternatives if isinstance(term, Atom)))
        return Statement(choices=[Choice(tuple(alternatives), atom)])

    def _alternatives(self, choice: Choice, rest: Case) -> Iterator[tuple[tuple[Term, ...], Guard | None]]:
        """What each alternative asks for, and what is left to check."""
        if not choice.exclusive:
            for terms in choice.alternatives:
                yield terms, None
            return
        branches = [terms[0] for terms in choice.alternatives if isinstance(terms[0], Atom)]
        guard = Guard(frozenset(TYPES), choice.check)
        checked: list[tuple[Term, ...]] = []
        disjoint = {
            pair
            for pair in itertools.combinations(range(len(branches)), 2)
            if self._disjoint(branches[pair[0]], branches[pair[1]], rest, len(branches))
        }
        for index, branch in enumerate(branches):
            exact: list[Term] = [branch]
            plain: list[Term] = []
            held = True
            for other_index, other in enumerate(branches):
                if index == other_index or tuple(sorted((index, other_index))) in disjoint:
                    continue
                if (opposite := self._few_opposites(branch, other, rest)) is not None:
                    exact.append(opposite)
                elif (difference := self._plain_difference(branch, other, rest)) is not None:
                    plain.append(difference)
                else:
                    held = False
            if held:
                yield (*exact, *plain), None
            if plain or not held:
                checked.append(tuple(exact))
        # What is told apart by a plain difference comes first; what is left of the branches needs the check.
        for terms in checked:
            yield terms, guard

    def _disjoint(self, one: Atom, other: Atom, rest: Case, count: int) -> bool:
        """Whether no value is seen to satisfy both and the rest."""
        both = self._absorb(replace(rest, choices=()), (one, other))
        if both is None or both.types == ():
            return True
        if count > _MAX_TRIED_BRANCHES and not any(facts.enum is not None or facts.required for facts in both.facts):
            return False
        # Not the whole: the choice itself would refuse what satisfies both.
        known = (one, other)
        cases = itertools.islice(self._split(both, [_MAX_TRIED_CASES]), _MAX_TRIED_CASES + 1)
        return all(count < _MAX_TRIED_CASES and self._is_empty(case, known) for count, case in enumerate(cases))

    def _few_opposites(self, branch: Atom, other: Atom, rest: Case) -> Atom | None:
        """The opposite of the other branch if it is one case beside the branch, or none, and nothing to check."""
        opposite = other.opposite()
        alone = self._absorb(replace(rest, choices=()), (branch,))
        beside = None if alone is None else self._absorb(replace(alone, choices=()), (opposite,))
        if alone is None or beside is None:
            return opposite
        known = (branch, opposite)
        alive = [case for case in self._split(beside, [_MAX_TRIED_CASES]) if not self._is_empty(case, known)]
        few = len(alive) <= 1 and all(len(case.guards) == len(alone.guards) for case in alive)
        return opposite if few else None

    def _plain_difference(self, branch: Atom, other: Atom, rest: Case) -> Facts | None:
        """What keeps objects of the branch from the other: names it must not have, or one that tells which it is."""
        base = replace(rest, choices=())
        ours, theirs = self._absorb(base, (branch,)), self._absorb(base, (other,))
        if ours is None or theirs is None:
            return None
        required = dict.fromkeys(name for facts in ours.facts for name in facts.required)
        theirs_alone = [name for facts in theirs.facts for name in facts.required if name not in required]
        if theirs_alone:
            nothing = Atom(branch.location.synthetic(False))
            return Facts(types=("object",), properties=dict.fromkeys(theirs_alone, nothing))
        for name in dict.fromkeys(name for facts in theirs.facts for name in facts.properties or ()):
            atoms = tuple(atom for facts in (*ours.facts, *theirs.facts) for atom in facts.child(name))
            if not any(True for case in self.cases(atoms, 1) if not self._is_empty(case, atoms)):
                return Facts(types=("object",), required=(name,))
        return None


def _is_plain(choice: Choice) -> bool:
    single = all(len(terms) == 1 and isinstance(terms[0], Atom) for terms in choice.alternatives)
    return single and not choice.exclusive
