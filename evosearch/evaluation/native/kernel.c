/* One step of a program on all weights, in place: what the native interpreter calls from a compiled training.

The operations that the table of primitives defines come before this text; `source.py` puts both together.

A program is a list of instructions in passes. Within a pass every instruction runs on one block of elements
before the next block is touched, so what lies between them stays in the first-level cache. A sum over elements
ends with its pass: what depends on it is computed in the next, first on numbers, then on tensors.

An operand is a number: its kind in the upper bits, its index in the lower ones (see `code.py`). */

#include <stdlib.h>
#include "xla/ffi/api/c_api.h"

enum { BLOCK = 1024, LANES = 16 };
enum { FIELDS = 5, OPERANDS = FIELDS - 1 };

typedef struct {
    int64_t leaves, size; /* how many arrays the weights have, and how many elements in all */
    float *const *w;      /* of each leaf: changed in place */
    const float *const *g;
    float *m, *v; /* all leaves, one after the other */
    float *scratch, *spill, *narrow;
    const float *columns;
} Memory;

/* An instruction on one leaf: where its result and operands begin, and whether they go on with the elements. */
typedef struct {
    int32_t operation, form;
    float *begin[OPERANDS];
    int64_t moves[OPERANDS];
} Line;

static float *place(const Memory *at, int32_t operand, int64_t leaf, int64_t before) {
    int64_t index = operand & ((1 << INDEX_BITS) - 1);
    switch (operand >> INDEX_BITS) {
    case WEIGHT: return at->w[leaf];
    case GRADIENT: return (float *)at->g[leaf];
    case SLOT_M: return at->m + before;
    case SLOT_V: return at->v + before;
    case SPILL: return at->spill + index * at->size + before;
    case SCRATCH: return at->scratch + index * BLOCK;
    case NARROW: return at->narrow + index * at->leaves + leaf;
    default: return (float *)at->columns + index;
    }
}

static int one_number(int32_t operand) { return (operand >> INDEX_BITS) >= NARROW; }

static Line line_at(const Memory *at, const int32_t *fields, int64_t leaf, int64_t before) {
    Line line = {.operation = fields[0]};
    line.form = one_number(fields[3]) ? SECOND_NARROW : one_number(fields[2]) ? FIRST_NARROW : NONE_NARROW;
    for (int k = 0; k < OPERANDS; k++) {
        line.begin[k] = place(at, fields[k + 1], leaf, before);
        line.moves[k] = (fields[k + 1] >> INDEX_BITS) < SCRATCH;
    }
    return line;
}

static double sum_of_products(const float *x, const float *y, int64_t n) {
    float lanes[LANES] = {0};
    int64_t whole = n - n % LANES;
    for (int64_t i = 0; i < whole; i += LANES)
        for (int64_t k = 0; k < LANES; k++) lanes[k] += x[i + k] * y[i + k];
    for (int64_t i = whole; i < n; i++) lanes[i - whole] += x[i] * y[i];
    double sum = 0;
    for (int64_t k = 0; k < LANES; k++) sum += lanes[k];
    return sum;
}

/* w -= factor * update; not zero if an element is not finite afterwards. */
static int32_t move(float *w, const float *update, float factor, int64_t n) {
    int32_t wrong = 0;
    for (int64_t i = 0; i < n; i++) {
        float moved = w[i] - factor * update[i];
        wrong |= !(fabsf(moved) <= FLT_MAX);
        w[i] = moved;
    }
    return wrong;
}

/* An instruction on numbers of which each leaf has one. */
static void run_on_numbers(const Memory *at, const int32_t *fields) {
    double sum = 0;
    for (int64_t leaf = 0; leaf < at->leaves; leaf++) {
        Line line = line_at(at, fields, leaf, 0);
        if (line.operation == TOTAL)
            sum += *line.begin[1];
        else
            OPERATIONS[line.operation](line.begin[0], line.begin[1], line.begin[2], line.begin[3], NONE_NARROW, 1);
    }
    if (fields[0] == TOTAL)
        for (int64_t leaf = 0; leaf < at->leaves; leaf++) *place(at, fields[1], leaf, 0) = (float)sum;
}

/* Instructions on tensors, block by block. `lines` and `sums` have room for one entry an instruction. */
static int32_t run_pass(const Memory *at, const int64_t *sizes, const int32_t (*code)[FIELDS], int64_t length,
                        float factor, Line *lines, double *sums) {
    int32_t wrong = 0;
    int64_t before = 0;
    for (int64_t leaf = 0; leaf < at->leaves; before += sizes[leaf++]) {
        for (int64_t i = 0; i < length; i++) {
            lines[i] = line_at(at, code[i], leaf, before);
            sums[i] = 0;
        }
        for (int64_t offset = 0; offset < sizes[leaf]; offset += BLOCK) {
            int64_t n = sizes[leaf] - offset < BLOCK ? sizes[leaf] - offset : BLOCK;
            for (int64_t i = 0; i < length; i++) {
                const Line *line = &lines[i];
                const float *x = line->begin[1] + line->moves[1] * offset;
                const float *y = line->begin[2] + line->moves[2] * offset;
                float *result = line->begin[0] + line->moves[0] * offset;
                if (line->operation == SUM)
                    sums[i] += sum_of_products(x, y, n);
                else if (line->operation == MOVE)
                    wrong |= move(result, x, factor, n);
                else
                    OPERATIONS[line->operation](result, x, y, line->begin[3], line->form, n);
            }
        }
        for (int64_t i = 0; i < length; i++)
            if (lines[i].operation == SUM) *lines[i].begin[0] = (float)sums[i];
    }
    return wrong;
}

/* Memory of this thread that stays from call to call; NULL if there is none. */
static void *workspace(size_t bytes) {
    static _Thread_local void *kept;
    static _Thread_local size_t kept_bytes;
    if (bytes > kept_bytes) {
        free(kept);
        kept_bytes = (bytes + 63) / 64 * 64;
        kept = aligned_alloc(64, kept_bytes);
        if (kept == NULL) kept_bytes = 0;
    }
    return kept;
}

static XLA_FFI_Error *failure(XLA_FFI_CallFrame *frame, const char *message) {
    XLA_FFI_Error_Create_Args args = {XLA_FFI_Error_Create_Args_STRUCT_SIZE, NULL, message,
                                      XLA_FFI_Error_Code_INTERNAL};
    return frame->api->XLA_FFI_Error_Create(&args);
}

static int64_t elements(const XLA_FFI_Buffer *buffer) {
    int64_t count = 1;
    for (int64_t k = 0; k < buffer->rank; k++) count *= buffer->dims[k];
    return count;
}

/* Arguments: code, shape, columns of all steps, step, factor, state (2, size), then each leaf of w, each of g.
   Results: finite, state, each leaf of w; all but `finite` take the place of the arguments. */
enum { CODE, SHAPE, COLUMNS, STEP, FACTOR, STATE, LEAVES };
enum { LENGTH, SCRATCHES, SPILLS, NARROWS };

XLA_FFI_Error *evosearch_step(XLA_FFI_CallFrame *frame) {
    for (XLA_FFI_Extension_Base *e = frame->extension_start; e != NULL; e = e->next) {
        if (e->type == XLA_FFI_Extension_Metadata) { /* XLA asks what this was compiled for, at registration */
            XLA_FFI_Metadata *metadata = ((XLA_FFI_Metadata_Extension *)e)->metadata;
            metadata->api_version.major_version = XLA_FFI_API_MAJOR;
            metadata->api_version.minor_version = XLA_FFI_API_MINOR;
            return NULL;
        }
    }
    XLA_FFI_Buffer **args = (XLA_FFI_Buffer **)frame->args.args, **results = (XLA_FFI_Buffer **)frame->rets.rets;
    int64_t leaves = (frame->args.size - LEAVES) / 2;
    if (args[STATE]->data != results[1]->data) return failure(frame, "evosearch: the state is not in place");
    for (int64_t k = 0; k < leaves; k++)
        if (args[LEAVES + k]->data != results[2 + k]->data)
            return failure(frame, "evosearch: the weights are not in place");

    const int32_t *shape = args[SHAPE]->data;
    int64_t length = shape[LENGTH], size = elements(args[STATE]) / 2;
    size_t floats = (size_t)shape[SCRATCHES] * BLOCK + (size_t)shape[SPILLS] * (size_t)size +
                    (size_t)(shape[NARROWS] * leaves);
    size_t each = (size_t)leaves * (sizeof(float *) * 2 + sizeof(int64_t));
    size_t instructions = (size_t)length * (sizeof(Line) + sizeof(double));
    char *space = workspace(((floats * sizeof(float) + 63) / 64 * 64) + each + instructions);
    if (space == NULL) return failure(frame, "evosearch: no memory for a program's values");

    float *numbers = (float *)space;
    Line *lines = (Line *)(space + (floats * sizeof(float) + 63) / 64 * 64);
    double *sums = (double *)(lines + length);
    int64_t *sizes = (int64_t *)(sums + length);
    float **w = (float **)(sizes + leaves);
    const float **g = (const float **)(w + leaves);
    for (int64_t k = 0; k < leaves; k++) {
        sizes[k] = elements(args[LEAVES + k]);
        w[k] = args[LEAVES + k]->data;
        g[k] = args[LEAVES + leaves + k]->data;
    }
    float *state = args[STATE]->data;
    int64_t columns = args[COLUMNS]->dims[1], step = *(const int32_t *)args[STEP]->data;
    Memory at = {
        .leaves = leaves,
        .size = size,
        .w = w,
        .g = g,
        .m = state,
        .v = state + size,
        .scratch = numbers,
        .spill = numbers + shape[SCRATCHES] * BLOCK,
        .narrow = numbers + shape[SCRATCHES] * BLOCK + shape[SPILLS] * size,
        .columns = (const float *)args[COLUMNS]->data + step * columns,
    };
    for (int64_t k = 0; k < leaves; k++) at.narrow[k] = (float)sizes[k]; /* number 0: the size of each leaf */

    const int32_t (*code)[FIELDS] = args[CODE]->data;
    float factor = *(const float *)args[FACTOR]->data;
    int32_t wrong = 0;
    for (int64_t i = 0; i < length; i++) {
        int64_t begin = i;
        if (code[i][0] == PASS) {
            i += code[i][1];
            wrong |= run_pass(&at, sizes, code + begin + 1, code[begin][1], factor, lines, sums);
        } else {
            run_on_numbers(&at, code[i]);
        }
    }
    *(int32_t *)results[0]->data = !wrong;
    return NULL;
}
