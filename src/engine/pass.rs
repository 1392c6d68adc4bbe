//! One finished pass with everything a person reads from it: log-probabilities of the true next tokens, the distribution
//! after the last token, and attention maps in the coordinates of the full text.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::types::{Candidate, HeadChoice, Prediction};
use crate::attention::maps::mean_map;
use crate::model::finite::check_results;
use crate::model::forward::Reuse;
use crate::model::{Input, Model, ModelError, Tokenizer, Trace, logits};
use crate::tensor::rows::SLACK;

/// A pass over a text or what a mask left of it.
pub struct Pass {
    pub trace: Trace,
    /// Full-text position of every row; `None` when no token was dropped.
    pub kept: Option<Arc<Vec<usize>>>,
    /// `ln p` of the token that truly follows each row in the full text; `None` for its last token.
    pub next_log_p: Vec<Option<f32>>,
    /// The token that truly follows each row.
    labels: Vec<Option<u32>>,
    /// `ln p` over the vocabulary after the last row, `[V]`.
    pub last: Arc<Vec<f32>>,
    /// Number of tokens of the full text.
    pub full_len: usize,
    maps: Mutex<HashMap<HeadChoice, Arc<[f32]>>>,
}

/// What a pass is asked for.
pub struct PassRequest<'a> {
    pub input: Arc<Input>,
    pub kept: Option<Arc<Vec<usize>>>,
    /// Ids of the full text: labels are always the original tokens.
    pub full_ids: &'a [u32],
    /// Runs whose rows may be reused.
    pub earlier: &'a [&'a Pass],
    pub cancel: Option<&'a AtomicBool>,
}

impl Pass {
    /// Computes the pass, reusing rows of earlier ones.
    ///
    /// # Errors
    /// Of the model; results that are not finite, with the weight or the layer that they come from.
    pub fn new(model: &Model, request: &PassRequest) -> Result<Self, ModelError> {
        let traces: Vec<&Trace> = request.earlier.iter().map(|r| &r.trace).collect();
        let trace = model.run(request.input.clone(), Reuse { traces: &traces, cancel: request.cancel })?;
        // Reading is a third of the pass: no reason to begin it for an answer that nobody wants any more.
        if request.cancel.is_some_and(|c| c.load(Ordering::Relaxed)) {
            return Err(ModelError::Cancelled);
        }
        let labels = labels(request);
        let known = same_rows(request, trace.len()).map(|run| run.last.clone());
        let (next_log_p, last) = next_log_probabilities(model, &trace, &labels, request, known.is_none())?;
        let last = known.or(last.map(Arc::new)).unwrap_or_default();
        let told: Vec<f32> = next_log_p.iter().flatten().copied().collect();
        check_results(model, &trace, &last)?;
        check_results(model, &trace, &told)?;
        Ok(Pass {
            trace,
            kept: request.kept.clone(),
            next_log_p,
            labels,
            last,
            full_len: request.full_ids.len(),
            maps: Mutex::default(),
        })
    }

    /// Full-text position of row `r`.
    pub fn position(&self, r: usize) -> usize {
        self.kept.as_ref().map_or(r, |k| k[r])
    }

    /// `ln p` over the vocabulary after the token at full-text position `i`, `[V]`; `None` where it was dropped.
    ///
    /// # Errors
    /// Of the model.
    pub fn after(&self, model: &Model, i: usize) -> Result<Option<Arc<Vec<f32>>>, ModelError> {
        let row = match &self.kept {
            None => Some(i),
            Some(kept) => kept.binary_search(&i).ok(),
        };
        match row.filter(|row| *row < self.trace.len()) {
            None => Ok(None),
            Some(row) if row + 1 == self.trace.len() => Ok(Some(self.last.clone())),
            Some(row) => Ok(Some(Arc::new(model.log_probabilities(&self.trace, row)?))),
        }
    }

    /// What the screen shows of this pass: surprisals, and the next tokens of one distribution.
    pub fn prediction_of(&self, after: &[f32], tokenizer: Option<&Tokenizer>, top: usize) -> Prediction {
        let next = logits::top(after, top)
            .into_iter()
            .map(|(id, p)| Candidate {
                id,
                display: tokenizer.map_or(format!("#{id}"), |t| t.display(id)),
                p,
            })
            .collect();
        let mut surprisal = vec![None; self.full_len];
        for (r, log_p) in self.next_log_p.iter().enumerate() {
            if let Some(log_p) = log_p {
                surprisal[self.position(r) + 1] = Some(-log_p);
            }
        }
        Prediction { next, loss: mean(surprisal.iter().flatten().copied()), surprisal }
    }

    /// The same after the last token.
    pub fn prediction(&self, tokenizer: Option<&Tokenizer>, top: usize) -> Prediction {
        self.prediction_of(&self.last, tokenizer, top)
    }

    /// `ln p` of the true next token after full-text position `i`, where that position was computed.
    pub fn by_position(&self) -> Vec<Option<f32>> {
        let mut out = vec![None; self.full_len];
        for (r, log_p) in self.next_log_p.iter().enumerate() {
            out[self.position(r)] = *log_p;
        }
        out
    }

    /// The chosen map (or mean over heads, layers or both) in full-text coordinates, `[T, T]` row-major; rows and columns
    /// of dropped tokens are NaN. Kept for the next look.
    pub fn map(&self, choice: HeadChoice) -> Arc<[f32]> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        // A few looks back are worth keeping; all heads of a long text are not.
        const KEPT: usize = 8;
        if maps.len() >= KEPT && !maps.contains_key(&choice) {
            maps.clear();
        }
        maps.entry(choice).or_insert_with(|| self.compute_map(choice)).clone()
    }

    fn compute_map(&self, choice: HeadChoice) -> Arc<[f32]> {
        let map = mean_map(&self.trace, choice.layer, choice.head);
        match &self.kept {
            None => map.into(),
            Some(kept) => spread(&map, kept, self.full_len).into(),
        }
    }

    /// Bytes held, roughly: the rows with the free ones behind them, and the maps that were asked for.
    pub fn bytes(&self) -> usize {
        let layers: usize =
            self.trace.layers.iter().map(|l| l.qkv.elem_count() + l.residual.elem_count()).sum();
        let len = self.trace.len().max(1);
        let row = (layers + 2 * self.trace.last.elem_count()) / len;
        let maps: usize =
            self.maps.lock().unwrap_or_else(PoisonError::into_inner).values().map(|m| m.len()).sum();
        4 * (row * (len + SLACK) + maps)
    }
}

/// Rows and columns of a smaller map at their places in the full text, NaN elsewhere (0 above the diagonal).
fn spread(small: &[f32], kept: &[usize], len: usize) -> Vec<f32> {
    let n = kept.len();
    let mut out = vec![f32::NAN; len * len];
    for t in 0..len {
        out[t * len + t + 1..(t + 1) * len].fill(0.0);
    }
    for (r, &row) in kept.iter().enumerate() {
        for (c, &col) in kept.iter().enumerate().take(r + 1) {
            out[row * len + col] = small[r * n + c];
        }
    }
    out
}

/// The true next token of every row, in the full text.
fn labels(request: &PassRequest) -> Vec<Option<u32>> {
    let position = |r: usize| request.kept.as_ref().map_or(r, |k| k[r]);
    (0..request.input.len()).map(|r| request.full_ids.get(position(r) + 1).copied()).collect()
}

/// An earlier run with exactly the same rows.
fn same_rows<'a>(request: &PassRequest<'a>, len: usize) -> Option<&'a Pass> {
    request
        .earlier
        .iter()
        .find(|run| run.trace.len() == len && run.trace.input.shared_rows(&request.input) == len)
        .copied()
}

/// `ln p` of the true next token after every row, and over the vocabulary after the last row where asked for.
type NextLogP = (Vec<Option<f32>>, Option<Vec<f32>>);

fn next_log_probabilities(
    model: &Model,
    trace: &Trace,
    labels: &[Option<u32>],
    request: &PassRequest,
    last: bool,
) -> Result<NextLogP, ModelError> {
    let best = request
        .earlier
        .iter()
        .map(|run| (run.trace.input.shared_rows(&request.input), run))
        .max_by_key(|b| b.0);
    let mut out = vec![None; labels.len()];
    let mut wanted = Vec::new();
    for (r, label) in labels.iter().enumerate() {
        let Some(label) = *label else { continue };
        let known = best.and_then(|(shared, run)| {
            match run.labels.get(r)? {
                Some(same) if r < shared && *same == label => run.next_log_p[r],
                // The text went on: what was the distribution after its last token now has a true next one.
                None if r < shared && r + 1 == run.trace.len() => run.last.get(label as usize).copied(),
                _ => None,
            }
        });
        match known {
            Some(log_p) => out[r] = Some(log_p),
            None => wanted.push((r, label)),
        }
    }
    let (values, last) = model.read(trace, &wanted, last)?;
    for ((r, _), value) in wanted.into_iter().zip(values) {
        out[r] = Some(value);
    }
    Ok((out, last))
}

fn mean(values: impl Iterator<Item = f32>) -> Option<f32> {
    let (mut sum, mut n) = (0f64, 0usize);
    for v in values {
        sum += f64::from(v);
        n += 1;
    }
    (n > 0).then(|| (sum / n as f64) as f32)
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;
    use crate::model::Config;
    use crate::train::init;

    #[test]
    fn an_answer_that_nobody_wants_any_more_is_not_read() {
        let json = r#"{"model_type": "gpt2", "vocab_size": 37, "n_positions": 24, "n_embd": 16, "n_layer": 2, "n_head": 2}"#;
        let config = Config::parse(json.as_bytes(), "config.json").unwrap();
        let weights = init::weights(&config, 3, &Device::Cpu).unwrap();
        let model = Model::from_tensors(&config, &weights, &Device::Cpu).unwrap();
        let pass = |ids: &[u32], earlier: &[&Pass], cancel: bool| {
            let input = Arc::new(Input::plain(ids.to_vec()));
            let cancel = AtomicBool::new(cancel);
            let request = PassRequest { input, kept: None, full_ids: ids, earlier, cancel: Some(&cancel) };
            Pass::new(&model, &request)
        };
        let first = pass(&[3, 10, 17, 24], &[], false).unwrap();
        // Every row is known: the blocks have nothing to do, so that only the reading can be given up.
        assert!(matches!(pass(&[3, 10, 17, 24], &[&first], true), Err(ModelError::Cancelled)));
        assert_eq!(pass(&[3, 10, 17, 24], &[&first], false).unwrap().next_log_p, first.next_log_p);
    }

    #[test]
    fn dropped_tokens_leave_gaps_in_the_map_and_nothing_moves() {
        let small = [1.0, 0.0, 0.0, 0.5, 0.5, 0.0, 0.2, 0.3, 0.5];
        let full = spread(&small, &[0, 2, 4], 5);
        assert_eq!((full[0], full[2 * 5], full[4 * 5 + 2]), (1.0, 0.5, 0.3));
        assert!(full[5].is_nan() && full[4 * 5 + 1].is_nan());
        assert_eq!(full[1], 0.0, "the future stays empty");
    }
}
