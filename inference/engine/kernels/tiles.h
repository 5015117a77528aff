/* Products of small matrices in the layout that processors multiply fastest.
 *
 * Where there is a dot product of bfloat16 (AVX512-BF16), two neighbouring numbers are multiplied at once and
 * added to a sum in float32; elsewhere numbers are float32. Either way they come in units of four bytes: the
 * rows of the left matrix as they are, the right one with the numbers of a unit below each other.
 */

#pragma once

#include "numbers.h"

/* Numbers of a vector, and rows of a tile: TILE rows of SPAN sums stay in registers. */
#if defined(__AVX512F__)
#define LANES 16
#define TILE 12
#elif defined(__AVX2__)
#define LANES 8
#define TILE 6
#else
#define LANES 4
#define TILE 8
#endif
#define VECTORS 2
#define SPAN (VECTORS * LANES)

typedef float lanes __attribute__((vector_size(4 * LANES)));
/* What one multiplication takes of a row: PACK numbers, in the memory of their own type. */
typedef uint32_t __attribute__((may_alias)) unit;

#ifdef __AVX512BF16__
#include <immintrin.h>
#define PACK 2
typedef bf16 number;
static inline number rounded(float x) { return narrow(x); }
/* Units of a left matrix, and of a right one whose `next` row comes after `row`. */
static inline unit from_row(const bf16 *row) { return row[0] | (unit)row[1] << 16; }
static inline unit from_column(const bf16 *row, const bf16 *next) { return *row | (unit)*next << 16; }

static inline lanes add_products(lanes sums, const unit *one, const unit *many) {
    const __m512i both = _mm512_set1_epi32((int32_t)*one), pairs = _mm512_loadu_si512(many);
    return (lanes)_mm512_dpbf16_ps((__m512)sums, (__m512bh)both, (__m512bh)pairs);
}

/* rounded() of many, a multiple of LANES, by the processor. */
static inline void round_many(const float *from, number *to, int count) {
    for (int i = 0; i < count; i += LANES) {
        const __m256bh sixteen = _mm512_cvtneps_pbh(_mm512_loadu_ps(from + i));
        memcpy(to + i, &sixteen, sizeof sixteen);
    }
}
#else
#define PACK 1
typedef float number;
static inline number rounded(float x) { return x; }
static inline unit from_row(const bf16 *row) { return (unit)*row << 16; }
static inline unit from_column(const bf16 *row, const bf16 *next) { return (void)next, from_row(row); }

static inline lanes add_products(lanes sums, const unit *one, const unit *many) {
    float factor;
    lanes factors;
    memcpy(&factor, one, sizeof factor);
    memcpy(&factors, many, sizeof factors);
    return sums + factor * factors;
}

static inline void round_many(const float *from, number *to, int count) {
    memcpy(to, from, sizeof(float) * (size_t)count);
}
#endif

/* sums[TILE, SPAN] += left[TILE, steps] * right[steps, SPAN], in units. */
static inline __attribute__((always_inline)) void multiply_tile(const unit *left, int64_t left_width,
                                                                const unit *right, int64_t right_width,
                                                                int64_t steps, lanes sums[TILE][VECTORS]) {
    for (int64_t step = 0; step < steps; step++, left++, right += right_width)
#pragma GCC unroll 12
        for (int row = 0; row < TILE; row++)
#pragma GCC unroll 2
            for (int v = 0; v < VECTORS; v++)
                sums[row][v] = add_products(sums[row][v], left + row * left_width, right + v * LANES);
}
