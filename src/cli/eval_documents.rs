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
use crate::eval::sliding::{DocumentScore, Scorer};
use crate::eval::stats::Bootstrap;
use crate::support::progress::bar;
use crate::support::table::Table;
use crate::train::data::Corpus;

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
    /// Tokens a prediction sees at most; a longer document is read in windows of it.
    context: usize,
    /// Tokens from one window of a long document to the next; the context where they do not overlap.
    stride: usize,
    /// Nats per token over all tokens of all documents; intervals by resampling documents.
    loss: Range,
    perplexity: f64,
    /// Share of the tokens that were the likeliest.
    accuracy: f64,
    bits_per_byte: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_loss: Option<Range>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_bits_per_byte: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_perplexity: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    against_accuracy: Option<f64>,
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
    let stride = args.stride.unwrap_or(length);
    if stride > length {
        return Err(CliError::usage(format!("--stride {stride} is longer than a window of {length} tokens"))
            .with_hint("a smaller stride gives every token more context"));
    }
    let bar = bar(both.len() * texts.len(), "{pos}/{len} documents {wide_bar} {eta}");
    let losses: Vec<Vec<DocumentScore>> =
        both.iter().map(|m| losses(m, &corpora[0], (length, stride), &bar)).collect::<Result<_, _>>()?;
    bar.finish_and_clear();
    let report = report(args, &both, (&texts, &corpora[0], (length, stride)), &losses)?;
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
    (length, stride): (usize, usize),
    bar: &ProgressBar,
) -> Result<Vec<DocumentScore>, CliError> {
    let scorer = Scorer::new(&loaded.model, length, stride)?;
    let one = |index| {
        let score = scorer.score(corpus.document(index), corpus.document_counts(index))?;
        bar.inc(1);
        Ok(score)
    };
    (0..corpus.documents).map(one).collect()
}

fn report(
    args: &EvalArgs,
    models: &[&Arc<LoadedModel>],
    (texts, corpus, (context, stride)): (&[String], &Corpus, (usize, usize)),
    losses: &[Vec<DocumentScore>],
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
        stride,
        loss: before.into(),
        perplexity: before.value.exp(),
        accuracy: accuracy(&losses[0]),
        bits_per_byte: bits(before.value),
        against_loss: two(later.into()),
        against_bits_per_byte: after.map(|_| bits(later.value)),
        against_perplexity: after.map(|_| later.value.exp()),
        against_accuracy: after.map(|of| accuracy(of)),
        difference: two(difference.into()),
        difference_by_document: by_document.map(Range::from).and_then(two),
        documents: documents.collect(),
    })
}

/// Share of the labels that were the likeliest token.
fn accuracy(scores: &[DocumentScore]) -> f64 {
    let sum = |of: fn(&DocumentScore) -> usize| scores.iter().map(of).sum::<usize>();
    sum(|s| s.right) as f64 / sum(|s| s.labels).max(1) as f64
}

/// The first words of a document.
fn begins(text: &str) -> String {
    let line: String = text.split_whitespace().take(8).collect::<Vec<_>>().join(" ");
    line.chars().take(40).collect()
}

fn plain(r: &DocumentsOutput) -> String {
    let mut out = format!(
        "{}: {} documents, {} predicted tokens, at most {} tokens of context, a window every {}\n\n",
        r.data,
        r.documents.len(),
        r.tokens,
        r.context,
        r.stride
    );
    let range = |x: &Range| format!("{:.4} [{:.4}, {:.4}]", x.value, x.low, x.high);
    let signed = |x: &Range| format!("{:+.4} [{:+.4}, {:+.4}]", x.value, x.low, x.high);
    let mut table = Table::default();
    let more = |bits: f64, perplexity: f64, accuracy: f64| {
        [
            format!("{bits:.4} bits per byte"),
            format!("perplexity {perplexity:.2}"),
            format!("{:.1} % right", 100.0 * accuracy),
        ]
    };
    let own = more(r.bits_per_byte, r.perplexity, r.accuracy);
    table.row([r.model.clone(), range(&r.loss)].into_iter().chain(own));
    if let (Some(name), Some(loss), Some(bits)) = (&r.against, &r.against_loss, r.against_bits_per_byte) {
        let (perplexity, accuracy) =
            (r.against_perplexity.unwrap_or(f64::NAN), r.against_accuracy.unwrap_or(f64::NAN));
        table.row([name.clone(), range(loss)].into_iter().chain(more(bits, perplexity, accuracy)));
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
