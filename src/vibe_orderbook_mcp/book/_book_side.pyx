# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, binding=True, embedsignature=True
"""One side of an order book, compiled: the same as `book_side`, line for line if possible, only faster.

Three arrays, ascending by key: keys and sizes, which are doubles, and since when each level stands. The key is the
price of a bid and the negative price of an ask, so that the best level is the last one on both sides, and a change
near the touch moves little memory. `_book_side.pxd` declares them, for what else is compiled.

What moves memory calls nothing of Python: no foreign code can run while the arrays are being changed.
That is also why those functions are `noexcept`: there is nothing in them that could raise.
"""

from cpython.list cimport PyList_CheckExact, PyList_GET_SIZE, PyList_New
from cpython.mem cimport PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.object cimport PyObject
from libc.math cimport INFINITY
from libc.string cimport memcpy, memmove

# Borrowed references: of rows that are looked at while nothing of Python runs.
cdef extern from "Python.h":
    PyObject *PyList_GET_ITEM(PyObject *rows, Py_ssize_t place) noexcept
    void PyList_SET_ITEM(PyObject *rows, Py_ssize_t place, PyObject *value) noexcept  # takes the reference over
    bint PyTuple_CheckExact(PyObject *row) noexcept
    Py_ssize_t PyTuple_GET_SIZE(PyObject *row) noexcept
    PyObject *PyTuple_GET_ITEM(PyObject *row, Py_ssize_t place) noexcept
    bint PyFloat_CheckExact(PyObject *number) noexcept
    double PyFloat_AS_DOUBLE(PyObject *number) noexcept
    PyObject *PyFloat_FromDouble(double number) except NULL  # a new reference

cdef enum:
    LEAST_ROOM = 64
    RUN = 64  # this many new and removed levels are shifted at once

cdef enum Kind:
    PLAIN  # tuples of two floats
    OTHER  # something that may be turned into them
    WRONG  # numbers that are no level


cdef class BookSide:
    """See `book_side.BookSide`."""

    def __init__(self, side, levels=(), *, complete=True):
        self.side = side
        self._sign = 1.0 if side == "bid" else -1.0
        self._count = 0
        self.apply(sorted(dict(levels).items(), reverse=side == "ask"))
        self.horizon = None if complete or not self._count else self._sign * self._keys[0]

    def __dealloc__(self):
        PyMem_Free(self._keys)
        PyMem_Free(self._sizes)
        PyMem_Free(self._since_ms)

    def __deepcopy__(self, _memo):
        """Plain Python's is copied as any object; of memory only we know what is in it."""
        cdef BookSide other = BookSide.__new__(BookSide)
        other.side, other.horizon, other._sign = self.side, self.horizon, self._sign
        if self._count:
            other._make_room(self._count)
            memcpy(other._keys, self._keys, self._count * sizeof(double))
            memcpy(other._sizes, self._sizes, self._count * sizeof(double))
            memcpy(other._since_ms, self._since_ms, self._count * sizeof(long long))
            other._count = self._count
        return other

    def __len__(self):
        return self._count

    def apply(self, levels, long long event_ms=0):
        """Set each level to its new absolute size, 0 removes it; returns the sizes before."""
        cdef list rows = levels if PyList_CheckExact(levels) else list(levels)
        cdef Py_ssize_t count = PyList_GET_SIZE(rows)
        cdef list before = PyList_New(count)
        # From here on nothing of Python runs, unless the rows are not what the decoder makes.
        self._make_room(count)
        cdef Kind kind = _kind(rows, count)
        if kind == OTHER:
            return self.apply([(float(0.0 + price), float(0.0 + size)) for price, size in rows], event_ms)
        if kind == WRONG:
            raise ValueError(f"not levels: {rows!r:.200}")
        cdef Change changes[RUN]
        cdef int noted = 0
        cdef Py_ssize_t index, place = self._count
        cdef PyObject *row
        cdef double key, size, size_before, last_key = INFINITY
        for index in range(count):
            row = PyList_GET_ITEM(<PyObject *>rows, index)
            key = self._sign * PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(row, 0))
            size = PyFloat_AS_DOUBLE(PyTuple_GET_ITEM(row, 1))
            # Best first is how the exchange sends rows: as long as it holds, places found before a shift stay right.
            if not key < last_key or noted == RUN:
                self._shift(changes, noted, event_ms)
                noted, place = 0, self._count
            last_key = key
            place = _place(self._keys, place, key)
            size_before = 0.0
            if place < self._count and self._keys[place] == key:
                size_before = self._sizes[place]
                if size > 0.0:
                    self._sizes[place] = size
            if (size_before > 0.0) != (size > 0.0):
                changes[noted].place, changes[noted].step = place, 1 if size > 0.0 else -1
                changes[noted].key, changes[noted].size = key, size
                noted += 1
            PyList_SET_ITEM(<PyObject *>before, index, PyFloat_FromDouble(size_before))
        self._shift(changes, noted, event_ms)
        return before

    @property
    def best(self):
        """The best price, None on an empty side."""
        return self._sign * self._keys[self._count - 1] if self._count else None

    @property
    def sizes(self):
        """A copy: size by price."""
        cdef Py_ssize_t place
        return {self._sign * self._keys[place]: self._sizes[place] for place in range(self._count)}

    @property
    def prices(self):
        """A copy: all prices, ascending."""
        cdef Py_ssize_t place
        if self._sign > 0.0:
            return [self._keys[place] for place in range(self._count)]
        return [-self._keys[place] for place in range(self._count - 1, -1, -1)]

    def size_at(self, double price):
        """0 without a level."""
        return self._size_at(price)

    def since_ms(self, double price):
        """Time of the level's arrival; None without a level, or if it arrived before recording began."""
        cdef double key = self._sign * price
        cdef Py_ssize_t place = _place(self._keys, self._count, key)
        if place < self._count and self._keys[place] == key and self._since_ms[place]:
            return self._since_ms[place]
        return None

    def keep_best(self, Py_ssize_t count):
        """Forget the levels behind the best `count`: nobody says any more what stands there."""
        cdef Py_ssize_t left = max(count, 0)
        cdef Py_ssize_t surplus = self._count - left
        if surplus > 0:
            memmove(self._keys, self._keys + surplus, left * sizeof(double))
            memmove(self._sizes, self._sizes + surplus, left * sizeof(double))
            memmove(self._since_ms, self._since_ms + surplus, left * sizeof(long long))
            self._count = left
        self.horizon = self._sign * self._keys[0] if self._count and surplus >= 0 else None

    def keep_since(self, BookSide former not None):
        """Replace an older copy and keep its arrival times."""
        cdef Py_ssize_t place, other = 0
        for place in range(self._count):
            while other < former._count and former._keys[other] < self._keys[place]:
                other += 1
            if other < former._count and former._keys[other] == self._keys[place]:
                self._since_ms[place] = former._since_ms[other]

    def top(self, Py_ssize_t count):
        """The best `count` levels as (price, size), best first."""
        cdef Py_ssize_t place
        cdef Py_ssize_t stop = self._count - min(max(count, 0), self._count)
        return [(self._sign * self._keys[place], self._sizes[place]) for place in range(self._count - 1, stop - 1, -1)]

    def best_levels(self, Py_ssize_t count):
        """The best `count` prices, best first, and the sizes there."""
        cdef Py_ssize_t place
        cdef Py_ssize_t stop = self._count - min(max(count, 0), self._count)
        return (
            [self._sign * self._keys[place] for place in range(self._count - 1, stop - 1, -1)],
            [self._sizes[place] for place in range(self._count - 1, stop - 1, -1)],
        )

    def ladder(self, Py_ssize_t count):
        """The present best `count` levels."""
        cdef Ladder found = Ladder.__new__(Ladder, self.side)
        cdef Py_ssize_t place
        count = min(max(count, 0), self._count)
        found._make_room(count)
        for place in range(count):
            found._prices[place] = self._sign * self._keys[self._count - 1 - place]
            found._sizes[place] = self._sizes[self._count - 1 - place]
            found._since_ms[place] = self._since_ms[self._count - 1 - place]
        return found

    def count_to(self, double limit):
        """Number of levels between the best price and the limit, inclusive."""
        return self._count_to(limit)

    def is_beyond_horizon(self, double price):
        """Whether levels at this price are only known once they have changed."""
        return self.horizon is not None and self._sign * price < self._sign * <double>self.horizon

    def known_levels(self):
        """Number of levels within the horizon."""
        return self._count if self.horizon is None else self._count_to(self.horizon)

    def depth_to(self, limits):
        """Cumulative (base, quote) from the best price to each limit, inclusive. Limits go outwards."""
        cdef double base = 0.0, quote = 0.0
        cdef Py_ssize_t place = self._count, stop
        cdef list out = []
        for limit in limits:
            stop = self._count - self._count_to(limit)
            while place > stop:
                place -= 1
                base += self._sizes[place]
                quote += self._sign * self._keys[place] * self._sizes[place]
            out.append((base, quote))
        return out

    def sums_between(self, edges):
        """Base units from each edge up to the next one, which is not in it. Edges ascend."""
        cdef list limits = [float(edge) for edge in edges]  # nothing of Python runs while they are looked at
        cdef Py_ssize_t stretches = len(limits) - 1, index
        cdef list out = [0.0] * max(stretches, 0)
        cdef Py_ssize_t place
        cdef double limit, total
        if stretches < 1:
            return out
        if self._sign > 0.0:
            place = _place(self._keys, self._count, limits[stretches])
            for index in range(stretches - 1, -1, -1):
                limit, total = limits[index], 0.0
                while place and self._keys[place - 1] >= limit:
                    place -= 1
                    total += self._sizes[place]
                out[index] = total
        else:
            place = self._count_up_to(-<double>limits[0])
            for index in range(stretches):
                limit, total = -<double>limits[index + 1], 0.0
                while place and self._keys[place - 1] > limit:
                    place -= 1
                    total += self._sizes[place]
                out[index] = total
        return out

    cdef void _make_room(self, Py_ssize_t more) except *:
        """Allocate space for `more` levels first, so that an update cannot fail half-way."""
        cdef Py_ssize_t wanted = self._count + more
        cdef Py_ssize_t room = max(wanted, 2 * self._room, LEAST_ROOM)
        cdef void *grown
        if wanted <= self._room:
            return
        grown = PyMem_Realloc(self._keys, room * sizeof(double))
        if grown == NULL:
            raise MemoryError
        self._keys = <double *>grown
        grown = PyMem_Realloc(self._sizes, room * sizeof(double))
        if grown == NULL:
            raise MemoryError
        self._sizes = <double *>grown
        grown = PyMem_Realloc(self._since_ms, room * sizeof(long long))
        if grown == NULL:
            raise MemoryError
        self._since_ms = <long long *>grown
        self._room = room

    cdef void _shift(self, const Change *changes, int count, long long event_ms) noexcept:
        """Insert and remove levels, best first; levels between two changes move once, and only if needed.

        What moves up goes first, from the top, then what moves down, from the bottom: neither lands on what has yet to
        move. There is room for all that come.
        """
        cdef Py_ssize_t moved = 0, place
        cdef int each
        for each in range(count):
            moved += changes[each].step
        cdef Py_ssize_t total = moved
        for each in range(count):
            if moved > 0:
                self._move(changes, each, moved)
            moved -= changes[each].step
        for each in range(count - 1, -1, -1):
            if changes[each].step > 0:
                place = changes[each].place + moved
                self._keys[place], self._sizes[place] = changes[each].key, changes[each].size
                self._since_ms[place] = event_ms
            moved += changes[each].step
            if moved < 0:
                self._move(changes, each, moved)
        self._count += total

    cdef void _move(self, const Change *changes, int each, Py_ssize_t by) noexcept:
        """Move the levels between this change and the one before it, which is nearer to the best price."""
        cdef Py_ssize_t start = changes[each].place + (1 if changes[each].step < 0 else 0)
        cdef Py_ssize_t levels = (changes[each - 1].place if each else self._count) - start
        if levels > 0:
            memmove(self._keys + start + by, self._keys + start, levels * sizeof(double))
            memmove(self._sizes + start + by, self._sizes + start, levels * sizeof(double))
            memmove(self._since_ms + start + by, self._since_ms + start, levels * sizeof(long long))

    cdef double _size_at(self, double price) noexcept:
        cdef double key = self._sign * price
        cdef Py_ssize_t place = _place(self._keys, self._count, key)
        return self._sizes[place] if place < self._count and self._keys[place] == key else 0.0

    cdef Py_ssize_t _count_to(self, double limit) noexcept:
        return self._count - _place(self._keys, self._count, self._sign * limit)

    cdef Py_ssize_t _count_up_to(self, double key) noexcept:
        """Number of keys that are not greater."""
        cdef Py_ssize_t place = _place(self._keys, self._count, key)
        return place + 1 if place < self._count and self._keys[place] == key else place


cdef class Ladder:
    """See `book_side.Ladder`."""

    cdef readonly str side
    cdef double *_prices
    cdef double *_sizes  # behind the prices, in one piece of memory
    cdef long long *_since_ms  # behind the sizes
    cdef Py_ssize_t _count
    cdef double _sign

    def __cinit__(self, side, levels=()):
        self.side = side
        self._sign = 1.0 if side == "bid" else -1.0

    def __init__(self, side, levels=()):
        cdef Py_ssize_t place
        cdef list rows = [(float(price), float(size)) for price, size in levels]  # foreign code runs here, not below
        self._make_room(len(rows))
        for place in range(self._count):
            self._prices[place], self._sizes[place] = rows[place]
            self._since_ms[place] = 0

    def __dealloc__(self):
        PyMem_Free(self._prices)

    def __deepcopy__(self, _memo):
        return self  # never changed

    def __len__(self):
        return self._count

    def __iter__(self):
        return zip(*self.levels(0, self._count))

    def __getitem__(self, place):
        if isinstance(place, slice):
            return list(self)[place]
        cdef Py_ssize_t at = place
        if at < 0:
            at += self._count
        return self.price(at), self._sizes[at]

    def price(self, Py_ssize_t place):
        """The price at this index; 0 is the best. Raises IndexError."""
        if not 0 <= place < self._count:
            raise IndexError(place)
        return self._prices[place]

    def since_ms(self, double price):
        """Time of the level's arrival; None without a level, or if it arrived before recording began."""
        cdef Py_ssize_t place = self.count_to(price) - 1
        if place >= 0 and self._prices[place] == price and self._since_ms[place]:
            return self._since_ms[place]
        return None

    def levels(self, Py_ssize_t start, Py_ssize_t stop):
        """Prices and sizes from one index to another, like a slice."""
        cdef Py_ssize_t place
        start, stop = self._within(start), self._within(stop)
        return [self._prices[place] for place in range(start, stop)], [self._sizes[place] for place in range(start, stop)]

    def depth(self, Py_ssize_t count):
        """Base and quote units of the best `count` levels, or of all if there are fewer."""
        cdef double base = 0.0, quote = 0.0
        cdef Py_ssize_t place
        for place in range(self._within(count)):
            base += self._sizes[place]
            quote += self._prices[place] * self._sizes[place]
        return base, quote

    def parts(self, edges):
        """Base units from each of these indices to the next, each sum separate."""
        cdef list out = []
        cdef Py_ssize_t place, start = -1, stop
        cdef double base
        for edge in edges:
            stop = self._within(edge)
            if start >= 0:
                base = 0.0
                for place in range(start, stop):
                    base += self._sizes[place]
                out.append(base)
            start = stop
        return out

    def count_to(self, double limit):
        """Number of levels that are not beyond the limit."""
        cdef Py_ssize_t place = 0, count = self._count, half
        while count > 0:
            half = count >> 1
            if self._sign * self._prices[place + half] < self._sign * limit:
                count = half
            else:
                place += half + 1
                count -= half + 1
        return place

    def count_before(self, double limit, double edge):
        """Number of levels that are nearer than `limit` by more than `edge` of their price."""
        cdef Py_ssize_t place = 0, count = self._count, half
        cdef double factor = 1.0 - self._sign * edge
        while count > 0:
            half = count >> 1
            if self._sign * (self._prices[place + half] * factor) <= self._sign * limit:
                count = half
            else:
                place += half + 1
                count -= half + 1
        return place

    cdef Py_ssize_t _within(self, Py_ssize_t place) noexcept:
        return min(max(place, 0), self._count)

    cdef void _make_room(self, Py_ssize_t count) except *:
        PyMem_Free(self._prices)
        self._count = 0
        self._prices = <double *>PyMem_Malloc(max(count, 1) * (2 * sizeof(double) + sizeof(long long)))
        if self._prices == NULL:
            raise MemoryError
        self._sizes = self._prices + count
        self._since_ms = <long long *>(self._sizes + count)
        self._count = count


cdef Kind _kind(list rows, Py_ssize_t count) noexcept:
    cdef PyObject *row
    cdef PyObject *price
    cdef PyObject *size
    cdef Py_ssize_t index
    if PyList_GET_SIZE(rows) != count:
        return OTHER
    for index in range(count):
        row = PyList_GET_ITEM(<PyObject *>rows, index)
        if not PyTuple_CheckExact(row) or PyTuple_GET_SIZE(row) != 2:
            return OTHER
        price, size = PyTuple_GET_ITEM(row, 0), PyTuple_GET_ITEM(row, 1)
        if not PyFloat_CheckExact(price) or not PyFloat_CheckExact(size):
            return OTHER
        if not (0.0 < PyFloat_AS_DOUBLE(price) < INFINITY and 0.0 <= PyFloat_AS_DOUBLE(size) < INFINITY):
            return WRONG
    return PLAIN


cdef inline Py_ssize_t _place(const double *keys, Py_ssize_t count, double key) noexcept nogil:
    """Index of the first key that is not below `key`."""
    cdef Py_ssize_t place = 0, half
    while count > 0:
        half = count >> 1
        if keys[place + half] < key:
            place += half + 1
            count -= half + 1
        else:
            count = half
    return place
