/* Attention of a chunk: several new tokens of one slot, as prompts are read.
 *
 * The scores of a block of keys are computed at once and never kept. Each row, one head of one token,
 * carries the highest score it has met, the sum of its weights and its result so far, and scales them
 * down when a higher score turns up (online softmax: Milakov & Gimelshein, 2018); it is divided by the
 * sum at its end (FlashAttention-2: Dao, 2023). The other way round than there, keys are the outer loop:
 * the rows of all heads that share a key head are multiplied by a block that was packed once for them.
 *
 * Blocks begin at fixed columns, and one that a row does not see leaves it as it is. So a row's result
 * depends neither on the rows beside it nor on where its chunk begins.
 */

#include "heads.h"
#include "tiles.h"

/* Keys that are looked at at once, a multiple of SPAN. */
#define BLOCK 64
/* Rows that go through the keys together at most: their results stay in the second cache. */
#define ROWS 768

/* The rows of some tokens and of the heads that share a key head, heads of a token side by side. */
typedef struct {
    int64_t rows, group, start; /* rows, rows of a token, position of the first token */
    int64_t size, width;        /* numbers of a head, and with zeros up to a multiple of SPAN */
    int64_t window;
    float scale; /* of scores, which become powers of 2 */
    number *queries; /* [rows, width] */
    float *results;  /* [rows, width] */
    float *highest, *totals; /* [rows] and [rows, LANES], which are added up at the end */
    number *keys;    /* [width / PACK, BLOCK, PACK] */
    number *values;  /* [BLOCK / PACK, width, PACK] */
} Rows;

/* scores[TILE, BLOCK] of the rows from `first` on. */
static void score_tile(const Rows *rows, int64_t first, float scores[TILE][BLOCK]) {
    const int64_t steps = rows->width / PACK;
    const unit *queries = (const unit *)rows->queries + first * steps;
    for (int64_t key = 0; key < BLOCK; key += SPAN) {
        lanes sums[TILE][VECTORS] = {0};
        multiply_tile(queries, steps, (const unit *)rows->keys + key, BLOCK, steps, sums);
        for (int row = 0; row < TILE; row++) memcpy(&scores[row][key], sums[row], sizeof sums[row]);
    }
}

/* Add the values of a block to the results from row `first` on, which are scaled down before. */
static void add_values(const Rows *rows, int64_t first, number weights[TILE][BLOCK], const float *down) {
    for (int64_t i = 0; i < rows->width; i += SPAN) {
        lanes sums[TILE][VECTORS];
        float *results = rows->results + first * rows->width + i;
        for (int row = 0; row < TILE; row++) {
            memcpy(sums[row], results + row * rows->width, sizeof sums[row]);
            for (int v = 0; v < VECTORS; v++) sums[row][v] *= down[row];
        }
        multiply_tile((const unit *)weights, BLOCK / PACK, (const unit *)rows->values + i, rows->width,
                      BLOCK / PACK, sums);
        for (int row = 0; row < TILE; row++)
            memcpy(results + row * rows->width, sums[row], sizeof sums[row]);
    }
}

static inline float highest_of(const float *scores, float most) {
#pragma omp simd reduction(max : most)
    for (int j = 0; j < BLOCK; j++) most = scores[j] > most ? scores[j] : most;
    return most;
}

/* Scores of a tile to weights; `down` is how much what the rows have so far is scaled down. */
static inline void weigh(const Rows *rows, int64_t first, float scores[TILE][BLOCK],
                         number weights[TILE][BLOCK], float *restrict down) {
    float *highest = rows->highest + first, *totals = rows->totals + first * LANES, base[TILE];
    for (int row = 0; row < TILE; row++) {
        const float most = highest_of(scores[row], highest[row]);
        /* A row that has seen nothing yet: every weight is 0. */
        base[row] = most == -INFINITY ? 0 : most;
        down[row] = (highest[row] - base[row]) * rows->scale;
        highest[row] = most;
    }
#pragma omp simd
    for (int row = 0; row < TILE; row++) down[row] = power(down[row]);
    for (int row = 0; row < TILE; row++, totals += LANES) {
        float sums[LANES];
        for (int lane = 0; lane < LANES; lane++) sums[lane] = totals[lane] * down[row];
        for (int j = 0; j < BLOCK; j += LANES)
#pragma omp simd
            for (int lane = 0; lane < LANES; lane++) {
                scores[row][j + lane] = power((scores[row][j + lane] - base[row]) * rows->scale);
                sums[lane] += scores[row][j + lane];
            }
        memcpy(totals, sums, sizeof sums);
        round_many(scores[row], weights[row], BLOCK);
    }
}

/* Hide the keys that come after each row, or before its window; `column` is that of the first. */
static void hide(const Rows *rows, int64_t first, int64_t column, float scores[TILE][BLOCK]) {
    for (int row = 0; row < TILE; row++) {
        const int64_t last = rows->start + (first + row) / rows->group - column;
        const int64_t before = rows->window ? last - rows->window : -1;
        for (int64_t j = 0; j < BLOCK; j++)
            scores[row][j] = j > last || j <= before ? -INFINITY : scores[row][j];
    }
}

/* The rows from `first` on and the block at `column`, if any of them sees any of it. */
static void attend_tile(const Rows *rows, int64_t first, int64_t column) {
    const int64_t earliest = rows->start + first / rows->group;
    const int64_t latest = rows->start + (first + TILE - 1) / rows->group;
    const int64_t end = column + BLOCK - 1;
    if (column > latest || (rows->window && end <= earliest - rows->window)) return;
    float scores[TILE][BLOCK], down[TILE];
    number weights[TILE][BLOCK];
    score_tile(rows, first, scores);
    if (end > earliest || (rows->window && column <= latest - rows->window))
        hide(rows, first, column, scores);
    weigh(rows, first, scores, weights, down);
    add_values(rows, first, weights, down);
}

/* Bring `count` keys and values into the layout of Rows; zeros, not what lies there, behind them. */
static void pack(const Rows *rows, const bf16 *restrict keys, const bf16 *restrict values, int64_t count) {
    const int64_t size = rows->size;
    unit *to_keys = (unit *)rows->keys, *to_values = (unit *)rows->values;
    bf16 none[size];
    memset(none, 0, sizeof none);
    if (count < BLOCK || size < rows->width)
        memset(rows->keys, 0, sizeof(number) * (size_t)(2 * BLOCK * rows->width));
    for (int64_t i = 0; i < size; i += PACK, to_keys += BLOCK)
        for (int64_t j = 0; j < count; j++) to_keys[j] = from_row(keys + j * size + i);
    for (int64_t j = 0; j < count; j += PACK, to_values += rows->width) {
        const bf16 *row = values + j * size, *next = j + 1 < count ? row + size : none;
        for (int64_t i = 0; i < size; i++) to_values[i] = from_column(row + i, next + i);
    }
}

/* Norm and rotate the queries of the rows; nothing has been seen yet. */
static void begin(const Attention *layer, const Rows *rows, const bf16 *qkv, const float *cosine,
                  const float *sine, int64_t key_head, int64_t padded) {
    const int64_t size = rows->size, group = rows->group;
    const int64_t width = (layer->heads + 2 * layer->key_heads) * size;
    memset(rows->queries, 0, sizeof(number) * (size_t)(padded * rows->width));
    memset(rows->results, 0, sizeof(float) * (size_t)(padded * rows->width));
    for (int64_t row = 0; row < padded; row++) rows->highest[row] = -INFINITY;
    memset(rows->totals, 0, sizeof(float) * (size_t)(padded * LANES));
    float head[size];
    for (int64_t row = 0; row < rows->rows; row++) {
        const int64_t token = row / group;
        place_head(qkv + token * width + (key_head * group + row % group) * size, head, layer->norm_query,
                   layer->epsilon, cosine + token * size, sine + token * size, size);
        for (int64_t i = 0; i < size; i++) rows->queries[row * rows->width + i] = rounded(head[i]);
    }
}

/* What the rows have made, as bfloat16, where it belongs in out[tokens, heads * size]. */
static void finish(const Attention *layer, const Rows *rows, int64_t key_head, bf16 *out) {
    for (int64_t row = 0; row < rows->rows; row++) {
        const int64_t head = key_head * rows->group + row % rows->group;
        bf16 *to = out + (row / rows->group * layer->heads + head) * rows->size;
        const float *result = rows->results + row * rows->width, *totals = rows->totals + row * LANES;
        float total = 0;
        for (int lane = 0; lane < LANES; lane++) total += totals[lane];
        for (int64_t i = 0; i < rows->size; i++) to[i] = narrow(result[i] / total);
    }
}

/* Attention of `tokens` tokens, the first at position `start`, in the heads that share `key_head`. */
static void attend_rows(const Attention *layer, const bf16 *qkv, const float *cosine, const float *sine,
                        int64_t slot, int64_t start, int64_t tokens, int64_t key_head, bf16 *out) {
    const int64_t size = layer->size, width = (size + SPAN - 1) / SPAN * SPAN;
    const int64_t group = layer->heads / layer->key_heads, window = layer->window;
    Rows rows = {.rows = tokens * group, .group = group, .start = start, .size = size, .width = width,
                 .window = window, .scale = layer->scale * 1.44269504f};
    const int64_t padded = (rows.rows + TILE - 1) / TILE * TILE;
    rows.results = malloc((size_t)(padded * (sizeof(float) * (width + 1 + LANES) + sizeof(number) * width) +
                                   sizeof(number) * 2 * BLOCK * width));
    rows.highest = rows.results + padded * width, rows.totals = rows.highest + padded;
    rows.queries = (number *)(rows.totals + padded * LANES), rows.keys = rows.queries + padded * width;
    rows.values = rows.keys + BLOCK * width;

    begin(layer, &rows, qkv, cosine, sine, key_head, padded);
    const int64_t at = (slot * layer->key_heads + key_head) * layer->columns, end = start + tokens;
    const int64_t seen = window && start >= window ? start - window + 1 : 0;
    for (int64_t column = seen / BLOCK * BLOCK; column < end; column += BLOCK) {
        const int64_t count = end - column < BLOCK ? end - column : BLOCK;
        pack(&rows, layer->keys + (at + column) * size, layer->values + (at + column) * size, count);
        for (int64_t first = 0; first < padded; first += TILE) attend_tile(&rows, first, column);
    }
    finish(layer, &rows, key_head, out);
    free(rows.results);
}

/* Write the keys and values of new tokens, from position `start` of `slot` on. */
static void write_chunk(const Attention *layer, const bf16 *qkv, const float *cosine, const float *sine,
                        int64_t slot, int64_t start, int64_t tokens) {
    const int64_t size = layer->size, all = layer->heads + 2 * layer->key_heads;
    float head[size];
    for (int64_t token = 0; token < tokens; token++)
        for (int64_t key_head = 0; key_head < layer->key_heads; key_head++) {
            const bf16 *key = qkv + (token * all + layer->heads + key_head) * size;
            const int64_t at = (slot * layer->key_heads + key_head) * layer->columns + start + token;
            place_head(key, head, layer->norm_key, layer->epsilon, cosine + token * size,
                       sine + token * size, size);
            for (int64_t i = 0; i < size; i++) layer->keys[at * size + i] = narrow(head[i]);
            memcpy(layer->values + at * size, key + layer->key_heads * size, sizeof(bf16) * (size_t)size);
        }
}

/* out[tokens, heads * size] of qkv[tokens, (heads + 2 * key heads) * size], neighbouring tokens of `slot`
 * of which the first is at `start`; cosine and sine are [tokens, size]. */
void attend_chunk(const Attention *layer, const bf16 *qkv, const float *cosine, const float *sine,
                  int64_t slot, int64_t start, int64_t tokens, bf16 *out, int64_t threads) {
    const int64_t size = layer->size, group = layer->heads / layer->key_heads;
    const int64_t width = (layer->heads + 2 * layer->key_heads) * size;
    const int64_t for_cache = (tokens * group + ROWS - 1) / ROWS;
    const int64_t for_threads = (threads + layer->key_heads - 1) / layer->key_heads;
    const int64_t parts = for_cache > for_threads ? for_cache : for_threads;
    const int64_t together = (tokens + parts - 1) / parts;
    const int64_t work = tokens * (start + tokens) * layer->heads * size;
    write_chunk(layer, qkv, cosine, sine, slot, start, tokens);
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads) if (work > PARALLEL_FROM)
    for (int64_t key_head = 0; key_head < layer->key_heads; key_head++)
        for (int64_t token = 0; token < tokens; token += together) {
            const int64_t count = tokens - token < together ? tokens - token : together;
            attend_rows(layer, qkv + token * width, cosine + token * size, sine + token * size, slot,
                        start + token, count, key_head, out + token * layer->heads * size);
        }
}
