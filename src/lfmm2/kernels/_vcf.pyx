# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Genotypes of one line of a VCF: the text of its sample columns in, dosages out, as calls or as numbers.

A column is a list of fields with colons between them, of which GT is one. GT is alleles with / or | between them: 0 is
REF, 1 is ALT, and a dot is a missing allele.

    GT of a biallelic site      0/0   0/1   1/1   0   1   ./.  .  0/.  ./1
    copies of REF, the dosage    2     1     0    2   0       -1 (missing)

A haploid call counts as two copies of its allele, and a half call is missing, as in plink2.

Numbers are expected copies of ALT: DS, or the probabilities GP of the genotypes, of which P(0/1) + 2 P(1/1) is taken.
"""

from libc.math cimport NAN, pow
from libc.stdint cimport int8_t, uint8_t

#: Answers of `read_genotypes` and `read_dosages`: the line was read, or what is wrong with a column.
READ, FEW_COLUMNS, MANY_COLUMNS, BAD_CALL, HIGH_ALLELE, POLYPLOID, BAD_NUMBER, OUT_OF_RANGE = range(8)

cdef enum:
    _READ = 0
    _FEW_COLUMNS = 1
    _MANY_COLUMNS = 2
    _BAD_CALL = 3
    _HIGH_ALLELE = 4
    _POLYPLOID = 5
    _BAD_NUMBER = 6
    _OUT_OF_RANGE = 7

# Amount by which a dosage may leave its range, for sums of probabilities in single precision; and by which the sum of
# probabilities may differ from 1, for those that are rounded to two digits.
cdef double _DOSAGE_ROUNDING = 2e-6
cdef double _SUM_ROUNDING = 0.0201
# Digits that a double holds; further ones change no number in single precision.
cdef enum:
    _MOST_DIGITS = 17


cdef inline int _read_call(const uint8_t* text, Py_ssize_t* at, Py_ssize_t end, int8_t* dosage_out) noexcept nogil:
    """Read the GT that begins at `at`; leave `at` at the byte behind it."""
    cdef Py_ssize_t i = at[0]
    cdef int n_alleles = 0
    cdef int n_ref = 0
    cdef int n_missing = 0
    cdef uint8_t c
    while True:
        if i >= end:
            return _BAD_CALL
        c = text[i]
        i += 1
        n_alleles += 1
        if c == b"0":
            n_ref += 1
        elif c == b".":
            n_missing += 1
        elif b"1" <= c <= b"9":
            if c != b"1" or (i < end and b"0" <= text[i] <= b"9"):
                return _HIGH_ALLELE
        else:
            return _BAD_CALL
        if i >= end or text[i] == b"\t" or text[i] == b":":
            break
        if text[i] != b"/" and text[i] != b"|":
            return _BAD_CALL
        i += 1
    at[0] = i
    if n_alleles > 2:
        return _POLYPLOID
    if n_missing:
        dosage_out[0] = -1
    elif n_alleles == 1:
        dosage_out[0] = 2 * n_ref
    else:
        dosage_out[0] = n_ref
    return _READ


cdef int _read_columns(
    const uint8_t* text, Py_ssize_t end, Py_ssize_t field, int8_t* dosages_out, Py_ssize_t n_samples,
    Py_ssize_t* sample_out,
) noexcept nogil:
    """Read all columns; leave the number of the last one that was begun in `sample_out`."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t sample, f
    cdef int answer
    for sample in range(n_samples):
        sample_out[0] = sample
        f = 0
        while f < field and i < end and text[i] != b"\t":
            if text[i] == b":":
                f += 1
            i += 1
        if f < field:
            # Fields at the end of a column may be left out, and are then missing.
            dosages_out[sample] = -1
        else:
            answer = _read_call(text, &i, end, &dosages_out[sample])
            if answer != _READ:
                return answer
        while i < end and text[i] != b"\t":
            i += 1
        if i >= end and sample + 1 < n_samples:
            return _FEW_COLUMNS
        i += 1
    return _READ if i > end else _MANY_COLUMNS


def read_genotypes(
    const uint8_t[::1] text,       # IN (n_bytes,)
    Py_ssize_t field,
    int8_t[::1] dosages_out,       # OUT (n_samples,)
):
    """Read the calls of all samples from the text of their columns.

    Parameters
    ----------
    text : bytes-like
        The columns of the samples, with tabs between them and without the end of the line.
    field : int
        Place of GT among the fields of FORMAT, from 0.
    dosages_out : ndarray of shape (n_samples,), int8, C-contiguous
        Overwritten with the copies of REF: 0, 1 or 2, and −1 where missing.

    Returns
    -------
    answer : int
        `READ`, or what is wrong: `FEW_COLUMNS` or `MANY_COLUMNS` if there are not as many as samples, `BAD_CALL` if a
        GT is none, `HIGH_ALLELE` if it has another allele than 0 and 1, `POLYPLOID` if it has more than two.
    sample : int
        The sample, from 0, whose column is wrong.
    """
    cdef Py_ssize_t sample = 0
    cdef int answer
    if not text.shape[0] or not dosages_out.shape[0]:
        return (READ if text.shape[0] == dosages_out.shape[0] else FEW_COLUMNS), 0
    with nogil:
        answer = _read_columns(&text[0], text.shape[0], field, &dosages_out[0], dosages_out.shape[0], &sample)
    return answer, sample


cdef inline bint _ends(const uint8_t* text, Py_ssize_t at, Py_ssize_t end) noexcept nogil:
    """Return True at the end of a field."""
    return at >= end or text[at] == b"\t" or text[at] == b":"


cdef inline bint _read_number(const uint8_t* text, Py_ssize_t* at, Py_ssize_t end, double* number_out) noexcept nogil:
    """Read a decimal number that begins at `at`; leave `at` at the byte behind it. Return False if there is none."""
    cdef Py_ssize_t i = at[0]
    cdef double mantissa = 0.0
    cdef int n_digits = 0
    cdef int n_used = 0
    cdef int exponent = 0
    cdef int stated = 0
    cdef int sign = 1
    cdef bint is_negative = False
    cdef bint is_behind = False
    if i < end and (text[i] == b"-" or text[i] == b"+"):
        is_negative = text[i] == b"-"
        i += 1
    while i < end and (b"0" <= text[i] <= b"9" or (text[i] == b"." and not is_behind)):
        if text[i] == b".":
            is_behind = True
        else:
            n_digits += 1
            if n_used < _MOST_DIGITS:
                mantissa = 10.0 * mantissa + (<int>text[i] - 48)
                n_used += mantissa > 0.0
                exponent -= is_behind
            else:
                exponent += not is_behind
        i += 1
    if not n_digits:
        return False
    if i < end and (text[i] == b"e" or text[i] == b"E"):
        i += 1
        if i < end and (text[i] == b"-" or text[i] == b"+"):
            sign = -1 if text[i] == b"-" else 1
            i += 1
        if i >= end or not b"0" <= text[i] <= b"9":
            return False
        while i < end and b"0" <= text[i] <= b"9":
            stated = min(10 * stated + (<int>text[i] - 48), 9999)
            i += 1
        exponent += sign * stated
    if exponent < 0 and exponent > -300:
        mantissa /= pow(10.0, -exponent)
    elif exponent:
        mantissa *= pow(10.0, exponent)
    number_out[0] = -mantissa if is_negative else mantissa
    at[0] = i
    return True


cdef int _read_probabilities(
    const uint8_t* text, Py_ssize_t i, Py_ssize_t end, double* dosage_out
) noexcept nogil:
    """Read GP at `i`: three probabilities, or two of a haploid; NaN if one is missing or all are 0."""
    cdef double[3] p
    cdef double total
    cdef int n = 0
    while True:
        if i < end and text[i] == b"." and (_ends(text, i + 1, end) or text[i + 1] == b","):
            dosage_out[0] = NAN
            return _READ
        if n == 3 or not _read_number(text, &i, end, &p[n]):
            return _BAD_NUMBER
        if not 0.0 <= p[n] <= 1.0 + _DOSAGE_ROUNDING:
            return _OUT_OF_RANGE
        n += 1
        if _ends(text, i, end):
            break
        if text[i] != b",":
            return _BAD_NUMBER
        i += 1
    if n < 2:
        return _BAD_NUMBER
    total = p[0] + p[1] + (p[2] if n == 3 else 0.0)
    if total == 0.0:
        dosage_out[0] = NAN
        return _READ
    if not -_SUM_ROUNDING <= total - 1.0 <= _SUM_ROUNDING:
        return _OUT_OF_RANGE
    dosage_out[0] = ((p[1] + 2.0 * p[2]) if n == 3 else 2.0 * p[1]) / total
    return _READ


cdef int _read_dosage(
    const uint8_t* text, Py_ssize_t call, Py_ssize_t number, Py_ssize_t end, bint is_probability, float* dosage_out,
    Py_ssize_t* n_called,
) noexcept nogil:
    """Read the dosage of a column whose GT and number begin at these places, −1 for none."""
    cdef double value = NAN
    cdef int8_t of_ref = -1
    cdef bint is_haploid = False
    cdef int answer = _READ
    if call >= 0:
        # The number of alleles tells the range of DS, so a GT is read also where its dosage is not needed.
        is_haploid = call < end and _ends(text, call + 1, end)
        answer = _read_call(text, &call, end, &of_ref)
        if answer != _READ:
            return answer
    if number >= 0 and not (number < end and text[number] == b"." and _ends(text, number + 1, end)):
        if is_probability:
            answer = _read_probabilities(text, number, end, &value)
            if answer != _READ:
                return answer
        else:
            if not _read_number(text, &number, end, &value) or not _ends(text, number, end):
                return _BAD_NUMBER
            if is_haploid:
                value *= 2.0
        if value < -_DOSAGE_ROUNDING or value > 2.0 + _DOSAGE_ROUNDING:
            return _OUT_OF_RANGE
    if value != value and of_ref >= 0:
        value = 2.0 - of_ref
        n_called[0] += 1
    dosage_out[0] = <float>value
    return _READ


cdef int _read_number_columns(
    const uint8_t* text, Py_ssize_t end, Py_ssize_t gt_field, Py_ssize_t field, bint is_probability,
    float* dosages_out, Py_ssize_t n_samples, Py_ssize_t* sample_out, Py_ssize_t* n_called,
) noexcept nogil:
    """Read all columns; leave the number of the last one that was begun in `sample_out`."""
    cdef Py_ssize_t i = 0
    cdef Py_ssize_t sample, f, call, number
    cdef int answer
    for sample in range(n_samples):
        sample_out[0] = sample
        call = number = -1
        f = 0
        while True:
            if f == gt_field:
                call = i
            if f == field:
                number = i
            while not _ends(text, i, end):
                i += 1
            if i >= end or text[i] == b"\t":
                break
            f += 1
            i += 1
        answer = _read_dosage(text, call, number, end, is_probability, &dosages_out[sample], n_called)
        if answer != _READ:
            return answer
        if i >= end and sample + 1 < n_samples:
            return _FEW_COLUMNS
        i += 1
    return _READ if i > end else _MANY_COLUMNS


def read_dosages(
    const uint8_t[::1] text,       # IN (n_bytes,)
    Py_ssize_t gt_field,
    Py_ssize_t field,
    bint is_probability,
    float[::1] dosages_out,        # OUT (n_samples,)
):
    """Read the expected copies of ALT of all samples from the text of their columns.

    Where a sample has no number, its GT is taken, as plink2 does. DS of a haploid (a GT of one allele, or of one dot)
    goes from 0 to 1 and is doubled.

    Parameters
    ----------
    text : bytes-like
        The columns of the samples, with tabs between them and without the end of the line.
    gt_field, field : int
        Places of GT, and of DS or GP, among the fields of FORMAT, from 0; −1 for none.
    is_probability : bool
        True for GP: probabilities of 0/0, 0/1 and 1/1 that add up to 1, or of two alleles of a haploid.
    dosages_out : ndarray of shape (n_samples,), float32, C-contiguous
        Overwritten with numbers from 0 to 2, NaN where missing.

    Returns
    -------
    answer : int
        `READ`, or what is wrong: as of `read_genotypes`, or `BAD_NUMBER` if a DS or GP is no number, `OUT_OF_RANGE` if
        it is no dosage, or these are no probabilities.
    sample : int
        The sample, from 0, whose column is wrong.
    n_called : int
        Number of samples whose GT was taken.
    """
    cdef Py_ssize_t sample = 0
    cdef Py_ssize_t n_called = 0
    cdef int answer
    if not text.shape[0] or not dosages_out.shape[0]:
        return (READ if text.shape[0] == dosages_out.shape[0] else FEW_COLUMNS), 0, 0
    with nogil:
        answer = _read_number_columns(
            &text[0], text.shape[0], gt_field, field, is_probability, &dosages_out[0], dosages_out.shape[0], &sample,
            &n_called,
        )
    return answer, sample, n_called
