//! GPT-2 written to be read, in f64, straight from the paper's equations: the twin that options without reference
//! values are compared with.

use std::collections::HashMap;

use maskscope::model::Config;
use maskscope::model::gpt2::config::Gpt2Options;
use maskscope::tensor::kernels::plain::activation;

/// What one head remembers of one position.
#[derive(Clone)]
struct Entry {
    position: usize,
    key: Vec<f64>,
    value: Vec<f64>,
}

pub struct Plain<'a> {
    pub config: &'a Config,
    pub tensors: HashMap<String, Vec<f64>>,
}

impl Plain<'_> {
    fn options(&self) -> Gpt2Options {
        Gpt2Options::of(self.config).expect("options")
    }

    fn get(&self, name: &str) -> &[f64] {
        &self.tensors[name]
    }

    fn norm(&self, x: &[f64], at: &str) -> Vec<f64> {
        let (g, b) = (self.get(&format!("{at}.weight")), self.get(&format!("{at}.bias")));
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let r = (var + self.options().layer_norm_epsilon).sqrt();
        (0..x.len()).map(|i| (x[i] - mean) / r * g[i] + b[i]).collect()
    }

    fn linear(&self, x: &[f64], at: &str) -> Vec<f64> {
        let (w, b) = (self.get(&format!("{at}.weight")), self.get(&format!("{at}.bias")));
        let n = b.len();
        (0..n).map(|j| b[j] + (0..x.len()).map(|i| x[i] * w[i * n + j]).sum::<f64>()).collect()
    }

    /// Token by token with a cache of keys and values for every head, from which an entry is gone for good as soon as
    /// `stays` (head counted over all layers, query, key) says so; logits of every position, `[T, V]`.
    pub fn decode(&self, ids: &[u32], stays: &dyn Fn(usize, usize, usize) -> bool) -> Vec<f64> {
        self.pass(ids, stays).0
    }

    /// The same with the attentions, `[L, H, T, T]`.
    pub fn pass(&self, ids: &[u32], stays: &dyn Fn(usize, usize, usize) -> bool) -> (Vec<f64>, Vec<f64>) {
        let (n_layer, n_head, n) = (self.config.n_layer, self.config.n_head, ids.len());
        let mut cache: Vec<Vec<Entry>> = vec![Vec::new(); n_layer * n_head];
        let (mut logits, mut maps) = (Vec::new(), vec![0f64; n_layer * n_head * n * n]);
        for (t, &id) in ids.iter().enumerate() {
            for (head, entries) in cache.iter_mut().enumerate() {
                entries.retain(|e| stays(head, t, e.position));
            }
            let mut note =
                |l: usize, h: usize, i: usize, w: f64| maps[((l * n_head + h) * n + t) * n + i] = w;
            logits.extend(self.step(&mut cache, (t, id), &mut note));
        }
        (logits, maps)
    }

    /// One more token at position `t`: its logits, with its keys and values added to the cache.
    fn step(
        &self,
        cache: &mut [Vec<Entry>],
        (t, id): (usize, u32),
        note: &mut dyn FnMut(usize, usize, usize, f64),
    ) -> Vec<f64> {
        let (c, options) = (self.config, self.options());
        let (d, hd) = (c.n_embd, c.n_embd / c.n_head);
        let (wte, wpe) = (self.get("wte.weight"), self.get("wpe.weight"));
        let mut x: Vec<f64> = (0..d).map(|j| wte[id as usize * d + j] + wpe[t * d + j]).collect();
        let kind = options.activation("config.json").expect("known activation");
        for (l, cache) in cache.chunks_mut(c.n_head).enumerate() {
            let qkv = self.linear(&self.norm(&x, &format!("h.{l}.ln_1")), &format!("h.{l}.attn.c_attn"));
            let mut heads = vec![0f64; d];
            for (h, kept) in cache.iter_mut().enumerate() {
                let part = |i: usize| qkv[i * d + h * hd..i * d + (h + 1) * hd].to_vec();
                let query = part(0);
                kept.push(Entry { position: t, key: part(1), value: part(2) });
                let mut w: Vec<f64> = kept
                    .iter()
                    .map(|e| {
                        let mut s: f64 = (0..hd).map(|j| query[j] * e.key[j]).sum();
                        if options.scale_attn_weights {
                            s /= (hd as f64).sqrt();
                        }
                        if options.scale_attn_by_inverse_layer_idx {
                            s /= (l + 1) as f64;
                        }
                        s.exp()
                    })
                    .collect();
                let total: f64 = w.iter().sum();
                w.iter_mut().for_each(|v| *v /= total);
                kept.iter().zip(&w).for_each(|(e, w)| note(l, h, e.position, *w));
                for j in 0..hd {
                    heads[h * hd + j] = kept.iter().zip(&w).map(|(e, w)| w * e.value[j]).sum();
                }
            }
            let out = self.linear(&heads, &format!("h.{l}.attn.c_proj"));
            (0..d).for_each(|j| x[j] += out[j]);
            let hidden = self.linear(&self.norm(&x, &format!("h.{l}.ln_2")), &format!("h.{l}.mlp.c_fc"));
            let hidden: Vec<f64> = hidden.into_iter().map(|v| activation(kind, v)).collect();
            let out = self.linear(&hidden, &format!("h.{l}.mlp.c_proj"));
            (0..d).for_each(|j| x[j] += out[j]);
        }
        let head = if c.tie_word_embeddings { wte } else { self.get("lm_head.weight") };
        let y = self.norm(&x, "ln_f");
        (0..c.vocab_size).map(|v| (0..d).map(|j| y[j] * head[v * d + j]).sum::<f64>()).collect()
    }
}
