"""Sharing leases out: who of those that want one is to have it, so that all have about as many.

Every process works this out for itself from the same picture of the locks. A share that is fair is
left alone: none moves unless that brings two processes closer together.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Mapping, Set
from dataclasses import dataclass

Lease = int
Member = int
"""The id of the server's process for a connection: PostgreSQL's ``pid``."""


@dataclass(frozen=True, slots=True)
class Picture:
    """Who wants a lease that is shared out, and who holds any, as the server sees it."""

    wants: Mapping[Lease, Set[Member]]
    held: Mapping[Lease, Member]

    def without(self, members: Container[Member]) -> Picture:
        """The same if these wanted nothing; what they hold they keep."""
        wants = {
            lease: {each for each in theirs if each not in members}
            for lease, theirs in self.wants.items()
        }
        return Picture(wants, self.held)


def shares(
    picture: Picture, *, last: Member | None = None, ranks: Mapping[Lease, int] | None = None
) -> dict[Lease, Member]:
    """Who is to have each lease that somebody wants.

    One that is held goes to another only on a shortest way from a process to one that has two
    less; whoever holds it without wanting it keeps it. What is free goes to those that have the
    least, of equal ones to ``last`` last. Of those that may move, the ones with the smallest of
    ``ranks`` (0 if not given) do.
    """
    count = dict.fromkeys((member for theirs in picture.wants.values() for member in theirs), 0)
    owner: dict[Lease, Member] = {}
    for lease, member in picture.held.items():
        if member in picture.wants.get(lease, ()):
            owner[lease] = member
            count[member] += 1
    free = [
        lease for lease, theirs in picture.wants.items() if theirs and lease not in picture.held
    ]
    for lease in sorted(free, key=lambda each: (len(picture.wants[each]), each)):
        member = min(picture.wants[lease], key=lambda each: (count[each], each == last, each))
        owner[lease] = member
        count[member] += 1
    while moves := _moves(picture, owner, count, ranks or {}):
        for lease, member in moves:
            count[owner[lease]] -= 1
            count[member] += 1
            owner[lease] = member
    return owner


def _moves(
    picture: Picture,
    owner: Mapping[Lease, Member],
    count: Mapping[Member, int],
    ranks: Mapping[Lease, int],
) -> list[tuple[Lease, Member]]:
    """The fewest moves that take one from a process with many to one that has two less."""
    own: dict[Member, list[Lease]] = {member: [] for member in count}
    for lease in sorted(owner, key=lambda each: (ranks.get(each, 0), each)):
        own[owner[lease]].append(lease)
    least = min(count.values(), default=0)
    for start in sorted(count, key=lambda each: (-count[each], each)):
        if count[start] - least < 2:
            return []
        came: dict[Member, tuple[Member, Lease]] = {}
        waiting = deque([start])
        while waiting:
            giver = waiting.popleft()
            for lease in own[giver]:
                takers = [each for each in picture.wants[lease] if each not in came]
                for taker in sorted(takers, key=lambda each: (count[each], each)):
                    if taker == start:
                        continue
                    came[taker] = (giver, lease)
                    if count[taker] <= count[start] - 2:
                        return _way(came, start, taker)
                    waiting.append(taker)
    return []


def _way(
    came: Mapping[Member, tuple[Member, Lease]], start: Member, end: Member
) -> list[tuple[Lease, Member]]:
    moves = []
    while end != start:
        giver, lease = came[end]
        moves.append((lease, end))
        end = giver
    return moves
