"""CRC-32C (Castagnoli) at the speed of memory, on whichever kernel this processor can run.

    KERNEL   NEEDS                      IDEA
    vpclmul  AVX-512, VPCLMULQDQ        folds 256 bytes a step by carry-less multiplication
    sse42    SSE4.2, PCLMULQDQ          three interleaved crc32 streams, joined by multiplication
    armv8    the ARMv8 crc extension    one crc32c stream; chosen when compiled for it
    table    nothing                    eight tables, eight bytes a step

The kernel is chosen once, at import, by asking the processor: no compiler flag decides, and one
build runs everywhere.  Polynomial 0x1EDC6F41, reflected (0x82F63B78), inverted in and out.
Folding: V. Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ", Intel
2009.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from libc.stdint cimport uint8_t, uint32_t

cdef extern from *:
    """
    #include <stdint.h>
    #include <stddef.h>
    #include <string.h>

    typedef uint32_t (*hr_crc_kernel)(uint32_t, const uint8_t*, size_t);
    #define HR_CRC_POLY 0x82F63B78u

    /* x**n modulo the polynomial, bit-reflected: the constants of every shift and fold. */
    static uint32_t hr_crc_power(uint64_t n) {
        uint32_t v = 0x80000000u;
        while (n--) v = (v >> 1) ^ (HR_CRC_POLY & (0u - (v & 1)));
        return v;
    }

    static uint32_t hr_crc_tables[8][256];

    static void hr_crc_fill_tables(void) {
        for (uint32_t i = 0; i < 256; i++) {
            uint32_t c = i;
            for (int k = 0; k < 8; k++) c = (c >> 1) ^ (HR_CRC_POLY & (0u - (c & 1)));
            hr_crc_tables[0][i] = c;
        }
        for (int t = 1; t < 8; t++)
            for (int i = 0; i < 256; i++) {
                uint32_t c = hr_crc_tables[t - 1][i];
                hr_crc_tables[t][i] = (c >> 8) ^ hr_crc_tables[0][c & 255];
            }
    }

    static uint32_t hr_crc_table(uint32_t crc, const uint8_t* p, size_t n) {
        uint32_t c = ~crc;
        for (; n >= 8; p += 8, n -= 8) {
            /* Bytes are picked one by one, so the order of the machine does not matter. */
            c ^= (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
            c = hr_crc_tables[7][c & 255] ^ hr_crc_tables[6][(c >> 8) & 255]
              ^ hr_crc_tables[5][(c >> 16) & 255] ^ hr_crc_tables[4][c >> 24]
              ^ hr_crc_tables[3][p[4]] ^ hr_crc_tables[2][p[5]]
              ^ hr_crc_tables[1][p[6]] ^ hr_crc_tables[0][p[7]];
        }
        while (n--) c = (c >> 8) ^ hr_crc_tables[0][(c ^ *p++) & 255];
        return ~c;
    }

    #if defined(__x86_64__)
    #include <immintrin.h>
    #define HR_SSE42 __attribute__((target("sse4.2,pclmul")))
    #define HR_VPCLMUL __attribute__((target( \\
        "sse4.2,pclmul,avx512f,avx512bw,avx512dq,avx512vl,vpclmulqdq")))
    #define HR_LANE 1360 /* bytes of one of the three streams: a multiple of 8 */

    static uint32_t hr_shift_one_lane, hr_shift_two_lanes;
    static uint64_t hr_fold_2048[2], hr_fold_512[2];
    static uint64_t hr_fold_384[2], hr_fold_256[2], hr_fold_128[2];

    static void hr_fill_fold(uint64_t* pair, uint64_t distance_bits) {
        pair[0] = hr_crc_power(distance_bits + 31);
        pair[1] = hr_crc_power(distance_bits - 33);
    }

    static void hr_crc_fill_folds(void) {
        hr_shift_one_lane = hr_crc_power(8ull * HR_LANE - 33);
        hr_shift_two_lanes = hr_crc_power(16ull * HR_LANE - 33);
        hr_fill_fold(hr_fold_2048, 2048);
        hr_fill_fold(hr_fold_512, 512);
        hr_fill_fold(hr_fold_384, 384);
        hr_fill_fold(hr_fold_256, 256);
        hr_fill_fold(hr_fold_128, 128);
    }

    HR_SSE42 static inline uint32_t hr_crc_one_stream(uint32_t c, const uint8_t* p, size_t n) {
        uint64_t wide = c, v;
        for (; n >= 8; p += 8, n -= 8) { memcpy(&v, p, 8); wide = _mm_crc32_u64(wide, v); }
        c = (uint32_t)wide;
        while (n--) c = _mm_crc32_u8(c, *p++);
        return c;
    }

    HR_SSE42 static inline uint32_t hr_crc_shift(uint32_t c, uint32_t power) {
        __m128i product = _mm_clmulepi64_si128(
            _mm_cvtsi32_si128((int)c), _mm_cvtsi32_si128((int)power), 0);
        return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
    }

    HR_SSE42 static uint32_t hr_crc_sse42(uint32_t crc, const uint8_t* p, size_t n) {
        uint32_t c = ~crc;
        for (; n >= 3 * HR_LANE; p += 3 * HR_LANE, n -= 3 * HR_LANE) {
            uint64_t a = c, b = 0, d = 0, va, vb, vd;
            for (int i = 0; i < HR_LANE; i += 8) {
                memcpy(&va, p + i, 8);
                memcpy(&vb, p + HR_LANE + i, 8);
                memcpy(&vd, p + 2 * HR_LANE + i, 8);
                a = _mm_crc32_u64(a, va);
                b = _mm_crc32_u64(b, vb);
                d = _mm_crc32_u64(d, vd);
            }
            c = hr_crc_shift((uint32_t)a, hr_shift_two_lanes)
              ^ hr_crc_shift((uint32_t)b, hr_shift_one_lane) ^ (uint32_t)d;
        }
        return ~hr_crc_one_stream(c, p, n);
    }

    HR_VPCLMUL static inline __m512i hr_fold_wide(__m512i x, __m512i k, __m512i next) {
        return _mm512_ternarylogic_epi64(_mm512_clmulepi64_epi128(x, k, 0x00),
                                         _mm512_clmulepi64_epi128(x, k, 0x11), next, 0x96);
    }

    HR_VPCLMUL static inline __m128i hr_fold_narrow(__m128i x, const uint64_t* pair, __m128i next) {
        __m128i k = _mm_loadu_si128((const __m128i*)pair);
        return _mm_ternarylogic_epi64(_mm_clmulepi64_si128(x, k, 0x00),
                                      _mm_clmulepi64_si128(x, k, 0x11), next, 0x96);
    }

    HR_VPCLMUL static inline __m512i hr_spread(const uint64_t* pair) {
        return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i*)pair));
    }

    HR_VPCLMUL static uint32_t hr_crc_vpclmul(uint32_t crc, const uint8_t* p, size_t n) {
        uint32_t c = ~crc;
        if (n >= 256) {
            __m512i k = hr_spread(hr_fold_2048), k512 = hr_spread(hr_fold_512);
            __m512i x0 = _mm512_loadu_si512(p), x1 = _mm512_loadu_si512(p + 64);
            __m512i x2 = _mm512_loadu_si512(p + 128), x3 = _mm512_loadu_si512(p + 192);
            x0 = _mm512_xor_si512(x0, _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)c)));
            for (p += 256, n -= 256; n >= 256; p += 256, n -= 256) {
                x0 = hr_fold_wide(x0, k, _mm512_loadu_si512(p));
                x1 = hr_fold_wide(x1, k, _mm512_loadu_si512(p + 64));
                x2 = hr_fold_wide(x2, k, _mm512_loadu_si512(p + 128));
                x3 = hr_fold_wide(x3, k, _mm512_loadu_si512(p + 192));
            }
            x3 = hr_fold_wide(hr_fold_wide(hr_fold_wide(x0, k512, x1), k512, x2), k512, x3);
            __m128i last = _mm512_extracti32x4_epi32(x3, 3);
            last = hr_fold_narrow(_mm512_castsi512_si128(x3), hr_fold_384, last);
            last = hr_fold_narrow(_mm512_extracti32x4_epi32(x3, 1), hr_fold_256, last);
            last = hr_fold_narrow(_mm512_extracti32x4_epi32(x3, 2), hr_fold_128, last);
            c = (uint32_t)_mm_crc32_u64(_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(last)),
                                        (uint64_t)_mm_extract_epi64(last, 1));
        }
        return ~hr_crc_one_stream(c, p, n);
    }
    #endif

    #if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
    #include <arm_acle.h>
    static uint32_t hr_crc_armv8(uint32_t crc, const uint8_t* p, size_t n) {
        uint32_t c = ~crc;
        uint64_t v;
        for (; n >= 8; p += 8, n -= 8) { memcpy(&v, p, 8); c = __crc32cd(c, v); }
        while (n--) c = __crc32cb(c, *p++);
        return ~c;
    }
    #endif

    typedef struct { const char* name; hr_crc_kernel run; } hr_crc_entry;
    static hr_crc_entry hr_crc_entries[4];
    static int hr_crc_entry_count = 0;
    static hr_crc_kernel hr_crc_best = hr_crc_table;

    static void hr_crc_add(const char* name, hr_crc_kernel run) {
        hr_crc_entries[hr_crc_entry_count].name = name;
        hr_crc_entries[hr_crc_entry_count++].run = run;
    }

    /* Lists the kernels this processor can run, fastest first. */
    static void hr_crc_detect(void) {
        if (hr_crc_entry_count) return;
        hr_crc_fill_tables();
    #if defined(__x86_64__)
        hr_crc_fill_folds();
        __builtin_cpu_init();
        int has_sse42 = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
        if (has_sse42 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
            && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl")
            && __builtin_cpu_supports("vpclmulqdq"))
            hr_crc_add("vpclmul", hr_crc_vpclmul);
        if (has_sse42) hr_crc_add("sse42", hr_crc_sse42);
    #endif
    #if defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
        hr_crc_add("armv8", hr_crc_armv8);
    #endif
        hr_crc_add("table", hr_crc_table);
        hr_crc_best = hr_crc_entries[0].run;
    }
    """
    ctypedef uint32_t (*hr_crc_kernel)(uint32_t, const uint8_t*, size_t) noexcept nogil
    ctypedef struct hr_crc_entry:
        const char* name
        hr_crc_kernel run
    hr_crc_entry* hr_crc_entries
    int hr_crc_entry_count
    hr_crc_kernel hr_crc_best
    void hr_crc_detect() noexcept nogil

# Above this size another thread may run meanwhile; below, letting go costs more than the sum.
cdef enum:
    NOGIL_BYTES = 16384

hr_crc_detect()


cdef uint32_t crc32c_update(uint32_t crc, const uint8_t* p, size_t size) noexcept nogil:
    return hr_crc_best(crc, p, size)


def crc32c(data, uint32_t value=0):
    """The CRC-32C of `data` (any contiguous buffer), continuing from `value`, the CRC so far.

    May be called from any thread; the GIL is released from 16 KiB on.
    """
    return run_kernel(hr_crc_best, data, value)


def kernel_names():
    """The kernels this processor can run, fastest first; `crc32c` uses the first."""
    return tuple(hr_crc_entries[i].name.decode() for i in range(hr_crc_entry_count))


def crc32c_by_kernel(str kernel, data, uint32_t value=0):
    """`crc32c` on one of `kernel_names`, to compare them; ValueError for another name."""
    cdef int i
    for i in range(hr_crc_entry_count):
        if hr_crc_entries[i].name.decode() == kernel:
            return run_kernel(hr_crc_entries[i].run, data, value)
    raise ValueError(f"no kernel {kernel!r} here; this processor has {', '.join(kernel_names())}")


cdef object run_kernel(hr_crc_kernel run, data, uint32_t crc):
    cdef Py_buffer buffer
    PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE)
    try:
        if buffer.len < NOGIL_BYTES:
            crc = run(crc, <const uint8_t*>buffer.buf, buffer.len)
        else:
            with nogil:
                crc = run(crc, <const uint8_t*>buffer.buf, buffer.len)
    finally:
        PyBuffer_Release(&buffer)
    return crc
