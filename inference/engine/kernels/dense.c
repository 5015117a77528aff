/* Linear layers with weights in bfloat16.
 *
 * Weights come in blocks of WIDTH outputs, of each the same two inputs side by side:
 * [blocks, inputs / 2, WIDTH, 2]. Where there is a dot product of bfloat16 (AVX512-BF16), a unit of such a
 * pair is multiplied and added to a sum in float32 at once; a sum is taken in the order of the inputs,
 * whatever rows are beside it.
 *
 * Results are bfloat16, those of the last layer float32: in bfloat16 logits near 25 come in steps of an
 * eighth, and one time in fifteen several tokens were likeliest at once.
 */

#include "numbers.h"

/* Numbers of a vector, vectors of a block, and rows that are multiplied at once: as many as there are
 * registers for. */
#if defined(__AVX512F__)
#define LANES 16
#define TILE 4
#elif defined(__AVX2__)
#define LANES 8
#define TILE 2
#else
#define LANES 4
#define TILE 4
#endif
#define VECTORS 4
#define WIDTH (LANES * VECTORS)
/* Rows of one piece of work, whose inputs stay in the cache. */
#define ROWS 64

typedef float sums __attribute__((vector_size(4 * LANES)));
typedef uint32_t pairs __attribute__((vector_size(4 * LANES)));
/* Two inputs, in the memory of their own type. */
typedef uint32_t __attribute__((may_alias)) pair;

typedef struct {
    const pairs *blocks;
    const float *bias; /* [blocks, WIDTH], or none */
    int64_t outputs, inputs;
} Dense;

/* Outputs of a block, which depend on the processor. */
int64_t dense_width(void) { return WIDTH; }

/* Whether nothing else multiplies faster: with AMX, oneDNN does. */
int dense_is_fastest(void) {
#if defined(__AVX512BF16__) && !defined(__AMX_BF16__)
    return 1;
#else
    return 0;
#endif
}

#ifdef __AVX512BF16__
#include <immintrin.h>
static inline sums add_products(sums to, pairs weights, pair inputs) {
    return (sums)_mm512_dpbf16_ps((__m512)to, (__m512bh)_mm512_set1_epi32((int32_t)inputs),
                                  (__m512bh)weights);
}
#else
static inline sums add_products(sums to, pairs weights, pair inputs) {
    const sums even = (sums)(weights << 16), odd = (sums)(weights & 0xffff0000u);
    to += even * widen((bf16)inputs);
    return to + odd * widen((bf16)(inputs >> 16));
}
#endif

/* One block of outputs for `rows` rows, at most TILE. */
static inline __attribute__((always_inline)) void dense_tile(const Dense *layer, int64_t block,
                                                             const bf16 *inputs, const int rows,
                                                             float results[TILE][WIDTH]) {
    const int64_t steps = layer->inputs / 2;
    const pairs *weights = layer->blocks + block * steps * VECTORS;
    sums held[TILE][VECTORS] = {0};
    if (layer->bias)
        for (int row = 0; row < rows; row++)
            memcpy(held[row], layer->bias + block * WIDTH, sizeof held[row]);
    for (int64_t step = 0; step < steps; step++, weights += VECTORS)
#pragma GCC unroll 8
        for (int row = 0; row < rows; row++) {
            const pair input = ((const pair *)(inputs + row * layer->inputs))[step];
#pragma GCC unroll 8
            for (int vector = 0; vector < VECTORS; vector++)
                held[row][vector] = add_products(held[row][vector], weights[vector], input);
        }
    memcpy(results, held, sizeof held);
}

static void dense_block(const Dense *layer, int64_t block, const bf16 *inputs, int64_t rows, bf16 *out,
                        float *wide) {
    const int64_t first = block * WIDTH, left = layer->outputs - first;
    const int64_t count = left < WIDTH ? left : WIDTH;
    for (int64_t row = 0, tile; row < rows; row += tile) {
        float results[TILE][WIDTH];
        tile = rows - row >= TILE ? TILE : 1;
        /* Constants, so that each size is unrolled. */
        if (tile == TILE)
            dense_tile(layer, block, inputs + row * layer->inputs, TILE, results);
        else
            dense_tile(layer, block, inputs + row * layer->inputs, 1, results);
        for (int64_t r = 0; r < tile; r++) {
            const int64_t at = (row + r) * layer->outputs + first;
            if (wide)
                memcpy(wide + at, results[r], (size_t)count * sizeof *wide);
            else
                for (int64_t i = 0; i < count; i++) out[at + i] = narrow(results[r][i]);
        }
    }
}

/* out[rows, outputs] = inputs[rows, inputs] * weights + bias; in float32 where there is a `wide` instead. */
void multiply_dense(const Dense *layer, const bf16 *inputs, int64_t rows, bf16 *out, float *wide,
                    int64_t threads) {
    const int64_t blocks = (layer->outputs + WIDTH - 1) / WIDTH, pieces = (rows + ROWS - 1) / ROWS;
#pragma omp parallel for collapse(2) num_threads(threads) if (rows * layer->inputs * layer->outputs > PARALLEL_FROM)
    for (int64_t block = 0; block < blocks; block++)
        for (int64_t piece = 0; piece < pieces; piece++) {
            const int64_t from = piece * ROWS, left = rows - from;
            const int64_t at = from * layer->outputs;
            dense_block(layer, block, inputs + from * layer->inputs, left < ROWS ? left : ROWS,
                        wide ? NULL : out + at, wide ? wide + at : NULL);
        }
}
