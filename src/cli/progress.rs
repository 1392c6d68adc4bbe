//! How a run looks in a terminal or a log: a bar where stderr is a terminal, plain lines elsewhere, and with `--json`
//! one JSON object a line.

use indicatif::ProgressBar;

use super::open;
use super::output::note;
use crate::support::progress::bar;
use crate::support::units::{duration, memory};
use crate::train::report::{HeadsReport, Live, PASSED, Plan, Report, recorded_heads_line};

/// Shows reports as they come.
pub struct RunReporter {
    json: bool,
    /// Hidden where plain lines are wanted.
    bar: ProgressBar,
    every: usize,
}

impl RunReporter {
    /// `timed`: a run that ends by the clock has no honest bar of steps left.
    pub fn new(json: bool, steps: usize, timed: bool) -> Self {
        let template =
            if timed { "{pos} steps {spinner} {elapsed} {msg}" } else { "{pos}/{len} {wide_bar} {msg}" };
        let bar = if json { ProgressBar::hidden() } else { bar(steps, template) };
        RunReporter { json, bar, every: (steps / 100).clamp(1, 50) }
    }

    fn line(&self, text: &str) {
        open::above(&self.bar, text);
    }

    /// One report.
    pub fn show(&self, report: &Report) {
        if self.json {
            if !matches!(report, Report::Raster { .. } | Report::Batch(_) | Report::Evaluating { .. })
                && let Ok(text) = serde_json::to_string(report)
            {
                note(&text);
            }
            return;
        }
        let drawn = !self.bar.is_hidden();
        if let Report::Step { report: r, .. } = report
            && drawn
        {
            self.bar.set_position(r.step as u64);
            let eta = r.eta.map_or_else(String::new, |s| format!("  {} left", duration(s)));
            self.bar.set_message(format!(
                "loss {:.3}  lr {:.1e}  {:.0} tok/s{eta}",
                r.loss, r.learning_rate, r.tokens_per_second
            ));
            return;
        }
        if let Report::Evaluating { done, total, .. } = report
            && drawn
        {
            self.bar.set_message(format!("measuring validation, {} %", 100 * done / (*total).max(1)));
            return;
        }
        if let Report::TwinStep(t) = report
            && drawn
        {
            let eta = t.eta.map_or_else(String::new, |s| format!("  {} left", duration(s)));
            self.bar.set_position(t.step as u64);
            self.bar.set_message(format!("seed {}  {:.0} tok/s{eta}", t.seed, t.tokens_per_second));
            return;
        }
        if let Some(text) = self.text(report) {
            self.line(&text);
        }
    }

    /// The line for a report, where it deserves one.
    fn text(&self, report: &Report) -> Option<String> {
        Some(match report {
            Report::Planned(plan) => plan_text(plan).trim_end().to_owned(),
            Report::Step { report: r, merged } => {
                if r.step != 1 && r.step % self.every >= *merged {
                    return None;
                }
                let mut text = format!(
                    "step {}: loss {:.4}, learning rate {:.2e}, {:.0} tokens/s",
                    r.step, r.loss, r.learning_rate, r.tokens_per_second
                );
                if r.mask_rate > 0.0 {
                    text.push_str(&format!(", masked {:.1} %", 100.0 * r.realised_rate));
                }
                if let Some(eta) = r.eta {
                    text.push_str(&format!(", {} left", duration(eta)));
                }
                text
            }
            Report::Evaluated { step, loss, bits_per_byte, masked_loss } => {
                let masked = masked_loss.map_or_else(String::new, |m| format!(", masked {m:.4}"));
                let bits =
                    bits_per_byte.map_or_else(String::new, |bits| format!(", {bits:.4} bits per byte"));
                format!("step {step}: validation loss {loss:.4} nats per token{bits}{masked}")
            }
            Report::Saved { step, path, best } => {
                format!("step {step}: saved {}{}", path.display(), if *best { " (best so far)" } else { "" })
            }
            Report::HeadsRecorded { step, heads } => format!("step {step}: {}", recorded_heads_line(heads)),
            Report::Sample { step, text, .. } => format!("step {step}: sample: {text}"),
            Report::Changed(change) => {
                let value = change.value.map_or_else(|| "the schedule".to_owned(), |v| v.to_string());
                let what = match change.what {
                    Live::LearningRate => "learning rate",
                    Live::Threshold => "threshold τ",
                    Live::Probability => "probability p",
                };
                format!("from step {} on: {what} {value}", change.step)
            }
            Report::Heads(heads) => heads_line(heads)?,
            Report::Note { step, message } => format!("step {step}: {message}"),
            Report::Warning { step, message } => format!("step {step}: warning: {message}"),
            report => return self.twin_text(report),
        })
    }

    /// The line for a report of twins.
    fn twin_text(&self, report: &Report) -> Option<String> {
        Some(match report {
            Report::TwinStep(t) => {
                if t.step != 1 && !t.step.is_multiple_of(self.every) {
                    return None;
                }
                let losses: Vec<String> = t.losses.iter().map(|l| format!("{l:.4}")).collect();
                let eta = t.eta.map_or_else(String::new, |s| format!(", {} left", duration(s)));
                format!("seed {}, step {}: losses {}{eta}", t.seed, t.step, losses.join(" "))
            }
            Report::TwinEvaluated { seed, step, losses, differences } => {
                let losses: Vec<String> = losses.iter().map(|l| format!("{l:.4}")).collect();
                let first = differences.iter().filter(|d| d.against == 0);
                let differences: Vec<String> = first.map(|d| format!("{:+.4}", d.value)).collect();
                format!(
                    "seed {seed}, step {step}: held-out losses {}, differences from the first {}",
                    losses.join(" "),
                    differences.join(" ")
                )
            }
            Report::TwinSeed { seed, verdicts, .. } => {
                let verdicts: Vec<String> = verdicts.iter().map(ToString::to_string).collect();
                format!("after seed {seed}: {}", verdicts.join("; "))
            }
            // What the end or a picture has to say is printed elsewhere, or not at all.
            _ => return None,
        })
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The plan in a few lines.
pub fn plan_text(plan: &Plan) -> String {
    let m = &plan.memory;
    let size = |bytes: u64| memory(bytes as f64);
    let mut text = format!(
        "plan: {} of {} parameters, {} training tokens in {} documents, {:.2} epochs\n",
        plan.trainable, plan.parameters, plan.train_tokens, plan.train_documents, plan.epochs
    );
    if plan.validation_tokens > 0 {
        text.push_str(&format!(
            "plan: {} validation tokens in {} documents\n",
            plan.validation_tokens, plan.validation_documents
        ));
    }
    text.push_str(&format!(
        "plan: about {} more memory needed ({} gradients, {} activations; already loaded: {} optimizer state, {} weights), {} free\n",
        size(m.total), size(m.gradients), size(m.activations), size(m.optimizer), size(m.weights), size(m.available)
    ));
    text.push_str(&format!(
        "plan: {:.3} s a step of {} tokens, {} steps, about {}\n",
        plan.step_seconds,
        plan.tokens_per_step,
        plan.steps,
        duration(plan.expected_seconds)
    ));
    for note in &plan.notes {
        text.push_str(&format!("plan: {note}\n"));
    }
    text
}

/// The best heads after a step, and which passed at it.
fn heads_line(report: &HeadsReport) -> Option<String> {
    let name = |at: usize| format!("{}.{}", at / report.n_head.max(1), at % report.n_head.max(1));
    let (induction, previous) = (report.best(|h| h.induction)?, report.best(|h| h.previous)?);
    let mut text = format!(
        "step {}: best heads: induction {:.2} ({}), previous token {:.2} ({})",
        report.step,
        induction.1,
        name(induction.0),
        previous.1,
        name(previous.0)
    );
    for (at, passed) in report.passed.iter().enumerate() {
        for (what, since) in [("induction", passed.induction), ("previous token", passed.previous)] {
            if since == Some(report.step) {
                text.push_str(&format!("; {} passes {PASSED} as {what} head", name(at)));
            }
        }
    }
    Some(text)
}
