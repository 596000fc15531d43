"""What a line can cost at worst that a pattern almost takes: in how many ways its quantifiers may share the bytes between them.

Two quantifiers compete where one may take what the other takes, and nothing between them stops it: `[^ ]{1,64} [^ ]{1,64}` do not, for
the blank is in neither class; `.{1,64} .{1,64}` do, and cost 64 x 64 steps. It is an estimate from above: the product of the bounds of
those that compete at one place. What gives nothing back (possessive, atomic) does not compete behind its end.
"""

import re
from dataclasses import dataclass
from re import _compiler, _parser  # type: ignore[attr-defined] # see pattern.py
from typing import Any

LONGEST_TEXT = 8192  # stands for no bound: message.MAX_DATAGRAM_BYTES
GREEDY_OR_LAZY = {"MAX_REPEAT", "MIN_REPEAT"}
ONE_BYTE = {"LITERAL", "NOT_LITERAL", "IN", "ANY"}
EVERY_BYTE = bytes(range(256))
HOLDING = {"SUBPATTERN", "MAX_REPEAT", "MIN_REPEAT", "POSSESSIVE_REPEAT"}  # and their last argument is what they hold


@dataclass(frozen=True, slots=True)
class Rival:
    """A quantifier that may still give bytes back: which, and how many."""

    takes: frozenset[int]
    most: int


Rivals = tuple[Rival, ...]
_BYTES: dict[tuple[str, int], frozenset[int]] = {}  # what takes one byte -> the bytes that it takes


def steps(pattern: re.Pattern[bytes]) -> int:
    """How many ways there are to share a text among the quantifiers that compete, at most."""
    return _follow(_parser.parse(pattern.pattern, pattern.flags), (), pattern.flags)[1]


def may_run_over(pattern: re.Pattern[bytes], group: str) -> bool:
    """Whether a quantifier before the group may take all that stands between it and the group, so that a client's text can hold the group.

    A greedy one reaches for the last place that fits, but no further than its bound: a longer text of the client's moves the group.
    What gives nothing back is no better here, since its bound ends it within the client's text.
    """
    tree = _parser.parse(pattern.pattern, pattern.flags)
    ways = _before(_giving_back(tree), pattern.groupindex[group]) or ()
    return any(_follow(_parser.SubPattern(tree.state, way), (), pattern.flags)[0] for way in ways)


def _giving_back(tree: Any) -> Any:
    """The tree with what is possessive or atomic in it as greedy as the rest."""
    items: list[Any] = []
    for operation, argument in tree:
        name = str(operation)
        if name == "ATOMIC_GROUP":
            items += _giving_back(argument)
        elif name == "BRANCH":
            items.append((operation, (argument[0], [_giving_back(branch) for branch in argument[1]])))
        elif name in HOLDING:
            kept = _parser.MAX_REPEAT if name == "POSSESSIVE_REPEAT" else operation
            items.append((kept, (*argument[:-1], _giving_back(argument[-1]))))
        else:
            items.append((operation, argument))
    return _parser.SubPattern(tree.state, items)


def _before(tree: Any, number: int) -> list[list[Any]] | None:
    """What stands before a group, by each way that leads to it; None where it is not in the tree."""
    passed: list[Any] = []
    for operation, argument in tree:
        name = str(operation)
        if name == "SUBPATTERN" and argument[0] == number:
            return [passed]
        inside = argument[1] if name == "BRANCH" else [argument[-1]] if name in HOLDING else []
        if ways := [[*passed, *way] for branch in inside for way in _before(branch, number) or ()]:
            return ways
        passed.append((operation, argument))
    return None


def _follow(tree: Any, rivals: Rivals, flags: int) -> tuple[Rivals, int]:
    """The rivals behind a part of a pattern, of those before it and its own; and the most that competed at one place."""
    worst = _product(rivals)
    for operation, argument in tree:
        name = str(operation)
        if name in ONE_BYTE:
            rivals = _left(rivals, _bytes((operation, argument), tree.state, flags))
        elif name == "SUBPATTERN":
            rivals, inside = _follow(argument[3], rivals, flags)
            worst = max(worst, inside)
        elif name == "BRANCH":
            found = [_follow(branch, rivals, flags) for branch in argument[1]]
            rivals, worst = max((after for after, _ in found), key=_product), max(worst, *(inside for _, inside in found))
        elif name in GREEDY_OR_LAZY:
            rivals, inside = _repeated(argument, rivals, tree.state, flags)
            worst = max(worst, inside)
        elif name in ("ATOMIC_GROUP", "POSSESSIVE_REPEAT", "ASSERT", "ASSERT_NOT"):
            worst = max(worst, _follow(argument if name == "ATOMIC_GROUP" else argument[-1], rivals, flags)[1])
        worst = max(worst, _product(rivals))
    return rivals, worst


def _repeated(argument: Any, rivals: Rivals, state: Any, flags: int) -> tuple[Rivals, int]:
    least, most, inner = argument
    if len(inner) == 1 and str(inner[0][0]) in ONE_BYTE:
        takes = _bytes(inner[0], state, flags)
        after = (*(_left(rivals, takes) if least else rivals), *((Rival(takes, min(int(most), LONGEST_TEXT)),) if most > 1 else ()))
        return after, _product(after)
    after, worst = _follow(inner, rivals, flags)
    if most > 1:
        after = (*after, Rival(frozenset(range(256)), min(int(most), LONGEST_TEXT)))
    return (after if least else max(after, rivals, key=_product)), max(worst, _product(after))


def _left(rivals: Rivals, needed: frozenset[int]) -> Rivals:
    """Those that may have taken a byte that must come now."""
    return tuple(rival for rival in rivals if rival.takes & needed)


def _bytes(item: Any, state: Any, flags: int) -> frozenset[int]:
    key = (repr(item), flags)  # few are different, and each start of the daemon asks for thousands
    if key not in _BYTES:
        pattern = _compiler.compile(_parser.SubPattern(state, [item]), flags)
        _BYTES[key] = frozenset(found.start() for found in pattern.finditer(EVERY_BYTE))
    return _BYTES[key]


def _product(rivals: Rivals) -> int:
    product = 1
    for rival in rivals:
        product *= rival.most
    return product
