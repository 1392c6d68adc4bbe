//! Classification under arms of masking: labelled texts to tokens, and every run that a folder still lacks. Runs on the caller's
//! thread.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::loaded::LoadedModel;
use crate::eval::bayes::NaiveBayes;
use crate::eval::classes::{accuracy, macro_f1};
use crate::eval::classify::{ClassifyFolder, ClassifyRow, stratified};
use crate::model::Tokenizer;
use crate::train::TrainError;
use crate::train::arm::Lexicon;
use crate::train::classify::{ClassifierStart, LabelledText, classify, steps};
use crate::train::data::{ChatStyle, LabelledRows, ReadOptions, read_labelled};
use crate::train::records::MachineGauge;
use crate::train::spec::Arm;

/// Share of the texts that are held out where no column says which.
const HELD_SHARE: f64 = 0.2;
/// Values of a column that says so.
const HELD: [&str; 5] = ["test", "validation", "valid", "val", "dev"];

/// Which columns hold what.
#[derive(Clone, Debug)]
pub struct LabelColumns {
    /// None takes the usual one.
    pub text: Option<String>,
    pub label: String,
    /// Its value is `train` for texts to learn from, `test` or `validation` for those to be judged on; none holds a fifth out.
    pub split: Option<String>,
}

/// Labelled texts as a classifier reads them.
pub struct LabelledData {
    pub texts: Vec<LabelledText>,
    /// Whether each is held out.
    held: Vec<bool>,
    /// Sorted by name.
    pub classes: Vec<String>,
    /// SHA-256 of ids, labels and what is held out.
    pub hash: String,
    /// What a person should know of the reading.
    pub notes: Vec<String>,
}

impl LabelledData {
    /// Reads a file; texts are cut to `context` tokens.
    ///
    /// # Errors
    /// As [`read_labelled`]; a single class; no text on one of the two sides; a model without a tokenizer.
    pub fn read(
        path: &Path,
        columns: &LabelColumns,
        (loaded, context): (&LoadedModel, usize),
    ) -> Result<Self, TrainError> {
        let tokenizer = tokenizer_of(loaded)?;
        let style = ChatStyle::of(tokenizer)?;
        let how =
            ReadOptions { column: columns.text.as_deref(), style: &style, memory: MachineGauge::available() };
        let names: Vec<String> = std::iter::once(&columns.label).chain(&columns.split).cloned().collect();
        let LabelledRows { texts, labels, account } = read_labelled(path, &how, &names)?;
        let mut data = LabelledData {
            texts: Vec::new(),
            held: Vec::new(),
            classes: labels.iter().map(|of| of[0].clone()).collect(),
            hash: String::new(),
            notes: account.sentences(&style),
        };
        data.classes.sort();
        data.classes.dedup();
        let numbers: HashMap<String, u32> = data.classes.iter().cloned().zip(0..).collect();
        let (mut cut, mut elsewhere) = (0, 0);
        for (text, of) in texts.iter().zip(&labels) {
            let held = match of.get(1).map(|part| part.to_lowercase()) {
                None => false,
                Some(part) if part == "train" => false,
                Some(part) if HELD.contains(&part.as_str()) => true,
                Some(_) => {
                    elsewhere += 1;
                    continue;
                }
            };
            let mut ids = tokenizer.ids(text)?;
            loaded.check_rows(&ids)?;
            cut += usize::from(ids.len() > context);
            ids.truncate(context);
            if !ids.is_empty() {
                data.texts.push(LabelledText { ids, label: numbers[&of[0]] });
                data.held.push(held);
            }
        }
        if columns.split.is_none() {
            data.hold_out();
        }
        if cut > 0 {
            data.notes
                .push(format!("{cut} of {} texts were cut to their first {context} tokens", texts.len()));
        }
        if elsewhere > 0 {
            data.notes.push(format!("{elsewhere} texts belong to neither train nor test, and were left out"));
        }
        data.check(path)?;
        data.hash = data.fingerprint();
        Ok(data)
    }

    /// Holds out a share of every class, the same one for every seed.
    fn hold_out(&mut self) {
        let labels: Vec<u32> = self.texts.iter().map(|text| text.label).collect();
        let most = (labels.len() as f64 * HELD_SHARE).round() as usize;
        for i in stratified(&labels, &vec![1; labels.len()], most, 0) {
            self.held[i] = true;
        }
    }

    fn check(&self, path: &Path) -> Result<(), TrainError> {
        let name = path.display();
        let held = self.held.iter().filter(|held| **held).count();
        let problem = match (self.classes.len(), held) {
            (0 | 1, _) => format!("{name} has a single class, so there is nothing to tell apart"),
            (_, 0) => format!("{name} has no texts to be judged on"),
            (_, held) if held == self.texts.len() => format!("{name} has no texts to learn from"),
            _ => return Ok(()),
        };
        let hint = "check --label and --split; a column for --split contains train and test".to_owned();
        Err(TrainError::Setup { problem, hint: Some(hint) })
    }

    fn fingerprint(&self) -> String {
        let mut hash = Sha256::new();
        for (text, held) in self.texts.iter().zip(&self.held) {
            hash.update((text.ids.len() as u64).to_le_bytes());
            hash.update(bytemuck::cast_slice::<u32, u8>(&text.ids));
            hash.update(text.label.to_le_bytes());
            hash.update([u8::from(*held)]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// How many texts there are to learn from, and to be judged on.
    pub fn sizes(&self) -> (usize, usize) {
        let held = self.held.iter().filter(|held| **held).count();
        (self.texts.len() - held, held)
    }

    /// What a seed draws of one side, within `tokens`.
    fn drawn(&self, held: bool, tokens: usize, seed: u64) -> Vec<LabelledText> {
        let own: Vec<&LabelledText> =
            self.texts.iter().zip(&self.held).filter(|(_, h)| **h == held).map(|(text, _)| text).collect();
        let labels: Vec<u32> = own.iter().map(|text| text.label).collect();
        let lengths: Vec<usize> = own.iter().map(|text| text.ids.len()).collect();
        stratified(&labels, &lengths, tokens, seed).into_iter().map(|i| own[i].clone()).collect()
    }
}

fn tokenizer_of(loaded: &LoadedModel) -> Result<&Tokenizer, TrainError> {
    loaded.tokenizer.as_ref().ok_or_else(|| TrainError::Setup {
        problem: format!("{} has no tokenizer, so texts cannot be classified", loaded.id),
        hint: Some("put tokenizer.json beside the weights".to_owned()),
    })
}

/// What every classifier on a model starts from.
///
/// # Errors
/// A model without a tokenizer; weights that cannot be read.
pub fn classifier_start(loaded: &LoadedModel, data: &LabelledData) -> Result<ClassifierStart, TrainError> {
    let config = loaded.model.config.clone();
    let tokens: Vec<u32> = data.texts.iter().flat_map(|text| text.ids.iter().copied()).collect();
    let lexicon = Lexicon::new(tokenizer_of(loaded)?, config.vocab_size, &tokens);
    Ok(ClassifierStart {
        tensors: loaded.model.tensors()?,
        device: loaded.model.device.clone(),
        lexicon: Arc::new(lexicon),
        calibration: loaded.calibration().map(|c| Arc::new(c.clone())),
        classes: data.classes.len(),
        config,
    })
}

/// Where an experiment stands.
pub enum ClassifyNews<'a> {
    /// A run begins, of so many steps; so many runs are left with it.
    Begun {
        seed: u64,
        arm: Arm,
        steps: usize,
        left: usize,
    },
    Step,
    Finished(&'a ClassifyRow),
}

/// Runs what `folder` lacks; false where `tell` gave up, which it may after every step.
///
/// # Errors
/// Those of the runs; a disk that refuses.
pub fn run(
    folder: &mut ClassifyFolder,
    data: &LabelledData,
    start: &ClassifierStart,
    tell: &mut dyn FnMut(ClassifyNews) -> bool,
) -> Result<bool, TrainError> {
    let seeds: Vec<u64> = folder.seeds().collect();
    for &seed in &seeds {
        let todo = folder.left(seed);
        if todo.is_empty() {
            continue;
        }
        let texts = data.drawn(false, folder.plan.tokens, seed);
        let held_out = data.drawn(true, folder.plan.test_tokens, seed);
        for arm in todo {
            let left = seeds.iter().map(|s| folder.left(*s).iter().flatten().count()).sum();
            let spec = &folder.plan.classifier;
            let mut row = match arm {
                None => bayes(&texts, &held_out, (start.config.vocab_size, start.classes)),
                Some(arm) => {
                    let mut spec = spec.clone();
                    spec.masking.arm = arm;
                    let steps = steps(&spec, texts.len());
                    if !tell(ClassifyNews::Begun { seed, arm, steps, left }) {
                        return Ok(false);
                    }
                    let mut going = || tell(ClassifyNews::Step);
                    let Some(done) = classify(start, &spec, (&texts, &held_out), seed, &mut going)? else {
                        return Ok(false);
                    };
                    let row = judged(&done.said, &held_out);
                    ClassifyRow { arm: Some(arm), rate: done.rate, loss: Some(done.loss), ..row }
                }
            };
            row.seed = seed;
            row.texts = texts.len();
            row.tokens = texts.iter().map(|text| text.ids.len()).sum();
            folder.add(&row)?;
            tell(ClassifyNews::Finished(&row));
        }
    }
    Ok(true)
}

fn bayes(
    texts: &[LabelledText],
    held_out: &[LabelledText],
    (vocabulary, classes): (usize, usize),
) -> ClassifyRow {
    let fitted =
        NaiveBayes::fit(texts.iter().map(|text| (text.ids.as_slice(), text.label)), vocabulary, classes);
    let said: Vec<u32> = held_out.iter().map(|text| fitted.say(&text.ids)).collect();
    judged(&said, held_out)
}

fn judged(said: &[u32], held_out: &[LabelledText]) -> ClassifyRow {
    let wanted: Vec<u32> = held_out.iter().map(|text| text.label).collect();
    ClassifyRow {
        seed: 0,
        arm: None,
        accuracy: accuracy(&wanted, said),
        macro_f1: macro_f1(&wanted, said),
        rate: 0.0,
        loss: None,
        texts: 0,
        tokens: 0,
        right: wanted.iter().zip(said).map(|(a, b)| a == b).collect(),
    }
}
