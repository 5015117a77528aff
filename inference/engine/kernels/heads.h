/* What attention in decoding and in reading share: a layer's numbers, and how a new head is made. */

#pragma once

#include "numbers.h"

/* One layer's attention: what is the same for every step. */
typedef struct {
    bf16 *keys, *values;           /* [slots, key heads, columns, head size] */
    const float *norm_query, *norm_key; /* [head size], or none */
    int64_t heads, key_heads, size, columns;
    int64_t window;                /* tokens that are seen, 0 for all */
    float epsilon, scale;
} Attention;

/* Root-mean-square norm of one head, in place, where the model has one. */
static inline void norm_head(float *restrict head, const float *weight, float epsilon, int64_t size) {
    if (!weight) return;
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < size; i++) sum += head[i] * head[i];
    float scale = 1.0f / sqrtf(sum / (float)size + epsilon);
    for (int64_t i = 0; i < size; i++) head[i] = head[i] * scale * weight[i];
}

/* Rotate a head by its position (Su et al., 2021), in place. */
static inline void rotate(float *restrict head, const float *restrict cosine, const float *restrict sine,
                          int64_t size) {
    int64_t half = size / 2;
    for (int64_t i = 0; i < half; i++) {
        float first = head[i], second = head[i + half];
        head[i] = first * cosine[i] - second * sine[i];
        head[i + half] = second * cosine[i + half] + first * sine[i + half];
    }
}

/* A query or key as the linear layer made it: in float32, normed and at its position. */
static inline void place_head(const bf16 *restrict made, float *restrict head, const float *weight,
                              float epsilon, const float *cosine, const float *sine, int64_t size) {
    for (int64_t i = 0; i < size; i++) head[i] = widen(made[i]);
    norm_head(head, weight, epsilon, size);
    rotate(head, cosine, sine, size);
}
