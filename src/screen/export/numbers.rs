//! The numbers behind a pane as one table, from the engine's answers: the screen and `maskscope export` both fill it here, so
//! that they cannot differ.

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Value as Json, json};

use crate::config::Settings;
use crate::engine::types::{MapFrame, Standing, Token};
use crate::mask::reason::reason;
use crate::mask::types::{Op, State};
use crate::screen::export::command::command_line;
use crate::screen::export::part::ExportPart;
use crate::screen::results::Results;

/// What the numbers belong to.
#[derive(Clone, Debug)]
pub struct ExportSubject {
    /// As it is loaded: `demo`, a folder or a Hub id.
    pub model: String,
    pub text: String,
    /// Everything in force.
    pub settings: Settings,
    /// What the program started with: a command line names what differs from it, and from the defaults.
    pub start: Settings,
    /// Pinned regions as `--pin` takes them; empty without one.
    pub pins: String,
    /// The token after which the next one is predicted; `None` is the last.
    pub position: Option<usize>,
}

/// One column: its name and a value for every row.
#[derive(Clone, Debug, PartialEq)]
pub struct NumberColumn {
    pub name: &'static str,
    pub values: ColumnValues,
}

/// The values of a column; what is not defined is `None`.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnValues {
    Whole(Vec<Option<u64>>),
    Single(Vec<Option<f32>>),
    Double(Vec<Option<f64>>),
    /// Safe to print.
    Text(Vec<String>),
}

/// A table, what is true of all of it, and for the map its values.
#[derive(Clone, Debug)]
pub struct PaneNumbers {
    pub part: ExportPart,
    /// The command line that prints the same.
    pub command: String,
    pub facts: Vec<(&'static str, Json)>,
    pub columns: Vec<NumberColumn>,
    /// The map; then the rows of the table are its tokens.
    pub map: Option<MapFrame>,
}

impl PaneNumbers {
    /// The numbers of `part`; `None` where they are not there (yet), and for pictures.
    pub fn of(part: ExportPart, results: &Results, subject: &ExportSubject) -> Option<PaneNumbers> {
        let tokens = results.tokens();
        let map = results.map.as_ref().map(|shown| &shown.value.frame);
        let columns = match part {
            ExportPart::Map => {
                map.filter(|frame| frame.len == tokens.len() && frame.len > 0)?;
                named(tokens)
            }
            ExportPart::Tokens => token_columns(results, subject)?,
            ExportPart::Effect => effect_columns(results)?,
            ExportPart::Heads => head_columns(results)?,
            ExportPart::Window => window_columns(results)?,
            ExportPart::Session | ExportPart::Pane | ExportPart::WholeScreen => return None,
        };
        let map = map.filter(|_| part == ExportPart::Map).cloned();
        let command = command_line(part, subject);
        Some(PaneNumbers { part, command, facts: facts(results, subject, map.as_ref()), columns, map })
    }

    /// How many rows every column has.
    pub fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| column.values.len())
    }
}

impl ColumnValues {
    fn len(&self) -> usize {
        match self {
            ColumnValues::Whole(all) => all.len(),
            ColumnValues::Single(all) => all.len(),
            ColumnValues::Double(all) => all.len(),
            ColumnValues::Text(all) => all.len(),
        }
    }
}

/// What holds for the whole text.
fn facts(results: &Results, subject: &ExportSubject, map: Option<&MapFrame>) -> Vec<(&'static str, Json)> {
    let mask = &subject.settings.mask;
    let mut out = vec![
        ("model", json!(subject.model)),
        ("tokens", json!(results.len())),
        ("tau", json!(mask.threshold)),
        ("p", json!(mask.probability)),
        ("seed", json!(mask.seed)),
        ("op", json!(mask.op)),
        ("scope", json!(mask.scope)),
    ];
    if let Some(scores) = &results.scores {
        out.push(("score", json!(scores.value.formula)));
    }
    if let Some(frame) = map {
        out.push(("map", json!(frame.kind)));
        out.push(("layer", json!(frame.heads.layer)));
        out.push(("head", json!(frame.heads.head)));
    }
    if let Some(decision) = results.decision() {
        out.push(("eligible", json!(decision.eligible)));
        out.push(("selected", json!(decision.selected)));
    }
    out.push(("position", json!(subject.position.unwrap_or(results.len().saturating_sub(1)))));
    out.push(("loss", single(results.prediction().and_then(|p| p.loss))));
    if let Some(effect) = &results.masked {
        let effect = &effect.value;
        out.push(("loss_masked", single(effect.prediction.loss)));
        out.push(("kl_nats", single(Some(effect.kl))));
        out.push(("delta_masked", single(effect.delta_masked)));
        out.push(("delta_unmasked", single(effect.delta_unmasked)));
    }
    out
}

/// A number in single precision, written with as many digits as it needs.
fn single(x: Option<f32>) -> Json {
    let digits = x.filter(|x| x.is_finite()).map(|x| x.to_string());
    digits.and_then(|d| serde_json::from_str(&d).ok()).unwrap_or(Json::Null)
}

fn column(name: &'static str, values: ColumnValues) -> NumberColumn {
    NumberColumn { name, values }
}

fn texts(name: &'static str, values: impl Iterator<Item = String>) -> NumberColumn {
    column(name, ColumnValues::Text(values.collect()))
}

fn whole(name: &'static str, values: impl Iterator<Item = Option<usize>>) -> NumberColumn {
    column(name, ColumnValues::Whole(values.map(|v| v.map(|v| v as u64)).collect()))
}

fn singles(name: &'static str, values: impl Iterator<Item = Option<f32>>) -> NumberColumn {
    column(name, ColumnValues::Single(values.map(|v| v.filter(|v| v.is_finite())).collect()))
}

fn doubles(name: &'static str, values: impl Iterator<Item = Option<f64>>) -> NumberColumn {
    column(name, ColumnValues::Double(values.map(|v| v.filter(|v| v.is_finite())).collect()))
}

/// Which token a row is about.
fn named(tokens: &[Token]) -> Vec<NumberColumn> {
    vec![
        whole("position", (0..tokens.len()).map(Some)),
        whole("id", tokens.iter().map(|t| Some(t.id as usize))),
        texts("token", tokens.iter().map(|t| t.display.clone())),
    ]
}

fn token_columns(results: &Results, subject: &ExportSubject) -> Option<Vec<NumberColumn>> {
    let (decision, scores) = (results.decision()?, results.scores.as_ref()?);
    let (before, after) = (results.prediction()?, results.masked.as_ref()?);
    let at = || decision.positions.iter();
    let mut out = named(results.tokens());
    out.extend([
        doubles("raw_score", scores.value.values.iter().copied()),
        doubles("score", at().map(|p| p.score)),
        whole("rank", at().map(|p| p.rank)),
        doubles("draw", at().map(|p| Some(p.draw))),
        texts("state", at().map(|p| p.state.name().to_owned())),
        texts("op", at().map(|p| p.op.filter(|_| p.state == State::Masked).map_or("", Op::name).to_owned())),
        texts("reason", (0..results.len()).map(|i| reason(&subject.settings.mask, decision, i))),
        singles("surprisal", before.surprisal.iter().copied()),
        singles("surprisal_masked", after.value.prediction.surprisal.iter().copied()),
    ]);
    out.iter().all(|column| column.values.len() == results.len()).then_some(out)
}

fn effect_columns(results: &Results) -> Option<Vec<NumberColumn>> {
    let before = &results.prediction()?.next;
    let after = &results.masked.as_ref()?.value.prediction.next;
    let rows = before.len().max(after.len());
    let (before, after) = (|i: usize| before.get(i), |i: usize| after.get(i));
    let name =
        |c: Option<&crate::engine::types::Candidate>| c.map_or_else(String::new, |c| c.display.clone());
    Some(vec![
        whole("place", (1..=rows).map(Some)),
        whole("id", (0..rows).map(|i| before(i).map(|c| c.id as usize))),
        texts("token", (0..rows).map(|i| name(before(i)))),
        singles("p", (0..rows).map(|i| before(i).map(|c| c.p))),
        whole("id_masked", (0..rows).map(|i| after(i).map(|c| c.id as usize))),
        texts("token_masked", (0..rows).map(|i| name(after(i)))),
        singles("p_masked", (0..rows).map(|i| after(i).map(|c| c.p))),
    ])
}

fn head_columns(results: &Results) -> Option<Vec<NumberColumn>> {
    let heads = &results.overview.as_ref()?.value;
    Some(vec![
        whole("layer", heads.iter().map(|h| Some(h.layer))),
        whole("head", heads.iter().map(|h| Some(h.head))),
        singles("sink", heads.iter().map(|h| Some(h.sink))),
        singles("previous", heads.iter().map(|h| Some(h.previous))),
        singles("induction", heads.iter().map(|h| h.induction)),
        singles("entropy", heads.iter().map(|h| Some(h.entropy))),
        singles("mask_mass", heads.iter().map(|h| Some(h.mask_mass))),
    ])
}

/// One row for every token that a boundary has read.
fn window_columns(results: &Results) -> Option<Vec<NumberColumn>> {
    let window = results.decided.as_ref()?.value.window.as_ref()?;
    let cells =
        || window.rows.iter().flat_map(|row| row.standing.iter().enumerate().map(|(i, s)| (row.end, i, *s)));
    Some(vec![
        whole("boundary", cells().map(|(end, ..)| Some(end))),
        whole("position", cells().map(|(_, i, _)| Some(i))),
        whole("id", cells().map(|(_, i, _)| results.tokens().get(i).map(|t| t.id as usize))),
        texts("standing", cells().map(|(_, _, s)| Standing::name(s).to_owned())),
    ])
}

/// The whole as one object: facts, `rows` with one object each, and the map row by row.
impl Serialize for PaneNumbers {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(None)?;
        out.serialize_entry("part", &self.part)?;
        out.serialize_entry("command", &self.command)?;
        for (name, value) in &self.facts {
            out.serialize_entry(name, value)?;
        }
        let rows: Vec<NumberRow> = (0..self.rows()).map(|row| NumberRow { numbers: self, row }).collect();
        out.serialize_entry("rows", &rows)?;
        if let Some(frame) = &self.map {
            let rows: Vec<Vec<Option<f32>>> = frame
                .values
                .chunks(frame.len.max(1))
                .map(|row| row.iter().map(|v| v.is_finite().then_some(*v)).collect())
                .collect();
            out.serialize_entry("values", &rows)?;
        }
        out.end()
    }
}

struct NumberRow<'a> {
    numbers: &'a PaneNumbers,
    row: usize,
}

impl Serialize for NumberRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut out = serializer.serialize_map(Some(self.numbers.columns.len()))?;
        for NumberColumn { name, values } in &self.numbers.columns {
            match values {
                ColumnValues::Whole(all) => out.serialize_entry(name, &all[self.row])?,
                ColumnValues::Single(all) => out.serialize_entry(name, &all[self.row])?,
                ColumnValues::Double(all) => out.serialize_entry(name, &all[self.row])?,
                ColumnValues::Text(all) => out.serialize_entry(name, &all[self.row])?,
            }
        }
        out.end()
    }
}
