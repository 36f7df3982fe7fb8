/* What a program computes on the probes of the fingerprint, in double precision.

The operations that the table of primitives defines element by element come before this text, and the sizes of the
probes; `source` in `behaviour.py` puts them together.

Every value has a number for each element of each leaf, at each scale; what is one number for a leaf, or for the
whole tree, is repeated. */

/* A live statement. One that computes a constant has the operation CONSTANT and its number. */
typedef struct {
    int32_t arg[3]; /* a variable's number, or the bits of a constant */
    int16_t target;
    uint8_t op;
    uint8_t constants; /* a bit for each argument that is one */
    double constant;
} Step;

enum { VAR_W, VAR_G, VAR_M, VAR_V, VAR_LR, VAR_UPDATE };

static double product(const double *x, const double *y, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static double length(const double *x, int n) { return sqrt(product(x, x, n)); }

static void fill(double *d, double number, int n) {
    for (int i = 0; i < n; i++) d[i] = number;
}

#define OPERATION(name) static void name(double *d, const double *x, const double *y, const double *a)
#define UNUSED (void)x, (void)y, (void)a
#define EACH_SCALE for (int at = 0; at < NUMBERS; at += ELEMENTS)

OPERATION(run_norm) {
    UNUSED;
    EACH_SCALE for (int leaf = 0, first = at; leaf < LEAVES; first += SIZES[leaf++]) {
        fill(d + first, length(x + first, SIZES[leaf]), SIZES[leaf]);
    }
}

OPERATION(run_rms) {
    UNUSED;
    EACH_SCALE for (int leaf = 0, first = at; leaf < LEAVES; first += SIZES[leaf++]) {
        fill(d + first, sqrt(product(x + first, x + first, SIZES[leaf]) / SIZES[leaf]), SIZES[leaf]);
    }
}

OPERATION(run_global_norm) {
    UNUSED;
    EACH_SCALE fill(d + at, length(x + at, ELEMENTS), ELEMENTS);
}

OPERATION(run_dot) {
    UNUSED;
    EACH_SCALE fill(d + at, product(x + at, y + at, ELEMENTS), ELEMENTS);
}

OPERATION(run_cosine_sim) {
    UNUSED;
    EACH_SCALE {
        const double sizes = length(x + at, ELEMENTS) * length(y + at, ELEMENTS);
        fill(d + at, product(x + at, y + at, ELEMENTS) / (sizes + EPSILON), ELEMENTS);
    }
}

OPERATION(run_clip) {
    UNUSED;
    EACH_SCALE {
        const double size = length(x + at, ELEMENTS), bound = y[at] < 0 ? 0 : y[at];
        const double factor = bound / size;
        for (int i = at; i < at + ELEMENTS; i++) d[i] = size <= bound ? x[i] : x[i] * factor;
    }
}

/* A number with the first BITS of its digits in base two; all NaN alike, and both zeros. */
static double rounded(double x) {
    if (!isfinite(x)) return x != x ? (double)NAN : x;
    int exponent;
    const double digits = frexp(x + 0.0, &exponent);
    return ldexp(rint(ldexp(digits, BITS)), exponent - BITS);
}

static void run(const Step *steps, int64_t count, double (*values)[NUMBERS]) {
    double literals[3][NUMBERS];
    for (const Step *step = steps; step < steps + count; step++) {
        double *result = values[step->target];
        if (step->op == CONSTANT) {
            fill(result, step->constant, NUMBERS);
            continue;
        }
        const double *args[3] = {literals[0], literals[0], literals[0]};
        for (int i = 0; i < ARITY[step->op]; i++) {
            if (step->constants >> i & 1) {
                float number;
                memcpy(&number, &step->arg[i], sizeof number);
                fill(literals[i], number, NUMBERS);
                args[i] = literals[i];
            } else {
                args[i] = values[step->arg[i]];
            }
        }
        OPERATIONS[step->op](result, args[0], args[1], args[2]);
    }
}

int64_t behaviour_step_size(void) { return (int64_t)sizeof(Step); }

/* The updates that `steps` compute on `TIMES` gradients (TIMES, NUMBERS) one after the other, rounded, into `told`.
   `keeps` has a bit for each of m and v that is carried from one to the next. 0 if there is not enough memory. */
int64_t behaviour(const Step *steps, int64_t count, int64_t variables, int64_t keeps, const double *weights,
                  const double *gradients, const double *schedule, double *told) {
    const size_t bytes = sizeof(double[NUMBERS]);
    double(*values)[NUMBERS] = malloc((size_t)variables * bytes);
    double moved[NUMBERS], m[NUMBERS] = {0}, v[NUMBERS] = {0};
    if (!values) return 0;
    memcpy(moved, weights, bytes);
    for (int64_t time = 0; time < TIMES; time++, told += NUMBERS) {
        memcpy(values[VAR_W], moved, bytes), memcpy(values[VAR_G], gradients + time * NUMBERS, bytes);
        memcpy(values[VAR_M], m, bytes), memcpy(values[VAR_V], v, bytes);
        fill(values[VAR_LR], schedule[time], NUMBERS);
        run(steps, count, values);
        if (keeps & 1 << VAR_M) memcpy(m, values[VAR_M], bytes);
        if (keeps & 1 << VAR_V) memcpy(v, values[VAR_V], bytes);
        for (int i = 0; i < NUMBERS; i++) {
            moved[i] -= values[VAR_UPDATE][i];
            told[i] = rounded(values[VAR_UPDATE][i]);
        }
    }
    free(values);
    return 1;
}
