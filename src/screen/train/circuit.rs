//! What every head reads while a run goes on: a picture and a score each, the step at which it passed the mark, and at the end
//! what copying costs without those that did.

use ratatui::layout::Rect;

use crate::screen::app::App;
use crate::screen::pane::{BLANK, Pane, TitlePart};
use crate::screen::train::feed::FEED;
use crate::screen::train::run::course::GROW;
use crate::screen::train::state::RunView;
use crate::screen::view::Screen;
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;
use crate::screen::widgets::thumbnail;
use crate::train::report::{HeadClock, HeadScore, HeadsReport, PASSED};

pub static PANE: Pane =
    Pane { name: "heads", title: "Heads", screen: Screen::Train, context: |_| FEED, subtitle, draw, ..BLANK };

/// Lines of a picture, its label above it included, below which it is left out.
const LEAST: u16 = 3;
/// Columns beyond which a picture gains nothing.
const WIDEST: u16 = 24;

fn heads(app: &App) -> Option<(&RunView, &HeadsReport)> {
    let run = app.train.run.as_ref()?;
    run.heads.as_ref().filter(|report| !report.heads.is_empty()).map(|report| (run, report))
}

/// Heads that have passed.
fn passed(report: &HeadsReport) -> usize {
    report.passed.iter().filter(|p| p.any()).count()
}

pub fn subtitle(app: &App) -> Vec<TitlePart> {
    let Some((_, report)) = heads(app) else { return Vec::new() };
    vec![TitlePart::new(format!("step {}", report.step), Role::Dim)]
}

pub fn draw(c: &mut Canvas, app: &App, area: Rect) {
    let Some((run, report)) = heads(app) else { return empty(c, app, area) };
    let below = words(run, report);
    // About as many lines as the words take, and never more than half.
    let wide = usize::from(area.width.max(1));
    let lines = below.iter().map(|line| line.chars().count().div_ceil(wide) as u16).sum::<u16>();
    let lines = lines.min(area.height / 2);
    grid(c, app, report, Rect { height: area.height - lines, ..area });
    let style = c.style(Role::Text);
    let mut rest = Rect { y: area.bottom() - lines, height: lines, ..area };
    for line in below {
        let used = c.paragraph(rest, &line, style).min(rest.height);
        rest = Rect { y: rest.y + used, height: rest.height - used, ..rest };
    }
}

fn empty(c: &mut Canvas, app: &App, area: Rect) {
    let grow = app.key_label(&GROW);
    let text = match app.train.state() {
        Some(state) if !state.is_over() => {
            "What every head reads\nThis run does not look at its heads: heads every (heads_every) does"
                .to_owned()
        }
        _ => format!(
            "What every head reads, as a run goes on\n{grow} grows a small model that learns to copy, in a minute or two; \
             heads every (heads_every) looks at the heads of any run"
        ),
    };
    let style = c.style(Role::Dim);
    let area = Rect { y: area.y + area.height / 4, height: area.height - area.height / 4, ..area };
    c.paragraph(area, &text, style);
}

/// What the end of a run says of its heads, or what is to be seen meanwhile.
fn words(run: &RunView, report: &HeadsReport) -> Vec<String> {
    match run.summary.as_ref().and_then(|summary| summary.circuit.as_ref()) {
        Some(circuit) => circuit.sentences(),
        None => vec![format!(
            "step {}: {} of {} heads passed {PASSED}; p: on the token before, i: on what followed an earlier copy, @: since \
             step",
            report.step,
            passed(report),
            report.heads.len()
        )],
    }
}

/// Layers are rows, heads are columns.
fn grid(c: &mut Canvas, app: &App, report: &HeadsReport, area: Rect) {
    let n_head = report.n_head.max(1);
    let layers = report.heads.len().div_ceil(n_head) as u16;
    let width = (area.width / n_head as u16).clamp(4, WIDEST);
    let height = (area.height / layers.max(1)).clamp(1, WIDEST / 2 + 1);
    let height = if height < LEAST { 1 } else { height };
    let rows = (area.height / height).min(layers);
    let top = (app.view.scrolled(&PANE) as u16).min(layers - rows);
    for (at, (head, passed)) in report.heads.iter().zip(&report.passed).enumerate() {
        let (layer, column) = ((at / n_head) as u16, (at % n_head) as u16);
        if layer < top || layer >= top + rows || (column + 1) * width > area.width {
            continue;
        }
        let cell = Rect::new(area.x + column * width, area.y + (layer - top) * height, width, height);
        label(c, (at / n_head, at % n_head), (head, *passed), cell);
        let picture = Rect { y: cell.y + 1, width: width - 1, height: height - 1, ..cell };
        thumbnail::draw(c, (head.side, &head.thumbnail), picture);
    }
}

/// The head and its better score; lit once it has passed, with the step.
fn label(
    c: &mut Canvas,
    (layer, head): (usize, usize),
    (score, passed): (&HeadScore, HeadClock),
    cell: Rect,
) {
    let (letter, value, since) = if score.induction >= score.previous {
        ("i", score.induction, passed.induction)
    } else {
        ("p", score.previous, passed.previous)
    };
    let number = format!("{value:.2}").trim_start_matches('0').to_owned();
    let sign = match (passed.any(), c.ascii()) {
        (false, _) => " ",
        (true, false) => "●",
        (true, true) => "*",
    };
    let style = if passed.any() { c.theme.bold(Role::Good) } else { c.style(Role::Dim) };
    // Where not all of it fits, the step says more of a head that has passed than its score.
    let forms = match since {
        Some(step) => {
            vec![format!("{letter}{number}@{step}"), format!("{letter}@{step}"), format!("{letter}{number}")]
        }
        None => vec![format!("{letter}{number}")],
    };
    let name = format!("{sign}{layer}.{head}");
    let fits = |form: &String| name.chars().count() + 1 + form.chars().count() < usize::from(cell.width);
    let text = match forms.into_iter().find(fits) {
        Some(form) => format!("{name} {form}"),
        None => name,
    };
    c.text(cell.x, cell.y, &text, style, cell.width);
}
