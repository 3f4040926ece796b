# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Probabilities of the genotypes of one SNP of a BGEN, of layout 2 and unpacked, made to dosages of the second allele.

    samples, alleles             uint32, uint16
    least and largest ploidy     a byte each
    for each sample              a byte: ploidy in the lowest six bits, the highest one is set where it is missing
    phased, bits                 a byte each: 1 or 0, and the bits B of a probability
    for each sample              its probabilities, B bits each and without gaps, in units of 1 / (2^B - 1)

With probabilities q of the first allele, or of the genotypes that have it, the dosage of the second one is

    diploid, not phased: q = P(11), P(12)                 2 - 2 P(11) - P(12)
    diploid, phased: q = P(1) of either chromosome        2 - q_1 - q_2
    haploid: q = P(1)                                     2 - 2 q, as a call of two copies

Reference: the BGEN specification, version 1.2.
"""

from libc.math cimport NAN
from libc.stdint cimport uint8_t, uint64_t

#: Answers of `decode_dosages`: the SNP was read, or what is wrong with it.
READ, SHORT, LONG, OTHER_SAMPLES, OTHER_ALLELES, BAD_BITS, POLYPLOID, ABOVE_ONE = range(8)

cdef enum:
    _READ = 0
    _SHORT = 1
    _LONG = 2
    _OTHER_SAMPLES = 3
    _OTHER_ALLELES = 4
    _BAD_BITS = 5
    _POLYPLOID = 6
    _ABOVE_ONE = 7
    _HEAD = 8
    _PLOIDY_BITS = 63
    _MISSING_BIT = 128


cdef inline uint64_t _read_bits(const uint8_t* data, Py_ssize_t at, int n_bits) noexcept nogil:
    """Read `n_bits`, at most 32, from the bit `at` on."""
    cdef Py_ssize_t first = at >> 3, last = (at + n_bits - 1) >> 3, i
    cdef uint64_t value = 0
    for i in range(last, first - 1, -1):
        value = value << 8 | data[i]
    return value >> (at & 7) & ((<uint64_t> 1 << n_bits) - 1)


cdef int _decode(
    const uint8_t* data, Py_ssize_t n_bytes, double* dosage_out, Py_ssize_t n, Py_ssize_t* sample_out
) noexcept nogil:
    """Decode all samples; leave the number of the last one that was begun in `sample_out`."""
    cdef const uint8_t* ploidies = data + _HEAD
    cdef const uint8_t* probabilities = data + _HEAD + n + 2
    cdef Py_ssize_t i, n_values = 0, at = 0
    cdef int n_bits, ploidy
    cdef bint is_phased
    cdef uint64_t largest, first, second
    cdef double unit
    if n_bytes < _HEAD + n + 2:
        return _SHORT
    if (data[0] | data[1] << 8 | data[2] << 16 | <uint64_t> data[3] << 24) != <uint64_t> n:
        return _OTHER_SAMPLES
    if (data[4] | data[5] << 8) != 2:
        return _OTHER_ALLELES
    is_phased, n_bits = data[_HEAD + n], data[_HEAD + n + 1]
    if data[_HEAD + n] > 1 or n_bits < 1 or n_bits > 32:
        return _BAD_BITS
    for i in range(n):
        ploidy = ploidies[i] & _PLOIDY_BITS
        if ploidy > 2:
            sample_out[0] = i
            return _POLYPLOID
        n_values += ploidy
    if (n_values * n_bits + 7) // 8 != n_bytes - (_HEAD + n + 2):
        return _SHORT if (n_values * n_bits + 7) // 8 > n_bytes - (_HEAD + n + 2) else _LONG
    largest = (<uint64_t> 1 << n_bits) - 1
    unit = 1.0 / largest
    for i in range(n):
        sample_out[0] = i
        ploidy = ploidies[i] & _PLOIDY_BITS
        first = second = 0
        if n_bits == 8:
            if ploidy:
                first = probabilities[at >> 3]
            if ploidy == 2:
                second = probabilities[(at >> 3) + 1]
        else:
            if ploidy:
                first = _read_bits(probabilities, at, n_bits)
            if ploidy == 2:
                second = _read_bits(probabilities, at + n_bits, n_bits)
        at += ploidy * n_bits
        if ploidies[i] & _MISSING_BIT or not ploidy:
            dosage_out[i] = NAN
        elif ploidy == 1:
            dosage_out[i] = 2 * (largest - first) * unit
        elif is_phased:
            dosage_out[i] = (2 * largest - first - second) * unit
        elif first + second > largest:
            return _ABOVE_ONE
        else:
            dosage_out[i] = (2 * (largest - first) - second) * unit
    return _READ


def decode_dosages(
    const uint8_t[::1] data,       # IN (n_bytes,)
    double[::1] dosage_out,        # OUT (n_samples,)
):
    """Decode the dosages of the second allele of one SNP.

    Parameters
    ----------
    data : bytes-like
        The data of the SNP, unpacked.
    dosage_out : ndarray of shape (n_samples,), float64, C-contiguous
        Overwritten with numbers from 0 to 2, NaN where missing.

    Returns
    -------
    answer : int
        `READ`, or what is wrong: `SHORT` or `LONG` if there are fewer or more bytes than its samples need,
        `OTHER_SAMPLES` or `OTHER_ALLELES` if their number is not that of `dosage_out` or 2, `BAD_BITS` if a
        probability has none or more than 32, `POLYPLOID` if a sample has a ploidy above 2, `ABOVE_ONE` if the
        probabilities of one add up to more than 1.
    sample : int
        The sample, from 0, at which that was found.
    """
    cdef Py_ssize_t sample = 0
    cdef int answer
    if not data.shape[0] or not dosage_out.shape[0]:
        return SHORT, 0
    with nogil:
        answer = _decode(&data[0], data.shape[0], &dosage_out[0], dosage_out.shape[0], &sample)
    return answer, sample
