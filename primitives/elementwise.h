/* The C side of the table of primitives: what its column `c` may use besides the language itself.

float32 in, float32 out; `in_double.h` is the same for doubles. Where glibc has vector versions of its elementary
functions, the declarations below let the compiler call them; elsewhere each element is a call of its own, slower
and as correct. */

#define _GNU_SOURCE
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__)
#if __GLIBC_PREREQ(2, 35)
#define VECTORIZED(f) extern __attribute__((const, simd("notinbranch"))) float f(float);
VECTORIZED(acosf)
VECTORIZED(acoshf)
VECTORIZED(asinf)
VECTORIZED(asinhf)
VECTORIZED(atanf)
VECTORIZED(atanhf)
VECTORIZED(cbrtf)
VECTORIZED(cosf)
VECTORIZED(coshf)
VECTORIZED(exp10f)
VECTORIZED(exp2f)
VECTORIZED(expf)
VECTORIZED(expm1f)
VECTORIZED(log10f)
VECTORIZED(log1pf)
VECTORIZED(log2f)
VECTORIZED(logf)
VECTORIZED(sinf)
VECTORIZED(sinhf)
VECTORIZED(tanf)
VECTORIZED(tanhf)
extern __attribute__((const, simd("notinbranch"))) float powf(float, float);
#endif
#endif

#if !defined(__GLIBC__)
static inline float exp10f(float x) { return powf(10.0f, x); }
#endif

/* What division adds to its divisor. */
#define EPSILON 1e-8f

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The larger; NaN if one is NaN, and +0 of two zeros of different sign. */
static inline float larger(float x, float y) {
    float equal = of_bits(bits_of(x) & bits_of(y));
    return x == y ? equal : x > y || x != x ? x : y;
}

/* The smaller; NaN if one is NaN, and -0 of two zeros of different sign. */
static inline float smaller(float x, float y) {
    float equal = of_bits(bits_of(x) | bits_of(y));
    return x == y ? equal : x < y || x != x ? x : y;
}

/* Denormal numbers become zeros of the same sign, as everywhere in XLA's CPU backend. */
static inline float settled(float x) { return fabsf(x) < FLT_MIN ? copysignf(0.0f, x) : x; }
