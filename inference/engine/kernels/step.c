/* The small operations of a decoding step, fused: what torch would do in some fifty calls a layer.
 *
 * Numbers pass from layer to layer in float32; what linear layers read and write, and keys and values,
 * are bfloat16. Each row is computed by itself, in an order that does not depend on the rows beside it.
 */

#include "heads.h"

/* Keys to ask the memory for ahead of their use. */
#define AHEAD 24

static inline float dot(const float *restrict a, const bf16 *restrict b, int64_t size) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; i++) sum += a[i] * widen(b[i]);
    return sum;
}

/* hidden[rows, size] += delta (if any); out = its root-mean-square norm times weight. */
void add_norm(float *restrict hidden, const bf16 *restrict delta, const float *restrict weight,
              bf16 *restrict out, float epsilon, int64_t rows, int64_t size) {
    for (int64_t row = 0; row < rows; row++, hidden += size, out += size) {
        if (delta) {
            for (int64_t i = 0; i < size; i++) hidden[i] += widen(delta[i]);
            delta += size;
        }
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t i = 0; i < size; i++) sum += hidden[i] * hidden[i];
        float scale = 1.0f / sqrtf(sum / (float)size + epsilon);
        for (int64_t i = 0; i < size; i++) out[i] = narrow(hidden[i] * scale * weight[i]);
    }
}

/* out[rows, size] = silu(gate) * up, of gate_up[rows, 2 * size]. */
void gate(const bf16 *restrict gate_up, bf16 *restrict out, int64_t rows, int64_t size) {
    for (int64_t row = 0; row < rows; row++, gate_up += 2 * size, out += size) {
#pragma omp simd
        for (int64_t i = 0; i < size; i++) {
            float x = widen(gate_up[i]);
            float small = exponential(x < 0 ? x : -x);
            float sigmoid = (x < 0 ? small : 1.0f) / (1.0f + small);
            out[i] = narrow(x * sigmoid * widen(gate_up[size + i]));
        }
    }
}

/* One row's heads that share the key head `key_head`: write the new key and value, attend. Inlined for
 * the usual head sizes, so that what is summed stays in registers. */
static inline __attribute__((always_inline)) void attend_group(
    const Attention *layer, const int64_t size, const bf16 *qkv, const float *cosine, const float *sine,
    int64_t slot, int64_t position, int64_t key_head, bf16 *out) {
    const int64_t group = layer->heads / layer->key_heads;
    const int64_t first = layer->window && position >= layer->window ? position - layer->window + 1 : 0;
    const int64_t seen = position - first + 1;
    const int64_t at = (slot * layer->key_heads + key_head) * layer->columns;
    bf16 *keys = layer->keys + at * size, *values = layer->values + at * size;
    float *queries = malloc(sizeof(float) * (size_t)(group * (2 * size + seen) + size));
    float *sums = queries + group * size, *scores = sums + group * size, *key = scores + group * seen;

    const bf16 *new_key = qkv + (layer->heads + key_head) * size;
    place_head(new_key, key, layer->norm_key, layer->epsilon, cosine, sine, size);
    for (int64_t i = 0; i < size; i++) keys[position * size + i] = narrow(key[i]);
    memcpy(values + position * size, new_key + layer->key_heads * size, sizeof(bf16) * (size_t)size);

    for (int64_t g = 0; g < group; g++) {
        float *query = queries + g * size;
        place_head(qkv + (key_head * group + g) * size, query, layer->norm_query, layer->epsilon, cosine, sine,
                   size);
        for (int64_t i = 0; i < size; i++) query[i] *= layer->scale;
    }
    for (int64_t t = 0; t < seen; t++) {
        for (int64_t i = 0; i < size; i += 32) {
            __builtin_prefetch(keys + (first + t + AHEAD) * size + i);
            __builtin_prefetch(values + (first + t) * size + i);
        }
        for (int64_t g = 0; g < group; g++)
            scores[g * seen + t] = dot(queries + g * size, keys + (first + t) * size, size);
    }
    for (int64_t g = 0; g < group; g++) {
        float *score = scores + g * seen, highest = score[0], total = 0;
#pragma omp simd reduction(max : highest)
        for (int64_t t = 0; t < seen; t++) highest = score[t] > highest ? score[t] : highest;
#pragma omp simd reduction(+ : total)
        for (int64_t t = 0; t < seen; t++) total += score[t] = exponential(score[t] - highest);
        float *sum = sums + g * size;
        memset(sum, 0, sizeof(float) * (size_t)size);
        for (int64_t t = 0; t < seen; t++) {
            const bf16 *value = values + (first + t) * size;
            for (int64_t i = 0; i < size; i++) sum[i] += score[t] * widen(value[i]);
        }
        for (int64_t i = 0; i < size; i++) out[(key_head * group + g) * size + i] = narrow(sum[i] / total);
    }
    free(queries);
}

/* out[rows, heads * size] of qkv[rows, (heads + 2 * key heads) * size], one new token for each row:
 * cosine and sine are [rows, size], slots and positions say where its key and value belong. */
void attend(const Attention *layer, const bf16 *qkv, const float *cosine, const float *sine,
            const int64_t *slots, const int64_t *positions, int64_t rows, bf16 *out, int64_t threads) {
    const int64_t size = layer->size, width = (layer->heads + 2 * layer->key_heads) * size;
    int64_t work = 0;
    for (int64_t row = 0; row < rows; row++) work += (positions[row] + 1) * layer->heads * size;
#pragma omp parallel for collapse(2) schedule(dynamic) num_threads(threads) if (work > PARALLEL_FROM)
    for (int64_t row = 0; row < rows; row++)
        for (int64_t head = 0; head < layer->key_heads; head++) {
            const bf16 *new = qkv + row * width;
            const float *cos = cosine + row * size, *sin = sine + row * size;
            bf16 *result = out + row * layer->heads * size;
            if (size == 64)
                attend_group(layer, 64, new, cos, sin, slots[row], positions[row], head, result);
            else if (size == 128)
                attend_group(layer, 128, new, cos, sin, slots[row], positions[row], head, result);
            else
                attend_group(layer, size, new, cos, sin, slots[row], positions[row], head, result);
        }
}
