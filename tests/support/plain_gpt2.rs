//! GPT-2 written to be read, in f64, straight from the paper's equations: the twin that options without reference
//! values are compared with.

use std::collections::HashMap;

use maskscope::model::Config;
use maskscope::tensor::kernels::plain::activation;

pub struct Plain<'a> {
    pub config: &'a Config,
    pub tensors: HashMap<String, Vec<f64>>,
}

impl Plain<'_> {
    fn get(&self, name: &str) -> &[f64] {
        &self.tensors[name]
    }

    fn norm(&self, x: &[f64], at: &str) -> Vec<f64> {
        let (g, b) = (self.get(&format!("{at}.weight")), self.get(&format!("{at}.bias")));
        let n = x.len() as f64;
        let mean = x.iter().sum::<f64>() / n;
        let var = x.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
        let r = (var + self.config.layer_norm_epsilon).sqrt();
        (0..x.len()).map(|i| (x[i] - mean) / r * g[i] + b[i]).collect()
    }

    fn linear(&self, x: &[f64], at: &str) -> Vec<f64> {
        let (w, b) = (self.get(&format!("{at}.weight")), self.get(&format!("{at}.bias")));
        let n = b.len();
        (0..n).map(|j| b[j] + (0..x.len()).map(|i| x[i] * w[i * n + j]).sum::<f64>()).collect()
    }

    /// Logits of every position.
    pub fn logits(&self, ids: &[u32]) -> Vec<f64> {
        self.pass(ids).0
    }

    /// Logits `[T, V]` and attentions `[L, H, T, T]`.
    pub fn pass(&self, ids: &[u32]) -> (Vec<f64>, Vec<f64>) {
        let t_all = ids.len();
        let mut maps = vec![0f64; self.config.n_layer * self.config.n_head * t_all * t_all];
        let c = self.config;
        let (d, hd) = (c.n_embd, c.n_embd / c.n_head);
        let (wte, wpe) = (self.get("wte.weight"), self.get("wpe.weight"));
        let mut x: Vec<Vec<f64>> = ids
            .iter()
            .enumerate()
            .map(|(t, &id)| (0..d).map(|j| wte[id as usize * d + j] + wpe[t * d + j]).collect())
            .collect();
        let kind = c.activation("config.json").expect("known activation");
        for l in 0..c.n_layer {
            let qkv: Vec<Vec<f64>> = x
                .iter()
                .map(|r| self.linear(&self.norm(r, &format!("h.{l}.ln_1")), &format!("h.{l}.attn.c_attn")))
                .collect();
            for t in 0..ids.len() {
                let mut heads = vec![0f64; d];
                for h in 0..c.n_head {
                    let mut w: Vec<f64> = (0..=t)
                        .map(|i| {
                            let dot: f64 = (0..hd).map(|j| qkv[t][h * hd + j] * qkv[i][d + h * hd + j]).sum();
                            let mut s = dot;
                            if c.scale_attn_weights {
                                s /= (hd as f64).sqrt();
                            }
                            if c.scale_attn_by_inverse_layer_idx {
                                s /= (l + 1) as f64;
                            }
                            s.exp()
                        })
                        .collect();
                    let total: f64 = w.iter().sum();
                    w.iter_mut().for_each(|v| *v /= total);
                    let at = ((l * c.n_head + h) * t_all + t) * t_all;
                    maps[at..=at + t].copy_from_slice(&w);
                    for j in 0..hd {
                        heads[h * hd + j] = (0..=t).map(|i| w[i] * qkv[i][2 * d + h * hd + j]).sum();
                    }
                }
                let out = self.linear(&heads, &format!("h.{l}.attn.c_proj"));
                (0..d).for_each(|j| x[t][j] += out[j]);
            }
            for row in &mut x {
                let hidden = self.linear(&self.norm(row, &format!("h.{l}.ln_2")), &format!("h.{l}.mlp.c_fc"));
                let hidden: Vec<f64> = hidden.into_iter().map(|v| activation(kind, v)).collect();
                let out = self.linear(&hidden, &format!("h.{l}.mlp.c_proj"));
                (0..d).for_each(|j| row[j] += out[j]);
            }
        }
        let head = if c.tie_word_embeddings { wte } else { self.get("lm_head.weight") };
        let logits = x
            .iter()
            .flat_map(|row| {
                let y = self.norm(row, "ln_f");
                (0..c.vocab_size)
                    .map(move |v| (0..d).map(|j| y[j] * head[v * d + j]).sum::<f64>())
                    .collect::<Vec<_>>()
            })
            .collect();
        (logits, maps)
    }
}
