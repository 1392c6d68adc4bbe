//! The mix of operations: a bar for each, in whole percent that always sum to 100; every masked token draws its own.

use ratatui::layout::Rect;

use crate::mask::mix::{Mix, MixPart};
use crate::mask::types::{MaskSettings, Op, Replacement};
use crate::screen::actions::{Action, MIX, actions};
use crate::screen::app::App;
use crate::screen::popups::{Popup, open, over};
use crate::screen::widgets::canvas::Canvas;
use crate::screen::widgets::theme::Role;

/// What can be given a share: every replacement, then every other operation. A part of a mix that only says `replace`
/// stands in the row of what the setting `with` says.
pub const ROWS: [(Op, Option<Replacement>); Op::ALL.len() - 1 + Replacement::ALL.len()] = {
    let mut rows = [(Op::Replace, None); Op::ALL.len() - 1 + Replacement::ALL.len()];
    let mut row = 0;
    while row < Replacement::ALL.len() {
        rows[row].1 = Some(Replacement::ALL[row]);
        row += 1;
    }
    let mut op = 0;
    while op < Op::ALL.len() {
        if !matches!(Op::ALL[op], Op::Replace) {
            rows[row].0 = Op::ALL[op];
            row += 1;
        }
        op += 1;
    }
    rows
};

/// Percent of every row.
pub type MixShares = [u32; ROWS.len()];

const WHOLE: u32 = 100;

/// How a row is called.
pub fn name(row: usize) -> String {
    match ROWS[row] {
        (op, Some(replacement)) => format!("{op}/{replacement}"),
        (op, None) => op.to_string(),
    }
}

/// The shares in force; without a mix the operation has all of it.
pub fn shares_of(mask: &MaskSettings) -> MixShares {
    let mut exact = [0f64; ROWS.len()];
    match &mask.mix {
        None => exact[row_of(mask, mask.op, None)] = 1.0,
        Some(mix) => {
            for part in mix.parts() {
                exact[row_of(mask, part.op, part.replacement)] += part.share;
            }
        }
    }
    whole(exact)
}

fn row_of(mask: &MaskSettings, op: Op, replacement: Option<Replacement>) -> usize {
    let replacement = replacement.or((op == Op::Replace).then_some(mask.replacement));
    ROWS.iter().position(|row| *row == (op, replacement)).unwrap_or(0)
}

/// Whole percents with the same sum: the largest remainders are rounded up.
fn whole(exact: [f64; ROWS.len()]) -> MixShares {
    let total: f64 = exact.iter().sum();
    let scaled = exact.map(|x| x / total.max(1e-12) * f64::from(WHOLE));
    let mut out = scaled.map(|x| (x + 1e-9).floor() as u32);
    let mut order: Vec<usize> = (0..ROWS.len()).collect();
    order.sort_by(|&a, &b| scaled[b].fract().total_cmp(&scaled[a].fract()));
    let missing = WHOLE.saturating_sub(out.iter().sum());
    for &row in order.iter().cycle().take(missing as usize) {
        out[row] += 1;
    }
    out
}

/// Gives a row a share; the others make room, or fill up, in proportion to what they have. Where they have nothing,
/// what is left is kept (and what `keep` gives up is replaced).
pub fn with_share(shares: MixShares, row: usize, percent: u32) -> MixShares {
    let percent = percent.min(WHOLE);
    let others: u32 = WHOLE - shares[row];
    let left = f64::from(WHOLE - percent);
    let mut exact = shares.map(f64::from);
    if others == 0 {
        let keep = ROWS.len() - 1;
        exact = [0.0; ROWS.len()];
        exact[if row == keep { 0 } else { keep }] = left;
    } else {
        exact.iter_mut().for_each(|x| *x *= left / f64::from(others));
    }
    exact[row] = 0.0;
    let mut out = if left > 0.0 { scaled_to(exact, WHOLE - percent) } else { [0; ROWS.len()] };
    out[row] = percent;
    out
}

fn scaled_to(exact: [f64; ROWS.len()], total: u32) -> MixShares {
    let mut out = exact.map(|x| (x + 1e-9).floor() as u32);
    let mut order: Vec<usize> = (0..ROWS.len()).filter(|&i| exact[i] > 0.0).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = total.saturating_sub(out.iter().sum());
    for &row in order.iter().cycle().take(missing as usize) {
        out[row] += 1;
    }
    out
}

/// Takes shares over: a single operation with all of it needs no mix.
pub fn apply(mask: &mut MaskSettings, shares: MixShares) {
    let used: Vec<usize> = (0..ROWS.len()).filter(|&row| shares[row] > 0).collect();
    if let [only] = used[..] {
        let (op, replacement) = ROWS[only];
        mask.op = op;
        mask.replacement = replacement.unwrap_or(mask.replacement);
        mask.mix = None;
        return;
    }
    let part = |&row: &usize| {
        let (op, replacement) = ROWS[row];
        MixPart { op, replacement, share: f64::from(shares[row]) / f64::from(WHOLE) }
    };
    // Percents that sum to 100 are always a mix.
    mask.mix = Mix::new(used.iter().map(part).collect()).ok();
}

actions! {
    MIX {
        /// Operation above
        MIX_UP ["up" "shift-tab"] "operation" => |app| step(app, ROWS.len() - 1);
        /// Operation below
        MIX_DOWN ["down" "tab"] => |app| step(app, 1);
        /// Lower its share by five percent; the others grow in proportion
        MIX_LESS ["left"] "share" => |app| give(app, -5);
        /// Raise its share by five percent; the others shrink in proportion
        MIX_MORE ["right"] => |app| give(app, 5);
        /// One percent less
        MIX_FINE_LESS ["shift-left"] => |app| give(app, -1);
        /// One percent more
        MIX_FINE_MORE ["shift-right"] => |app| give(app, 1);
        /// Lower its share to zero
        MIX_NONE ["home" "backspace" "delete"] => |app| give(app, -100);
        /// Raise its share to 100 %: no mix any more
        MIX_ALL ["end"] "all of it" => |app| give(app, 100);
        /// BERT's mix: 80 % replaced, 10 % a random token, 10 % kept
        MIX_BERT ["b"] "BERT" => bert;
        /// Close the editor; undo takes changes back
        MIX_CLOSE ["enter" "esc" "q" "O"] "close" => close;
    }
}

/// The row that is being changed, while the editor is open.
fn row(app: &App) -> Option<usize> {
    match app.popup {
        Some(Popup::Mix { row }) => Some(row),
        _ => None,
    }
}

/// Opens the editor at the largest share.
pub fn start(app: &mut App) {
    let shares = shares_of(&app.doc.mask);
    let row = (0..shares.len()).max_by_key(|i| (shares[*i], usize::MAX - i)).unwrap_or(0);
    app.popup = Some(Popup::Mix { row });
}

fn close(app: &mut App) {
    if row(app).is_some() {
        app.popup = None;
    }
}

/// Goes down by rows, round and round.
fn step(app: &mut App, rows: usize) {
    if let Some(Popup::Mix { row }) = &mut app.popup {
        *row = (*row + rows) % ROWS.len();
    }
}

fn give(app: &mut App, percent: i32) {
    let Some(row) = row(app) else { return };
    let shares = shares_of(&app.doc.mask);
    let share = shares[row].saturating_add_signed(percent);
    take(app, with_share(shares, row, share));
}

/// Gives an operation its share of the mix, in percent.
pub fn set_share(app: &mut App, row: usize, percent: u32) {
    app.popup = Some(Popup::Mix { row });
    let shares = shares_of(&app.doc.mask);
    take(app, with_share(shares, row, percent));
}

fn take(app: &mut App, shares: MixShares) {
    app.history.touches(MaskSettings::mix);
    apply(&mut app.doc.mask, shares);
}

fn bert(app: &mut App) {
    if row(app).is_none() {
        return;
    }
    let mask_row = app.model.as_ref().is_some_and(|m| m.has_mask_row);
    let mut shares = MixShares::default();
    // Without a trained [MASK] row, what the setting `with` says takes its place.
    let with = mask_row.then_some(Replacement::Mask);
    let row = |op, with| row_of(&app.doc.mask, op, with);
    for (place, share) in [
        (row(Op::Replace, with), 80),
        (row(Op::Replace, Some(Replacement::Uniform)), 10),
        (row(Op::Keep, None), 10),
    ] {
        shares[place] += share;
    }
    take(app, shares);
}

/// Columns of an operation's name and of its percentage.
const NAME: u16 = 18;
const PERCENT: u16 = 6;

/// Size of the editor's box.
pub const SIZE: (u16, u16) = (72, ROWS.len() as u16 + 5);

fn inner(area: Rect) -> Rect {
    Rect::new(area.x + 2, area.y + 1, area.width.saturating_sub(4), area.height.saturating_sub(2))
}

/// First row on screen where not all of them fit.
fn first(area: Rect, row: usize) -> usize {
    let room = (inner(area).height as usize).saturating_sub(2).max(1);
    (row + 1).saturating_sub(room)
}

/// The row at a line, and the percentage at a column of its track.
pub fn at(area: Rect, row: usize, x: u16, y: u16) -> Option<(usize, Option<u32>)> {
    let inner = inner(area);
    let line = y.checked_sub(inner.y).filter(|l| *l + 2 < inner.height.max(2))? as usize;
    let hit = first(area, row) + line;
    if hit >= ROWS.len() {
        return None;
    }
    let (left, width) = track(inner);
    let percent =
        x.checked_sub(left).filter(|d| *d < width).map(|d| u32::from(d) * 100 / u32::from(width.max(2) - 1));
    Some((hit, percent))
}

fn track(inner: Rect) -> (u16, u16) {
    let left = inner.x + NAME + PERCENT + 1;
    (left, inner.right().saturating_sub(left))
}

/// Draws the editor.
pub fn draw(c: &mut Canvas, app: &App, area: Rect, row: usize) {
    let note =
        if app.doc.mask.mix.is_none() { "one operation: no mix" } else { "every masked token draws its own" };
    let inner = open(c, area, "Mix", note);
    let base = c.theme.popup();
    let shares = shares_of(&app.doc.mask);
    let room = (inner.height as usize).saturating_sub(2).max(1);
    let top = first(area, row);
    for (i, share) in shares.iter().enumerate().skip(top).take(room) {
        let y = inner.y + (i - top) as u16;
        let here = i == row;
        let back = if here { c.theme.selected() } else { base };
        c.restyle(Rect { y, height: 1, ..inner }, back);
        let role = if *share > 0 { Role::Strong } else { Role::Dim };
        let style = over(back, c.style(role));
        c.label(inner.x, y, &name(i), style, NAME);
        c.right(inner.x + NAME, inner.x + NAME + PERCENT, y, &format!("{share} %"), style);
        let (left, width) = track(inner);
        let filled = (f64::from(*share) / 100.0 * f64::from(width)).round() as u16;
        let (bar, rest) = (over(back, c.style(Role::Masked)), over(back, c.style(Role::Faint)));
        c.line(left, y, if c.ascii() { "#" } else { "━" }, filled, bar);
        c.line(left + filled, y, if c.ascii() { "." } else { "─" }, width - filled, rest);
    }
    let (key, dim) = (over(base, c.theme.bold(Role::Accent)), over(base, c.style(Role::Dim)));
    let label = |action: &Action| app.key_here(action).unwrap_or_default();
    let keys = [&MIX_LESS, &MIX_MORE, &MIX_ALL, &MIX_BERT, &MIX_CLOSE].map(label);
    let pieces = [
        (keys[0].as_str(), key),
        (keys[1].as_str(), key),
        (" share   ", dim),
        (&keys[2], key),
        (" all   ", dim),
        (&keys[3], key),
        (" BERT's   ", dim),
        (&keys[4], key),
        (" close", dim),
    ];
    c.spans(inner.x, inner.bottom().saturating_sub(1), &pieces, inner.right());
}

/// A click on a bar gives its operation that share; on a name it selects the row.
pub fn press(app: &mut App, area: Rect, row: usize, x: u16, y: u16) {
    if let Some((row, percent)) = at(area, row, x, y) {
        let percent = percent.unwrap_or(shares_of(&app.doc.mask)[row]);
        app.act(|app| set_share(app, row, percent));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn berts_mix_reads_and_comes_back() {
        let mut mask = MaskSettings { mix: Some(Mix::bert()), ..MaskSettings::default() };
        let found = shares_of(&mask);
        assert_eq!((found[1], found[2], found[9]), (80, 10, 10));
        apply(&mut mask, found);
        assert_eq!(mask.mix.unwrap().to_string(), "replace/mask:0.8,replace/uniform:0.1,keep:0.1");
    }

    #[test]
    fn one_operation_alone_is_no_mix() {
        let mut mask = MaskSettings::default();
        assert_eq!(shares_of(&mask)[0], 100);
        let half = with_share(shares_of(&mask), 6, 50);
        apply(&mut mask, half);
        assert_eq!(mask.mix.as_ref().unwrap().to_string(), "replace/mean:0.5,drop:0.5");
        let all = with_share(shares_of(&mask), 6, 100);
        apply(&mut mask, all);
        assert_eq!((mask.op, mask.mix), (Op::Drop, None));
        let less = with_share([100, 0, 0, 0, 0, 0, 0, 0, 0, 0], 0, 60);
        assert_eq!((less[0], less[9]), (60, 40), "what nobody else has is kept");
    }

    #[test]
    fn no_row_is_there_twice() {
        let names: std::collections::BTreeSet<String> = (0..ROWS.len()).map(name).collect();
        assert_eq!(names.len(), ROWS.len());
        assert!(names.iter().all(|name| name != "replace"), "it is one of its replacements");
        for op in Op::ALL {
            assert!(ROWS.iter().any(|row| row.0 == *op), "{op}");
        }
    }

    proptest! {
        #[test]
        fn shares_always_sum_to_the_whole(moves in prop::collection::vec((0usize..10, 0u32..130), 1..30)) {
            let mut mask = MaskSettings::default();
            for (row, percent) in moves {
                let next = with_share(shares_of(&mask), row, percent);
                prop_assert_eq!(next.iter().sum::<u32>(), 100);
                prop_assert_eq!(next[row], percent.min(100));
                apply(&mut mask, next);
                prop_assert_eq!(shares_of(&mask).iter().sum::<u32>(), 100);
            }
        }
    }
}

#[cfg(test)]
mod whole {
    use crate::engine::types::Update;
    use crate::screen::popups::{Popup, mix};
    use crate::screen::testing::Stage;
    use crate::screen::tests::mix_of;

    #[test]
    fn the_mix_editor_moves_shares_and_undo_takes_them_back() {
        let mut stage = Stage::new();
        let before = stage.last().mask;
        stage.press("O");
        assert_eq!(stage.app.popup, Some(Popup::Mix { row: 0 }));
        stage.press("left left");
        assert_eq!(mix_of(&stage), "replace/mean:0.9,keep:0.1");
        stage.press("shift-left");
        assert_eq!(mix_of(&stage), "replace/mean:0.89,keep:0.11");
        // Up from the first row is the last one.
        stage.press("up");
        assert_eq!(stage.app.popup, Some(Popup::Mix { row: mix::ROWS.len() - 1 }));
        stage.press("right right");
        assert_eq!(mix_of(&stage), "replace/mean:0.79,keep:0.21");
        stage.press("down down");
        stage.press("right");
        assert!(mix_of(&stage).contains("replace/mask:0.05"), "{}", mix_of(&stage));
        stage.press("home");
        assert_eq!(mix::shares_of(&stage.last().mask)[1], 0);
        stage.press("up end");
        assert_eq!((mix_of(&stage).as_str(), stage.last().mask.replacement.name()), ("only replace", "mean"));
        stage.press("b");
        assert_eq!(mix_of(&stage), "replace/mean:0.8,replace/uniform:0.1,keep:0.1");
        stage.press("esc");
        assert_eq!(stage.app.popup, None);
        for _ in 0..20 {
            stage.press("u");
        }
        assert_eq!(stage.last().mask, before);
    }

    #[test]
    fn berts_mix_uses_a_trained_mask_row_where_there_is_one() {
        let mut stage = Stage::new();
        let mut trained = crate::screen::testing::model("trained", 4, 4);
        trained.has_mask_row = true;
        stage.update(Update::ModelReady(trained));
        stage.press("O b");
        assert_eq!(mix_of(&stage), "replace/mask:0.8,replace/uniform:0.1,keep:0.1");
    }

    #[test]
    fn a_share_can_be_set_with_the_mouse() {
        let mut stage = Stage::new();
        stage.press("O").act(|app| mix::set_share(app, 6, 30));
        assert_eq!(mix_of(&stage), "replace/mean:0.7,drop:0.3");
        assert_eq!(stage.app.popup, Some(Popup::Mix { row: 6 }));
    }
}
