# cython: language_level=3, wraparound=False, cdivision=True, initializedcheck=False, freethreading_compatible=True
"""Calls of biallelic SNPs in binary files: records of a BCF or alleles of a VCF Zarr in, dosages out; and packing.

A dosage is the copies of REF, or of A2 where calls are packed: 0, 1 or 2, and −1 where missing. A haploid call counts
as two copies of its allele, and a half call is missing, as in plink2.
"""

from libc.stdint cimport int8_t, int32_t, int64_t, uint8_t, uint16_t, uint32_t

#: Answers of `read_alleles`: calls were read, or what is wrong with one.
READ, HIGH_ALLELE, POLYPLOID, BAD_CALL = range(4)

cdef enum:
    _READ = 0
    _HIGH_ALLELE = 1
    _POLYPLOID = 2
    _BAD_CALL = 3

cdef enum:
    # Bytes of the two lengths before a record, and of the fields of fixed size at its beginning.
    _LENGTHS = 8
    _FIXED = 24
    # The type of a text of one letter, and the kind of texts and of nothing.
    _LETTER = 0x17
    _TEXT = 7
    # Two integers of a byte for each sample, and one integer of a byte.
    _TWO_BYTES = 0x21
    _ONE_BYTE = 0x11

# Two-bit codes of the dosages 0, 1 and 2 and of a missing call; the other bytes are none.
cdef enum:
    _WRONG = 0x80
cdef uint8_t[256] _CODES
for _byte in range(256):
    _CODES[_byte] = _WRONG
_CODES[0], _CODES[1], _CODES[2], _CODES[255] = 0b00, 0b10, 0b11, 0b01


cdef inline uint32_t _read_uint32(const uint8_t* at) noexcept nogil:
    """Return the little-endian number at a place."""
    return <uint32_t>at[0] | <uint32_t>at[1] << 8 | <uint32_t>at[2] << 16 | <uint32_t>at[3] << 24


cdef inline bint _is_letter(uint8_t c) noexcept nogil:
    return b"A" <= (c & 0xDF) <= b"Z"


cdef Py_ssize_t _read_record(
    const uint8_t* data, Py_ssize_t at, Py_ssize_t end, Py_ssize_t n_samples, uint8_t gt_key, const int8_t* table,
    int8_t* dosages_out, int64_t* facts_out,
) noexcept nogil:
    """Read the record at `at`, and return the place behind it; 0 if it is no plain one, or not complete."""
    cdef Py_ssize_t shared, calls, i, j, n_id
    cdef int8_t dosage
    cdef int8_t lowest = 0
    if end - at < _LENGTHS + _FIXED:
        return 0
    shared = at + _LENGTHS
    calls = shared + _read_uint32(data + at)
    i = calls + _read_uint32(data + at + 4)
    if i > end or calls < shared + _FIXED + 5 or i < calls + 3 + 2 * n_samples:
        return 0
    end = i
    facts_out[0] = <int32_t>_read_uint32(data + shared)
    facts_out[1] = <int32_t>_read_uint32(data + shared + 4)
    # Two alleles in the upper half of a number, and the samples in the lower 24 bits of the next one.
    if _read_uint32(data + shared + 16) >> 16 != 2 or (_read_uint32(data + shared + 20) & 0xFFFFFF) != n_samples:
        return 0
    i = shared + _FIXED
    n_id = data[i] >> 4
    if n_id == 15 or (n_id and (data[i] & 15) != _TEXT):
        return 0
    facts_out[2] = i + 1
    facts_out[3] = n_id
    i += 1 + n_id
    if i + 4 > calls or data[i] != _LETTER or data[i + 2] != _LETTER:
        return 0
    facts_out[4] = data[i + 1]
    facts_out[5] = data[i + 3]
    if not (_is_letter(data[i + 1]) and _is_letter(data[i + 3])):
        return 0
    if data[calls] != _ONE_BYTE or data[calls + 1] != gt_key or data[calls + 2] != _TWO_BYTES:
        return 0
    for j in range(n_samples):
        dosage = table[<uint16_t>data[calls + 3 + 2 * j] | <uint16_t>data[calls + 4 + 2 * j] << 8]
        dosages_out[j] = dosage
        if dosage < lowest:
            lowest = dosage
    return 0 if lowest < -1 else end


def read_bcf_records(
    const uint8_t[::1] data,       # IN (n_bytes,)
    Py_ssize_t at,
    Py_ssize_t gt_key,
    const int8_t[::1] table,       # IN (65536,)
    int8_t[:, ::1] dosages_out,    # OUT (n_snps, n_samples)
    int64_t[:, ::1] facts_out,     # OUT (n_snps, 6)
):
    """Read plain records of a BCF: biallelic SNPs whose first FORMAT field is GT, with two integers of a byte a sample.

    Parameters
    ----------
    data : bytes-like
        Decompressed bytes.
    at : int
        Place of the first record.
    gt_key : int
        Number of GT in the header, from 0 to 127.
    table : ndarray of shape (65536,), int8, C-contiguous
        Dosage by the two bytes of a call, the first in the lower bits; below −1 where a call is none.
    dosages_out : ndarray of shape (n_snps, n_samples), int8, C-contiguous
        Overwritten with the dosages of the records that are read.
    facts_out : ndarray of shape (n_snps, 6), int64, C-contiguous
        Overwritten with the number of the contig, the position from 0, the place of the ID in `data`, its length, and
        the letters of REF and ALT.

    Returns
    -------
    n_read : int
        Number of records that were read: up to the first one that is not plain or not complete, or n_snps.
    at : int
        Place behind them.
    """
    cdef Py_ssize_t n_read = 0
    cdef Py_ssize_t begin = at
    cdef Py_ssize_t end
    cdef Py_ssize_t n_samples = dosages_out.shape[1]
    if not data.shape[0] or not n_samples or not 0 <= gt_key < 128 or table.shape[0] < 65536 or at < 0:
        return 0, at
    if facts_out.shape[0] < dosages_out.shape[0] or facts_out.shape[1] < 6:
        return 0, at
    with nogil:
        while n_read < dosages_out.shape[0]:
            end = _read_record(
                &data[0], begin, data.shape[0], n_samples, <uint8_t>gt_key, &table[0], &dosages_out[n_read, 0],
                &facts_out[n_read, 0],
            )
            if not end:
                break
            begin = end
            n_read += 1
    return n_read, begin


cdef inline int _join_alleles(const int8_t* alleles, Py_ssize_t ploidy, int8_t* dosage_out) noexcept nogil:
    """Make the dosage of a call from its alleles."""
    cdef Py_ssize_t k
    cdef int n_alleles = 0
    cdef int n_ref = 0
    cdef bint is_missing = False
    for k in range(ploidy):
        if alleles[k] == -2:
            continue
        n_alleles += 1
        if alleles[k] > 1:
            return _HIGH_ALLELE
        if alleles[k] < -2:
            return _BAD_CALL
        if alleles[k] < 0:
            is_missing = True
        elif alleles[k] == 0:
            n_ref += 1
    if n_alleles > 2:
        return _POLYPLOID
    if is_missing or n_alleles == 0:
        dosage_out[0] = -1
    else:
        dosage_out[0] = 2 * n_ref if n_alleles == 1 else n_ref
    return _READ


def read_alleles(
    const int8_t[:, :, ::1] alleles,    # IN (n_snps, n_samples, ploidy)
    int8_t[:, ::1] dosages_out,         # OUT (n_snps, n_samples)
):
    """Make dosages from the alleles of all calls.

    Parameters
    ----------
    alleles : ndarray of shape (n_snps, n_samples, ploidy), int8, C-contiguous
        0 for REF and 1 for ALT, −1 for a missing allele, −2 where a call has fewer alleles than others.
    dosages_out : ndarray of shape (n_snps, n_samples), int8, C-contiguous
        Overwritten with the copies of REF: 0, 1 or 2, and −1 where missing.

    Returns
    -------
    answer : int
        `READ`, or what is wrong: `HIGH_ALLELE` if a call has an allele above 1, `BAD_CALL` if it has one below −2,
        `POLYPLOID` if it has more than two alleles.
    snp, sample : int
        The call that is wrong, from 0.
    """
    cdef Py_ssize_t n_snps = dosages_out.shape[0]
    cdef Py_ssize_t n_samples = dosages_out.shape[1]
    cdef Py_ssize_t ploidy = alleles.shape[2]
    cdef Py_ssize_t snp = 0
    cdef Py_ssize_t sample = 0
    cdef const int8_t* call
    cdef int answer = _READ
    if alleles.shape[0] < n_snps or alleles.shape[1] != n_samples or not ploidy:
        return BAD_CALL, 0, 0
    with nogil:
        for snp in range(n_snps):
            for sample in range(n_samples):
                call = &alleles[snp, sample, 0]
                if ploidy == 2 and (call[0] | call[1]) & 0xFE == 0:
                    # Both alleles are there, and each is 0 or 1, as in nearly all calls.
                    dosages_out[snp, sample] = 2 - call[0] - call[1]
                    continue
                answer = _join_alleles(call, ploidy, &dosages_out[snp, sample])
                if answer != _READ:
                    break
            if answer != _READ:
                break
    return answer, snp, sample


cdef Py_ssize_t _pack_row(const uint8_t* dosages, Py_ssize_t n_samples, uint8_t* packed_out) noexcept nogil:
    """Pack the dosages of a SNP; return the first one that is none, or −1."""
    cdef Py_ssize_t byte, sample
    cdef Py_ssize_t n_whole = n_samples // 4
    cdef uint8_t wrong = 0
    cdef uint8_t a, b, c, d
    for byte in range(n_whole):
        a, b = _CODES[dosages[4 * byte]], _CODES[dosages[4 * byte + 1]]
        c, d = _CODES[dosages[4 * byte + 2]], _CODES[dosages[4 * byte + 3]]
        wrong |= a | b | c | d
        packed_out[byte] = <uint8_t>(a | b << 2 | c << 4 | d << 6)
    if 4 * n_whole < n_samples:
        packed_out[n_whole] = 0
        for sample in range(4 * n_whole, n_samples):
            a = _CODES[dosages[sample]]
            wrong |= a
            packed_out[n_whole] |= <uint8_t>((a & 3) << 2 * (sample % 4))
    if wrong & _WRONG:
        for sample in range(n_samples):
            if _CODES[dosages[sample]] == _WRONG:
                return sample
    return -1


def pack_dosages(
    const uint8_t[:, ::1] dosages,     # IN (n_snps, n_samples)
    uint8_t[:, ::1] packed_out,        # OUT (n_snps, ceil(n_samples / 4))
):
    """Pack dosages as in a .bed: 0 → 00, 1 → 10, 2 → 11, missing → 01.

    Parameters
    ----------
    dosages : ndarray of shape (n_snps, n_samples), uint8, C-contiguous
        0, 1 or 2 copies of A2; 255 where missing.
    packed_out : ndarray of shape (n_snps, ceil(n_samples / 4)), uint8, C-contiguous
        Overwritten; the first of four samples in the lowest two bits, pad bits zero.

    Returns
    -------
    snp, sample : int
        The first dosage that is another number, from 0; −1 and −1 if there is none.
    """
    cdef Py_ssize_t n_samples = dosages.shape[1]
    cdef Py_ssize_t snp = 0
    cdef Py_ssize_t sample = -1
    if packed_out.shape[0] < dosages.shape[0] or packed_out.shape[1] != (n_samples + 3) // 4 or not n_samples:
        return -1, -1
    with nogil:
        for snp in range(dosages.shape[0]):
            sample = _pack_row(&dosages[snp, 0], n_samples, &packed_out[snp, 0])
            if sample >= 0:
                break
    return (snp if sample >= 0 else -1), sample
