cdef struct Change:
    Py_ssize_t place  # where the level stands, or would stand
    int step  # 1: it comes, -1: it goes
    double key
    double size


cdef class BookSide:
    cdef readonly str side
    cdef readonly object horizon
    cdef double *_keys  # prices of bids, negative prices of asks: the best is last
    cdef double *_sizes
    cdef long long *_since_ms  # exchange time of the event that put the level up; 0: it stood already
    cdef Py_ssize_t _count
    cdef Py_ssize_t _room
    cdef double _sign

    cdef void _make_room(self, Py_ssize_t more) except *
    cdef void _shift(self, const Change *changes, int count, long long event_ms) noexcept
    cdef void _move(self, const Change *changes, int each, Py_ssize_t by) noexcept
    cdef double _size_at(self, double price) noexcept
    cdef Py_ssize_t _count_to(self, double limit) noexcept
    cdef Py_ssize_t _count_up_to(self, double key) noexcept
