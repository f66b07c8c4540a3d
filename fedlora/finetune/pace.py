"""How many clients to train at once, found out from the work itself at a bounded cost."""

import math
from collections import defaultdict, deque

MARGIN = 0.03
"""Trials may cost this share of the time that one client after another takes."""

GAIN = 0.05
"""A larger group must save this share of the time to be chosen: what noise alone may show."""

FLOOR = 1 / 3
"""No group is taken to train slower than this, in speeds of one client after another."""

EARLIEST = 1 / 8
"""The share of a trial's work after which its speed is first judged."""

TRIES = 2
"""Timings before a size is judged, since the first may have paid for something else."""

CLEAR = 1.2
"""A whole group that is so much slower needs no second try, and none that is larger."""


class Pace:
    """The group size of one shape of work: 2, 4, 8, ... while each is faster than the one before.

    Where two at once gain nothing but lose little, the largest size is tried as well: what a group
    costs in itself may pay only among many.

    A trial begins once enough was trained that even a slow one keeps to `MARGIN`, and is given up
    when starting over is cheaper than going on. Time that larger groups save pays for further
    trials. A size that was found before is used at once, and compared with one client alone
    between two of its groups: one that was chosen in noise is not kept.

    Args:
        most: the largest size.
        believed: the size that was found before; 1 is sought anew, since that costs little.

    Attributes:
        settled: the size found, None while it is sought; never changes again.
    """

    def __init__(self, most: int, believed: int = 1) -> None:
        self.most = most
        self.settled: int | None = 1 if most == 1 else None
        self._believed = believed if 1 < believed <= most else None
        self._best = 1
        self._next = min(2, most)  # the size that is on trial
        # of each size, seconds an example in its latest groups
        self._rates: dict[int, deque[float]] = defaultdict(lambda: deque(maxlen=TRIES))
        self._alone = 0.0  # seconds that all the work takes one client after another
        self._lost = 0.0  # seconds that it took beyond that; negative where groups were faster

    def size(self, waiting: int, examples: float, steps: int) -> int:
        """The size of the next group.

        waiting: jobs that are left. examples, steps: what each of them trains on, epochs counted.
        """
        if self.settled is not None:
            return min(self.settled, waiting)
        if self._believed is not None:
            alone = self._rates[self._believed] and not self._rates[1]
            return 1 if alone else min(self._believed, waiting)
        if len(self._rates[1]) < TRIES:
            return 1
        early = math.ceil(EARLIEST * steps) / steps
        worst = self._next * examples * self._rate(1) * min(early / FLOOR, 1 / FLOOR - 1)
        if self._next <= waiting and worst <= MARGIN * self._alone - self._lost:
            return self._next
        return min(self._best, waiting)

    def hopeless(self, size: int, part: float, rate: float) -> bool:
        """Whether a group should be given up: starting over at the best size is cheaper.

        part: share of the group's work that is done. rate: its seconds an example so far.
        """
        trial = self.settled is None and self._believed is None and size == self._next
        return trial and part >= EARLIEST and part < 1 - self._rate(self._best) / rate

    def note(self, size: int, seconds: float, examples: float) -> None:
        """A group is trained; `examples` of all its jobs and epochs together."""
        if self.settled is not None:
            return
        if self._believed is not None:
            self._rates[size].append(seconds / examples)
            self._doubt(self._believed)
            return
        fair = seconds if size == 1 else self._rate(1) * examples
        self._alone += fair
        self._lost += seconds - fair
        self._rates[size].append(seconds / examples)
        self._judge(size, CLEAR)

    def given_up(self, size: int, seconds: float, examples: float) -> None:
        """A group was given up after so many examples, which count for nothing."""
        self._lost += seconds
        if self._believed is not None:
            self._forget()
        elif examples:
            self._rates[size].append(seconds / examples)
            self._judge(size, math.inf)

    def refused(self) -> None:
        """Jobs of this shape cannot be trained at once at all."""
        self.settled = 1

    def _rate(self, size: int) -> float:
        return min(self._rates[size])

    def _doubt(self, believed: int) -> None:
        """Settle what is believed, or forget it, once both ways were timed."""
        if not self._rates[1] or len(self._rates[believed]) < TRIES:
            return
        if self._rate(believed) <= (1 - GAIN) * self._rate(1):
            self.settled = believed
        else:
            self._forget()

    def _forget(self) -> None:
        self._believed = None
        self._rates.clear()

    def _judge(self, size: int, clear: float) -> None:
        if size != self._next:
            return
        rate, best = self._rate(size), self._rate(self._best)
        if len(self._rates[size]) < TRIES and rate < clear * best:
            return
        if rate <= (1 - GAIN) * best:
            self._best, self._next = size, min(2 * size, self.most)
            self.settled = size if size == self.most else None
        elif size == 2 < self.most and rate < CLEAR * best:
            self._next = self.most
        else:
            self.settled = self._best
