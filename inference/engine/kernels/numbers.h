/* What all kernels share: number formats, and when a second thread is worth it. */

#pragma once

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef uint16_t bf16;

/* Below this many multiplications a second thread costs more than it brings. */
#define PARALLEL_FROM 200000

static inline float widen(bf16 number) {
    uint32_t bits = (uint32_t)number << 16;
    float result;
    memcpy(&result, &bits, sizeof result);
    return result;
}

/* To the nearest bfloat16, ties to even; a NaN stays one. */
static inline bf16 narrow(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    uint32_t rounded = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    return number == number ? (bf16)rounded : (bf16)0x7fc0;
}

/* e to the power of a number that is 0 or less, to about 7 digits: 2^n by its exponent bits, the rest
 * by a polynomial (Cephes). Written out so that compilers can do many at once. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    float n = floorf(x * 1.44269504f + 0.5f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

/* 2 to the power of a number that is 0 or less, to 6 digits; 0 below -126. Exactly 1 of 0, so that a block
 * that a row does not see leaves it as it is. The polynomial is fitted to the least relative error. */
static inline float power(float x) {
    x = x < -127.0f ? -127.0f : x;
    const float n = nearbyintf(x), r = x - n;
    float p = 1.3264727e-3f;
    p = p * r + 9.6715128e-3f;
    p = p * r + 5.5507337e-2f;
    p = p * r + 2.4022242e-1f;
    p = p * r + 6.9314698e-1f;
    p = p * r + 1.0f;
    const uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}
