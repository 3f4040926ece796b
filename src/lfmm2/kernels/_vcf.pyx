# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Genotypes of one line of a VCF: the text of its sample columns in, dosages out.

A column is a list of fields with colons between them, of which GT is one. GT is alleles with / or | between them: 0 is
REF, 1 is ALT, and a dot is a missing allele.

    GT of a biallelic site      0/0   0/1   1/1   0   1   ./.  .  0/.  ./1
    copies of REF, the dosage    2     1     0    2   0       -1 (missing)

A haploid call counts as two copies of its allele, and a half call is missing, as in plink2.
"""

from libc.stdint cimport int8_t, uint8_t

#: Answers of `read_genotypes`: the line was read, or what is wrong with a column.
READ, FEW_COLUMNS, MANY_COLUMNS, BAD_CALL, HIGH_ALLELE, POLYPLOID = range(6)

cdef enum:
    _READ = 0
    _FEW_COLUMNS = 1
    _MANY_COLUMNS = 2
    _BAD_CALL = 3
    _HIGH_ALLELE = 4
    _POLYPLOID = 5


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
