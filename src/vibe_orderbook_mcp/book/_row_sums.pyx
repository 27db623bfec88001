# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, embedsignature=True
"""Sums over the events of a second, compiled: the same as `row_sums`.

Functions that are `noexcept` work on C's numbers alone: there is nothing in them that could raise.
"""

from cpython.dict cimport PyDict_Size
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.math cimport fabs, fma, rint

from vibe_orderbook_mcp.book._book_side cimport BookSide

cdef enum:
    LEVELS = 10  # rows.MLOFI_LEVELS
    EXPONENTS = 23  # powers of ten that doubles hold exactly

cdef double SCALES[EXPONENTS]
for _exp in range(EXPONENTS):
    SCALES[_exp] = 10.0**_exp


cdef class HeldRows:
    """See `row_sums.HeldRows`. The rows' own objects are let go while they are still in a cache: half a second later,
    when they are settled, three arrays are read in a row instead of hundreds of objects all over memory."""

    cdef Py_ssize_t _count
    cdef double *_prices
    cdef double *_sizes
    cdef double *_before

    def __cinit__(self, levels, before):
        # Copies: what is no plain float may run anything while it is turned into one, and change the lists.
        cdef tuple rows = tuple(levels)
        cdef tuple olds = tuple(before)
        cdef Py_ssize_t place, count = len(rows)
        cdef tuple row
        if count != len(olds):
            raise ValueError("each row needs a size before")
        self._prices = <double *>PyMem_Malloc(max(1, 3 * count) * sizeof(double))
        if self._prices == NULL:
            raise MemoryError
        self._sizes = self._prices + count
        self._before = self._sizes + count
        for place in range(count):
            row = rows[place]
            if row is None or len(row) != 2:
                raise ValueError("a row is a price and a size")
            self._prices[place], self._sizes[place] = row[0], row[1]
            self._before[place] = olds[place]
        self._count = count

    def __dealloc__(self):
        PyMem_Free(self._prices)

    def __deepcopy__(self, _memo):
        return self  # never changed

    def __len__(self):
        return self._count

    def row(self, Py_ssize_t place):
        """Price, size and size before. Raises IndexError."""
        if not 0 <= place < self._count:
            raise IndexError(place)
        return self._prices[place], self._sizes[place], self._before[place]

    def names(self, double price):
        """Whether there is a row of this level."""
        cdef Py_ssize_t place
        for place in range(self._count):
            if self._prices[place] == price:
                return True
        return False

    def settle(self, dict watched not None, double least, double bound, bint is_bid):
        """The sums of the rows."""
        cdef Py_ssize_t place
        cdef bint has_watched = PyDict_Size(watched) > 0
        cdef double size, old, added = 0.0, cancelled = 0.0, sign = 1.0 if is_bid else -1.0
        cdef long adds = 0, cancels = 0, discovered = 0
        cdef list left_out = []
        bound *= sign
        for place in range(self._count):
            size, old = self._sizes[place], self._before[place]
            if size >= least > old or (has_watched and self._prices[place] in watched):
                left_out.append(place)
            elif old == 0.0 and sign * self._prices[place] < bound:
                discovered += 1
            elif size > old:
                added += size - old
                adds += 1
            elif size < old:
                cancelled += old - size
                cancels += 1
        return added, adds, cancelled, cancels, discovered, left_out


def on_grid(values, Py_ssize_t exp):
    """See `row_sums.on_grid`. Python's `round` goes through a decimal text, which costs ten times as much."""
    return tuple([_on_grid(value, exp) for value in values])


cdef double _on_grid(double value, Py_ssize_t exp) except *:
    cdef double scale, steps, whole
    if 0 <= exp < EXPONENTS:
        scale = SCALES[exp]
        steps = value * scale
        whole = rint(steps)
        # A whole number over a power of ten is the double nearest to that decimal. `fma` shows, without the rounding of
        # `steps`, that it is the nearest whole number; where that is close to a tie, or beyond what a double counts in
        # ones, `round` decides.
        if fabs(whole) < 4503599627370496.0 and fabs(fma(value, scale, -whole)) < 0.499:
            return whole / scale
    return round(value, exp)


cdef struct Ladder:
    Py_ssize_t count
    double keys[LEVELS]  # best first; the higher, the better, on both sides
    double sizes[LEVELS]


cdef class EventImbalance:
    """See `row_sums.EventImbalance`."""

    cdef Ladder _bids
    cdef Ladder _asks
    cdef Py_ssize_t _levels  # that both sides had after the last event; 0: there is no chain
    cdef Py_ssize_t _most  # levels of any event of this second
    cdef long _events
    cdef double _ofi[LEVELS]
    cdef double _depth[LEVELS]

    def __cinit__(self):
        self._levels = 0
        self._clear()

    def __deepcopy__(self, _memo):
        """Plain Python's is copied as any object."""
        cdef EventImbalance other = EventImbalance.__new__(EventImbalance)
        other._bids, other._asks, other._levels = self._bids, self._asks, self._levels
        other._most, other._events = self._most, self._events
        other._ofi[:], other._depth[:] = self._ofi, self._depth
        return other

    def observe(self, bids, asks):
        """The book after an event. While a side is empty or they touch there is no chain from event to event."""
        cdef Ladder bid_now, ask_now
        cdef Py_ssize_t level, levels, now
        _read(bids, &bid_now)
        _read(asks, &ask_now)
        now = min(bid_now.count, ask_now.count)
        if now and bid_now.keys[0] >= -ask_now.keys[0]:
            now = 0
        levels = min(self._levels, now)
        if levels:
            for level in range(levels):
                self._ofi[level] += _part(&self._bids, &bid_now, level) - _part(&self._asks, &ask_now, level)
                self._depth[level] += bid_now.sizes[level] + ask_now.sizes[level]
            self._events += 1
            self._most = max(self._most, levels)
        self._levels, self._bids, self._asks = now, bid_now, ask_now

    def break_chain(self):
        """The next event does not follow from the last one."""
        self._levels = 0

    def take(self):
        """Since the last call: number of events, their imbalance, and the sizes of both sides after each."""
        cdef Py_ssize_t level
        taken = (
            self._events,
            [self._ofi[level] for level in range(self._most)],
            [self._depth[level] for level in range(self._most)],
        )
        self._clear()
        return taken

    cdef void _clear(self) noexcept:
        cdef Py_ssize_t level
        self._events = self._most = 0
        for level in range(LEVELS):
            self._ofi[level] = self._depth[level] = 0.0


cdef int _read(side, Ladder *ladder) except -1:
    """The best levels of a side, compiled or not."""
    cdef BookSide compiled
    cdef Py_ssize_t level, last
    if isinstance(side, BookSide):
        compiled = <BookSide>side
        last = compiled._count - 1
        ladder.count = min(compiled._count, LEVELS)
        for level in range(ladder.count):
            ladder.keys[level] = compiled._keys[last - level]
            ladder.sizes[level] = compiled._sizes[last - level]
        return 0
    prices, sizes = side.best_levels(LEVELS)
    ladder.count = min(len(prices), len(sizes), LEVELS)
    for level in range(ladder.count):
        ladder.keys[level] = prices[level] if side.side == "bid" else -prices[level]
        ladder.sizes[level] = sizes[level]
    return 0


cdef inline double _part(const Ladder *before, const Ladder *now, Py_ssize_t level) noexcept:
    """The new size where the price got better, the change where it stayed, minus the old size where it got worse."""
    if now.keys[level] > before.keys[level]:
        return now.sizes[level]
    if now.keys[level] == before.keys[level]:
        return now.sizes[level] - before.sizes[level]
    return -before.sizes[level]
