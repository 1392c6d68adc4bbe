//! `maskscope eval --by-document`: clean losses of one model over documents, or of two against each other, with intervals by
//! document.

use std::sync::Arc;

use indicatif::ProgressBar;
use serde::Serialize;

use super::documents::documents;
use super::error::CliError;
use super::eval::{EvalArgs, Range};
use super::{CommandContext, open};
use crate::engine::loaded::LoadedModel;
use crate::eval::documents::{Comparison, DocumentPair, compare};
use crate::eval::stats::Bootstrap;
use crate::support::progress::bar;
use crate::support::table::Table;
use crate::train::data::Corpus;
use crate::train::twins::{DocumentLoss, document_loss};

#[derive(Debug, Serialize)]
struct DocumentReport {
    /// The document's first words.
    begins: String,
    tokens: usize,
    /// Nats per token.
    loss: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<f64>,
}

#[derive(Debug, Serialize)]
struct DocumentsOutput {
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    against: Option<String>,
    data: String,
    tokens: usize,
    /// Tokens a prediction sees at most; a longer document is read in pieces of it, each without the ones before.
    context: usize,
    /// Nats per token over all tokens of all documents; intervals by resampling documents.
    loss: Range,
    bits_per_byte: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_loss: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_bits_per_byte: Option<f64>,
    /// `against` minus `model`, paired document by document.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<Range>,
    /// The same with every document counting the same, by Student's t.
    #[serde(skip_serializing_if = "Option::is_none")]
    difference_by_document: Option<Range>,
    documents: Vec<DocumentReport>,
}

/// Runs the command.
///
/// # Errors
/// Text or models that cannot be read; two models that cut the text into other tokens.
pub fn run(args: &EvalArgs, context: &CommandContext) -> Result<(), CliError> {
    let model = open::open(context)?;
    let texts = documents(args.data.as_deref(), args.column.as_deref(), &model)?;
    let against = args.against.as_deref().map(|spec| open::open_named(context, spec)).transpose()?;
    let both: Vec<&Arc<LoadedModel>> = std::iter::once(&model).chain(&against).collect();
    let corpora: Vec<Corpus> = both.iter().map(|m| corpus(m, &texts)).collect::<Result<_, _>>()?;
    if corpora.iter().any(|c| c.tokens != corpora[0].tokens) {
        return Err(CliError::failed(
            "the two models tokenize this text differently, so their losses cannot be paired",
        )
        .with_hint("compare models with one tokenizer, or evaluate each alone and compare bits per byte"));
    }
    let length = both.iter().map(|m| m.model.config.n_positions).min().unwrap_or(1);
    let length = args.length.unwrap_or(length).clamp(1, length);
    let bar = bar(both.len() * texts.len(), "{pos}/{len} documents {wide_bar} {eta}");
    let losses: Vec<Vec<DocumentLoss>> =
        both.iter().map(|m| losses(m, &corpora[0], length, &bar)).collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    let report = report(args, &both, (&texts, &corpora[0], length), &losses)?;
    if args.output.json { context.out.json(&report) } else { context.out.text(&plain(&report)) }
}

fn corpus(loaded: &LoadedModel, texts: &[String]) -> Result<Corpus, CliError> {
    let tokenizer = loaded.tokenizer.as_ref().ok_or_else(|| {
        CliError::failed(format!("{} has no tokenizer, so text cannot be measured", loaded.id))
    })?;
    let corpus = Corpus::new(texts, tokenizer)?;
    loaded.check_rows(&corpus.tokens)?;
    Ok(corpus)
}

fn losses(
    loaded: &LoadedModel,
    corpus: &Corpus,
    length: usize,
    bar: &ProgressBar,
) -> Result<Vec<DocumentLoss>, CliError> {
    let one = |index| {
        let loss = document_loss(&loaded.model, (corpus, index), length, usize::MAX)?;
        bar.inc(1);
        Ok(loss)
    };
    (0..corpus.documents).map(one).collect()
}

fn report(
    args: &EvalArgs,
    models: &[&Arc<LoadedModel>],
    (texts, corpus, context): (&[String], &Corpus, usize),
    losses: &[Vec<DocumentLoss>],
) -> Result<DocumentsOutput, CliError> {
    let after = losses.get(1);
    let pairs: Vec<DocumentPair> = losses[0]
        .iter()
        .enumerate()
        .map(|(i, before)| DocumentPair {
            labels: before.labels,
            before: before.nats,
            after: after.map_or(before.nats, |of| of[i].nats),
        })
        .collect();
    let Comparison { before, after: later, difference, by_document } = compare(&pairs, &Bootstrap::default())
        .ok_or_else(|| CliError::failed("no document has two tokens"))?;
    let tokens: usize = pairs.iter().map(|d| d.labels).sum();
    let bits = |loss: f64| loss * tokens as f64 / corpus.bytes as f64 / std::f64::consts::LN_2;
    let two = |range: Range| after.map(|_| range);
    let documents = pairs.iter().zip(texts).map(|(pair, text)| {
        let (before, later) = pair.per_token();
        DocumentReport {
            begins: begins(text),
            tokens: pair.labels,
            loss: before,
            against: after.map(|_| later),
        }
    });
    Ok(DocumentsOutput {
        model: models[0].id.clone(),
        against: models.get(1).map(|m| m.id.clone()),
        data: args.data.as_ref().map_or("the held-out passages".to_owned(), |p| p.display().to_string()),
        tokens,
        context,
        loss: before.into(),
        bits_per_byte: bits(before.value),
        against_loss: two(later.into()),
        against_bits_per_byte: after.map(|_| bits(later.value)),
        difference: two(difference.into()),
        difference_by_document: by_document.map(Range::from).and_then(two),
        documents: documents.collect(),
    })
}

/// The first words of a document.
fn begins(text: &str) -> String {
    let line: String = text.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
    line.chars().take(40).collect()
}

fn plain(r: &DocumentsOutput) -> String {
    let mut out = format!(
        "{}: {} documents, {} predicted tokens, at most {} tokens of context\n\n",
        r.data,
        r.documents.len(),
        r.tokens,
        r.context
    );
    let range = |x: &Range| format!("{:.4} [{:.4}, {:.4}]", x.value, x.low, x.high);
    let signed = |x: &Range| format!("{:+.4} [{:+.4}, {:+.4}]", x.value, x.low, x.high);
    let mut table = Table::default();
    let rate = |bits: f64| format!("{bits:.4} bits per byte");
    table.row([r.model.clone(), range(&r.loss), rate(r.bits_per_byte)]);
    if let (Some(name), Some(loss), Some(bits)) = (&r.against, &r.against_loss, r.against_bits_per_byte) {
        table.row([name.clone(), range(loss), rate(bits)]);
    }
    for (name, range) in [("difference", &r.difference), ("mean over documents", &r.difference_by_document)] {
        range.iter().for_each(|range| table.row([name.to_owned(), signed(range)]));
    }
    out.push_str(&table.to_string());
    out.push_str(
        "\nnats per token, every token counting the same; 95 % intervals by resampling whole documents, paired; the mean \
         over documents counts every document the same (Student's t)\n",
    );
    out
}
