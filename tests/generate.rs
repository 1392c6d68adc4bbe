//! Writing on: greedy tokens against transformers', every cache policy against a decoder whose cache really forgets, what
//! each token read against a whole pass, and that nothing is computed twice.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "support/plain_gpt2.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod plain_gpt2;
mod support;

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use maskscope::attention::source::AttentionSource;
use maskscope::attention::types::ScoreSettings;
use maskscope::engine::explorer::{Explorer, MaskPolicy};
use maskscope::engine::generate::WritingSession;
use maskscope::engine::loaded::{HELD_OUT_TEXT, LoadedModel};
use maskscope::engine::loader::{LoadOptions, Purpose, load};
use maskscope::engine::types::{
    ContinuationView, EndReason, GenerateMask, GenerateRequest, GenerateSettings, Prompt, TokenOrigin,
    WhenFull,
};
use maskscope::hub::HubOptions;
use maskscope::mask::presets::{Budget, CachePolicy};
use maskscope::mask::rolling::{Policy, RollingSettings};
use maskscope::mask::types::{MaskSettings, Op, Scope};
use maskscope::model::forward::Reuse;
use maskscope::model::{Input, Visibility, WeightType};
use maskscope::tensor::device::{with_fused, with_plain};
use support::tiny_folder;

fn open(spec: &str) -> Arc<LoadedModel> {
    let options = LoadOptions {
        hub: HubOptions::default(),
        device: candle_core::Device::Cpu,
        device_name: "cpu",
        purpose: Purpose::Explore(WeightType::F32),
    };
    Arc::new(load(spec, &options, &mut |_| {}, &AtomicBool::new(false)).unwrap())
}

fn tiny() -> Arc<LoadedModel> {
    open(tiny_folder().to_str().unwrap())
}

const IDS: [u32; 8] = [464, 99, 12, 301, 7, 77, 410, 5];

fn greedy() -> GenerateSettings {
    GenerateSettings { temperature: 0.0, ..GenerateSettings::default() }
}

fn request(ids: &[u32], settings: GenerateSettings, mask: Option<GenerateMask>) -> GenerateRequest {
    GenerateRequest { prompt: Prompt::Ids(ids.to_vec()), settings, mask, top: 10 }
}

fn session(loaded: &Arc<LoadedModel>, request: &GenerateRequest) -> WritingSession {
    WritingSession::start(loaded.clone(), request).unwrap()
}

fn steps(session: &mut WritingSession, n: usize) {
    for _ in 0..n {
        session.step(None).unwrap();
    }
    session.look(None).unwrap();
}

/// Works until it rests.
fn rest(session: &mut WritingSession) {
    while session.busy() {
        session.work(None).unwrap();
    }
}

fn view(session: &WritingSession, i: usize) -> ContinuationView {
    session.view().continuations[i].clone()
}

fn ids(session: &WritingSession, i: usize) -> Vec<u32> {
    session.continuations()[i].ids()
}

fn written(session: &WritingSession, i: usize) -> Vec<u32> {
    let tokens = view(session, i).tokens;
    tokens.iter().filter(|t| t.written.is_some()).map(|t| t.token.id).collect()
}

/// transformers 5.23, `GPT2LMHeadModel.from_pretrained("tests/data/gpt2-tiny-random").generate(ids, do_sample=False,
/// max_new_tokens=40, pad_token_id=511)`, and with `repetition_penalty=1.3`. The closest two logits were 0.05 apart.
const GREEDY: [u32; 40] = [
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 241, 241, 241, 241, 241, 241, 241, 241,
    241, 241, 241, 241, 241, 241, 241, 241, 241, 241,
];
const PENALISED: [u32; 40] = [
    6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 241, 241, 241, 189, 422, 82, 122, 281, 449, 315, 136, 326, 193, 49, 50,
    195, 315, 179, 63, 285, 256, 422, 182, 438, 496, 481, 485, 301, 241, 429,
];

#[test]
fn greedy_tokens_are_those_of_transformers() {
    let loaded = tiny();
    for (repetition_penalty, expected) in [(1.0, GREEDY), (1.3, PENALISED)] {
        let settings = GenerateSettings { repetition_penalty, ..greedy() };
        let mut session = session(&loaded, &request(&IDS, settings, None));
        steps(&mut session, 40);
        assert_eq!(written(&session, 0), expected);
    }
}

#[test]
fn a_token_costs_one_row_a_layer_and_reads_what_a_whole_pass_reads() {
    let loaded = tiny();
    let settings = GenerateSettings { temperature: 1.0, top_k: None, ..GenerateSettings::default() };
    let mut session = session(&loaded, &request(&IDS, settings, None));
    steps(&mut session, 60);
    let (config, all) = (&loaded.model.config, ids(&session, 0));
    let whole = loaded.model.run(Arc::new(Input::plain(all.clone())), Reuse::default()).unwrap();
    let n = all.len();
    let mut maps = vec![vec![0f32; n * n]; config.n_layer * config.n_head];
    for (lh, map) in maps.iter_mut().enumerate() {
        AttentionSource::map(&whole, lh / config.n_head, lh % config.n_head, map);
    }
    let tokens = view(&session, 0).tokens;
    for (at, token) in tokens.iter().enumerate().skip(IDS.len()) {
        let choosing = token.written.as_ref().unwrap();
        let outlook = &choosing.outlook;
        assert_eq!(outlook.position, at);
        // No hidden pass: what the bench times as an append.
        let rows = if at == IDS.len() { IDS.len() } else { 1 };
        assert_eq!(outlook.work.computed, rows * config.n_layer, "{at}");
        assert_eq!(outlook.work.reused, (at - rows) * config.n_layer, "{at}");
        let heads = outlook.by_head.as_ref().unwrap();
        for (lh, map) in maps.iter().enumerate() {
            let (got, wanted) = (&heads[lh * at..(lh + 1) * at], &map[(at - 1) * n..(at - 1) * n + at]);
            assert!(got.iter().zip(wanted).all(|(a, b)| (a - b).abs() < 1e-5), "{at} {lh}");
        }
        assert!((outlook.read.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        let log_p = loaded.model.log_probabilities(&whole, at - 1).unwrap();
        assert!((log_p[token.token.id as usize].exp() - choosing.p).abs() < 1e-5, "{at}");
        assert!(outlook.hidden.is_empty() && outlook.cache.evicted_bytes == 0);
        assert_eq!(outlook.cache.bytes, (8 * at * config.n_layer * config.n_embd) as u64);
    }
}

fn masked(op: Op, rolling: RollingSettings) -> GenerateMask {
    let mask = MaskSettings { op, threshold: 0.4, probability: 0.8, ..MaskSettings::default() };
    GenerateMask { mask, score: ScoreSettings::default(), rolling }
}

/// Every policy, with heads that share a set and heads that keep their own.
fn policies() -> Vec<RollingSettings> {
    let base = RollingSettings { window: 12, stride: 5, recent: 2, ..RollingSettings::default() };
    let mut out = vec![base.clone(), RollingSettings { sticky: false, cool_down: 1, ..base.clone() }];
    for &policy in CachePolicy::ALL {
        let rolling = base.clone().by(Policy::Cache(policy, Budget::Share(0.4))).settled();
        if policy.has_budget() {
            out.push(RollingSettings { per_head: true, ..rolling.clone() });
        }
        out.push(rolling);
    }
    out
}

fn tensors(loaded: &LoadedModel) -> HashMap<String, Vec<f64>> {
    let tensors = loaded.model.tensors().unwrap().into_iter();
    let wide = |t: candle_core::Tensor| -> Vec<f64> {
        t.flatten_all().unwrap().to_vec1::<f32>().unwrap().into_iter().map(f64::from).collect()
    };
    tensors.map(|(name, t)| (name, wide(t))).collect()
}

#[test]
fn under_every_policy_it_writes_what_a_decoder_with_the_same_keys_writes() {
    let loaded = tiny();
    let config = &loaded.model.config;
    let twin = plain_gpt2::Plain { config, tensors: tensors(&loaded) };
    let settings = GenerateSettings { temperature: 1.0, top_k: None, ..GenerateSettings::default() };
    for (op, rolling) in
        [Op::Evict, Op::Hide].into_iter().flat_map(|op| policies().into_iter().map(move |r| (op, r)))
    {
        let mask = masked(op, rolling);
        let told = format!("{op} {:?} {}", mask.rolling.policy, mask.rolling.per_head);
        let mut session = session(&loaded, &request(&IDS, settings.clone(), Some(mask.clone())));
        steps(&mut session, 80);
        let all = ids(&session, 1);
        let n = all.len();
        // The explorer's walk decides over whole passes, in which nothing ever leaves.
        let mut explorer = Explorer::new(loaded.clone());
        explorer.set_ids(&all).unwrap();
        let block = MaskSettings { scope: Scope::Block, ..mask.mask.clone() };
        let policy = MaskPolicy { mask: &block, score: &mask.score, rolling: &mask.rolling };
        let visibility = explorer.choose(policy, None).unwrap().plan.input.visibility;
        let dms = mask.rolling.policy == Some(CachePolicy::DmsLike);
        assert_eq!(visibility == Visibility::Causal, dms, "{told}: all but the newest 128 are judged");
        // What may come back cannot leave a cache that forgets; there, whole passes are the measure.
        let (logits, maps) = match mask.rolling.sticky {
            true => twin.pass(&all, &|head, t, i| visibility.visible_in(head, n, t, i)),
            false => whole_pass(&loaded, Input { visibility: visibility.clone(), ..Input::plain(all) }),
        };
        let tokens = view(&session, 1).tokens;
        for (at, token) in tokens.iter().enumerate().skip(IDS.len()) {
            let choosing = token.written.as_ref().unwrap();
            let by_twin: Vec<usize> = (0..at).filter(|&i| !visibility.visible(n, at - 1, i)).collect();
            assert_eq!(*choosing.outlook.hidden, by_twin, "{told} at {at}");
            let row = &logits[(at - 1) * config.vocab_size..at * config.vocab_size];
            let sum: f64 = row.iter().map(|x| x.exp()).sum();
            for c in choosing.outlook.candidates.iter() {
                let p = row[c.id as usize].exp() / sum;
                assert!((f64::from(c.p) - p).abs() < 1e-5, "{told} at {at}: {} {p}", c.p);
            }
            let heads = choosing.outlook.by_head.as_ref().unwrap();
            for lh in 0..config.n_layer * config.n_head {
                for i in 0..at {
                    let (got, wanted) = (heads[lh * at + i], maps[(lh * n + at - 1) * n + i]);
                    assert!(
                        (f64::from(got) - wanted).abs() < 1e-5,
                        "{told} head {lh} at {at}: {got} {wanted}"
                    );
                }
            }
        }
        assert_cache(&told, op, &mask, &view(&session, 1), config.n_layer);
    }
}

/// Logits `[T, V]` and attentions `[L·H, T, T]` of one pass over everything.
fn whole_pass(loaded: &LoadedModel, input: Input) -> (Vec<f64>, Vec<f64>) {
    let (n, config) = (input.len(), &loaded.model.config);
    let trace = loaded.model.run(Arc::new(input), Reuse::default()).unwrap();
    let wide = |values: Vec<f32>| values.into_iter().map(f64::from).collect::<Vec<f64>>();
    let mut maps = Vec::new();
    for lh in 0..config.n_layer * config.n_head {
        let mut map = vec![0f32; n * n];
        AttentionSource::map(&trace, lh / config.n_head, lh % config.n_head, &mut map);
        maps.extend(wide(map));
    }
    (wide(loaded.model.logits(&trace.hidden, 0, n).unwrap()), maps)
}

/// What is evicted is gone for good, and what is computed is what was not known.
fn assert_cache(told: &str, op: Op, mask: &GenerateMask, view: &ContinuationView, n_layer: usize) {
    let mut before = 0;
    for token in view.tokens.iter().skip(IDS.len() + 1) {
        let outlook = &token.written.as_ref().unwrap().outlook;
        let cache = &outlook.cache;
        assert_eq!(cache.seen, outlook.position, "{told}");
        assert_eq!(cache.readable + outlook.hidden.len(), cache.seen, "{told}");
        assert_eq!(outlook.work.computed, n_layer, "{told} at {}", outlook.position);
        let token_bytes = (cache.bytes + cache.evicted_bytes) / cache.seen as u64;
        let gone = (cache.evicted_bytes / token_bytes) as usize;
        assert!(gone >= before, "{told}: nothing comes back");
        before = gone;
        let leaves = op == Op::Evict && mask.rolling.sticky;
        assert_eq!(gone, if leaves { outlook.hidden.len() } else { 0 }, "{told}");
    }
}

#[test]
fn keep_changes_nothing_and_the_two_continuations_are_one() {
    let loaded = open("demo");
    let text = Prompt::Text(HELD_OUT_TEXT[..400].into());
    let mask = masked(Op::Keep, RollingSettings::default());
    let settings = GenerateSettings::default();
    let request = GenerateRequest { prompt: text, settings, mask: Some(mask), top: 5 };
    let mut session = session(&loaded, &request);
    steps(&mut session, 40);
    assert_eq!(ids(&session, 0), ids(&session, 1));
    assert_eq!(session.view().parted, None);
    let bits = |i: usize| -> Vec<u32> {
        view(&session, i).tokens.iter().filter_map(|t| Some(t.written.as_ref()?.p.to_bits())).collect()
    };
    assert_eq!(bits(0), bits(1), "bit for bit");
}

#[test]
fn draws_are_common_to_both_and_they_part_where_the_mask_matters() {
    let loaded = open("demo");
    let rolling = RollingSettings::default().by(Policy::Cache(CachePolicy::Recency, Budget::Share(0.2)));
    let prompt = Prompt::Text(HELD_OUT_TEXT[..300].into());
    let settings = GenerateSettings { temperature: 1.0, ..GenerateSettings::default() };
    let request =
        GenerateRequest { prompt, settings, mask: Some(masked(Op::Evict, rolling.settled())), top: 5 };
    let mut both = session(&loaded, &request);
    steps(&mut both, 60);
    let parted = both.view().parted.expect("a fifth of the text is not the text");
    assert!(parted >= view(&both, 0).tokens.iter().filter(|t| t.written.is_none()).count());
    assert_eq!(ids(&both, 0)[..parted], ids(&both, 1)[..parted]);
    // The plain one is the one that is written alone, in whatever order.
    let mut alone = session(&loaded, &GenerateRequest { mask: None, ..request.clone() });
    steps(&mut alone, 60);
    assert_eq!(ids(&alone, 0), ids(&both, 0));
    let mut other = session(&loaded, &request);
    for i in [1, 0] {
        for _ in 0..60 {
            other.write(i, None).unwrap();
        }
    }
    assert_eq!((ids(&other, 0), ids(&other, 1)), (ids(&both, 0), ids(&both, 1)));
}

#[test]
fn a_token_taken_or_struck_out_lets_the_rest_grow_again_and_undo_brings_it_back() {
    let loaded = open("demo");
    let rolling =
        RollingSettings::default().by(Policy::Cache(CachePolicy::H2o, Budget::Share(0.5))).settled();
    let prompt = Prompt::Text(HELD_OUT_TEXT[..200].into());
    let settings = GenerateSettings { tokens: 30, ..GenerateSettings::default() };
    let request = GenerateRequest { prompt, settings, mask: Some(masked(Op::Evict, rolling)), top: 5 };
    let mut session = session(&loaded, &request);
    session.run(None);
    rest(&mut session);
    let (first, at) = (ids(&session, 1), ids(&session, 1).len() - 20);
    assert_eq!(written(&session, 1).len(), 30);
    session.strike(1, at);
    rest(&mut session);
    let struck = ids(&session, 1);
    assert_eq!((struck.len(), &struck[..at]), (first.len(), &first[..at]));
    assert_ne!(struck[at], first[at]);
    let id = view(&session, 1).tokens[at].written.as_ref().unwrap().outlook.candidates[3].id;
    session.take(1, at, id);
    rest(&mut session);
    let taken = ids(&session, 1);
    assert_eq!((taken[at], taken.len()), (id, first.len()));
    assert_eq!(view(&session, 1).tokens[at].origin, TokenOrigin::Taken);
    // What grew again is what grows over the same tokens from the start.
    let mut fresh = WritingSession::start(
        loaded.clone(),
        &GenerateRequest { prompt: request.prompt.clone(), ..request.clone() },
    )
    .unwrap();
    fresh.run(Some(at - (first.len() - 30)));
    rest(&mut fresh);
    fresh.take(1, at, id);
    rest(&mut fresh);
    fresh.run(Some(19));
    rest(&mut fresh);
    assert_eq!(ids(&fresh, 1), taken);
    for expected in [&struck, &first] {
        assert!(session.travel(true));
        assert_eq!(&ids(&session, 1), expected);
    }
    assert!(session.travel(false));
    assert_eq!(ids(&session, 1), struck);
    // After undo it goes on as if nothing had been.
    assert!(session.travel(true));
    session.run(Some(5));
    rest(&mut session);
    let mut long = WritingSession::start(loaded, &request).unwrap();
    long.run(Some(35));
    rest(&mut long);
    assert_eq!(ids(&session, 1), ids(&long, 1));
}

#[test]
fn a_token_of_the_prompt_struck_out_is_as_if_it_had_not_been_there() {
    let loaded = tiny();
    let mut session = session(&loaded, &request(&IDS, greedy(), None));
    steps(&mut session, 10);
    session.strike(0, 2);
    rest(&mut session);
    let shorter: Vec<u32> = [&IDS[..2], &IDS[3..]].concat();
    let mut other = self::session(&loaded, &request(&shorter, greedy(), None));
    steps(&mut other, 10);
    assert_eq!(ids(&session, 0)[..17], ids(&other, 0)[..17]);
    assert!(session.travel(true));
    assert_eq!(ids(&session, 0)[..8], IDS);
}

#[test]
fn a_full_context_stops_or_rolls() {
    let loaded = tiny();
    let context = loaded.model.config.n_positions;
    let mut stops = session(&loaded, &request(&IDS, greedy(), None));
    stops.run(Some(1000));
    rest(&mut stops);
    assert_eq!((ids(&stops, 0).len(), view(&stops, 0).end), (context, Some(EndReason::Full)));
    let rolls = GenerateSettings { when_full: WhenFull::Roll, ..greedy() };
    let rolling = RollingSettings { window: 16, stride: 8, ..RollingSettings::default() };
    let h2o = rolling.by(Policy::Cache(CachePolicy::H2o, Budget::Tokens(24))).settled();
    let mut session = session(&loaded, &request(&IDS, rolls, Some(masked(Op::Evict, h2o))));
    steps(&mut session, 3 * context);
    for i in 0..2 {
        let last = view(&session, i).next.unwrap_or_else(|| panic!("{i}: {:?}", view(&session, i).end));
        assert_eq!(last.position, IDS.len() + 3 * context, "{i}");
        assert!(last.cache.reencoded >= 2, "{i}");
        assert_eq!(last.cache.readable + last.hidden.len(), last.position);
        assert!((last.read.iter().sum::<f32>() - 1.0).abs() < 1e-4);
        // The tokens that are left, read as a text of their own, predict the same.
        let all = ids(&session, i);
        let kept: Vec<u32> =
            (0..all.len()).filter(|p| last.hidden.binary_search(p).is_err()).map(|p| all[p]).collect();
        assert!(kept.len() < context);
        if i == 0 {
            let alone = loaded.model.run(Arc::new(Input::plain(kept.clone())), Reuse::default()).unwrap();
            let log_p = loaded.model.log_probabilities(&alone, kept.len() - 1).unwrap();
            for c in last.candidates.iter() {
                assert!((log_p[c.id as usize].exp() - c.p).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn what_cannot_be_written_on_is_refused_in_a_sentence() {
    let loaded = tiny();
    let long = vec![3; loaded.model.config.n_positions];
    let error = WritingSession::start(loaded.clone(), &request(&long, greedy(), None)).err().unwrap();
    assert_eq!(error.to_string(), "the text of 128 tokens leaves no room in the model's context of 128");
    assert!(error.hint().is_some());
    assert!(WritingSession::start(loaded.clone(), &request(&[9999], greedy(), None)).is_err());
    // An empty text begins a new one; the operation of the explorer becomes one that can act on what was read.
    let mask = masked(Op::Replace, RollingSettings::default());
    let empty = GenerateRequest { prompt: Prompt::Text("".into()), ..request(&[], greedy(), Some(mask)) };
    let mut session = session(&loaded, &empty);
    steps(&mut session, 3);
    assert_eq!(ids(&session, 0)[0], 511);
    assert!(session.view().note.unwrap().starts_with("evict in place of replace"));
}

#[test]
fn cancelled_work_is_done_by_the_next_call() {
    let loaded = tiny();
    let mut session =
        session(&loaded, &request(&IDS, greedy(), Some(masked(Op::Evict, policies()[2].clone()))));
    let stop = AtomicBool::new(true);
    for _ in 0..3 {
        assert!(session.step(Some(&stop)).unwrap_err().is_cancelled());
        assert!(written(&session, 0).is_empty() && written(&session, 1).is_empty());
    }
    steps(&mut session, 30);
    assert_eq!(written(&session, 0), GREEDY[..30]);
}

/// A folder with the weights and the tokenizer of the reference model and the configuration that DialoGPT published, cut to
/// their sizes.
fn dialogpt(folder: &Path, template: Option<&str>) -> Arc<LoadedModel> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/published_configs.json");
    let all: serde_json::Value = serde_json::from_slice(&std::fs::read(data).unwrap()).unwrap();
    let mut config = all["microsoft/DialoGPT-small"]["config"].clone();
    for (key, value) in [
        ("n_embd", 64),
        ("n_head", 4),
        ("n_layer", 2),
        ("n_positions", 128),
        ("n_ctx", 128),
        ("vocab_size", 512),
        ("bos_token_id", 511),
        ("eos_token_id", 511),
    ] {
        config[key] = value.into();
    }
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    for file in ["model.safetensors", "tokenizer.json"] {
        std::fs::copy(tiny_folder().join(file), folder.join(file)).unwrap();
    }
    let told = std::fs::read(tiny_folder().join("tokenizer_config.json")).unwrap();
    let mut told: serde_json::Value = serde_json::from_slice(&told).unwrap();
    if let Some(template) = template {
        told["chat_template"] = template.into();
    }
    std::fs::write(folder.join("tokenizer_config.json"), told.to_string()).unwrap();
    open(folder.to_str().unwrap())
}

#[test]
fn turns_of_a_dialogpt_are_those_of_transformers() {
    let folder = tempfile::tempdir().unwrap();
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/dialogue.json");
    let expected: serde_json::Value = serde_json::from_slice(&std::fs::read(data).unwrap()).unwrap();
    let numbers = |key: &str| expected[key].as_array().unwrap().iter().map(|x| x.as_f64().unwrap());
    let (dialogue, last): (Vec<u32>, Vec<f64>) =
        (numbers("ids").map(|x| x as u32).collect(), numbers("next").collect());
    // The template that its tokenizer came with later says the same.
    let template = "{% for message in messages %}{{ message.content }}{{ eos_token }}{% endfor %}";
    for template in [None, Some(template)] {
        let loaded = dialogpt(folder.path(), template);
        let settings = GenerateSettings { tokens: 6, ..greedy() };
        let request = GenerateRequest { prompt: Prompt::Dialogue, settings, mask: None, top: 512 };
        let mut session = session(&loaded, &request);
        assert!(!session.busy());
        for said in ["Hello there, how are you?", "What is your name?"] {
            session.say(said).unwrap();
            rest(&mut session);
        }
        assert_eq!(ids(&session, 0), dialogue);
        session.look(None).unwrap();
        let next = view(&session, 0).next.unwrap();
        for c in next.candidates.iter() {
            assert!((f64::from(c.p) - last[c.id as usize]).abs() < 1e-5, "{} {}", c.id, c.p);
        }
        assert_eq!(next.candidates.len(), 512);
        // Undo takes the last turn back with its answer.
        assert!(session.travel(true));
        assert!(dialogue.starts_with(&ids(&session, 0)) && ids(&session, 0).len() < 20);
    }
}

/// On devices without this program's CPU kernels: the library's own operators, and a GPU's on their plain twins.
#[test]
fn any_other_device_writes_the_same() {
    let mask =
        || masked(Op::Evict, policies().into_iter().find(|r| r.policy == Some(CachePolicy::H2o)).unwrap());
    let write = || {
        let loaded = tiny();
        let mut session = session(&loaded, &request(&IDS, greedy(), Some(mask())));
        steps(&mut session, 40);
        (view(&session, 0), view(&session, 1))
    };
    let host = write();
    for other in [with_plain(write), with_fused(write)] {
        for (a, b) in [(&host.0, &other.0), (&host.1, &other.1)] {
            for (a, b) in a.tokens.iter().zip(b.tokens.iter()) {
                assert_eq!(a.token.id, b.token.id);
                let (Some(a), Some(b)) = (&a.written, &b.written) else { continue };
                assert!((a.p - b.p).abs() < 1e-5);
                assert_eq!((&a.outlook.hidden, a.outlook.cache), (&b.outlook.hidden, b.outlook.cache));
                let (x, y) = (a.outlook.by_head.as_ref().unwrap(), b.outlook.by_head.as_ref().unwrap());
                assert!(support::largest_difference(x, y) < 1e-5);
            }
        }
    }
}

fn run(args: &[&str]) -> std::process::Output {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.arg("generate").args(args).env("MASKSCOPE_CONFIG", "/dev/null").output().unwrap()
}

fn json(args: &[&str]) -> serde_json::Value {
    let out = run(&[args, &["--json"]].concat());
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    serde_json::from_slice(&out.stdout).unwrap()
}

#[test]
fn the_command_writes_what_the_session_writes_and_says_what_it_did() {
    let text = &HELD_OUT_TEXT[..200];
    let args = [
        "--text",
        text,
        "--tokens",
        "20",
        "--policy",
        "h2o",
        "--budget",
        "0.4",
        "--op",
        "evict",
        "--attention",
    ];
    let told = json(&args);
    let rolling =
        RollingSettings { policy: Some(CachePolicy::H2o), budget: 0.4, ..RollingSettings::default() };
    let mask = MaskSettings { op: Op::Evict, ..MaskSettings::default() };
    let mask = GenerateMask { mask, score: ScoreSettings::default(), rolling: rolling.settled() };
    let settings = GenerateSettings { tokens: 20, ..GenerateSettings::default() };
    let request = GenerateRequest { prompt: Prompt::Text(text.into()), settings, mask: Some(mask), top: 10 };
    let mut session = session(&open("demo"), &request);
    session.run(None);
    rest(&mut session);
    let turn = &told["turns"][0];
    for (i, name) in ["baseline", "masked"].into_iter().enumerate() {
        let ids: Vec<u32> = serde_json::from_value(turn[name]["ids"].clone()).unwrap();
        assert_eq!(ids, written(&session, i), "{name}");
        assert_eq!(turn[name]["end"], "tokens");
        let tokens = turn[name]["tokens"].as_array().unwrap();
        assert_eq!(tokens.len(), 20);
        let (first, last) = (&tokens[0], &tokens[19]);
        let position = last["position"].as_u64().unwrap();
        assert_eq!(last["attention"].as_array().unwrap().len() as u64, position);
        assert!(first["computed"].as_u64() > last["computed"].as_u64());
        assert_eq!(last["cache"]["seen"].as_u64(), Some(position));
    }
    assert_eq!(turn["parted"].as_u64(), session.view().parted.map(|at| at as u64));
    let evicted = turn["masked"]["tokens"][19]["cache"]["evicted_bytes"].as_u64().unwrap();
    assert!(evicted > 0 && turn["baseline"]["tokens"][19]["cache"]["evicted_bytes"] == 0);
    // Without JSON the text comes as it is written, the prompt first.
    let plain = run(&["--text", text, "--tokens", "20"]);
    let plain = String::from_utf8(plain.stdout).unwrap();
    let wanted = format!("{text}{}", turn["baseline"]["text"].as_str().unwrap());
    assert!(plain.starts_with(wanted.trim_end()), "{plain}\n{wanted}");
    assert!(plain.contains("20 tokens, "), "{plain}");
}

#[test]
fn turns_come_from_flags_or_from_lines_and_wrong_uses_are_refused() {
    use std::io::Write;
    let told = json(&["--chat", "--say", "Who are you?", "--say", "Why?", "--tokens", "5"]);
    let turns = told["turns"].as_array().unwrap();
    assert_eq!((turns.len(), &turns[1]["said"]), (2, &"Why?".into()));
    let before = turns[1]["ids"].as_array().unwrap();
    let first: Vec<_> = turns[0]["ids"]
        .as_array()
        .unwrap()
        .iter()
        .chain(turns[0]["baseline"]["ids"].as_array().unwrap())
        .collect();
    assert!(
        before.iter().zip(&first).all(|(a, b)| a == *b) && before.len() > first.len(),
        "turns go on from turns"
    );
    let mut piped = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope"));
    piped.args(["generate", "--chat", "--tokens", "5"]).env("MASKSCOPE_CONFIG", "/dev/null");
    let mut piped =
        piped.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped()).spawn().unwrap();
    piped.stdin.take().unwrap().write_all(b"Who are you?\n\nWhy?\n").unwrap();
    let out = String::from_utf8(piped.wait_with_output().unwrap().stdout).unwrap();
    assert!(out.starts_with("> Who are you?\n") && out.contains("\n> Why?\n"), "{out}");
    for (args, code) in [
        (&[][..], 2),
        (&["--text", "a", "--chat"], 2),
        (&["--text", "a", "--say", "b"], 2),
        (&["--text", "a", "--temperature", "9"], 2),
        (&["--text", "a", "--masked", "--window", "60000"], 1),
        (&["--text", &"word ".repeat(300)], 1),
        (&["--text", "a", "--model", "/nowhere/x"], 3),
    ] {
        let out = run(args);
        assert_eq!(out.status.code(), Some(code), "{args:?} {}", String::from_utf8_lossy(&out.stderr));
        assert!(!out.stderr.is_empty());
    }
}

#[cfg(unix)]
#[test]
fn ctrl_c_keeps_what_was_written() {
    use std::io::Read;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_maskscope"));
    command.args(["generate", "--text", "The sea", "--tokens", "100000", "--when-full", "roll"]);
    command.env("MASKSCOPE_CONFIG", "/dev/null");
    let mut child =
        command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut first = [0u8; 40];
    child.stdout.as_mut().unwrap().read_exact(&mut first).unwrap();
    // SAFETY: the child is ours and still running.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
    let out = child.wait_with_output().unwrap();
    assert_eq!(out.status.code(), Some(130));
    let rest = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(first.starts_with(b"The sea") && rest.contains(", cancelled"), "{rest}");
    assert!(String::from_utf8_lossy(&out.stderr).contains("what was written is printed above"));
}
