//! The waits of the explorer: full passes, edits, decisions, masked passes, maps.

use std::sync::Arc;

use super::arithmetic::{Arithmetic, ModelSizes, operations};
use super::measure::CaseMeter;
use super::report::{Case, NUMBERS_OF_PAIRS};
use crate::attention::score::score;
use crate::attention::sweep::{SweepRequest, sweep};
use crate::attention::types::{Reduction, ScoreSettings};
use crate::engine::explorer::{ExploreError, Explorer, MaskPolicy};
use crate::engine::loaded::LoadedModel;
use crate::engine::pass::{Pass, PassRequest};
use crate::engine::types::HeadChoice;
use crate::mask::rolling::RollingSettings;
use crate::mask::types::{MaskSettings, Op, Polarity};
use crate::model::{Input, ModelError, WeightType};
use crate::tensor::kernels::isa::{isa, multiplies_pairs};
use crate::tensor::kernels::peak::Operands;

/// Texts to which one token is appended.
const APPEND_AT: [usize; 2] = [64, 512];
/// The text that is edited in the middle, and half of which is masked.
const EDITED: usize = 256;
/// The text that a slider moves over.
const SLIDER: usize = 1024;

/// Measures one model with weights of a type; lengths beyond its context are left out.
///
/// # Errors
/// A pass that fails.
pub fn measure(
    (loaded, weights): (&Arc<LoadedModel>, WeightType),
    lengths: &[usize],
    meter: &CaseMeter,
    all_cases: &mut Vec<Case>,
) -> anyhow::Result<()> {
    let (pairs, mut own) = (weights == WeightType::Bf16 && multiplies_pairs(isa()), Vec::new());
    let cases = &mut own;
    let bench = Bench { loaded, meter, context: loaded.model.config.n_positions, pairs };
    let mut all = || -> Result<(), ExploreError> {
        for &tokens in lengths {
            bench.forward(tokens, cases)?;
        }
        for tokens in APPEND_AT {
            bench.append(tokens, cases)?;
        }
        bench.middle_edit(cases)?;
        bench.masked(cases)?;
        bench.decision(cases)?;
        bench.slider(cases)?;
        bench.maps(cases)
    };
    all()?;
    let numbers = if pairs { NUMBERS_OF_PAIRS } else { weights.name() };
    own.iter_mut().for_each(|case| numbers.clone_into(&mut case.numbers));
    all_cases.extend(own);
    Ok(())
}

struct Bench<'a> {
    loaded: &'a Arc<LoadedModel>,
    meter: &'a CaseMeter,
    context: usize,
    /// Whether pairs of bf16 numbers are multiplied.
    pairs: bool,
}

impl Bench<'_> {
    /// Whether a case over a text of this length can and should be run.
    fn runs(&self, name: &str, tokens: usize) -> bool {
        tokens <= self.context && self.meter.wants(name)
    }

    /// Ids spread over the vocabulary, the same in every run.
    fn ids(&self, tokens: usize) -> Vec<u32> {
        let vocab = self.loaded.model.config.vocab_size as u64;
        (0..tokens as u64).map(|i| ((i * 7919 + 13) % vocab) as u32).collect()
    }

    fn pass(&self, ids: &[u32], earlier: &[&Pass]) -> Result<Pass, ModelError> {
        let input = Arc::new(Input::plain(ids.to_vec()));
        Pass::new(
            &self.loaded.model,
            &PassRequest { input, kept: None, full_ids: ids, earlier, cancel: None },
        )
    }

    fn explorer(&self, tokens: usize) -> Result<Explorer, ExploreError> {
        let mut explorer = Explorer::new(self.loaded.clone());
        explorer.set_ids(&self.ids(tokens))?;
        explorer.baseline(None)?;
        Ok(explorer)
    }

    /// The arithmetic of a pass over so many tokens.
    fn work(&self, tokens: usize) -> Arithmetic {
        let operands = if self.pairs { Operands::Bf16Pairs } else { Operands::F32 };
        let multiply_adds = ModelSizes::of(&self.loaded.model.config).forward(tokens as f64);
        let on_cpu = self.loaded.model.device.is_cpu();
        Arithmetic { operations: operations(multiply_adds), operands: on_cpu.then_some(operands) }
    }

    /// The whole pass with its trace and every position's log-probability; then the same with the score over all
    /// layers and heads.
    fn forward(&self, tokens: usize, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        let ids = self.ids(tokens);
        if self.runs("forward", tokens) {
            let work = self.work(tokens);
            cases.push(self.meter.counted("forward", tokens, work, || self.pass(&ids, &[]).map(drop))?);
        }
        if self.runs("forward with score", tokens) {
            let settings = self.score();
            cases.push(self.meter.counted("forward with score", tokens, self.work(tokens), || {
                let run = self.pass(&ids, &[])?;
                let swept = sweep(&run.trace, &SweepRequest::for_score(&settings));
                std::hint::black_box(score(&swept, &settings, self.loaded.calibration()));
                Ok::<(), ModelError>(())
            })?);
        }
        Ok(())
    }

    /// One more token, again and again, as someone types.
    fn append(&self, tokens: usize, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        // Room for the rounds that follow inside the context.
        if !self.runs("append", tokens + 64) {
            return Ok(());
        }
        let mut ids = self.ids(tokens);
        let mut run = self.pass(&ids, &[])?;
        cases.push(self.meter.case("append", tokens, || {
            let next = (ids.len() as u32 * 31 + 7) % self.loaded.model.config.vocab_size as u32;
            if ids.len() == self.context {
                ids.truncate(tokens);
            }
            ids.push(next);
            run = self.pass(&ids, &[&run])?;
            Ok::<(), ModelError>(())
        })?);
        Ok(())
    }

    /// One token in the middle becomes another one.
    fn middle_edit(&self, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        if !self.runs("middle edit", EDITED) {
            return Ok(());
        }
        let mut ids = self.ids(EDITED);
        let base = self.pass(&ids, &[])?;
        let mut share = 0.0;
        let mut case = self.meter.case("middle edit", EDITED, || {
            ids[EDITED / 2] = (ids[EDITED / 2] + 1) % self.loaded.model.config.vocab_size as u32;
            let run = self.pass(&ids, &[&base])?;
            share = self.share(&run, EDITED);
            Ok::<(), ModelError>(())
        })?;
        case.computed_share = Some(share);
        cases.push(case);
        Ok(())
    }

    fn share(&self, run: &Pass, tokens: usize) -> f64 {
        run.trace.computed as f64 / (tokens * self.loaded.model.config.n_layer) as f64
    }

    /// `drop` and `skip` of half the tokens, nothing reused: what masking saves against the full forward.
    fn masked(&self, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        for op in [Op::Drop, Op::Skip] {
            let name = format!("{} half", op.name());
            if !self.runs(&name, EDITED) {
                continue;
            }
            let mut explorer = self.explorer(EDITED)?;
            let mask = MaskSettings {
                op,
                polarity: Polarity::Random,
                threshold: 0.5,
                probability: 1.0,
                exact_k: true,
                ..MaskSettings::default()
            };
            let choice = explorer.choose(self.policy(&mask, &self.score()), None)?;
            let plan = &choice.plan;
            let kept = (plan.kept.len() < EDITED).then(|| Arc::new(plan.kept.clone()));
            let input = Arc::new(plan.input.clone());
            let mut share = 0.0;
            let mut case = self.meter.case(&name, EDITED, || {
                let request = PassRequest {
                    input: input.clone(),
                    kept: kept.clone(),
                    full_ids: &explorer.ids,
                    earlier: &[],
                    cancel: None,
                };
                share = self.share(&Pass::new(&self.loaded.model, &request)?, EDITED);
                Ok::<(), ModelError>(())
            })?;
            case.computed_share = Some(share);
            cases.push(case);
        }
        Ok(())
    }

    /// A slider moves and only the decision changes: scores, decision and plan over all layers and heads.
    fn decision(&self, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        let tokens = SLIDER.min(self.context);
        if !self.runs("decision", tokens) {
            return Ok(());
        }
        let mut explorer = self.explorer(tokens)?;
        let settings = self.score();
        let mut step = 0u32;
        cases.push(self.meter.case("decision", tokens, || {
            step += 1;
            let threshold = 0.5 + 0.4 * f64::from(step % 40) / 40.0;
            let mask = MaskSettings { threshold, ..MaskSettings::default() };
            explorer.choose(self.policy(&mask, &settings), None).map(drop)
        })?);
        Ok(())
    }

    /// From a slider move until new predictions are ready.
    fn slider(&self, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        if !self.runs("slider to prediction", EDITED) {
            return Ok(());
        }
        let mut explorer = self.explorer(EDITED)?;
        let settings = self.score();
        let (mut seed, mut share) = (0u64, 0.0);
        let mut case = self.meter.case("slider to prediction", EDITED, || {
            // A new seed is a new mask: no earlier run answers for it.
            seed += 1;
            let mask = MaskSettings { seed, ..MaskSettings::default() };
            let choice = explorer.choose(self.policy(&mask, &settings), None)?;
            let (_, run) = explorer.effect(&choice, (mask.op, 10), None)?;
            share = self.share(&run, EDITED);
            Ok::<(), ExploreError>(())
        })?;
        case.computed_share = Some(share);
        cases.push(case);
        Ok(())
    }

    /// A head that was not looked at before.
    fn maps(&self, cases: &mut Vec<Case>) -> Result<(), ExploreError> {
        let tokens = SLIDER.min(self.context);
        if !self.runs("map", tokens) {
            return Ok(());
        }
        let run = self.pass(&self.ids(tokens), &[])?;
        let config = &self.loaded.model.config;
        let mut at = 0;
        cases.push(self.meter.case("map", tokens, || {
            at = (at + 1) % (config.n_layer * config.n_head);
            let choice = HeadChoice { layer: Some(at / config.n_head), head: Some(at % config.n_head) };
            std::hint::black_box(run.map(choice));
            Ok::<(), ModelError>(())
        })?);
        Ok(())
    }

    fn policy<'a>(&self, mask: &'a MaskSettings, score: &'a ScoreSettings) -> MaskPolicy<'a> {
        static ROLLING: std::sync::OnceLock<RollingSettings> = std::sync::OnceLock::new();
        MaskPolicy { mask, score, rolling: ROLLING.get_or_init(RollingSettings::default) }
    }

    /// The default score; count-corrected where the model has no distance null.
    fn score(&self) -> ScoreSettings {
        match self.loaded.calibration() {
            Some(_) => ScoreSettings::default(),
            None => ScoreSettings { reduction: Reduction::Corrected, ..ScoreSettings::default() },
        }
    }
}
