/* The native breeder: what a search does for a child whose score is known already, in machine code.

Random numbers of (seed, k), tournament, mutation, abstract execution, canonical hash, cache, the order in which
children take their places, and the rows of the record. It does what `engine.py`, `population.py`, `cache.py`,
`language/mutation.py` and `language/abstract.py` do, number for number; whatever needs a score to be learned, a
request to be made or a run to end is an event that `advance` returns to Python.

Types, primitives and names come as tables from Python (`tables.py`), so a new primitive changes nothing here. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OVER, AWAITED, ROWS_FULL, LEADER, RUN_ENDS, SPENT, LIMIT, NEW, MORE, FOLD, NO_CHILD, OVERFLOW, NO_MEMORY };
enum { INVALID_PROGRAM, VALID, NEEDS_FOLD };
enum { INSERT, MODIFY, DELETE, RANDOM };
enum { VAR_W, VAR_G, VAR_M, VAR_V, VAR_LR, VAR_UPDATE, FIRST_OTHER };
enum { SCALAR, LEAFWISE, TENSOR };
enum { WORDS = 624, LANES = 8, MAX_KEY = 64 };
enum { DIGEST = 16, INPUTS = 5, STATE = 1 << VAR_M | 1 << VAR_V, CONSTANT_OP = 255 };

typedef struct {
    int32_t arg[3]; /* a variable's number, or the bits of a constant */
    int16_t target;
    uint8_t op;
    uint8_t constants; /* a bit for each argument that is one */
} Statement;

/* A live statement for the fingerprint; see `Step` of `language/native/behaviour.c`. */
typedef struct {
    Statement statement;
    double constant;
} Step;

typedef struct {
    int64_t id, parent;
    int32_t round, restart, invalid, slot, live, length, position;
    uint8_t kind, hit, awaits, carried, had, has; /* had, has: whether the mutation took or gave a statement */
    uint8_t hash[DIGEST];
    int32_t outputs[3]; /* values of update, m and v */
    Statement before, after;
    Statement *statements;
    int32_t *values; /* of each statement's target right after it */
    char *text;      /* its lines, each with the newline and the spaces before it; `room` bytes at most */
    int32_t *ends;   /* (length + 1,) where they begin and end */
    int64_t room;
} Program;

typedef struct {
    int32_t args[3];
    uint8_t op, arity, type, depends, resolved;
    double constant;
    uint8_t digest[DIGEST], swapped[DIGEST];
} Value;

typedef struct {
    uint8_t hash[DIGEST];
    int32_t slot; /* -1 where there is no entry */
} Entry;

typedef struct {
    Entry *entries;
    int64_t count;
} Generation;

typedef struct {
    int64_t group; /* the first of the children whose states these are */
    uint32_t states[WORDS][LANES];
    int lane, at, twisted, has_gauss;
    double gauss;
} Random;

/* What Python hands over; `tables.Setup` mirrors it. Arrays belong to Python. */
typedef struct {
    int64_t population, tournament, lag, max_statements, cache, slots, rows, text_bytes, method_random;
    int64_t kinds, constants_only, vocabulary_size, seed_words, variables, new_names, primitives, max_attempts;
    double share, constant_std, scale_share, scale_std, max_magnitude, total_weight;
    double scientific_below, scientific_from;
    const int64_t *kind_of;          /* (kinds,) INSERT, MODIFY, DELETE */
    const double *weights;           /* (kinds,) */
    const int64_t *vocabulary;       /* opcodes that new statements may use */
    const uint32_t *seed;            /* the words of a child's seed above those of its number */
    const int64_t *arity;            /* of each primitive */
    const int64_t *commutative;
    const int8_t *types;             /* (primitives, 27) the type of the result, -1 where arguments are refused */
    const char *const *primitive_names;
    const char *const *infix;        /* "" for a call */
    const char *const *variable_names;
    const int64_t *new_name;         /* (new_names,) the variables t1, t2, ... */
    double *fitness;                 /* (slots,) what Python knows of each slot */
    int64_t *status, *seeds;
    uint8_t *leads, *more;           /* whether it is a leader; whether it wants another seed when bred again */
    int64_t *info;                   /* see the enumeration below */
    double *folding;                 /* (3,) the arguments of the constant expression to fold */
    Statement *shown;                /* (max_statements,) the program of an event */
    uint8_t *shown_hash;
    int64_t *numbers;                /* (13, rows) the rows' columns of whole numbers, see `tell_row` */
    double *reals;                   /* (2, rows) score, seconds */
    uint8_t *hashes;                 /* (rows, 16) */
    int32_t *ends;                   /* (3, rows + 1) where texts end: text, before, after */
    char *texts;                     /* (3, text_bytes) */
} Setup;

/* Places of `info`. The first ones Python sets, the others it reads. */
enum {
    PROGRAMS, RUN_PROGRAMS, PATIENCE, IS_SPENT, STOPPED,
    NEXT, FIRST, GENERATED, INVALID, CACHE_HITS, STATEMENTS, LIVE, FILLED, RUN_ENDING,
    EVENT_ID, EVENT_LENGTH, EVENT_CARRIED, EVENT_SLOT, FOLD_OP, INFO_SIZE
};

typedef struct {
    Setup s;
    Program *children; /* a ring of those under way and alive */
    Program founder;
    int64_t ring;
    int64_t *members; /* ids of the population, -1 for a copy of the founder, in a ring from `oldest` on */
    int64_t oldest;
    size_t variables;
    double run_best, leaders_bar;
    int64_t run_first, run_best_at;
    int32_t round, restart;
    Generation young, old;
    int64_t buckets; /* of a generation, a power of two */
    int32_t *references, *free_slots;
    int64_t free_count;
    Value *values;
    int64_t value_count, values_limit, value_room, value_buckets;
    int32_t *value_index;
    int starved; /* of memory */
    int32_t unfolded; /* the constant expression whose number Python is to say, -1 for none */
    const Program *parent; /* of the child that is being bred */
    int64_t attempt;
    int pending; /* whether it waits for a number */
    Random random;
    uint32_t seeded[WORDS]; /* where every seed begins */
    int32_t *value_of; /* of each variable, -1 where it has none */
    uint8_t *changed;
    int64_t *names, *taken;
    int64_t stamp;
    struct { uint32_t bits; uint8_t length; char text[24]; } *constant_texts;
    int64_t longest; /* bytes of the longest statement there can be */
} Breeder;

enum { VALUES = 200000, TEXTS = 1 << 13 };

/* ------------------------------------------------------------------ random numbers: CPython's `random.Random` */

static void random_prepare(Breeder *b) {
    b->seeded[0] = 19650218u;
    for (uint32_t i = 1; i < WORDS; i++) {
        b->seeded[i] = 1812433253u * (b->seeded[i - 1] ^ b->seeded[i - 1] >> 30) + i;
    }
    b->random.group = -1;
}

/* The states of `LANES` children from `group` on. Each word waits for the one before it, so one state alone would
   take as long as all of them side by side. */
static void seed_group(Breeder *b, int64_t group) {
    /* A seed is the big number (seed words, child) of 32-bit words, the lowest first, without zeros on top; all
       children of a group have the same upper words. */
    uint32_t above[MAX_KEY], (*mt)[LANES] = b->random.states, last[LANES];
    int words = 2;
    above[1] = (uint32_t)((uint64_t)group >> 32);
    for (int64_t i = 0; i < b->s.seed_words; i++) above[words++] = b->s.seed[i];
    while (words > 1 && above[words - 1] == 0) words--;
    for (int i = 0; i < WORDS; i++) {
        for (int lane = 0; lane < LANES; lane++) mt[i][lane] = b->seeded[i];
    }
    int i = 1, j = 0;
    for (int lane = 0; lane < LANES; lane++) last[lane] = mt[0][lane];
    for (int k = WORDS > words ? WORDS : words; k; k--) {
        for (int lane = 0; lane < LANES; lane++) {
            const uint32_t key = j ? above[j] : (uint32_t)group + (uint32_t)lane;
            const uint32_t mixed = (mt[i][lane] ^ (last[lane] ^ last[lane] >> 30) * 1664525u) + key + (uint32_t)j;
            last[lane] = mt[i][lane] = mixed;
        }
        if (++i == WORDS) memcpy(mt[0], mt[WORDS - 1], sizeof mt[0]), i = 1;
        if (++j == words) j = 0;
    }
    for (int k = WORDS - 1; k; k--) {
        for (int lane = 0; lane < LANES; lane++) {
            const uint32_t mixed = (mt[i][lane] ^ (last[lane] ^ last[lane] >> 30) * 1566083941u) - (uint32_t)i;
            last[lane] = mt[i][lane] = mixed;
        }
        if (++i == WORDS) memcpy(mt[0], mt[WORDS - 1], sizeof mt[0]), i = 1;
    }
    for (int lane = 0; lane < LANES; lane++) mt[0][lane] = 0x80000000u;
    b->random.group = group;
}

static void random_seed(Breeder *b, int64_t number) {
    Random *r = &b->random;
    const int64_t group = number & ~(int64_t)(LANES - 1);
    if (group != r->group) seed_group(b, group);
    r->lane = (int)(number - group);
    r->at = r->twisted = r->has_gauss = 0;
}

static inline uint32_t twist(uint32_t here, uint32_t next, uint32_t far) {
    const uint32_t y = (here & 0x80000000u) | (next & 0x7fffffffu);
    return far ^ y >> 1 ^ (-(y & 1u) & 0x9908b0dfu);
}

static uint32_t random_word(Random *r) {
    uint32_t(*mt)[LANES] = r->states, y;
    const int l = r->lane, far = 397;
    if (!r->twisted && r->at < WORDS - far) {
        y = twist(mt[r->at][l], mt[r->at + 1][l], mt[r->at + far][l]); /* few are drawn: no need to make them all */
    } else {
        if (!r->twisted || r->at == WORDS) {
            int i = 0;
            for (; i < WORDS - far; i++) mt[i][l] = twist(mt[i][l], mt[i + 1][l], mt[i + far][l]);
            for (; i < WORDS - 1; i++) mt[i][l] = twist(mt[i][l], mt[i + 1][l], mt[i + far - WORDS][l]);
            mt[i][l] = twist(mt[i][l], mt[0][l], mt[far - 1][l]);
            r->twisted = 1;
            if (r->at == WORDS) r->at = 0;
        }
        y = mt[r->at][l];
    }
    r->at++;
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

static double draw(Breeder *b) {
    const uint32_t high = random_word(&b->random) >> 5, low = random_word(&b->random) >> 6;
    return ((double)high * 67108864.0 + (double)low) * (1.0 / 9007199254740992.0);
}

static double gauss(Breeder *b, double std) {
    Random *r = &b->random;
    double z;
    if (r->has_gauss) {
        z = r->gauss;
        r->has_gauss = 0;
    } else {
        const double angle = draw(b) * (2.0 * 3.141592653589793);
        const double radius = sqrt(-2.0 * log(1.0 - draw(b)));
        z = cos(angle) * radius;
        r->gauss = sin(angle) * radius;
        r->has_gauss = 1;
    }
    return 0.0 + z * std;
}

static int64_t pick(Breeder *b, int64_t count) { return (int64_t)(draw(b) * (double)count); }

/* ------------------------------------------------------------------ constants */

static inline float as_float(int32_t bits) {
    float number;
    memcpy(&number, &bits, 4);
    return number;
}

static inline int32_t as_bits(float number) {
    int32_t bits;
    memcpy(&bits, &number, 4);
    return bits;
}

/* The float32 nearest to a number, subnormal ones zero; whether it fits. */
static int to_constant(double number, int32_t *bits) {
    const float rounded = (float)number;
    if (!isfinite(rounded)) return 0;
    *bits = as_bits(fabsf(rounded) < 0x1p-126f ? copysignf(0.0f, rounded) : rounded);
    return 1;
}

/* So many digits that read back to a positive number, those nearest to it; 0 if there are none. */
static int shortest(float number, int count, char *digits) {
    sprintf(digits, "%.*e", count - 1, (double)number);
    if (strtof(digits, NULL) == number || count == 9) return 1;
    if (as_bits(number) & 0x7fffff) return 0;
    /* A power of two is twice as near to its neighbour below as to that above, so digits above it may read back
       where nearer ones below do not. */
    long long whole = 0, most = 1;
    const int exponent = atoi(strchr(digits, 'e') + 1);
    for (const char *c = digits; *c != 'e'; c++) {
        if (*c != '.') whole = 10 * whole + (*c - '0'), most *= 10;
    }
    if (strtod(digits, NULL) > (double)number || ++whole == most) return 0;
    sprintf(digits, "%llde%d", whole, exponent - (count - 1));
    if (strtof(digits, NULL) != number) return 0;
    char bare[24];
    const int size = sprintf(bare, "%lld", whole);
    sprintf(digits, "%c.%.*se%+03d", bare[0], size - 1, bare + 1, exponent);
    return 1;
}

/* A constant with the fewest digits that read back; see `program.constant_text`. */
static int write_constant(Breeder *b, int32_t bits, char *to) {
    const uint32_t bucket = ((uint32_t)bits * 2654435761u) >> 19;
    if (b->constant_texts[bucket].length && b->constant_texts[bucket].bits == (uint32_t)bits) {
        memcpy(to, b->constant_texts[bucket].text, b->constant_texts[bucket].length);
        return b->constant_texts[bucket].length;
    }
    const float number = as_float(bits);
    char digits[32], text[64];
    int length;
    if (number == 0.0f) {
        length = sprintf(text, "%s0.0", signbit(number) ? "-" : "");
    } else {
        /* Where six digits do not read back fewer do not, and most constants need more. */
        int count = shortest(fabsf(number), 6, digits) || !(bits & 0x7fffff) ? 1 : 7;
        while (!shortest(fabsf(number), count, digits)) count++;
        const int exponent = atoi(strchr(digits, 'e') + 1);
        char bare[16]; /* the digits without their point */
        int size = 0;
        for (const char *c = digits; *c != 'e'; c++) {
            if (*c != '.') bare[size++] = *c;
        }
        while (size > 1 && bare[size - 1] == '0') size--;
        char *out = text;
        if (number < 0) *out++ = '-';
        const double magnitude = fabs((double)number);
        if (magnitude >= b->s.scientific_from || magnitude < b->s.scientific_below) {
            *out++ = bare[0];
            if (size > 1) {
                *out++ = '.';
                memcpy(out, bare + 1, (size_t)(size - 1));
                out += size - 1;
            }
            out += sprintf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
        } else if (exponent < 0) {
            *out++ = '0';
            *out++ = '.';
            for (int i = -1; i > exponent; i--) *out++ = '0';
            memcpy(out, bare, (size_t)size);
            out += size;
        } else {
            for (int i = 0; i <= exponent; i++) *out++ = i < size ? bare[i] : '0';
            *out++ = '.';
            if (size <= exponent + 1) *out++ = '0';
            for (int i = exponent + 1; i < size; i++) *out++ = bare[i];
        }
        length = (int)(out - text);
    }
    memcpy(to, text, (size_t)length);
    if (length <= 24) {
        b->constant_texts[bucket].bits = (uint32_t)bits;
        b->constant_texts[bucket].length = (uint8_t)length;
        memcpy(b->constant_texts[bucket].text, text, (size_t)length);
    }
    return length;
}

/* ------------------------------------------------------------------ BLAKE2b of up to 128 bytes, 16 bytes long */

static const uint64_t BLAKE_START[8] = {
    0x6a09e667f3bcc908u, 0xbb67ae8584caa73bu, 0x3c6ef372fe94f82bu, 0xa54ff53a5f1d36f1u,
    0x510e527fade682d1u, 0x9b05688c2b3e6c1fu, 0x1f83d9abfb41bd6bu, 0x5be0cd19137e2179u,
};
static const uint8_t BLAKE_ORDER[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4}, {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13}, {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11}, {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5}, {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t turn(uint64_t x, int by) { return x >> by | x << (64 - by); }

static void blake(const uint8_t *message, size_t length, uint8_t *digest) {
    uint64_t words[16] = {0}, h[8], v[16];
    memcpy(words, message, length); /* little-endian, as all machines that JAX has wheels for */
    memcpy(h, BLAKE_START, sizeof h);
    h[0] ^= 0x01010000u ^ DIGEST;
    memcpy(v, h, sizeof h);
    memcpy(v + 8, BLAKE_START, sizeof h);
    v[12] ^= length;
    v[14] = ~v[14];
#define MIX(a, b, c, d, x, y)                                  \
    v[a] += v[b] + words[x], v[d] = turn(v[d] ^ v[a], 32);     \
    v[c] += v[d], v[b] = turn(v[b] ^ v[c], 24);                \
    v[a] += v[b] + words[y], v[d] = turn(v[d] ^ v[a], 16);     \
    v[c] += v[d], v[b] = turn(v[b] ^ v[c], 63)
    for (int round = 0; round < 12; round++) {
        const uint8_t *o = BLAKE_ORDER[round % 10];
        MIX(0, 4, 8, 12, o[0], o[1]);
        MIX(1, 5, 9, 13, o[2], o[3]);
        MIX(2, 6, 10, 14, o[4], o[5]);
        MIX(3, 7, 11, 15, o[6], o[7]);
        MIX(0, 5, 10, 15, o[8], o[9]);
        MIX(1, 6, 11, 12, o[10], o[11]);
        MIX(2, 7, 8, 13, o[12], o[13]);
        MIX(3, 4, 9, 14, o[14], o[15]);
    }
    for (int i = 0; i < 2; i++) h[i] ^= v[i] ^ v[i + 8];
    memcpy(digest, h, DIGEST);
}

/* The digest of a word and up to three digests or texts, joined by "|". */
static void digest_of(const char *word, int count, const uint8_t *const parts[], size_t size, uint8_t *digest) {
    uint8_t message[128];
    size_t length = strlen(word);
    memcpy(message, word, length);
    for (int i = 0; i < count; i++) {
        message[length++] = '|';
        memcpy(message + length, parts[i], size);
        length += size;
    }
    blake(message, length, digest);
}

/* ------------------------------------------------------------------ values: what statements compute */

static void add_input(Breeder *b, int variable) {
    static const char *const letters[INPUTS] = {"w", "g", "m", "v", "lr"};
    const char *name = letters[variable];
    const char *other = variable == VAR_M ? "v" : variable == VAR_V ? "m" : name;
    Value *value = &b->values[b->value_count++];
    memset(value, 0, sizeof *value);
    value->op = CONSTANT_OP;
    value->type = variable == VAR_LR ? SCALAR : TENSOR;
    value->depends = (uint8_t)(1 << variable);
    value->resolved = 1;
    digest_of("input", 1, (const uint8_t *const[]){(const uint8_t *)name}, strlen(name), value->digest);
    digest_of("input", 1, (const uint8_t *const[]){(const uint8_t *)other}, strlen(other), value->swapped);
}

static void clear_values(Breeder *b) {
    memset(b->value_index, 0xff, (size_t)b->value_buckets * sizeof *b->value_index);
    b->value_count = 0;
    for (int variable = 0; variable < INPUTS; variable++) add_input(b, variable);
}

static int same_value(const Value *value, uint8_t op, uint8_t arity, const int32_t *args) {
    return value->op == op && value->arity == arity && !memcmp(value->args, args, arity * sizeof *args);
}

/* Where a value stands, or would stand, in the index. */
static int64_t value_bucket(const Breeder *b, uint8_t op, uint8_t arity, const int32_t *args) {
    uint64_t key = (uint64_t)(op + 1) * 0x9e3779b97f4a7c15u;
    for (int i = 0; i < arity; i++) {
        key = (key ^ (uint32_t)args[i]) * 0xff51afd7ed558ccdu;
        key ^= key >> 32;
    }
    const uint64_t mask = (uint64_t)b->value_buckets - 1;
    uint64_t bucket = key & mask;
    while (b->value_index[bucket] >= 0 && !same_value(&b->values[b->value_index[bucket]], op, arity, args)) {
        bucket = (bucket + 1) & mask;
    }
    return (int64_t)bucket;
}

/* Room for twice as many values; 0 if there is not enough memory. */
static int more_values(Breeder *b) {
    const int64_t room = b->value_room ? 2 * b->value_room : VALUES + VALUES / 8;
    Value *values = realloc(b->values, (size_t)room * sizeof *values);
    if (values) b->values = values;
    int64_t buckets = 1;
    while (buckets < 2 * room) buckets *= 2;
    int32_t *value_index = realloc(b->value_index, (size_t)buckets * sizeof *value_index);
    if (value_index) b->value_index = value_index;
    if (!values || !value_index) return 0;
    b->value_room = room;
    b->value_buckets = buckets;
    memset(value_index, 0xff, (size_t)buckets * sizeof *value_index);
    for (int64_t i = INPUTS; i < b->value_count; i++) {
        value_index[value_bucket(b, values[i].op, values[i].arity, values[i].args)] = (int32_t)i;
    }
    return 1;
}

/* The number of the value (op, args), made if it is new; the caller knows type and dependencies. */
static int32_t find_value(Breeder *b, uint8_t op, uint8_t arity, const int32_t *args, int type, int depends) {
    int64_t bucket = value_bucket(b, op, arity, args);
    if (b->value_index[bucket] >= 0) return b->value_index[bucket];
    if (b->value_count == b->value_room) {
        if (!more_values(b)) {
            b->starved = 1; /* noticed when the child is done */
            return 0;
        }
        bucket = value_bucket(b, op, arity, args);
    }
    Value *value = &b->values[b->value_count];
    memset(value, 0, sizeof *value);
    memcpy(value->args, args, arity * sizeof *args);
    value->op = op;
    value->arity = arity;
    value->type = (uint8_t)type;
    value->depends = (uint8_t)depends;
    b->value_index[bucket] = (int32_t)b->value_count;
    return (int32_t)b->value_count++;
}

static int32_t constant_value(Breeder *b, int32_t bits) {
    const int32_t number = find_value(b, CONSTANT_OP, 1, &bits, SCALAR, 0);
    if (!b->starved) b->values[number].constant = as_float(bits);
    return number;
}

static void become_constant(Value *value, double number) {
    value->constant = number;
    const float rounded = (float)number;
    const uint8_t *bits = (const uint8_t *)&rounded;
    if (number == number) {
        digest_of("constant", 1, &bits, 4, value->digest);
    } else {
        digest_of("constant", 1, (const uint8_t *const[]){(const uint8_t *)"nan"}, 3, value->digest);
    }
    memcpy(value->swapped, value->digest, DIGEST);
    value->resolved = 1;
}

/* Find digests and numbers of a value and all it is computed from; as deep as a program is long. 0 if Python has to
   fold a constant expression first. */
static int resolve(Breeder *b, int32_t number) {
    Value *value = &b->values[number];
    if (value->resolved) return 1;
    if (value->op == CONSTANT_OP) {
        become_constant(value, value->constant);
        return 1;
    }
    for (int i = 0; i < value->arity; i++) {
        if (!resolve(b, value->args[i])) return 0;
    }
    const Value *args[3] = {0};
    for (int i = 0; i < value->arity; i++) args[i] = &b->values[value->args[i]];
    if (value->depends == 0) {
        for (int i = 0; i < value->arity; i++) b->s.folding[i] = args[i]->constant;
        b->s.info[FOLD_OP] = value->op;
        b->unfolded = number;
        return 0;
    }
    const uint8_t *digests[3] = {0}, *swapped[3] = {0};
    for (int i = 0; i < value->arity; i++) digests[i] = args[i]->digest, swapped[i] = args[i]->swapped;
    if (b->s.commutative[value->op]) {
        const uint8_t **lists[] = {digests, swapped};
        for (int which = 0; which < 2; which++) {
            const uint8_t **list = lists[which];
            if (memcmp(list[0], list[1], DIGEST) > 0) {
                const uint8_t *first = list[0];
                list[0] = list[1], list[1] = first;
            }
        }
    }
    const char *name = b->s.primitive_names[value->op];
    digest_of(name, value->arity, digests, DIGEST, value->digest);
    if (value->depends & STATE) {
        digest_of(name, value->arity, swapped, DIGEST, value->swapped);
    } else {
        memcpy(value->swapped, value->digest, DIGEST);
    }
    return value->resolved = 1;
}

/* ------------------------------------------------------------------ abstract execution */

/* The value of a statement, -1 if it is invalid. */
static int32_t execute(Breeder *b, const Statement *statement) {
    const int arity = (int)b->s.arity[statement->op];
    int32_t args[3] = {0};
    int types = 0, depends = 0;
    for (int i = 0; i < arity; i++) {
        args[i] = statement->constants >> i & 1 ? constant_value(b, statement->arg[i])
                                                : b->value_of[statement->arg[i]];
        if (args[i] < 0) return -1;
        types = types * 3 + b->values[args[i]].type;
        depends |= b->values[args[i]].depends;
    }
    const int type = b->s.types[statement->op * 27 + types];
    return type < 0 ? -1 : find_value(b, statement->op, (uint8_t)arity, args, type, depends);
}

static int carried_state(const Value *update, const Value *m, const Value *v) {
    int carried = update->depends & STATE;
    if (carried & 1 << VAR_M) carried |= m->depends & STATE;
    if (carried & 1 << VAR_V) carried |= v->depends & STATE;
    return carried;
}

static void canonical_hash(const Value *update, const Value *m, const Value *v, int carried, uint8_t *hash) {
    const uint8_t *plain[3] = {update->digest, m->digest, v->digest};
    const uint8_t *swapped[3] = {update->swapped, v->swapped, m->swapped};
    if (carried == 0) {
        digest_of("stateless", 1, plain, DIGEST, hash);
    } else if (carried == 1 << VAR_M) {
        digest_of("one slot", 2, plain, DIGEST, hash);
    } else if (carried == 1 << VAR_V) {
        digest_of("one slot", 2, swapped, DIGEST, hash);
    } else {
        uint8_t other[DIGEST];
        digest_of("two slots", 3, plain, DIGEST, hash);
        digest_of("two slots", 3, swapped, DIGEST, other);
        if (memcmp(other, hash, DIGEST) < 0) memcpy(hash, other, DIGEST);
    }
}

/* Mark in `needed` what a live output of the program is read from. */
static void need_outputs(Breeder *b, const Program *program, uint8_t *needed) {
    memset(needed, 0, b->variables);
    needed[VAR_UPDATE] = 1;
    needed[VAR_M] = (program->carried >> VAR_M) & 1;
    needed[VAR_V] = (program->carried >> VAR_V) & 1;
}

/* Whether a statement is live, going backwards from the last one. */
static int is_live(Breeder *b, const Statement *statement, uint8_t *needed) {
    if (!needed[statement->target]) return 0;
    needed[statement->target] = 0;
    for (int64_t k = 0; k < b->s.arity[statement->op]; k++) {
        if (!(statement->constants >> k & 1)) needed[statement->arg[k]] = 1;
    }
    return 1;
}

static int32_t count_live(Breeder *b, const Program *program) {
    int32_t live = 0;
    need_outputs(b, program, b->changed);
    for (int32_t i = program->length; i-- > 0;) live += is_live(b, &program->statements[i], b->changed);
    return live;
}

/* The values of a program's statements and outputs; whether all statements are valid. With a parent only what the
   mutation changed is looked at: up to `position` both are the same, then `has` new statements stand for `had` old
   ones. */
static int find_values(Breeder *b, Program *child, const Program *parent) {
    const int32_t same = parent ? child->position : 0;
    const int32_t fresh = parent ? same + child->has : child->length;
    for (int64_t i = 0; i < b->s.variables; i++) b->value_of[i] = -1;
    for (int32_t i = 0; i < INPUTS; i++) b->value_of[i] = i;
    memset(b->changed, 0, b->variables);
    for (int32_t i = 0; i < same; i++) {
        b->value_of[child->statements[i].target] = child->values[i] = parent->values[i];
    }
    if (parent && child->had) b->changed[parent->statements[same].target] = 1;
    for (int32_t i = same; i < fresh; i++) {
        const Statement *statement = &child->statements[i];
        if ((child->values[i] = execute(b, statement)) < 0) return 0;
        b->value_of[statement->target] = child->values[i];
        b->changed[statement->target] = 1;
    }
    for (int32_t i = fresh; i < child->length; i++) {
        const Statement *statement = &child->statements[i];
        const int32_t old = parent->values[i - child->has + child->had];
        int touched = 0;
        for (int64_t k = 0; k < b->s.arity[statement->op]; k++) {
            touched |= !(statement->constants >> k & 1) && b->changed[statement->arg[k]];
        }
        child->values[i] = touched ? execute(b, statement) : old;
        if (child->values[i] < 0) return 0;
        b->value_of[statement->target] = child->values[i];
        b->changed[statement->target] = child->values[i] != old;
    }
    const int32_t outputs[3] = {b->value_of[VAR_UPDATE], b->value_of[VAR_M], b->value_of[VAR_V]};
    memcpy(child->outputs, outputs, sizeof outputs);
    return 1;
}

/* Values, hash and live statements: INVALID_PROGRAM, VALID, or NEEDS_FOLD: then it is to be asked again. */
static int judge(Breeder *b, Program *child, const Program *parent) {
    if (!find_values(b, child, parent)) return INVALID_PROGRAM;
    const int32_t *outputs = child->outputs;
    if (parent && !memcmp(outputs, parent->outputs, sizeof child->outputs)) {
        child->carried = parent->carried;
        memcpy(child->hash, parent->hash, DIGEST);
    } else {
        for (int i = 0; i < 3; i++) {
            if (outputs[i] < 0 || b->values[outputs[i]].type != TENSOR) return INVALID_PROGRAM;
        }
        for (int i = 0; i < 3; i++) {
            if (!resolve(b, outputs[i])) return NEEDS_FOLD;
        }
        const Value *update = &b->values[outputs[0]], *m = &b->values[outputs[1]], *v = &b->values[outputs[2]];
        child->carried = (uint8_t)carried_state(update, m, v);
        canonical_hash(update, m, v, child->carried, child->hash);
    }
    child->live = count_live(b, child);
    return VALID;
}

/* Forget all values and find those of living programs again; their numbers are new. */
static void renew_values(Breeder *b) {
    clear_values(b);
    find_values(b, &b->founder, NULL);
    const int64_t next = b->s.info[NEXT];
    for (int64_t id = next >= b->ring ? next - b->ring + 1 : 0; id < next; id++) {
        find_values(b, &b->children[id % b->ring], NULL);
    }
    b->values_limit = 2 * b->value_count > VALUES ? 2 * b->value_count : VALUES;
}

/* ------------------------------------------------------------------ mutation */

static int64_t names_before(Breeder *b, const Statement *statements, int32_t position) {
    for (int64_t i = 0; i < INPUTS; i++) b->names[i] = i;
    for (int32_t i = 0; i < position; i++) b->names[INPUTS + i] = statements[i].target;
    return INPUTS + position;
}

/* One of the names, each equally likely however often it occurs among them. */
static int64_t pick_name(Breeder *b, int64_t count, int64_t other_than) {
    for (;;) {
        const int64_t place = pick(b, count), name = b->names[place];
        if (name == other_than) continue;
        int64_t first = 0;
        while (b->names[first] != name) first++;
        if (first == place) return name;
    }
}

static int64_t new_name(Breeder *b, int64_t count) {
    b->stamp++;
    for (int64_t i = 0; i < count; i++) b->taken[b->names[i]] = b->stamp;
    int64_t number = 0;
    while (b->taken[b->s.new_name[number]] == b->stamp) number++;
    return b->s.new_name[number];
}

/* A constant or one of the names; 0 if the constant does not fit. */
static int random_argument(Breeder *b, Statement *statement, int which, int64_t count, int64_t other_than) {
    statement->constants &= (uint8_t)~(1 << which);
    if (draw(b) < b->s.share) {
        statement->constants |= (uint8_t)(1 << which);
        return to_constant(gauss(b, b->s.constant_std), &statement->arg[which]);
    }
    statement->arg[which] = (int32_t)pick_name(b, count, other_than);
    return 1;
}

static int random_statement(Breeder *b, const Program *program, int32_t position, Statement *statement) {
    int64_t count = names_before(b, program->statements, position);
    memset(statement, 0, sizeof *statement);
    statement->op = (uint8_t)b->s.vocabulary[pick(b, b->s.vocabulary_size)];
    for (int i = 0; i < (int)b->s.arity[statement->op]; i++) {
        if (!random_argument(b, statement, i, count, -1)) return 0;
    }
    for (int32_t i = position; i < program->length; i++) b->names[count++] = program->statements[i].target;
    if (draw(b) < 0.5) {
        statement->target = (int16_t)new_name(b, count);
    } else {
        b->names[count++] = VAR_UPDATE;
        statement->target = (int16_t)pick_name(b, count, -1);
    }
    return 1;
}

static void splice(Program *child, const Program *parent, int32_t position) {
    const Statement *from = parent->statements;
    const int32_t rest = parent->length - position - child->had;
    child->position = position;
    child->length = position + child->has + rest;
    memcpy(child->statements, from, (size_t)position * sizeof *from);
    if (child->has) child->statements[position] = child->after;
    memcpy(child->statements + position + child->has, from + position + child->had, (size_t)rest * sizeof *from);
}

enum { MADE, CANT_APPLY, DOES_NOT_FIT };

static int insert_statement(Breeder *b, Program *child, const Program *parent) {
    if (parent->length >= b->s.max_statements) return CANT_APPLY;
    const int32_t position = (int32_t)pick(b, parent->length + 1);
    if (!random_statement(b, parent, position, &child->after)) return DOES_NOT_FIT;
    child->had = 0, child->has = 1;
    splice(child, parent, position);
    return MADE;
}

static int delete_statement(Breeder *b, Program *child, const Program *parent) {
    if (parent->length == 0) return CANT_APPLY;
    const int32_t position = (int32_t)pick(b, parent->length);
    child->before = parent->statements[position];
    child->had = 1, child->has = 0;
    splice(child, parent, position);
    return MADE;
}

/* Where an argument can be changed; 0 if nowhere. */
static int argument_place(Breeder *b, const Program *parent, int32_t *position, int *which) {
    if (!b->s.constants_only) {
        if (parent->length == 0) return 0;
        *position = (int32_t)pick(b, parent->length);
        const int64_t arity = b->s.arity[parent->statements[*position].op];
        if (arity == 0) return 0;
        *which = (int)pick(b, arity);
        return 1;
    }
    int64_t count = 0;
    for (int32_t i = 0; i < parent->length; i++) count += __builtin_popcount(parent->statements[i].constants);
    if (count == 0) return 0;
    int64_t left = pick(b, count);
    for (int32_t i = 0;; i++) {
        for (int k = 0; k < 3; k++) {
            if (parent->statements[i].constants >> k & 1 && left-- == 0) {
                *position = i, *which = k;
                return 1;
            }
        }
    }
}

static int modify_statement(Breeder *b, Program *child, const Program *parent) {
    int32_t position;
    int which;
    if (!argument_place(b, parent, &position, &which)) return CANT_APPLY;
    Statement *new = &child->after;
    child->before = *new = parent->statements[position];
    const int is_constant = new->constants >> which & 1;
    if (is_constant && (b->s.constants_only || draw(b) < b->s.scale_share)) {
        double power = gauss(b, b->s.scale_std);
        power = power < -60.0 ? -60.0 : power > 60.0 ? 60.0 : power;
        const double scaled = (double)as_float(new->arg[which]) * pow(2.0, power), most = b->s.max_magnitude;
        to_constant(scaled > most ? most : scaled < -most ? -most : scaled, &new->arg[which]);
    } else {
        const int64_t count = names_before(b, parent->statements, position);
        const int64_t other_than = is_constant ? -1 : new->arg[which];
        if (!random_argument(b, new, which, count, other_than)) return DOES_NOT_FIT;
    }
    child->had = child->has = 1;
    splice(child, parent, position);
    return MADE;
}

static int mutate(Breeder *b, Program *child, const Program *parent) {
    static int (*const operators[])(Breeder *, Program *, const Program *) = {
        [INSERT] = insert_statement, [MODIFY] = modify_statement, [DELETE] = delete_statement};
    double left = draw(b) * b->s.total_weight;
    for (int64_t i = 0; i < b->s.kinds; i++) {
        left -= b->s.weights[i];
        if (left < 0) {
            child->kind = (uint8_t)b->s.kind_of[i];
            return operators[child->kind](b, child, parent);
        }
    }
    return CANT_APPLY;
}

static int random_program(Breeder *b, Program *child) {
    const int64_t length = 1 + pick(b, b->s.max_statements);
    child->kind = RANDOM;
    child->had = child->has = 0;
    child->position = 0;
    for (child->length = 0; child->length < length; child->length++) {
        Statement *next = &child->statements[child->length];
        if (!random_statement(b, child, child->length, next)) return DOES_NOT_FIT;
    }
    return MADE;
}

/* ------------------------------------------------------------------ the cache: two generations, and slots */

static void release(Breeder *b, int32_t slot) {
    if (--b->references[slot] == 0) b->free_slots[b->free_count++] = slot;
}

static Entry *find_entry(Breeder *b, Generation *generation, const uint8_t *hash) {
    uint64_t key;
    memcpy(&key, hash, 8);
    uint64_t bucket = key & (uint64_t)(b->buckets - 1);
    Entry *entry = &generation->entries[bucket];
    while (entry->slot >= 0 && memcmp(entry->hash, hash, DIGEST)) {
        bucket = (bucket + 1) & (uint64_t)(b->buckets - 1);
        entry = &generation->entries[bucket];
    }
    return entry;
}

static void empty_generation(Breeder *b, Generation *generation) {
    for (int64_t i = 0; i < b->buckets; i++) {
        if (generation->entries[i].slot >= 0 && generation->count) release(b, generation->entries[i].slot);
        generation->entries[i].slot = -1;
    }
    generation->count = 0;
}

static void put(Breeder *b, const uint8_t *hash, int32_t slot) {
    Entry *entry = find_entry(b, &b->young, hash);
    memcpy(entry->hash, hash, DIGEST);
    entry->slot = slot;
    b->references[slot]++;
    if (++b->young.count >= b->s.cache) {
        const Generation oldest = b->old;
        b->old = b->young;
        b->young = oldest;
        empty_generation(b, &b->young);
    }
}

/* The slot of what is known of a program, -1 if it was never put in, or is forgotten. */
static int32_t look_up(Breeder *b, const uint8_t *hash) {
    const int32_t slot = find_entry(b, &b->young, hash)->slot;
    if (slot >= 0) return slot;
    const int32_t old = find_entry(b, &b->old, hash)->slot;
    if (old >= 0) put(b, hash, old);
    return old;
}

/* ------------------------------------------------------------------ texts and rows */

static int64_t write_statement(Breeder *b, const Statement *statement, char *to) {
    char *out = to;
#define SAY(text)                            \
    do {                                     \
        const char *said = (text);           \
        const size_t size = strlen(said);    \
        memcpy(out, said, size), out += size; \
    } while (0)
    const char *infix = b->s.infix[statement->op];
    const int64_t arity = b->s.arity[statement->op];
    SAY(b->s.variable_names[statement->target]);
    SAY(" = ");
    if (!*infix) {
        SAY(b->s.primitive_names[statement->op]);
        *out++ = '(';
    }
    for (int64_t i = 0; i < arity; i++) {
        if (i && *infix) {
            *out++ = ' ';
            SAY(infix);
            *out++ = ' ';
        } else if (i) {
            SAY(", ");
        }
        if (statement->constants >> i & 1) {
            out += write_constant(b, statement->arg[i], out);
        } else {
            SAY(b->s.variable_names[statement->arg[i]]);
        }
    }
    if (!*infix) *out++ = ')';
    return out - to;
}

/* The lines of a program; those that its parent has, too, are copied from it. 0 if there is not enough memory. */
static int write_lines(Breeder *b, Program *program, const Program *parent) {
    const int32_t same = parent ? program->position : 0;
    const int32_t fresh = parent ? same + program->has : program->length;
    const int32_t skipped = parent ? same + program->had : 0; /* where the parent goes on */
    const int32_t kept = parent ? parent->ends[same] : 0;
    const int64_t rest = parent ? parent->ends[parent->length] - parent->ends[skipped] : 0;
    const int64_t room = kept + (fresh - same) * (b->longest + 5) + rest;
    if (room > program->room) {
        char *text = realloc(program->text, (size_t)(2 * room));
        if (!text) return 0;
        program->text = text, program->room = 2 * room;
    }
    program->ends[0] = 0;
    if (same) {
        memcpy(program->text, parent->text, (size_t)kept);
        memcpy(program->ends, parent->ends, (size_t)(same + 1) * sizeof *program->ends);
    }
    char *out = program->text + kept;
    for (int32_t i = same; i < fresh; i++) {
        memcpy(out, "\n    ", 5), out += 5;
        out += write_statement(b, &program->statements[i], out);
        program->ends[i + 1] = (int32_t)(out - program->text);
    }
    if (rest) memcpy(out, parent->text + parent->ends[skipped], (size_t)rest);
    for (int32_t i = fresh; i < program->length; i++) {
        const int32_t old = skipped + i - fresh;
        program->ends[i + 1] = program->ends[i] + parent->ends[old + 1] - parent->ends[old];
    }
    return 1;
}

static int64_t write_program(const Program *program, char *to) {
    static const char head[] = "def train(w, g, m, v, lr):", tail[] = "\n    return update, m, v\n";
    const size_t size = (size_t)program->ends[program->length];
    char *out = to;
    memcpy(out, head, sizeof head - 1), out += sizeof head - 1;
    memcpy(out, program->text, size), out += size;
    memcpy(out, tail, sizeof tail - 1), out += sizeof tail - 1;
    return out - to;
}

static int has_room(const Breeder *b) {
    const int64_t filled = b->s.info[FILLED];
    const int64_t needed = 64 + (b->s.max_statements + 1) * (b->longest + 5);
    return filled < b->s.rows && b->s.ends[filled] + needed <= b->s.text_bytes &&
           b->s.ends[2 * (b->s.rows + 1) + filled] + b->longest <= b->s.text_bytes &&
           b->s.ends[b->s.rows + 1 + filled] + b->longest <= b->s.text_bytes;
}

static void tell_row(Breeder *b, const Program *c, int64_t steps, double seconds) {
    const int64_t row = b->s.info[FILLED]++, rows = b->s.rows;
    const int64_t numbers[] = {c->id, c->parent, c->round, c->restart, c->kind, c->position, c->invalid,
                               c->length, c->live, c->hit, b->s.status[c->slot], b->s.seeds[c->slot], steps};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) b->s.numbers[(int64_t)i * rows + row] = numbers[i];
    b->s.reals[row] = b->s.fitness[c->slot];
    b->s.reals[rows + row] = seconds;
    memcpy(b->s.hashes + row * DIGEST, c->hash, DIGEST);
    for (int64_t which = 0; which < 3; which++) {
        int32_t *ends = b->s.ends + which * (rows + 1) + row;
        char *to = b->s.texts + which * b->s.text_bytes + *ends;
        int64_t size = 0;
        if (which == 0) size = write_program(c, to);
        if (which == 1 && c->had) size = write_statement(b, &c->before, to);
        if (which == 2 && c->has) size = write_statement(b, &c->after, to);
        ends[1] = ends[0] + (int32_t)size;
    }
}

/* ------------------------------------------------------------------ order */

static void show(Breeder *b, const Program *c) {
    int64_t *info = b->s.info;
    info[EVENT_ID] = c->id, info[EVENT_LENGTH] = c->length;
    info[EVENT_CARRIED] = c->carried, info[EVENT_SLOT] = c->slot;
    memcpy(b->s.shown, c->statements, (size_t)c->length * sizeof *c->statements);
    memcpy(b->s.shown_hash, c->hash, DIGEST);
}

/* The oldest child under way takes its place; whether it is a leader that nobody knows. */
static int take_place(Breeder *b, int64_t steps, double seconds) {
    Program *c = &b->children[b->s.info[FIRST]++ % b->ring];
    int64_t *member = &b->members[b->oldest];
    if (*member >= 0) release(b, b->children[*member % b->ring].slot);
    *member = c->id;
    b->oldest = (b->oldest + 1) % b->s.population;
    const double fitness = b->s.fitness[c->slot];
    if (fitness < b->run_best) b->run_best = fitness, b->run_best_at = c->id;
    tell_row(b, c, steps, seconds);
    if (!(fitness < b->leaders_bar) || b->s.leads[c->slot]) return 0;
    show(b, c);
    return 1;
}

/* A bred child is under way from here on. */
static void admit(Breeder *b, int32_t slot, int hit, int awaits) {
    int64_t *info = b->s.info;
    Program *c = &b->children[info[NEXT]++ % b->ring];
    c->slot = slot, c->hit = (uint8_t)hit, c->awaits = (uint8_t)awaits;
    b->references[slot]++;
    info[GENERATED]++;
    info[INVALID] += c->invalid;
    info[CACHE_HITS] += hit;
    info[STATEMENTS] += c->length;
    info[LIVE] += c->live;
}

static const Program *tournament(Breeder *b) {
    const Program *best = NULL;
    for (int64_t i = 0; i < b->s.tournament; i++) {
        const int64_t id = b->members[(b->oldest + pick(b, b->s.population)) % b->s.population];
        const Program *other = id < 0 ? &b->founder : &b->children[id % b->ring];
        if (!best || b->s.fitness[other->slot] < b->s.fitness[best->slot]) best = other;
    }
    return best;
}

static int breed(Breeder *b) {
    const int64_t number = b->s.info[NEXT];
    Program *child = &b->children[number % b->ring];
    if (!b->pending) {
        random_seed(b, number);
        b->parent = b->s.method_random ? NULL : tournament(b);
        child->id = number, child->parent = b->parent ? b->parent->id : -1;
        child->round = b->round, child->restart = b->restart;
        child->invalid = 0;
        b->attempt = 0;
    }
    for (;; b->attempt++) {
        if (!b->pending) {
            if (b->attempt == b->s.max_attempts) return NO_CHILD;
            if (b->value_count >= b->values_limit) renew_values(b);
            const int made = b->parent ? mutate(b, child, b->parent) : random_program(b, child);
            if (made == DOES_NOT_FIT) return OVERFLOW;
            if (made == CANT_APPLY) continue;
        }
        const int judged = judge(b, child, b->parent);
        b->pending = judged == NEEDS_FOLD;
        if (b->starved) return NO_MEMORY;
        if (b->pending) return FOLD;
        if (judged == VALID) break;
        child->invalid++;
    }
    if (!write_lines(b, child, b->parent)) return NO_MEMORY;
    const int32_t slot = look_up(b, child->hash);
    if (slot >= 0 && !b->s.more[slot]) {
        admit(b, slot, 1, 0);
        return -1;
    }
    child->slot = slot;
    show(b, child);
    return slot < 0 ? NEW : MORE;
}

/* ------------------------------------------------------------------ what Python calls */

int64_t breeder_setup_size(void) { return (int64_t)sizeof(Setup); }

int64_t breeder_info_size(void) { return INFO_SIZE; }

static void free_program(Program *program) {
    free(program->statements), free(program->values), free(program->text), free(program->ends);
}

void breeder_delete(Breeder *b) {
    if (!b) return;
    for (int64_t i = 0; b->children && i < b->ring; i++) free_program(&b->children[i]);
    free_program(&b->founder);
    free(b->children), free(b->members), free(b->young.entries), free(b->old.entries);
    free(b->references), free(b->free_slots), free(b->values), free(b->value_index);
    free(b->value_of), free(b->changed), free(b->names), free(b->taken), free(b->constant_texts);
    free(b);
}

static int allocate_program(Program *program, int64_t length) {
    program->statements = calloc((size_t)length, sizeof *program->statements);
    program->values = calloc((size_t)length, sizeof *program->values);
    program->ends = calloc((size_t)length + 1, sizeof *program->ends);
    return program->statements && program->values && program->ends;
}

/* NULL if there is not enough memory. */
Breeder *breeder_new(const Setup *setup) {
    Breeder *b = calloc(1, sizeof *b);
    if (!b) return NULL;
    b->s = *setup;
    b->ring = setup->population + setup->lag + 1;
    b->leaders_bar = INFINITY;
    b->variables = (size_t)setup->variables;
    for (b->buckets = 64; b->buckets < 2 * setup->cache; b->buckets *= 2) {}
    const size_t names = (size_t)(INPUTS + 2 + setup->max_statements);
    const size_t variables = b->variables, slots = (size_t)setup->slots, buckets = (size_t)b->buckets;
    b->children = calloc((size_t)b->ring, sizeof *b->children);
    b->members = calloc((size_t)setup->population, sizeof *b->members);
    b->young.entries = calloc(buckets, sizeof(Entry)), b->old.entries = calloc(buckets, sizeof(Entry));
    b->references = calloc(slots, sizeof *b->references), b->free_slots = calloc(slots, sizeof *b->free_slots);
    b->value_of = calloc(variables, sizeof *b->value_of), b->changed = calloc(variables, 1);
    b->names = calloc(names, sizeof *b->names), b->taken = calloc(variables, sizeof *b->taken);
    b->constant_texts = calloc(TEXTS, sizeof *b->constant_texts);
    int enough = b->children && b->members && b->young.entries && b->old.entries && b->references &&
                 b->free_slots && more_values(b) && b->value_of && b->changed && b->names &&
                 b->taken && b->constant_texts && allocate_program(&b->founder, setup->max_statements);
    for (int64_t i = 0; enough && i < b->ring; i++) {
        enough = allocate_program(&b->children[i], setup->max_statements);
    }
    if (!enough) {
        breeder_delete(b);
        return NULL;
    }
    for (int64_t i = 0; i < b->buckets; i++) b->young.entries[i].slot = b->old.entries[i].slot = -1;
    for (int64_t slot = setup->slots; slot-- > 0;) b->free_slots[b->free_count++] = (int32_t)slot;
    for (int64_t i = 0; i < setup->population; i++) b->members[i] = -1;
    b->founder.slot = b->unfolded = -1;
    b->values_limit = VALUES;
    size_t name = 24, primitive = 0;
    for (size_t i = 0; i < variables; i++) {
        if (strlen(setup->variable_names[i]) > name) name = strlen(setup->variable_names[i]);
    }
    for (int64_t i = 0; i < setup->primitives; i++) {
        if (strlen(setup->primitive_names[i]) > primitive) primitive = strlen(setup->primitive_names[i]);
    }
    b->longest = (int64_t)(4 * name + primitive + 16);
    random_prepare(b);
    clear_values(b);
    return b;
}

/* A slot that nobody uses, -1 if there is none; nothing is known of its program. It is kept by whatever is put or
   admitted with it. */
int64_t breeder_slot(Breeder *b) {
    if (!b->free_count) return -1;
    const int32_t slot = b->free_slots[--b->free_count];
    b->s.fitness[slot] = INFINITY;
    b->s.status[slot] = -1;
    b->s.seeds[slot] = b->s.leads[slot] = b->s.more[slot] = 0;
    return slot;
}

/* Whether nothing keeps a slot any more. */
int64_t breeder_is_free(Breeder *b, int64_t slot) { return b->references[slot] == 0; }

void breeder_put(Breeder *b, const uint8_t *hash, int64_t slot) { put(b, hash, (int32_t)slot); }

/* Copies of one program make up the population. Nobody is under way. `breeder_judge_founder` comes next. */
void breeder_begin_run(Breeder *b, const Statement *statements, int64_t length, int64_t id, int64_t slot,
                       int64_t round, int64_t restart) {
    b->references[slot]++; /* first: it may be a member that nothing else keeps */
    for (int64_t i = 0; i < b->s.population; i++) {
        if (b->members[i] >= 0) release(b, b->children[b->members[i] % b->ring].slot);
        b->members[i] = -1;
    }
    if (b->founder.slot >= 0) release(b, b->founder.slot);
    memcpy(b->founder.statements, statements, (size_t)length * sizeof *statements);
    b->founder.length = (int32_t)length;
    if (!write_lines(b, &b->founder, NULL)) b->starved = 1;
    b->founder.id = id;
    b->founder.slot = (int32_t)slot;
    b->oldest = 0;
    b->run_first = b->run_best_at = b->s.info[NEXT];
    b->run_best = b->s.fitness[slot];
    b->round = (int32_t)round, b->restart = (int32_t)restart;
    b->s.info[RUN_ENDING] = 0;
}

/* INVALID_PROGRAM, VALID, or NEEDS_FOLD: then it is to be asked again. */
int64_t breeder_judge_founder(Breeder *b) { return judge(b, &b->founder, NULL); }

/* The number of the constant expression that an event FOLD, or NEEDS_FOLD, was about. */
void breeder_fold(Breeder *b, double number) {
    if (b->unfolded >= 0) become_constant(&b->values[b->unfolded], number);
    b->unfolded = -1;
}

/* The live statements of the child of an event NEW, the number of each constant expression with it; returns how many
   there are, -1 if Python has to fold one first. */
int64_t breeder_steps(Breeder *b, Step *to) {
    const Program *child = &b->children[b->s.info[NEXT] % b->ring];
    int64_t first = child->length;
    need_outputs(b, child, b->changed);
    for (int32_t i = child->length; i-- > 0;) {
        const Statement *statement = &child->statements[i];
        if (!is_live(b, statement, b->changed)) continue;
        if (!resolve(b, child->values[i])) return -1;
        const Value *value = &b->values[child->values[i]];
        to[--first] = (Step){.statement = *statement, .constant = value->constant};
        if (value->depends == 0) to[first].statement.op = CONSTANT_OP;
    }
    memmove(to, to + first, (size_t)child->live * sizeof *to);
    return child->live;
}

/* Programs below this fitness are to be shown as leaders. */
void breeder_set_bar(Breeder *b, double bar) { b->leaders_bar = bar; }

/* The slots of the population's members, oldest first. */
void breeder_members(Breeder *b, int64_t *slots) {
    for (int64_t i = 0; i < b->s.population; i++) {
        const int64_t id = b->members[(b->oldest + i) % b->s.population];
        slots[i] = id < 0 ? b->founder.slot : b->children[id % b->ring].slot;
    }
}

/* The child of the last event NEW or MORE is under way. */
void breeder_admit(Breeder *b, int64_t slot, int64_t hit, int64_t awaits) {
    admit(b, (int32_t)slot, (int)hit, (int)awaits);
}

/* The oldest child under way, whose outcome Python has learned, takes its place; 1 if it is to be shown as a
   leader. There must be room for its row. */
int64_t breeder_take_place(Breeder *b, int64_t steps, double seconds) { return take_place(b, steps, seconds); }

/* The text of a constant; returns its length, 24 bytes at most. */
int64_t breeder_write_constant(Breeder *b, int32_t bits, char *to) { return write_constant(b, bits, to); }

/* Go on until something happens that is Python's to decide, or `limit` children were bred. */
int64_t breeder_advance(Breeder *b, int64_t limit) {
    int64_t *info = b->s.info;
    for (;;) {
        const int64_t below =
            info[STOPPED] || info[RUN_ENDING] ? info[NEXT] : info[NEXT] - b->s.lag + 1;
        while (info[FIRST] < below) {
            if (!has_room(b)) return ROWS_FULL;
            if (b->children[info[FIRST] % b->ring].awaits) return AWAITED;
            if (take_place(b, 0, 0.0)) return LEADER;
        }
        if (info[STOPPED]) return OVER;
        const int64_t bred = info[NEXT] - b->run_first;
        if (info[IS_SPENT] || (info[PROGRAMS] >= 0 && info[NEXT] >= info[PROGRAMS])) return SPENT;
        if (info[RUN_ENDING]) return RUN_ENDS;
        if ((info[RUN_PROGRAMS] >= 0 && bred >= info[RUN_PROGRAMS]) ||
            (info[PATIENCE] >= 0 && info[NEXT] - b->run_best_at >= info[PATIENCE])) {
            info[RUN_ENDING] = 1;
            continue;
        }
        if (limit-- <= 0) return LIMIT;
        const int event = breed(b);
        if (event >= 0) return event;
    }
}
