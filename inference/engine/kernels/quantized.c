/* Linear layers with weights in 8 or 4 bits.
 *
 * Weights are stored as whole numbers without a sign, GROUP inputs of one output sharing a scale and
 * an offset: weight = number * scale + offset. Inputs are rounded to 8 bits with a sign, GROUP of them
 * sharing a scale, as llama.cpp does it: an outlier spoils its group only. So the sum over a group is
 *     input scale * (scale * sum(number * input) + offset * sum(input)),
 * whose sums of whole numbers are exact.
 *
 * Outputs come in blocks of LANES. A block holds for each group: LANES scales and LANES offsets in
 * bfloat16, then the numbers, four inputs of each output after the other as the processor's dot product
 * takes them; in 4 bits a byte holds the numbers of two such quadruples, the first in its lower half.
 */

#include "numbers.h"

#define GROUP 32
#define LANES 16
#define QUADS (GROUP / 4)
/* Rows that are multiplied by a group at once: as many as there are registers for. */
#define TILE 8
/* Bytes to ask the memory for ahead of their use. */
#define AHEAD 4096

typedef struct {
    const uint8_t *blocks;
    const float *bias; /* [outputs], or none */
    int64_t outputs, inputs, bits;
} Quantized;

static inline int64_t block_bytes(int64_t bits) { return 4 * LANES + GROUP * LANES * bits / 8; }

/* Whether multiply() can be called at all. */
int can_multiply(void) {
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    return 1;
#else
    return 0;
#endif
}

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

/* Rows in 8 bits: numbers[rows, size], and for each group its scale and scale * sum. What is no number
 * makes both none. */
static void quantize(const bf16 *restrict inputs, int8_t *restrict numbers, float *restrict scales,
                     float *restrict sums, int64_t groups) {
    for (int64_t group = 0; group < groups; group++, inputs += GROUP, numbers += GROUP) {
        /* Without their signs numbers are in the order of their bits, and what is none comes last. */
        bf16 most = 0;
#pragma omp simd reduction(max : most)
        for (int64_t i = 0; i < GROUP; i++) {
            bf16 absolute = inputs[i] & 0x7fff;
            most = absolute > most ? absolute : most;
        }
        if (most >= 0x7f80) {
            /* Rounded it would be a number like any other, and nobody would know. */
            memset(numbers, 0, GROUP);
            scales[group] = sums[group] = NAN;
            continue;
        }
        float largest = fmaxf(widen(most), 1e-20f);
        float inverse = 127.0f / largest;
        int32_t sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < GROUP; i++) {
            int32_t number = (int32_t)nearbyintf(widen(inputs[i]) * inverse);
            numbers[i] = (int8_t)number;
            sum += number;
        }
        scales[group] = largest / 127.0f;
        sums[group] = scales[group] * (float)sum;
    }
}

static inline __m512 widen_lanes(const uint8_t *numbers) {
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)numbers)), 16));
}

/* The numbers of one group of a block: QUADS vectors of four inputs of each of LANES outputs. */
static inline __attribute__((always_inline)) void unpack(const uint8_t *packed, const int64_t bits,
                                                         __m512i quads[QUADS]) {
    const __m512i half = _mm512_set1_epi8(0x0f);
    if (bits == 8) {
        for (int quad = 0; quad < QUADS; quad++) quads[quad] = _mm512_loadu_si512(packed + 64 * quad);
        return;
    }
    for (int pair = 0; pair < QUADS / 2; pair++) {
        __m512i both = _mm512_loadu_si512(packed + 64 * pair);
        quads[2 * pair] = _mm512_and_si512(both, half);
        quads[2 * pair + 1] = _mm512_and_si512(_mm512_srli_epi16(both, 4), half);
    }
}

/* LANES outputs of `rows` rows, at most TILE. */
static inline __attribute__((always_inline)) void multiply_tile(
    const Quantized *layer, const int64_t bits, const uint8_t *block, const int8_t *numbers,
    const float *scales, const float *sums, const int rows, __m512 results[TILE]) {
    const int64_t groups = layer->inputs / GROUP;
    for (int row = 0; row < rows; row++) results[row] = _mm512_setzero_ps();
    for (int64_t group = 0; group < groups; group++, block += block_bytes(bits)) {
        for (int64_t line = 0; line < block_bytes(bits); line += 64)
            _mm_prefetch((const char *)block + AHEAD + line, _MM_HINT_T0);
        const __m512 scale = widen_lanes(block), offset = widen_lanes(block + 2 * LANES);
        __m512i quads[QUADS];
        unpack(block + 4 * LANES, bits, quads);
        for (int row = 0; row < rows; row++) {
            const int32_t *input = (const int32_t *)(numbers + row * layer->inputs + group * GROUP);
            __m512i even = _mm512_setzero_si512(), odd = _mm512_setzero_si512();
            for (int quad = 0; quad < QUADS; quad += 2) {
                even = _mm512_dpbusd_epi32(even, quads[quad], _mm512_set1_epi32(input[quad]));
                odd = _mm512_dpbusd_epi32(odd, quads[quad + 1], _mm512_set1_epi32(input[quad + 1]));
            }
            const __m512 dot = _mm512_cvtepi32_ps(_mm512_add_epi32(even, odd));
            const __m512 scaled = _mm512_mul_ps(scale, _mm512_set1_ps(scales[row * groups + group]));
            results[row] = _mm512_fmadd_ps(dot, scaled, results[row]);
            results[row] =
                _mm512_fmadd_ps(offset, _mm512_set1_ps(sums[row * groups + group]), results[row]);
        }
    }
}

static inline __attribute__((always_inline)) void multiply_block(
    const Quantized *layer, const int64_t bits, int64_t index, const int8_t *numbers, const float *scales,
    const float *sums, int64_t rows, bf16 *out, float *wide) {
    const int64_t groups = layer->inputs / GROUP, first = index * LANES;
    const int64_t lanes = layer->outputs - first < LANES ? layer->outputs - first : LANES;
    const uint8_t *block = layer->blocks + index * groups * block_bytes(bits);
    for (int64_t row = 0, tile; row < rows; row += tile) {
        __m512 results[TILE];
        const int64_t left = rows - row;
        const int8_t *n = numbers + row * layer->inputs;
        const float *a = scales + row * groups, *b = sums + row * groups;
        tile = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : 1;
        /* Constants, so that each size is unrolled. */
        if (tile == 8)
            multiply_tile(layer, bits, block, n, a, b, 8, results);
        else if (tile == 4)
            multiply_tile(layer, bits, block, n, a, b, 4, results);
        else if (tile == 2)
            multiply_tile(layer, bits, block, n, a, b, 2, results);
        else
            multiply_tile(layer, bits, block, n, a, b, 1, results);
        for (int64_t r = 0; r < tile; r++) {
            float lane[LANES];
            _mm512_storeu_ps(lane, results[r]);
            const int64_t at = (row + r) * layer->outputs + first;
            for (int64_t i = 0; i < lanes; i++) {
                const float sum = lane[i] + (layer->bias ? layer->bias[first + i] : 0.0f);
                if (wide)
                    wide[at + i] = sum;
                else
                    out[at + i] = narrow(sum);
            }
        }
    }
}

/* out[rows, outputs] = inputs[rows, inputs] * weights + bias; in float32 where there is a `wide` instead. */
void multiply(const Quantized *layer, const bf16 *inputs, int64_t rows, bf16 *out, float *wide,
              int64_t threads) {
    const int64_t groups = layer->inputs / GROUP, blocks = (layer->outputs + LANES - 1) / LANES;
    float *scales = malloc((size_t)(rows * (8 * groups + layer->inputs)));
    float *sums = scales + rows * groups;
    int8_t *numbers = (int8_t *)(sums + rows * groups);
    for (int64_t row = 0; row < rows; row++)
        quantize(inputs + row * layer->inputs, numbers + row * layer->inputs, scales + row * groups,
                 sums + row * groups, groups);
    const int64_t work = rows * layer->inputs * layer->outputs;
#pragma omp parallel for num_threads(threads) if (work > PARALLEL_FROM)
    for (int64_t index = 0; index < blocks; index++)
        if (layer->bits == 8)
            multiply_block(layer, 8, index, numbers, scales, sums, rows, out, wide);
        else
            multiply_block(layer, 4, index, numbers, scales, sums, rows, out, wide);
    free(scales);
}
#endif
