# The two products of BLAS that the kernels use, compiled with them so that a sanitizer sees every access that the
# contract of BLAS allows. Column-major; op(A) is (m, k), op(B) is (k, n). Included into a copy of _core.pyx.


cdef void dgemm(
    char* transa, char* transb, blas_int* m, blas_int* n, blas_int* k, double* alpha, double* a, blas_int* lda,
    double* b, blas_int* ldb, double* beta, double* c, blas_int* ldc,
) noexcept nogil:
    """C = alpha op(A) op(B) + beta C; C is not read where beta is 0."""
    cdef Py_ssize_t i, j, p
    cdef Py_ssize_t row_a = lda[0] if transa[0] == c"T" else 1
    cdef Py_ssize_t column_a = 1 if transa[0] == c"T" else lda[0]
    cdef Py_ssize_t row_b = ldb[0] if transb[0] == c"T" else 1
    cdef Py_ssize_t column_b = 1 if transb[0] == c"T" else ldb[0]
    cdef double total
    for j in range(n[0]):
        for i in range(m[0]):
            total = 0.0
            for p in range(k[0]):
                total = total + a[i * row_a + p * column_a] * b[p * row_b + j * column_b]
            total = alpha[0] * total
            if beta[0] != 0.0:
                total = total + beta[0] * c[i + j * <Py_ssize_t> ldc[0]]
            c[i + j * <Py_ssize_t> ldc[0]] = total


cdef void dsyrk(
    char* uplo, char* trans, blas_int* n, blas_int* k, double* alpha, double* a, blas_int* lda,
    double* beta, double* c, blas_int* ldc,
) noexcept nogil:
    """The lower triangle of C = alpha A Aᵀ + beta C, the only form in use."""
    cdef Py_ssize_t i, j, p
    cdef double total
    for j in range(n[0]):
        for i in range(j, n[0]):
            total = 0.0
            for p in range(k[0]):
                total = total + a[i + p * <Py_ssize_t> lda[0]] * a[j + p * <Py_ssize_t> lda[0]]
            total = alpha[0] * total
            if beta[0] != 0.0:
                total = total + beta[0] * c[i + j * <Py_ssize_t> ldc[0]]
            c[i + j * <Py_ssize_t> ldc[0]] = total
