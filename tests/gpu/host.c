/* Runs one kernel of src/tensor/fused/kernels.cu on a CPU: the lanes of a block one after another. Reads the call from
 * standard input and writes the result to standard output; exits with 3 when a kernel wrote outside its array or into one
 * that it only reads. Input: name (32 bytes), blocks (u32), bytes of x, y, z, out (u32 each), Rules, then the arrays. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ON_HOST
#define LANES for (threadIdx.x = 0; threadIdx.x < WIDTH; ++threadIdx.x)
#define SYNC
#define KERNEL static void
#define SHARED static
#define INLINE static inline

static struct { int x; } threadIdx, blockIdx;
static unsigned BITS(float f) { unsigned u; memcpy(&u, &f, 4); return u; }
static float FLOAT(unsigned u) { float f; memcpy(&f, &u, 4); return f; }

#include KERNELS_FILE

#define ROWS(_) _(layer_norm) _(layer_norm_back) _(layer_norm_share) _(column_sums) _(add_bias) _(softmax) _(softmax_back) \
    _(dropout) _(gelu) _(gelu_back) _(row_loss) _(row_gradient) _(first_moment) _(second_moment)
#define BOTH(k) TRY(k##_f32) TRY(k##_bf16)
#define TRY(k) if (!strcmp(name, #k)) { for (blockIdx.x = 0; blockIdx.x < (int)blocks; ++blockIdx.x) k((void *)a[0], (void *)a[1], (void *)a[2], (void *)a[3], rules); return 1; }

static int run(const char *name, unsigned blocks, char **a, Rules rules) {
    ROWS(BOTH)
    TRY(adamw_f32)
    return 0;
}

#define GUARD 256

static void need(size_t got, size_t wanted) { if (got != wanted) { fputs("the call ended early\n", stderr); exit(2); } }

int main(void) {
    char name[32];
    unsigned sizes[5];
    Rules rules;
    need(fread(name, 1, 32, stdin), 32);
    need(fread(sizes, 4, 5, stdin), 5);
    need(fread(&rules, sizeof rules, 1, stdin), 1);
    char *a[4], *before[4];
    for (int i = 0; i < 4; ++i) {
        size_t n = sizes[i + 1];
        a[i] = (char *)malloc(n + 2 * GUARD) + GUARD;
        memset(a[i] - GUARD, 0x5a, n + 2 * GUARD);
        need(fread(a[i], 1, n, stdin), n);
        before[i] = malloc(n + 1);
        memcpy(before[i], a[i], n);
    }
    if (!run(name, sizes[0], a, rules)) { fprintf(stderr, "no kernel %s\n", name); return 2; }
    for (int i = 0; i < 4; ++i) {
        for (int g = 0; g < GUARD; ++g)
            if (a[i][g - GUARD] != 0x5a || a[i][sizes[i + 1] + g] != 0x5a) { fprintf(stderr, "%s wrote outside array %d\n", name, i); return 3; }
        if (i < 3 && memcmp(a[i], before[i], sizes[i + 1])) { fprintf(stderr, "%s wrote into array %d\n", name, i); return 3; }
    }
    need(fwrite(a[3], 1, sizes[4], stdout), sizes[4]);
    return 0;
}
