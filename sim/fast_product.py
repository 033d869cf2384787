"""Matrix products of integers held as float64: the arithmetic of grouped nests.

Every sum is an accumulator's, below 2**47, so the order of its terms does not matter.
"""

from __future__ import annotations

from sim.fast_vectors import WIDTH, compiled, load, multiply_add, scale_add, store


@compiled
def add_product(a, first, row_step, term_step, b, b_first, c, c_first, rows, columns, terms):
    """c += a @ b for `rows` x `columns` values over `terms`; `columns` is a multiple of WIDTH.

    a[first + row * row_step + term * term_step], b[b_first + term * columns + column],
    c[c_first + row * columns + column]. Six rows at once are what the registers of every CPU hold.
    """
    whole = rows // 6 * 6
    for column in range(0, columns, WIDTH):
        for row in range(0, whole, 6):
            place = c_first + row * columns + column
            s0, s1, s2 = load(c, place), load(c, place + columns), load(c, place + 2 * columns)
            s3, s4, s5 = load(c, place + 3 * columns), load(c, place + 4 * columns), load(c, place + 5 * columns)
            at, factor = first + row * row_step, b_first + column
            for _ in range(terms):
                values = load(b, factor)
                s0 = scale_add(s0, a, at, values)
                s1 = scale_add(s1, a, at + row_step, values)
                s2 = scale_add(s2, a, at + 2 * row_step, values)
                s3 = scale_add(s3, a, at + 3 * row_step, values)
                s4 = scale_add(s4, a, at + 4 * row_step, values)
                s5 = scale_add(s5, a, at + 5 * row_step, values)
                at += term_step
                factor += columns
            store(c, place, s0)
            store(c, place + columns, s1)
            store(c, place + 2 * columns, s2)
            store(c, place + 3 * columns, s3)
            store(c, place + 4 * columns, s4)
            store(c, place + 5 * columns, s5)
        for row in range(whole, rows):
            place = c_first + row * columns + column
            sum = load(c, place)
            at, factor = first + row * row_step, b_first + column
            for _ in range(terms):
                sum = scale_add(sum, a, at, load(b, factor))
                at += term_step
                factor += columns
            store(c, place, sum)


@compiled
def add_lanes(a, first, step, b, b_first, b_step, c, place, terms, lanes):
    """c[place + lane] += sum over terms of a[first + term * step + lane] * b[b_first + term * b_step + lane]."""
    whole = lanes // WIDTH * WIDTH
    for lane in range(0, whole, WIDTH):
        sum = load(c, place + lane)
        for term in range(terms):
            sum = multiply_add(sum, load(a, first + term * step + lane), load(b, b_first + term * b_step + lane))
        store(c, place + lane, sum)
    for lane in range(whole, lanes):
        sum = c[place + lane]
        for term in range(terms):
            sum += a[first + term * step + lane] * b[b_first + term * b_step + lane]
        c[place + lane] = sum
