"""What a stopped run needs to go on: where it stood, and what must not have changed meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import torch.distributed

if TYPE_CHECKING:
    from collections.abc import Mapping

    Value = int | str | bool


class Share(NamedTuple):
    """Which of several ranks this process is."""

    rank: int
    num_replicas: int

    @classmethod
    def of(cls, num_replicas: int | None, rank: int | None) -> Share:
        """As given; what is None is asked of torch.distributed, and is the only rank where that is not initialised.

        Raises:
            ValueError: The numbers do not fit each other, or one of them is missing.
        """
        told = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not told and (rank is None) != (num_replicas is None):
            missing = "rank" if rank is None else "num_replicas"
            raise ValueError(f"{missing} is missing, and torch.distributed is not initialised; give both or none")
        if num_replicas is None:
            num_replicas = torch.distributed.get_world_size() if told else 1
        if rank is None:
            rank = torch.distributed.get_rank() if told else 0
        if not 0 <= rank < num_replicas:
            raise ValueError(f"rank must be from 0 to num_replicas - 1 = {num_replicas - 1}, got {rank}")
        return cls(rank, num_replicas)


def check_state(state: Any, own: Mapping[str, Value], places: Mapping[str, int]) -> None:
    """Judge a state before anything of it is used.

    Args:
        state: What somebody wants to go on from.
        own: What it must agree with, and where this came from: `{"seed": 42}`. Its first key says whose state it is.
        places: The other keys, which are numbers, each from 0 to this one.

    Raises:
        ValueError: The state is no such state, or disagrees; the message names the key and both values.
    """
    [kind, *_] = own.values()
    if not isinstance(state, dict):
        raise ValueError(f"the state of a {kind} is a dict, got {type(state).__name__}")  # noqa: TRY004 - one kind of error for all
    for key, value in own.items():
        if key not in state:
            raise ValueError(f"the state has no {key!r}, so it is not from a {kind}; its keys are {_shown(state)}")
        if type(state[key]) is not type(value) or state[key] != value:
            raise ValueError(f"the state has {key} {state[key]!r:.200}, this {kind} has {value!r:.200}")
    for key, largest in places.items():
        if key not in state:
            raise ValueError(f"the state has no {key!r}; its keys are {_shown(state)}")
        if type(state[key]) is not int or not 0 <= state[key] <= largest:
            raise ValueError(f"the state has {key} {state[key]!r:.200}, expected a whole number from 0 to {largest}")
    if unknown := state.keys() - own.keys() - places.keys():
        raise ValueError(f"the state has keys that this {kind} does not know: {_shown(unknown)}")


def _shown(keys: Any) -> str:
    return f"{', '.join(sorted(map(str, keys))):.200}" or "none"
