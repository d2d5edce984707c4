"""Batches of map-style datasets: the same for any number of ranks and workers, and resumed anywhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from torch.utils.data import Sampler

from ktoformats.train.permutation import Permutation, Positions, seed_of
from ktoformats.train.state import Share, check_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sized

_MOST: Final = 2**63 - 1
_VERSION: Final = 1
_LONGEST: Final = 200
"""Characters of a name in a state."""
_REMAINDERS: Final = ("pad", "drop", "uneven")

Order = Literal["shuffle", "sequential"] | Callable[[int], Sequence[int] | Positions]
"""How an epoch is ordered; a function is given the epoch's seed and returns all positions in order."""
Remainder = Literal["pad", "drop", "uneven"]


@dataclass
class _Run:
    """One way through an epoch, which may begin in the middle of it."""

    epoch: int
    start: int
    """The global batches before it."""
    batch: int
    """The global batches before the next one."""
    begun: bool = False
    ended: bool = False


class ElasticBatchSampler(Sampler[list[int]]):
    """Batches of positions for `DataLoader(dataset, batch_sampler=...)`, one stream of global batches for all ranks.

    An epoch is an order of all samples, cut into global batches of `global_batch_size`. Each rank takes its
    consecutive part of every global batch. So which samples are trained on together depends on the seed, the epoch
    and the global batch size, and not on how many ranks or workers there are.

    A state says how many global batches are done. It may be loaded by any number of ranks that divides the global
    batch, takes less than a kibibyte, and is gone on from at once, however far it is.

    The first iteration is epoch 0, each one after it the next epoch, whether or not the last one was finished;
    `set_epoch` chooses. (torch's DistributedSampler gives the same order again unless `set_epoch` is called.)

    Args:
        dataset: Anything with a length. If it has a text `fingerprint`, a state holds for that data only.
        global_batch_size: Samples of a batch on all ranks together; a multiple of `num_replicas`.
        num_replicas: The number of ranks; None asks torch.distributed, and is 1 where that is not initialised.
        rank: Which of them this is; None as above, 0.
        order: `shuffle`, `sequential`, or a function that is given the epoch's seed (0 to 2**63 - 1) and returns
            all positions in order. Ranks must agree on it.
        seed: Another seed shuffles otherwise.
        remainder: What becomes of the last global batch where it would be short. `pad` fills it up with samples
            from the epoch's beginning; `drop` leaves it out; `uneven` deals out what there is as evenly as it goes,
            so that ranks may differ by one batch, and the first rank has the most.

    Raises:
        ValueError: An argument does not fit; the message names it.
    """

    def __init__(
        self,
        dataset: Sized,
        *,
        global_batch_size: int,
        num_replicas: int | None = None,
        rank: int | None = None,
        order: Order = "shuffle",
        seed: int = 42,
        remainder: Remainder = "pad",
    ) -> None:
        share = Share.of(num_replicas, rank)
        if global_batch_size < 1 or global_batch_size % share.num_replicas:
            raise ValueError(
                f"global_batch_size must be a multiple of num_replicas, got {global_batch_size} for "
                f"{share.num_replicas} ranks"
            )
        if not callable(order) and order not in ("shuffle", "sequential"):
            raise ValueError(f"order must be shuffle, sequential or a function, got {order!r}")
        if remainder not in _REMAINDERS:
            raise ValueError(f"remainder must be one of {', '.join(_REMAINDERS)}, got {remainder!r}")
        self._size = global_batch_size
        self._share = share
        self._order = order
        self._seed = seed
        self._remainder = remainder
        self._samples = len(dataset)
        data = getattr(dataset, "fingerprint", "")
        self._data = data[:_LONGEST] if isinstance(data, str) else ""
        self._run = _Run(0, 0, 0)

    def __len__(self) -> int:
        """The batches of this rank in a whole epoch."""
        whole, rest = divmod(self._samples, self._size)
        first, last = self._dealt(rest)
        return whole + (first < last)

    @property
    def padded(self) -> int:
        """How many samples an epoch repeats to fill its last global batch, over all ranks."""
        return -self._samples % self._size if self._remainder == "pad" else 0

    @property
    def dropped(self) -> int:
        """How many samples an epoch leaves out, over all ranks."""
        return self._samples % self._size if self._remainder == "drop" else 0

    @property
    def epoch(self) -> int:
        """The epoch of the iteration that is under way or was the last; before any, that of the next one."""
        return self._run.epoch

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, which is a whole one.

        Where a state was loaded that stands within this very epoch, the next iteration is the rest of it.

        Raises:
            ValueError: The epoch is negative.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        if self._run.begun or epoch != self._run.epoch:
            self._run = _Run(epoch, 0, 0)

    def __iter__(self) -> Iterator[list[int]]:
        run = self._next_run()  # when the first batch is asked for: DataLoader calls iter() more often than it reads
        order = self._order_of(run.epoch)
        for batch in range(run.start, len(self)):
            run.batch = batch + 1
            yield order(self._places_of(batch)).tolist()
        run.ended = True

    def state_dict(self, *, batches: int | None = None) -> dict[str, Any]:
        """Where this sampler stands, as JSON values; the same on all ranks that have done equally many batches.

        A DataLoader with workers asks for batches long before they are trained on. torchdata's StatefulDataLoader
        knows how many it has given out, and saves a state that fits. With torch's own DataLoader, count:

            for done, batch in enumerate(DataLoader(dataset, batch_sampler=sampler, num_workers=4), start=1):
                ...
                state = sampler.state_dict(batches=done)

        Args:
            batches: How many batches of this iteration were used; None takes all that were asked for.

        Raises:
            ValueError: This iteration has not given out so many.
        """
        run = self._run
        if batches is None and run.ended:
            return self._terms() | {"epoch": run.epoch + 1, "batch": 0}
        given = run.batch - run.start
        batches = given if batches is None else batches
        if not 0 <= batches <= given:
            raise ValueError(f"batches must be from 0 to {given}, as many as were asked for, got {batches}")
        return self._terms() | {"epoch": run.epoch, "batch": run.start + batches}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state: the next iteration is the rest of its epoch.

        Raises:
            ValueError: The state is none, or is of other data, or of a sampler with other arguments; the message
                names the key and both values. The numbers of ranks and workers may differ.
        """
        check_state(state, self._terms(), {"epoch": _MOST, "batch": self._batches()})
        self._run = _Run(state["epoch"], state["batch"], state["batch"])

    def _terms(self) -> dict[str, int | str]:
        """What a state must agree with."""
        return {
            "kind": type(self).__name__,
            "version": _VERSION,
            "data": self._data,
            "samples": self._samples,
            "seed": self._seed,
            "global_batch_size": self._size,
            "order": self._order if isinstance(self._order, str) else _name_of(self._order),
            "remainder": self._remainder,
        }

    def _next_run(self) -> _Run:
        if self._run.begun:
            self._run = _Run(self._run.epoch + 1, 0, 0)
        self._run.begun = True
        return self._run

    def _order_of(self, epoch: int) -> Callable[[Positions], Positions]:
        """The positions at given places of an epoch's order."""
        if self._order == "sequential":
            return lambda places: places
        seed = seed_of(self._seed, epoch)
        if callable(self._order):
            return _checked(self._order(seed), self._samples).__getitem__
        return Permutation(self._samples, seed).__getitem__

    def _places_of(self, batch: int) -> Positions:
        """Where in the epoch's order this rank's part of a global batch stands."""
        start = batch * self._size
        first, last = self._dealt(min(self._size, self._samples - start))
        return np.arange(start + first, start + last) % self._samples

    def _dealt(self, samples: int) -> tuple[int, int]:
        """This rank's part of a global batch of so many samples: from, up to."""
        rank, ranks = self._share
        if samples < self._size and self._remainder != "uneven":
            samples = self._size if samples and self._remainder == "pad" else 0
        each, more = divmod(samples, ranks)
        first = rank * each + min(rank, more)
        return first, first + each + (rank < more)

    def _batches(self) -> int:
        """The global batches of an epoch."""
        whole, rest = divmod(self._samples, self._size)
        return whole + (rest > 0 and self._remainder != "drop")


def _checked(order: Sequence[int] | Positions, samples: int) -> Positions:
    """An order that somebody's own function made, if it names every position once."""
    places = np.asarray(order)
    if places.shape == (samples,) and (np.issubdtype(places.dtype, np.integer) or not samples):
        places = places.astype(np.int64)
        if np.array_equal(np.sort(places), np.arange(samples)):
            return places
    raise ValueError(
        f"order returned shape {places.shape} of {places.dtype}, expected each of the positions 0..{samples - 1} once"
    )


def _name_of(function: Callable[..., Any]) -> str:
    """What a function is known by, also wrapped or as an object."""
    inner = getattr(function, "func", function)
    return f"function {getattr(inner, '__qualname__', type(inner).__qualname__)}"[:_LONGEST]
