//! `maskscope cost`: how well each score foretells what hiding a token costs, over windows of held-out text; the numbers of
//! the screen's cost pane, with intervals.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;

use super::documents::documents;
use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::output::{JsonFlag, note};
use super::{CommandContext, open};
use crate::attention::types::Reduction;
use crate::engine::background::CostTask;
use crate::engine::explorer::Explorer;
use crate::engine::leak::held_out;
use crate::engine::types::{CostRow, ExploreRequest, Update};
use crate::eval::stats::{Interval, LEVEL, t_interval};
use crate::support::table::Table;

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("refresh", "hub.refresh"),
        ("score", "score.reduction"),
        ("contribution", "score.contribution"),
    ];
}

/// Measure how well every attention score predicts what hiding a token costs later tokens
#[derive(Clone, Debug, clap::Args)]
pub struct CostArgs {
    /// File or folder to read instead of the built-in held-out text, in any form that train reads
    #[arg(long, value_name = "FILE")]
    pub text_file: Option<PathBuf>,
    /// Windows of text, spread over all of it
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u16).range(2..=10_000))]
    pub windows: u16,
    /// Tokens in a window; every token but the last is hidden once, a forward pass each
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(8..=4096))]
    pub tokens: u16,
    #[command(flatten)]
    pub output: JsonFlag,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// A mean over windows and its 95 % t-interval; no interval under two windows.
#[derive(Clone, Copy, Debug, Serialize)]
struct WindowMean {
    mean: f64,
    low: Option<f64>,
    high: Option<f64>,
    /// Windows in which the number is defined.
    windows: usize,
}

#[derive(Debug, Serialize)]
struct ScoreReport {
    score: String,
    in_force: bool,
    /// Spearman's ρ of the score with the cost.
    rho: WindowMean,
    /// ρ minus that of the score in force, window by window.
    difference: WindowMean,
    /// Spearman's ρ of the score with the position: a score that only knows where a token stands.
    position: WindowMean,
}

#[derive(Debug, Serialize)]
struct CostOutput<'a> {
    model: &'a str,
    windows: usize,
    tokens: usize,
    scores: Vec<ScoreReport>,
}

/// Runs the command.
///
/// # Errors
/// A model without a tokenizer, a text too short for a window.
pub fn run(args: &CostArgs, context: &CommandContext) -> Result<(), CliError> {
    let settings = &context.loaded.settings;
    let loaded = open::open(context)?;
    open::calibrate(&loaded)?;
    let documents = documents(args.text_file.as_deref(), None, &loaded)?;
    let held = held_out(&loaded, &documents, usize::from(args.tokens), usize::from(args.windows))?;
    held.note().iter().for_each(|text| note(&format!("note: {text}")));
    let windows = held.windows;
    let request = ExploreRequest {
        generation: 0,
        text: Arc::from(""),
        mask: settings.mask.clone(),
        score: settings.score.clone(),
        rolling: settings.rolling.clone().settled(),
        map: crate::engine::types::MapKind::Baseline,
        heads: crate::engine::types::HeadChoice::default(),
        top: 1,
        position: None,
        interventions: Arc::default(),
        overview: false,
        effects: false,
    };
    let mut explorer = Explorer::new(loaded.clone());
    let mut found: Vec<Vec<CostRow>> = Vec::with_capacity(windows.len());
    for ids in &windows {
        explorer.set_ids(ids)?;
        found.push(rows(&mut explorer, &request)?);
    }
    let report = CostOutput {
        model: &loaded.id,
        windows: windows.len(),
        tokens: windows.first().map_or(0, Vec::len),
        scores: summed(&found),
    };
    if args.output.json {
        context.out.json(&report)
    } else {
        context.out.text(&table(&report, settings.score.reduction))
    }
}

/// Hides every token of one window in turn.
fn rows(explorer: &mut Explorer, request: &ExploreRequest) -> Result<Vec<CostRow>, CliError> {
    let mut task = CostTask::new(0, request.clone(), explorer.ids.len());
    loop {
        if let Update::Cost { done, of, rows, .. } = task.step(explorer, None)?
            && done >= of
        {
            return Ok(rows.to_vec());
        }
    }
}

/// Means over windows, the best score first.
fn summed(windows: &[Vec<CostRow>]) -> Vec<ScoreReport> {
    let Some(first) = windows.first() else { return Vec::new() };
    let row = |rows: &[CostRow], score: &str| rows.iter().find(|r| r.score == score).cloned();
    let chosen = |rows: &[CostRow]| rows.iter().find(|r| r.in_force).and_then(|r| r.rho);
    let mut out: Vec<ScoreReport> = first
        .iter()
        .map(|named| {
            let of = |value: &dyn Fn(&CostRow, &[CostRow]) -> Option<f64>| {
                let values = windows.iter().filter_map(|rows| value(&row(rows, &named.score)?, rows));
                mean(&values.collect::<Vec<f64>>())
            };
            ScoreReport {
                score: named.score.clone(),
                in_force: named.in_force,
                rho: of(&|r, _| r.rho),
                difference: of(&|r, rows| Some(r.rho? - chosen(rows)?)),
                position: of(&|r, _| r.position),
            }
        })
        .collect();
    out.sort_by(|a, b| b.rho.mean.total_cmp(&a.rho.mean));
    out
}

fn mean(values: &[f64]) -> WindowMean {
    let interval: Option<Interval> = t_interval(values, LEVEL);
    let mean = values.iter().sum::<f64>() / values.len().max(1) as f64;
    WindowMean { mean, low: interval.map(|i| i.low), high: interval.map(|i| i.high), windows: values.len() }
}

fn table(report: &CostOutput, reduction: Reduction) -> String {
    let mut out = format!(
        "{}: {} windows of {} tokens; every token but the last hidden in turn\n\n",
        report.model, report.windows, report.tokens
    );
    let mut table =
        Table::new(["score", "ρ with cost", "95 %", "against score in force", "95 %", "ρ with position"])
            .right(1..6);
    let range = |m: &WindowMean| match (m.low, m.high) {
        (Some(low), Some(high)) => format!("{low:+.3} to {high:+.3}"),
        _ => "–".to_owned(),
    };
    for row in &report.scores {
        let (against, spread) = if row.in_force {
            ("in force".to_owned(), String::new())
        } else {
            (format!("{:+.3}", row.difference.mean), range(&row.difference))
        };
        table.row([
            row.score.clone(),
            format!("{:+.3}", row.rho.mean),
            range(&row.rho),
            against,
            spread,
            format!("{:+.3}", row.position.mean),
        ]);
    }
    out.push_str(&table.to_string());
    if report.scores.iter().all(|r| !r.in_force) {
        out.push_str(&format!("\nthe score {reduction} cannot be measured in this model\n"));
    }
    out.push_str(
        "\ncost: rise of the mean loss of all later tokens, nats; ρ: Spearman's, averaged over windows\n",
    );
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(score: &str, rho: Option<f64>, in_force: bool) -> CostRow {
        CostRow {
            score: score.to_owned(),
            reduction: Reduction::Plain,
            contribution: false,
            rho,
            position: Some(0.5),
            tokens: 9,
            in_force,
        }
    }

    #[test]
    fn scores_are_paired_window_by_window() {
        let windows = [
            vec![row("a", Some(0.2), true), row("b", Some(0.5), false)],
            vec![row("b", Some(0.7), false), row("a", Some(0.4), true)],
            vec![row("a", None, true), row("b", Some(0.9), false)],
        ];
        let found = summed(&windows);
        assert_eq!((found[0].score.as_str(), found[1].score.as_str()), ("b", "a"));
        assert!((found[0].rho.mean - 0.7).abs() < 1e-12 && found[0].rho.windows == 3);
        let difference = found[0].difference;
        assert!((difference.mean - 0.3).abs() < 1e-12 && difference.windows == 2, "{difference:?}");
        assert!(difference.low.is_some_and(|low| (low - 0.3).abs() < 1e-9));
        assert_eq!((found[1].rho.windows, found[1].difference.mean), (2, 0.0));
        assert!(summed(&[]).is_empty());
    }
}
