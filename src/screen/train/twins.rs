//! Arms side by side: their losses, paired differences, and the verdict so far.

use ratatui::layout::Rect;

use crate::screen::actions::TRAINING;
use crate::screen::app::App;
use crate::screen::pane::{BLANK, Pane, TitlePart};
use crate::screen::train::run::course::RUN;
use crate::screen::train::strip;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::plot::{self, Curve, Frame, Pen};
use crate::screen::widgets::theme::Role;
use crate::support::units::{duration, short};
use crate::train::report::{TwinDifference, TwinStep, TwinVerdict};
use crate::train::twins::{TwinSpec, pairs};

pub static PANE: Pane = Pane {
    name: "twins",
    title: "Twins",
    screen: Screen::Train,
    context: |_| TRAINING,
    subtitle,
    draw,
    ..BLANK
};

/// Lines for both charts, before a pair gets more than one.
const CHARTS: u16 = 11;
/// Share of the moving average that each step keeps.
const KEEP: f64 = 0.9;

/// One arm's training losses of the seed that runs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArmCurve {
    /// (step, debiased moving average of the loss).
    pub points: Vec<(usize, f64)>,
    /// (step, loss on the held-out documents).
    pub evaluated: Vec<(usize, f64)>,
    average: f64,
    missing: f64,
}

impl ArmCurve {
    fn push(&mut self, step: usize, loss: f64) {
        if self.points.is_empty() {
            (self.average, self.missing) = (0.0, 1.0);
        }
        self.average = KEEP * self.average + (1.0 - KEEP) * loss;
        self.missing *= KEEP;
        self.points.push((step, self.average / (1.0 - self.missing)));
    }
}

/// Twins on screen.
#[derive(Clone, Debug, PartialEq)]
pub struct TwinView {
    pub arms: Vec<String>,
    pub seeds: usize,
    /// Steps of one seed.
    pub steps: usize,
    /// The seed that runs, from 1, and its last step.
    pub seed: usize,
    pub step: usize,
    pub curves: Vec<ArmCurve>,
    /// By evaluation of this seed: (step, one difference for each pair of arms).
    pub differences: Vec<(usize, Vec<TwinDifference>)>,
    /// By finished seed: the held-out loss of each arm.
    pub finished: Vec<Vec<f64>>,
    /// One for each pair of arms.
    pub verdicts: Vec<TwinVerdict>,
    pub tokens_per_second: f64,
}

impl TwinView {
    pub fn new(spec: &TwinSpec, steps: usize) -> Self {
        let arms = spec.names();
        TwinView {
            curves: vec![ArmCurve::default(); arms.len()],
            arms,
            seeds: spec.seeds,
            steps,
            seed: 1,
            step: 0,
            differences: Vec::new(),
            finished: Vec::new(),
            verdicts: Vec::new(),
            tokens_per_second: 0.0,
        }
    }

    /// Every pair of arms, in the order of verdicts.
    pub fn pairs(&self) -> Vec<(usize, usize)> {
        pairs(self.arms.len())
    }

    /// Share of all seeds that is done.
    pub fn progress(&self) -> f64 {
        let done = (self.seed - 1) * self.steps + self.step;
        done as f64 / (self.seeds * self.steps).max(1) as f64
    }

    /// A new seed begins with empty curves; what it is worth stays in [`finished`](Self::finished).
    fn turn(&mut self, seed: usize) {
        if seed != self.seed {
            self.seed = seed;
            self.curves.fill(ArmCurve::default());
            self.differences.clear();
        }
    }

    pub fn stepped(&mut self, report: &TwinStep) {
        self.turn(report.seed);
        (self.step, self.tokens_per_second) = (report.step, report.tokens_per_second);
        for (curve, loss) in self.curves.iter_mut().zip(&report.losses) {
            curve.push(report.step, *loss);
        }
    }

    pub fn evaluated(&mut self, (seed, step): (usize, usize), losses: &[f64], of: Vec<TwinDifference>) {
        self.turn(seed);
        for (curve, loss) in self.curves.iter_mut().zip(losses) {
            curve.evaluated.push((step, *loss));
        }
        self.differences.push((step, of));
    }
}

/// How the arms look, so that none needs its colour.
const ARMS: [(Role, &str); 4] =
    [(Role::Accent, "1"), (Role::Masked, "2"), (Role::Protected, "3"), (Role::Good, "4")];

fn twins(app: &App) -> Option<&TwinView> {
    app.train.run.as_ref().and_then(|r| r.twins.as_ref())
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let Some(t) = twins(app) else { return Vec::new() };
    let mut out = vec![TitlePart::new(format!("seed {} of {}", t.seed, t.seeds), Role::Dim)];
    if let Some(eta) = app.train.run.as_ref().and_then(|r| r.eta) {
        out.push(TitlePart::new(format!("{} left", duration(eta)), Role::Accent));
    }
    out
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some(t) = twins(app) else {
        let go = app.key_label(&RUN);
        let text = format!(
            "Arms side by side, on the same batches under the same draws\nName two to four of them in the setting twins, \
             such as dyn-rand,dyn-attn-high; {go} then plans their comparison"
        );
        let style = c.style(Role::Dim);
        c.paragraph(area, &text, style);
        return;
    };
    let mut y = area.y;
    for (i, arm) in t.arms.iter().enumerate() {
        legend(c, t, (i, arm), Rect { y, height: 1, ..area });
        y += 1;
    }
    let pairs = t.pairs();
    let lines = lines_per_pair(area.height.saturating_sub(t.arms.len() as u16), pairs.len() as u16);
    let room = area.bottom().saturating_sub(y + lines * pairs.len() as u16 + 1);
    let losses = Rect { y, height: room / 2, ..area };
    loss_chart(c, t, losses);
    let title = losses.bottom();
    difference_title(c, t, Rect { y: title, height: 1, ..area });
    difference_chart(c, t, Rect { y: title + 1, height: room - room / 2, ..area });
    let mut y = area.bottom().saturating_sub(lines * pairs.len() as u16).max(y);
    for (index, pair) in pairs.into_iter().enumerate() {
        let rest = Rect { y, height: area.bottom().saturating_sub(y).min(lines), ..area };
        judged(c, t, (index, pair), rest);
        y += lines;
    }
}

/// Lines of a verdict, what it rests on, and its seeds: fewer where the charts would have no room.
fn lines_per_pair(height: u16, pairs: u16) -> u16 {
    (height.saturating_sub(CHARTS) / pairs.max(1)).clamp(1, 3)
}

/// The verdict on one pair of arms, its seeds as dots, and what it rests on, as far as there is room.
fn judged(c: &mut Canvas, t: &TwinView, (index, pair): (usize, (usize, usize)), area: Rect) {
    let verdict = t.verdicts.get(index);
    let line = |n: u16| Rect { y: area.y + n, height: 1, ..area };
    if area.height > 0 {
        verdict_line(c, t, (pair, verdict), line(0));
    }
    let Some(verdict) = verdict else { return };
    if area.height > 1 {
        let differences: Vec<f64> = t.finished.iter().filter_map(|seed| difference(seed, pair)).collect();
        strip::draw(c, line(1), &differences, verdict);
    }
    if area.height > 2 {
        let dim = c.style(Role::Dim);
        c.label(area.x, area.y + 2, &verdict.basis.to_string(), dim, area.width);
    }
}

/// What the later arm of a pair lost more than the earlier one under one seed.
fn difference(losses: &[f64], (i, j): (usize, usize)) -> Option<f64> {
    Some(losses.get(j)? - losses.get(i)?)
}

fn legend(c: &mut Canvas, t: &TwinView, (i, arm): (usize, &str), area: Rect) {
    let (role, sign) = ARMS[i % ARMS.len()];
    let (own, dim, strong) = (c.theme.bold(role), c.style(Role::Dim), c.theme.bold(Role::Strong));
    let curve = &t.curves[i];
    let loss = curve.points.last().map_or("–".to_owned(), |p| format!("{:.4}", p.1));
    let held = curve.evaluated.last().map_or("–".to_owned(), |p| format!("{:.4}", p.1));
    let name = format!("{sign} {arm}");
    let spans =
        [(name.as_str(), own), ("  avg ", dim), (&loss, strong), ("  held out ", dim), (&held, strong)];
    c.spans(area.x, area.y, &spans, area.right());
}

fn frame(t: &TwinView, steps: bool) -> Frame {
    Frame { span: (0.0, t.steps.max(1) as f64), steps, ..Frame::default() }
}

fn loss_chart(c: &mut Canvas, t: &TwinView, area: Rect) {
    let mut curves = Vec::new();
    for (i, of) in t.curves.iter().enumerate() {
        let (role, sign) = ARMS[i % ARMS.len()];
        let style = c.style(role);
        let points = |list: &[(usize, f64)]| list.iter().map(|(s, l)| (*s as f64, *l)).collect();
        curves.push(Curve { points: points(&of.points), pen: Pen::Line, style, ascii: sign });
        curves
            .push(Curve { points: points(&of.evaluated), pen: Pen::Marks("◆", sign), style, ascii: sign });
    }
    plot::draw(c, area, &frame(t, false), &curves);
}

fn difference_title(c: &mut Canvas, t: &TwinView, area: Rect) {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let text = format!("held out minus {}", t.arms[0]);
    let mut x = c.spans(area.x, area.y, &[(&text, dim)], area.right());
    let last = t.differences.last().map_or(&[][..], |(_, of)| of.as_slice());
    for d in last.iter().filter(|d| d.against == 0) {
        // The band is even on both sides, so half of it says all.
        let band = d.high.map_or(String::new(), |high| format!(" ±{}", short(high - d.value)));
        let (role, sign) = ARMS[d.arm % ARMS.len()];
        let own = c.theme.bold(role);
        let (sign, value) = (format!("  {sign} "), format!("{:+.4}", d.value));
        x = c.spans(x, area.y, &[(&sign, own), (&value, strong), (&band, dim)], area.right());
    }
}

/// The differences as lines, their bands as dots, 0 as a line of its own.
fn difference_chart(c: &mut Canvas, t: &TwinView, area: Rect) {
    let faint = c.style(Role::Faint);
    let end = t.steps.max(1) as f64;
    let zero = (0..=40).map(|i| (end * f64::from(i) / 40.0, 0.0)).collect();
    let mut curves = vec![Curve { points: zero, pen: Pen::Dots, style: faint, ascii: "-" }];
    for arm in 1..t.arms.len() {
        let (role, sign) = ARMS[arm % ARMS.len()];
        let (style, band) = (c.theme.bold(role), c.style(role));
        let of = |value: fn(&TwinDifference) -> Option<f64>| -> Vec<(f64, f64)> {
            let points = t.differences.iter().filter_map(|(step, of)| {
                let d = of.iter().find(|d| d.arm == arm && d.against == 0)?;
                Some((*step as f64, value(d)?))
            });
            points.collect()
        };
        for points in [of(|d| d.low), of(|d| d.high)] {
            curves.push(Curve { points, pen: Pen::Marks("┄", "."), style: band, ascii: "." });
        }
        let value = of(|d| Some(d.value));
        curves.push(Curve { points: value.clone(), pen: Pen::Line, style, ascii: sign });
        curves.push(Curve { points: value, pen: Pen::Marks("●", sign), style, ascii: sign });
    }
    plot::draw(c, area, &frame(t, true), &curves);
}

/// What may be said of a pair of arms over the finished seeds.
fn verdict_line(
    c: &mut Canvas,
    t: &TwinView,
    ((i, j), verdict): ((usize, usize), Option<&TwinVerdict>),
    area: Rect,
) {
    let (dim, strong) = (c.style(Role::Dim), c.theme.bold(Role::Strong));
    let (role, sign) = ARMS[j % ARMS.len()];
    let own = c.theme.bold(role);
    let other = ARMS[i % ARMS.len()].1;
    let Some(v) = verdict else {
        let text = format!("{sign} {} − {other}: no seed is finished yet", t.arms[j]);
        c.label(area.x, area.y, &text, dim, area.width);
        return;
    };
    let word = match v.verdict.as_str() {
        "better" => c.theme.bold(Role::Good),
        "worse" => c.theme.bold(Role::Bad),
        _ => strong,
    };
    let (name, against) = (format!("{sign} {}", v.arm), format!(" − {other} "));
    let mut tail = format!(" {:+.4}", v.difference);
    if let (Some(low), Some(high)) = (v.low, v.high) {
        tail.push_str(&format!(" [{low:+.4}, {high:+.4}]"));
    }
    let plural = if v.seeds == 1 { "" } else { "s" };
    tail.push_str(&match v.more_seeds {
        Some(more) => format!(" ({} seed{plural}, about {more} more)", v.seeds),
        None => format!(" ({} seed{plural})", v.seeds),
    });
    let spans = [(name.as_str(), own), (&against, dim), (&v.verdict, word), (&tail, dim)];
    c.spans(area.x, area.y, &spans, area.right());
}
