// The GPU's kernels: row-wise operators that are slow when composed of a library's elementwise ones.
//
// Each takes up to three arrays and writes one; their plain twins are in `twin.rs`. The file is compiled for the GPU by the
// build script, and, with ON_HOST, as C by `tests/device_kernels.rs`, which runs every kernel on a CPU against its twin. For
// that, threads of a block share nothing but SHARED arrays; what every thread runs stands in LANES blocks, and SYNC stands
// between two of them, so that a compiler without threads can run the lanes one after another. Nothing that one LANES block
// sets is read in another one but through SHARED arrays.

#ifndef ON_HOST
#define LANES
#define SYNC __syncthreads()
#define KERNEL extern "C" __global__ void
#define SHARED __shared__
#define INLINE static __device__ __forceinline__
#define BITS(f) __float_as_uint(f)
#define FLOAT(u) __uint_as_float(u)
#endif

typedef unsigned int u32;
typedef unsigned short bf16;
typedef unsigned long long u64;

// Threads of a block, a power of two; `launch.rs` starts as many.
#define WIDTH 128

// As `Rules` in `launch.rs`.
typedef struct {
    int rows;
    int width;
    int queries;
    int start;
    int heads;
    int causal;
    int batch_stride;
    int head_stride;
    float a;
    float b;
    float c;
    float d;
    float e;
} Rules;

INLINE float get_f32(const float *p, u64 i) { return p[i]; }
INLINE void put_f32(float *p, u64 i, float v) { p[i] = v; }
INLINE float get_bf16(const bf16 *p, u64 i) { return FLOAT((u32)p[i] << 16); }
// To the nearest, ties to even; a NaN stays one.
INLINE void put_bf16(bf16 *p, u64 i, float v) {
    u32 u = BITS(v);
    p[i] = v != v ? (bf16)0x7fc0 : (bf16)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

#define EACH(i, n) for (int i = threadIdx.x; i < (n); i += WIDTH)

// Adds up an array of one number per lane into its first element.
#define SUM(s)                                                                                                         \
    for (int half = WIDTH / 2; half > 0; half /= 2) {                                                                  \
        SYNC;                                                                                                          \
        LANES { if (threadIdx.x < half) s[threadIdx.x] += s[threadIdx.x + half]; }                                     \
    }                                                                                                                  \
    SYNC

// The largest instead.
#define LARGEST(s)                                                                                                     \
    for (int half = WIDTH / 2; half > 0; half /= 2) {                                                                  \
        SYNC;                                                                                                          \
        LANES { if (threadIdx.x < half && s[threadIdx.x + half] > s[threadIdx.x]) s[threadIdx.x] = s[threadIdx.x + half]; } \
    }                                                                                                                  \
    SYNC

// Column sums in stripes of rows, one partial sum each, so that a tall matrix keeps the whole GPU busy.
#define STRIPES 16
#define COLUMNS 32

// Rules.a of the cross-entropy gradient scales it; in the norms it is epsilon, in softmax the scale of the scores.

#define ROW_KERNELS(T, get, put, NAME)                                                                                 \
    /* out[r] = (x[r] - mean) / sqrt(var + eps) * gain + bias; y gain, z bias. */                                      \
    KERNEL NAME(layer_norm)(const T *x, const float *gain, const float *bias, T *out, Rules p) {                       \
        SHARED float s[WIDTH];                                                                                         \
        SHARED float t[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES { s[threadIdx.x] = 0; EACH(i, p.width) s[threadIdx.x] += get(x, at + i); }                               \
        SUM(s);                                                                                                        \
        LANES {                                                                                                        \
            t[threadIdx.x] = 0;                                                                                        \
            EACH(i, p.width) { float d = get(x, at + i) - s[0] / p.width; t[threadIdx.x] += d * d; }                   \
        }                                                                                                              \
        SUM(t);                                                                                                        \
        LANES {                                                                                                        \
            float scale = 1.0f / sqrtf(t[0] / p.width + p.a);                                                          \
            EACH(i, p.width) put(out, at + i, (get(x, at + i) - s[0] / p.width) * scale * gain[i] + bias[i]);          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* Gradient with respect to x; y gain, z the gradient of the output. */                                            \
    KERNEL NAME(layer_norm_back)(const T *x, const float *gain, const T *g, T *out, Rules p) {                         \
        SHARED float s[WIDTH];                                                                                         \
        SHARED float t[WIDTH];                                                                                         \
        SHARED float a[WIDTH];                                                                                         \
        SHARED float b[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES { s[threadIdx.x] = 0; EACH(i, p.width) s[threadIdx.x] += get(x, at + i); }                               \
        SUM(s);                                                                                                        \
        LANES {                                                                                                        \
            t[threadIdx.x] = 0;                                                                                        \
            EACH(i, p.width) { float d = get(x, at + i) - s[0] / p.width; t[threadIdx.x] += d * d; }                   \
        }                                                                                                              \
        SUM(t);                                                                                                        \
        LANES {                                                                                                        \
            float scale = 1.0f / sqrtf(t[0] / p.width + p.a);                                                          \
            a[threadIdx.x] = 0;                                                                                        \
            b[threadIdx.x] = 0;                                                                                        \
            EACH(i, p.width) {                                                                                         \
                float d = get(g, at + i) * gain[i];                                                                    \
                a[threadIdx.x] += d;                                                                                   \
                b[threadIdx.x] += d * (get(x, at + i) - s[0] / p.width) * scale;                                       \
            }                                                                                                          \
        }                                                                                                              \
        SUM(a);                                                                                                        \
        SUM(b);                                                                                                        \
        LANES {                                                                                                        \
            float scale = 1.0f / sqrtf(t[0] / p.width + p.a);                                                          \
            EACH(i, p.width) {                                                                                         \
                float hat = (get(x, at + i) - s[0] / p.width) * scale;                                                 \
                put(out, at + i, scale * (get(g, at + i) * gain[i] - a[0] / p.width - hat * b[0] / p.width));          \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* A row's share of the gain's gradient, to be summed over rows; z the gradient of the output. */                  \
    KERNEL NAME(layer_norm_share)(const T *x, const float *gain, const T *g, float *out, Rules p) {                    \
        SHARED float s[WIDTH];                                                                                         \
        SHARED float t[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES { s[threadIdx.x] = 0; EACH(i, p.width) s[threadIdx.x] += get(x, at + i); }                               \
        SUM(s);                                                                                                        \
        LANES {                                                                                                        \
            t[threadIdx.x] = 0;                                                                                        \
            EACH(i, p.width) { float d = get(x, at + i) - s[0] / p.width; t[threadIdx.x] += d * d; }                   \
        }                                                                                                              \
        SUM(t);                                                                                                        \
        LANES {                                                                                                        \
            float scale = 1.0f / sqrtf(t[0] / p.width + p.a);                                                          \
            EACH(i, p.width) out[at + i] = get(g, at + i) * (get(x, at + i) - s[0] / p.width) * scale;                 \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* Sums over the rows of one stripe: out [STRIPES, width]. One block: COLUMNS columns of one stripe. */            \
    KERNEL NAME(column_sums)(const T *x, const T *y, const T *z, float *out, Rules p) {                                \
        SHARED float s[WIDTH];                                                                                         \
        const int groups = (p.width + COLUMNS - 1) / COLUMNS;                                                          \
        const int stripe = blockIdx.x / groups, first = blockIdx.x % groups * COLUMNS;                                 \
        const int tall = (p.rows + STRIPES - 1) / STRIPES;                                                             \
        const int from = stripe * tall, to = from + tall < p.rows ? from + tall : p.rows;                              \
        LANES {                                                                                                        \
            int column = first + threadIdx.x % COLUMNS;                                                                \
            s[threadIdx.x] = 0;                                                                                        \
            if (column < p.width)                                                                                      \
                for (int r = from + threadIdx.x / COLUMNS; r < to; r += WIDTH / COLUMNS)                               \
                    s[threadIdx.x] += get(x, (u64)r * p.width + column);                                               \
        }                                                                                                              \
        SYNC;                                                                                                          \
        LANES {                                                                                                        \
            if (threadIdx.x < COLUMNS && first + threadIdx.x < p.width) {                                              \
                float sum = 0;                                                                                         \
                for (int i = threadIdx.x; i < WIDTH; i += COLUMNS) sum += s[i];                                        \
                out[(u64)stripe * p.width + first + threadIdx.x] = sum;                                                \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* out = x + bias of its column; y bias. */                                                                        \
    KERNEL NAME(add_bias)(const T *x, const float *bias, const T *z, T *out, Rules p) {                                \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES { EACH(i, p.width) put(out, at + i, get(x, at + i) + bias[i]); }                                         \
    }                                                                                                                  \
                                                                                                                       \
    /* Softmax over the keys of one query row of scores [batch, heads, queries, width], scaled by a, causal (key <= start */ \
    /* + query) and with an additive bias y of its own strides (heads 0: none). */                                     \
    KERNEL NAME(softmax)(const T *x, const float *bias, const T *z, T *out, Rules p) {                                 \
        SHARED float s[WIDTH];                                                                                         \
        SHARED float t[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        const int plane = blockIdx.x / p.queries, query = blockIdx.x % p.queries;                                      \
        const int end = p.causal && p.start + query + 1 < p.width ? p.start + query + 1 : p.width;                     \
        const u64 extra = p.heads ? (u64)(plane / p.heads) * p.batch_stride + (u64)(plane % p.heads) * p.head_stride   \
                                        + (u64)query * p.width                                                         \
                                  : 0;                                                                                 \
        LANES {                                                                                                        \
            s[threadIdx.x] = -3.0e38f;                                                                                 \
            EACH(i, end) {                                                                                             \
                float v = get(x, at + i) * p.a + (p.heads ? bias[extra + i] : 0.0f);                                   \
                if (v > s[threadIdx.x]) s[threadIdx.x] = v;                                                            \
            }                                                                                                          \
        }                                                                                                              \
        LARGEST(s);                                                                                                    \
        LANES {                                                                                                        \
            t[threadIdx.x] = 0;                                                                                        \
            EACH(i, end) t[threadIdx.x] += expf(get(x, at + i) * p.a + (p.heads ? bias[extra + i] : 0.0f) - s[0]);     \
        }                                                                                                              \
        SUM(t);                                                                                                        \
        LANES {                                                                                                        \
            EACH(i, p.width) {                                                                                         \
                float w = 0.0f;                                                                                        \
                if (i < end) w = expf(get(x, at + i) * p.a + (p.heads ? bias[extra + i] : 0.0f) - s[0]) / t[0];        \
                put(out, at + i, w);                                                                                   \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* Gradient with respect to the scores; x the weights, y their gradient. */                                        \
    KERNEL NAME(softmax_back)(const T *x, const T *g, const T *z, T *out, Rules p) {                                   \
        SHARED float s[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES { s[threadIdx.x] = 0; EACH(i, p.width) s[threadIdx.x] += get(x, at + i) * get(g, at + i); }              \
        SUM(s);                                                                                                        \
        LANES { EACH(i, p.width) put(out, at + i, get(x, at + i) * (get(g, at + i) - s[0]) * p.a); }                   \
    }                                                                                                                  \
                                                                                                                       \
    /* Dropout: an element goes whose 32 bits of SplitMix64 over key and index lie below `heads`; queries and start hold  */ \
    /* the key, a what the others are multiplied with. */                                                             \
    KERNEL NAME(dropout)(const T *x, const T *y, const T *z, T *out, Rules p) {                                        \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        const u64 key = (u64)(u32)p.queries | (u64)(u32)p.start << 32;                                                 \
        LANES {                                                                                                        \
            EACH(i, p.width) {                                                                                         \
                u64 w = key + (at + i) / 2 * 0x9e3779b97f4a7c15ull;                                                    \
                w = (w ^ (w >> 30)) * 0xbf58476d1ce4e5b9ull;                                                           \
                w = (w ^ (w >> 27)) * 0x94d049bb133111ebull;                                                           \
                w ^= w >> 31;                                                                                          \
                u32 draw = (u32)(w >> ((at + i) % 2 * 32));                                                            \
                put(out, at + i, draw < (u32)p.heads ? 0.0f : get(x, at + i) * p.a);                                   \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* GELU by tanh (GPT-2's gelu_new). */                                                                             \
    KERNEL NAME(gelu)(const T *x, const T *y, const T *z, T *out, Rules p) {                                           \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES {                                                                                                        \
            EACH(i, p.width) {                                                                                         \
                float v = get(x, at + i);                                                                              \
                put(out, at + i, 0.5f * v * (1.0f + tanhf(0.7978845608f * (v + 0.044715f * v * v * v))));              \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* Its gradient; y the gradient of the output. */                                                                  \
    KERNEL NAME(gelu_back)(const T *x, const T *g, const T *z, T *out, Rules p) {                                      \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES {                                                                                                        \
            EACH(i, p.width) {                                                                                         \
                float v = get(x, at + i), u = tanhf(0.7978845608f * (v + 0.044715f * v * v * v));                      \
                float inner = 0.7978845608f * (1.0f + 0.134145f * v * v);                                              \
                put(out, at + i, get(g, at + i) * (0.5f * (1.0f + u) + 0.5f * v * (1.0f - u * u) * inner));            \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* -ln softmax(row)[target], one number per row of logits; y targets. */                                           \
    KERNEL NAME(row_loss)(const T *x, const u32 *targets, const T *z, float *out, Rules p) {                           \
        SHARED float s[WIDTH];                                                                                         \
        SHARED float t[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES {                                                                                                        \
            s[threadIdx.x] = -3.0e38f;                                                                                 \
            EACH(i, p.width) if (get(x, at + i) > s[threadIdx.x]) s[threadIdx.x] = get(x, at + i);                     \
        }                                                                                                              \
        LARGEST(s);                                                                                                    \
        LANES { t[threadIdx.x] = 0; EACH(i, p.width) t[threadIdx.x] += expf(get(x, at + i) - s[0]); }                  \
        SUM(t);                                                                                                        \
        LANES { if (threadIdx.x == 0) out[blockIdx.x] = logf(t[0]) + s[0] - get(x, at + targets[blockIdx.x]); }        \
    }                                                                                                                  \
                                                                                                                       \
    /* (softmax(row) - onehot(target)) * a; y targets. */                                                              \
    KERNEL NAME(row_gradient)(const T *x, const u32 *targets, const T *z, T *out, Rules p) {                           \
        SHARED float s[WIDTH];                                                                                         \
        SHARED float t[WIDTH];                                                                                         \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES {                                                                                                        \
            s[threadIdx.x] = -3.0e38f;                                                                                 \
            EACH(i, p.width) if (get(x, at + i) > s[threadIdx.x]) s[threadIdx.x] = get(x, at + i);                     \
        }                                                                                                              \
        LARGEST(s);                                                                                                    \
        LANES { t[threadIdx.x] = 0; EACH(i, p.width) t[threadIdx.x] += expf(get(x, at + i) - s[0]); }                  \
        SUM(t);                                                                                                        \
        LANES {                                                                                                        \
            EACH(i, p.width) {                                                                                         \
                float w = expf(get(x, at + i) - s[0]) / t[0];                                                          \
                put(out, at + i, (w - (i == (int)targets[blockIdx.x] ? 1.0f : 0.0f)) * p.a);                           \
            }                                                                                                          \
        }                                                                                                              \
    }                                                                                                                  \
                                                                                                                       \
    /* AdamW, in place: out = a·out + (1 - a)·(b·g), the first moment; x the gradient. */                              \
    KERNEL NAME(first_moment)(const T *x, const T *y, const T *z, float *out, Rules p) {                               \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES { EACH(i, p.width) if (at + i < (u64)p.rows) out[at + i] = p.a * out[at + i] + (1.0f - p.a) * (p.b * get(x, at + i)); } \
    }                                                                                                                  \
                                                                                                                       \
    /* The second one, of squares. */                                                                                  \
    KERNEL NAME(second_moment)(const T *x, const T *y, const T *z, float *out, Rules p) {                              \
        const u64 at = (u64)blockIdx.x * p.width;                                                                      \
        LANES {                                                                                                        \
            EACH(i, p.width) if (at + i < (u64)p.rows) {                                                               \
                float g = p.b * get(x, at + i);                                                                        \
                out[at + i] = p.a * out[at + i] + (1.0f - p.a) * g * g;                                                \
            }                                                                                                          \
        }                                                                                                              \
    }

#define F32(name) name##_f32
#define BF16(name) name##_bf16
ROW_KERNELS(float, get_f32, put_f32, F32)
ROW_KERNELS(bf16, get_bf16, put_bf16, BF16)

// The parameter after both moments, in place: x first, y second moment; a learning rate, b decay, c and d the moments'
// corrections, e epsilon.
KERNEL adamw_f32(const float *x, const float *y, const float *z, float *out, Rules p) {
    const u64 at = (u64)blockIdx.x * p.width;
    LANES {
        EACH(i, p.width) if (at + i < (u64)p.rows) {
            float step = (x[at + i] / p.c) / (sqrtf(y[at + i] / p.d) + p.e);
            out[at + i] = out[at + i] * p.b - p.a * step;
        }
    }
}
