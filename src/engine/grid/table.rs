//! A grid as text: τ down, p across, the rise of the loss in each cell.

use std::collections::BTreeMap;

use super::{GridPlan, GridRow};
use crate::mask::types::Scope;
use crate::support::table::Table;
use crate::train::TrainError;

/// Cells that are not there yet.
const EMPTY: &str = "·";

impl GridPlan {
    /// What the numbers of a table are.
    pub fn caption(&self) -> String {
        let scope = match self.mask.scope {
            Scope::Whole => "look-ahead: masks were decided with the whole window in view",
            Scope::Block => "masks were decided from the past only",
        };
        format!(
            "{}: rise of the loss, nats per token, over {} windows of {} tokens of {}; {scope}",
            self.model, self.windows, self.tokens_per_window, self.data
        )
    }

    /// A heading and rows of cells for every operation and polarity; the first row holds the values of p.
    pub fn tables(&self, rows: &BTreeMap<usize, GridRow>) -> Vec<(String, Vec<Vec<String>>)> {
        let mut number = 0..;
        let mut out = Vec::new();
        for op in &self.ops {
            for polarity in &self.polarities {
                let head = self.probabilities.iter().map(|p| format!("p {p}"));
                let mut table = vec![std::iter::once(String::new()).chain(head).collect::<Vec<_>>()];
                for threshold in &self.thresholds {
                    let mut line = vec![format!("τ {threshold}")];
                    line.extend(number.by_ref().take(self.probabilities.len()).map(|cell| {
                        rows.get(&cell)
                            .map_or_else(|| EMPTY.to_owned(), |row| format!("{:+.4}", row.loss_rise))
                    }));
                    table.push(line);
                }
                out.push((format!("{op}, {polarity}"), table));
            }
        }
        out
    }

    /// All tables for a terminal.
    pub fn plain(&self, rows: &BTreeMap<usize, GridRow>) -> String {
        let mut out = format!("{}\n", self.caption());
        for (heading, lines) in self.tables(rows) {
            let mut table = Table::new(lines[0].clone()).right(1..lines[0].len());
            lines[1..].iter().for_each(|line| table.row(line.clone()));
            out.push_str(&format!("\n{heading}\n{table}"));
        }
        out
    }
}

pub(super) fn markdown(plan: &GridPlan, rows: &BTreeMap<usize, GridRow>) -> String {
    let mut out = format!("# maskscope sweep\n\n{}\n", plan.caption());
    for (heading, lines) in plan.tables(rows) {
        let line = |cells: &Vec<String>| format!("| {} |\n", cells.join(" | "));
        let rule = format!("|---|{}\n", "---:|".repeat(lines[0].len() - 1));
        let body: String = lines[1..].iter().map(line).collect();
        out.push_str(&format!("\n## {heading}\n\n{}{rule}{body}", line(&lines[0])));
    }
    out
}

pub(super) fn csv(rows: &[&GridRow]) -> Result<String, TrainError> {
    let failed =
        |e: &dyn std::fmt::Display| TrainError::setup(format!("results cannot be written as CSV: {e}"));
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["op", "polarity", "tau", "p", "rate", "loss_rise", "low", "high", "look_ahead", "perplexity"];
    writer.write_record(head).map_err(|e| failed(&e))?;
    for row in rows {
        let numbers = [row.threshold, row.probability, row.rate, row.loss_rise, row.low, row.high];
        let record = [row.op.name().to_owned(), row.polarity.name().to_owned()]
            .into_iter()
            .chain(numbers.iter().map(f64::to_string))
            .chain([row.look_ahead.to_string(), row.perplexity.map_or_else(String::new, |p| p.to_string())]);
        writer.write_record(record).map_err(|e| failed(&e))?;
    }
    let bytes = writer.into_inner().map_err(|e| failed(&e))?;
    String::from_utf8(bytes).map_err(|e| failed(&e))
}
