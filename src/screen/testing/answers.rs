//! The stand-in for the engine: an answer to every request.

use super::*;

/// A number in [0, 1) from two others.
pub fn unit(a: u64, b: u64) -> f64 {
    let mixed = a.wrapping_mul(crate::support::random::GAMMA) ^ b.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (crate::support::random::splitmix64(mixed, 0) >> 11) as f64 / (1u64 << 53) as f64
}

/// Words with their leading space, as byte-pair tokenizers cut them.
pub fn tokens(text: &str) -> Vec<Token> {
    let mut starts: Vec<usize> = Vec::new();
    let mut previous = 'a';
    for (i, c) in text.char_indices() {
        let word_starts = c == ' ' || (previous != ' ' && c.is_ascii_punctuation());
        if i == 0 || word_starts {
            starts.push(i);
        }
        previous = c;
    }
    let ends = starts.iter().skip(1).copied().chain([text.len()]);
    let ends: Vec<usize> = ends.collect();
    let token = |(start, end): (&usize, &usize)| {
        let s = &text[*start..*end];
        Token {
            id: s.bytes().map(u32::from).sum(),
            display: s.replace(' ', "·"),
            bytes: s.as_bytes().to_vec(),
            span: (*start, *end),
        }
    };
    starts.iter().zip(&ends).map(token).collect()
}

fn decision(r: &ExploreRequest, n: usize) -> (Vec<Option<f64>>, Decision) {
    let protected = |i: usize| {
        let p = &r.mask.protect;
        if r.mask.pinned.iter().any(|x| x.contains(&i)) {
            Some(Protection::Pinned)
        } else if p.first && i == 0 {
            Some(Protection::First)
        } else if i + p.last >= n {
            Some(Protection::Last)
        } else {
            None
        }
    };
    let raw: Vec<Option<f64>> =
        (0..n).map(|i| (i + 1 < n).then(|| 0.2 + 2.4 * unit(i as u64, 3).powi(3))).collect();
    let eligible: Vec<usize> = (0..n).filter(|i| protected(*i).is_none()).collect();
    let mut sorted = eligible.clone();
    sorted.sort_by(|a, b| raw[*a].partial_cmp(&raw[*b]).unwrap().then(a.cmp(b)));
    let positions: Vec<PositionDecision> = (0..n)
        .map(|i| {
            let draw = unit(i as u64, 1000 + r.mask.seed);
            let rank = sorted.iter().position(|x| *x == i);
            let score = rank.map(|k| (k as f64 + 0.5) / sorted.len() as f64);
            let beyond = score.map(|s| match r.mask.polarity {
                Polarity::High => s > r.mask.threshold,
                Polarity::Low => s < 1.0 - r.mask.threshold,
                Polarity::Random => true,
            });
            let state = match beyond {
                None => State::Protected,
                Some(false) => State::Score,
                Some(true) if draw < r.mask.probability => State::Masked,
                Some(true) => State::Draw,
            };
            let op = (state == State::Masked).then_some(r.mask.op);
            PositionDecision {
                state,
                protection: protected(i),
                score,
                rank: rank.map(|k| sorted.len() - k),
                draw,
                op,
                replacement: None,
                unit: i,
                history: 0.0,
                heads: None,
            }
        })
        .collect();
    let selected = positions.iter().filter(|p| p.state == State::Masked).count();
    let (units, scale, rule) = (eligible.len(), r.mask.scale, crate::mask::types::DecisionRule::Threshold);
    (raw, Decision { positions, eligible: units, selected, units, scale, rule })
}

/// A window that lets go of a third at every boundary, save for the first token and the newest four.
fn window(r: &ExploreRequest, n: usize) -> WindowReport {
    let (first, stride) = (r.rolling.window.min(12), r.rolling.stride.min(6));
    let went = |i: usize, end: usize| unit(i as u64, end as u64) < 0.33;
    let standing = |i: usize, end: usize| match i {
        0 => Standing::Protected,
        _ if i + 4 >= end => Standing::Recent,
        _ if (first..end).step_by(stride).any(|b| i + 4 < b && went(i, b)) => Standing::Gone,
        _ if went(i, end) => Standing::Masked,
        _ if r.rolling.per_head && i.is_multiple_of(3) => Standing::Partly,
        _ => Standing::Kept,
    };
    let row = |end: usize| BoundaryRow { end, standing: (0..end).map(|i| standing(i, end)).collect() };
    let rows: Vec<BoundaryRow> = (first..n).step_by(stride).map(row).collect();
    let position = |i: usize| PositionHistory {
        score: Some(unit(i as u64, 5)),
        times: u32::from(i % 3 == 1),
        last: (i % 3 == 1).then_some(1),
        hidden: (i % 3 == 1).then_some((first as u32, None)),
        heads: (r.rolling.per_head && i.is_multiple_of(3)).then_some((9, 16)),
    };
    WindowReport {
        rows,
        positions: (0..n).map(position).collect(),
        formula: "sum of α over later queries".to_owned(),
        reencoded: Vec::new(),
        left: 0,
        cache_share: 0.53,
    }
}

fn prediction(r: &ExploreRequest, n: usize, shift: f64) -> Prediction {
    let words = ["·the", "·a", "·his", "·and", "·it", "\n", "·he", "·storm", "·was", "·sea", "·old", "·that"];
    let mut next: Vec<Candidate> = words
        .iter()
        .enumerate()
        .map(|(i, w)| {
            let p = 0.31 * (-(i as f64) * 0.42 + shift * (unit(i as u64, 9) - 0.5)).exp();
            Candidate { id: i as u32, display: (*w).replace('\n', "⏎"), p: p as f32 }
        })
        .collect();
    next.sort_by(|a, b| b.p.total_cmp(&a.p));
    next.truncate(r.top);
    let surprisal = (0..n).map(|i| (i > 0).then(|| (7.0 * unit(i as u64, 5) + shift * 0.4) as f32)).collect();
    Prediction { next, surprisal, loss: (n > 1).then_some(3.4123 + shift as f32 * 0.2) }
}

fn effect(r: &ExploreRequest, n: usize, selected: usize, op: Op) -> types::MaskEffect {
    let strength = if op == Op::Keep { 0.0 } else { selected as f64 * (0.3 + 0.1 * op as usize as f64) };
    let saved = if matches!(op, Op::Drop | Op::Skip) { selected * 4 } else { 0 };
    types::MaskEffect {
        op,
        prediction: prediction(r, n, strength),
        kl: strength as f32 * 0.1373,
        delta_masked: (selected > 0).then_some(-0.412 * strength as f32),
        delta_unmasked: Some(-0.0213 * strength as f32),
        work: Work { computed: n * 4 - saved, reused: n, saved },
    }
}

/// A causal map with a sink, a diagonal and some texture; rows sum to 1.
pub fn map(kind: MapKind, heads: types::HeadChoice, decision: &Decision) -> MapFrame {
    let n = decision.positions.len();
    let salt = heads.layer.map_or(40, |l| l as u64) * 64 + heads.head.map_or(50, |h| h as u64);
    let dropped: Vec<bool> = decision.positions.iter().map(|p| p.op == Some(Op::Drop)).collect();
    let hidden: Vec<bool> = decision.positions.iter().map(|p| p.op == Some(Op::Hide)).collect();
    let mut values = vec![0f32; n * n];
    for q in 0..n {
        let weight = |k: usize, masked: bool| {
            let base = unit((q * 1000 + k) as u64, salt).powi(6) + if k == 0 { 0.8 } else { 0.01 };
            let near = if k + 1 == q { 0.5 * unit(salt, 3) } else { 0.0 };
            if masked && hidden[k] && k != q { 0.0 } else { base + near }
        };
        let row = |masked: bool| -> Vec<f64> {
            let total: f64 = (0..=q).map(|k| weight(k, masked)).sum();
            (0..=q).map(|k| weight(k, masked) / total).collect()
        };
        let (baseline, masked) = (row(false), row(true));
        for k in 0..=q {
            let v = match kind {
                MapKind::Baseline | MapKind::Intervened => baseline[k],
                MapKind::Masked => masked[k],
                MapKind::Difference => {
                    masked[k] - baseline[k] + 0.1 * (unit((q * 997 + k) as u64, 8) - 0.5).powi(3)
                }
            };
            let gone = kind != MapKind::Baseline && (dropped[k] || dropped[q]);
            values[q * n + k] = if gone { f32::NAN } else { v as f32 };
        }
    }
    MapFrame { kind, heads, len: n, values: values.into() }
}

fn overview(layers: usize, heads: usize) -> Vec<HeadSummary> {
    let side = 16;
    let summary = |i: usize| {
        let (layer, head) = (i / heads, i % heads);
        let thumbnail = (0..side * side)
            .map(|p| {
                let (q, k) = (p / side, p % side);
                if k > q {
                    0.0
                } else {
                    unit((p * 7 + i) as u64, 12).powi(4) as f32 + if k == 0 { 0.5 } else { 0.0 }
                }
            })
            .collect();
        let u = |salt| unit(i as u64, salt) as f32;
        HeadSummary {
            layer,
            head,
            side,
            thumbnail,
            sink: u(1),
            entropy: 3.0 * u(2),
            previous: u(3),
            induction: (!i.is_multiple_of(3)).then(|| u(4)),
            mask_mass: u(5) * 0.3,
        }
    };
    (0..layers * heads).map(summary).collect()
}

/// Everything the engine would send for a request.
pub fn answer(r: &ExploreRequest) -> Vec<Update> {
    let generation = r.generation;
    let tokens: Arc<[Token]> = tokens(&r.text).into();
    let n = tokens.len();
    let mut out = vec![Update::Tokens { generation, tokens, truncated: None }];
    if n > 0 {
        let (raw, decision) = decision(r, n);
        let formula = format!("ℓ = received ÷ expected ({})", r.score.reduction);
        let note = (decision.selected == 0)
            .then(|| format!("nothing selected, because no score exceeds τ {:.3}", r.mask.threshold));
        let masked_text: String =
            self::tokens(&r.text)
                .iter()
                .zip(&decision.positions)
                .map(|(t, d)| {
                    if d.state == State::Masked { "[mean]".to_owned() } else { t.display.replace('·', " ") }
                })
                .collect();
        let work = Work { computed: 4 * n, reused: 0, saved: 0 };
        out.push(Update::Baseline { generation, prediction: Arc::new(prediction(r, n, 0.0)), work });
        out.push(Update::Scored { generation, scores: raw.into(), formula });
        let decision = Arc::new(decision);
        let window = (r.mask.scope == Scope::Block).then(|| Arc::new(window(r, n)));
        out.push(Update::Decided { generation, decision: decision.clone(), masked_text, note, window });
        out.push(Update::Map { generation, frame: map(r.map, r.heads, &decision) });
        let selected = decision.selected;
        out.push(Update::Masked { generation, effect: Arc::new(effect(r, n, selected, r.mask.op)) });
        if r.effects {
            let effects: Vec<types::MaskEffect> =
                Op::ALL.iter().map(|op| effect(r, n, selected, *op)).collect();
            out.push(Update::Effects { generation, effects: effects.into() });
        }
        if r.overview {
            out.push(Update::Overview { generation, heads: overview(4, 4).into() });
        }
    }
    out.push(Update::Done { generation, forwards: 2, millis: 12.4 });
    out.extend(interventions::report(r, n));
    out
}
