/* The C side of the table of primitives in double precision: what its column `c` may use, instead of
   `elementwise.h`, where x, y and a are doubles. Denormal numbers stay what they are, as in NumPy. */

#define _GNU_SOURCE
#include <math.h>
#include <stdint.h>
#include <string.h>

#define acosf acos
#define acoshf acosh
#define asinf asin
#define asinhf asinh
#define atanf atan
#define atanhf atanh
#define cbrtf cbrt
#define cosf cos
#define coshf cosh
#define exp10f exp10
#define exp2f exp2
#define expf exp
#define expm1f expm1
#define fabsf fabs
#define log10f log10
#define log1pf log1p
#define log2f log2
#define logf log
#define powf pow
#define sinf sin
#define sinhf sinh
#define sqrtf sqrt
#define tanf tan
#define tanhf tanh

#if !defined(__GLIBC__)
static inline double exp10(double x) { return pow(10.0, x); }
#endif

/* What division adds to its divisor. */
#define EPSILON 1e-8

static inline double larger(double x, double y) {
    return x > y || x != x || (x == y && signbit(y)) ? x : y;
}

static inline double smaller(double x, double y) {
    return x < y || x != x || (x == y && signbit(x)) ? x : y;
}

static inline double settled(double x) { return x; }
