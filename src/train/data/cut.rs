//! How a corpus is cut into rows: which tokens stand in one row, and which documents in a row see each other. Pure.

use super::Corpus;
use crate::settings::choice;
use crate::tensor::cross_entropy::IGNORE;
use crate::train::batch::Visit;

choice! {
    /// How documents are put into rows.
    pub enum RowPacking {
        /// documents follow each other in full rows, and read what stands before them
        Packed = "packed",
        /// the same rows, but each document reads itself alone
        /// Attention is blocked between the documents of a row and their positions start at 0, as if each ran alone.
        Isolated = "isolated",
        /// each document in a row of its own; a longer one goes on in the next row
        /// Rows are padded to the longest of their batch.
        OnePerRow = "one-per-row",
    }
}

#[allow(clippy::derivable_impls, reason = "the variants are a macro's")]
impl Default for RowPacking {
    fn default() -> Self {
        RowPacking::Packed
    }
}

/// The rule by which a corpus is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Most tokens of a row.
    pub context: usize,
    pub packing: RowPacking,
}

impl From<usize> for Cut {
    /// Documents packed into rows of so many tokens.
    fn from(context: usize) -> Self {
        Cut { context, packing: RowPacking::Packed }
    }
}

/// Where a row stands in the corpus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    at: usize,
    /// Tokens that are read; each has the next one as its target.
    len: usize,
}

/// The rows of a corpus under a cut, those without any label left out.
#[derive(Clone, Debug)]
pub struct CutRows {
    packing: RowPacking,
    spans: Vec<Span>,
}

impl CutRows {
    /// Full rows begin `offset` tokens into the corpus; rows of one document begin where it does.
    pub fn new(corpus: &Corpus, cut: Cut, offset: usize) -> Self {
        let Cut { context, packing } = cut;
        let spans: Vec<Span> = match packing {
            RowPacking::Packed | RowPacking::Isolated => {
                let rows = corpus.tokens.len().saturating_sub(offset + 1) / context.max(1);
                (0..rows).map(|row| Span { at: offset + row * context, len: context }).collect()
            }
            RowPacking::OnePerRow => (0..corpus.documents)
                .flat_map(|document| {
                    let (start, labels) = (corpus.starts[document] as usize, corpus.document(document).len());
                    let labels = labels.saturating_sub(1);
                    let part = move |at: usize| Span { at: start + at, len: context.min(labels - at) };
                    (0..labels).step_by(context.max(1)).map(part)
                })
                .collect(),
        };
        let mut rows = CutRows { packing, spans };
        if corpus.counted.is_some() || packing == RowPacking::Isolated {
            let labels: Vec<bool> = (0..rows.len()).map(|row| rows.targets(corpus, row).1 > 0).collect();
            let mut labels = labels.into_iter();
            rows.spans.retain(|_| labels.next().unwrap_or(false));
        }
        rows
    }

    pub fn len(&self) -> usize {
        self.spans.len()
    }

    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// Tokens that row `index` reads.
    pub fn size(&self, index: usize) -> usize {
        self.spans[index].len
    }

    /// Tokens of a row, on average.
    pub fn mean_size(&self) -> f64 {
        self.spans.iter().map(|span| span.len).sum::<usize>() as f64 / self.len().max(1) as f64
    }

    /// Places in a row at which documents begin, but for its own beginning.
    fn starts<'c>(
        &self,
        corpus: &'c Corpus,
        Span { at, len }: Span,
    ) -> impl Iterator<Item = usize> + use<'c> {
        let from = corpus.starts.partition_point(|&start| start <= at as u64);
        let inside = corpus.starts[from..].iter().map(move |&start| start as usize - at);
        inside.take_while(move |start| *start <= len)
    }

    /// The next tokens of a row, [`IGNORE`] where the label does not count, and how many do. The first token of a document is no
    /// label where nothing marks the end of the one before, or where that is not seen.
    fn targets(&self, corpus: &Corpus, index: usize) -> (Vec<u32>, usize) {
        let span = self.spans[index];
        let first = span.at + 1;
        let mut targets = corpus.tokens[first..first + span.len].to_vec();
        if corpus.counted.is_some() {
            for (_, target) in (first..).zip(&mut targets).filter(|(at, _)| !corpus.counts(*at)) {
                *target = IGNORE;
            }
        }
        if corpus.eot.is_none() || self.packing == RowPacking::Isolated {
            self.starts(corpus, span).for_each(|start| targets[start - 1] = IGNORE);
        }
        let labels = targets.iter().filter(|target| **target != IGNORE).count();
        (targets, labels)
    }

    /// One visit to row `index`.
    pub fn visit(&self, corpus: &Corpus, index: usize, pass: u32) -> Visit {
        let span = self.spans[index];
        let starts = match self.packing {
            RowPacking::Isolated => self.starts(corpus, span).filter(|start| *start < span.len).collect(),
            RowPacking::Packed | RowPacking::OnePerRow => Vec::new(),
        };
        Visit {
            sequence: index as u32,
            pass,
            inputs: corpus.tokens[span.at..span.at + span.len].to_vec(),
            targets: self.targets(corpus, index).0,
            starts,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const I: u32 = IGNORE;

    fn corpus() -> Corpus {
        Corpus::from_tokens((0..20).collect(), vec![0, 6, 9], 20, Some(99))
    }

    fn cut(corpus: &Corpus, packing: RowPacking, context: usize) -> Vec<Visit> {
        let rows = CutRows::new(corpus, Cut { context, packing }, 0);
        (0..rows.len()).map(|row| rows.visit(corpus, row, 3)).collect()
    }

    #[test]
    fn labels_stop_at_boundaries_that_nothing_marks() {
        let marked = corpus();
        let rows = CutRows::new(&marked, 9.into(), 1);
        assert_eq!(rows.visit(&marked, 0, 3).targets, (2..11).collect::<Vec<u32>>());
        let bare = Corpus { eot: None, ..marked };
        let visit = rows.visit(&bare, 0, 3);
        assert_eq!((visit.inputs[0], visit.pass), (1, 3));
        assert_eq!(visit.targets, [2, 3, 4, 5, I, 7, 8, I, 10]);
        assert_eq!(rows.visit(&bare, 1, 0).targets, (11..20).collect::<Vec<u32>>());
    }

    #[test]
    fn tokens_that_do_not_count_are_read_and_have_no_label() {
        let answers = corpus().counting((0..20).map(|t| (5..8).contains(&t) || t == 12).collect());
        let rows = CutRows::new(&answers, 10.into(), 1);
        let visit = rows.visit(&answers, 0, 0);
        assert_eq!(visit.inputs, (1..11).collect::<Vec<u32>>());
        assert_eq!(visit.targets, [I, I, I, 5, 6, 7, I, I, I, I]);
        let marked = visit.after(99);
        assert_eq!(marked.inputs, [99, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(
            marked.targets,
            [1, I, I, I, 5, 6, 7, I, I, I],
            "what the first label was, the text alone knows"
        );
        assert_eq!(answers.labels(), 4);
        let rows = cut(&answers, RowPacking::Packed, 4);
        let read: Vec<u32> = rows.iter().map(|visit| visit.inputs[0]).collect();
        assert_eq!(read, [4, 8], "rows without a label are left out");
    }

    #[test]
    fn isolated_documents_start_at_their_own_row() {
        let rows = cut(&corpus(), RowPacking::Isolated, 9);
        assert_eq!(rows[0].starts, [6]);
        assert_eq!(rows[0].targets, [1, 2, 3, 4, 5, I, 7, 8, I]);
        assert_eq!(rows[0].positions(), [0, 1, 2, 3, 4, 5, 0, 1, 2]);
        assert_eq!((rows[1].starts.len(), rows[1].inputs[0]), (0, 9));
    }

    #[test]
    fn each_document_has_rows_of_its_own() {
        let rows = cut(&corpus(), RowPacking::OnePerRow, 4);
        let inputs: Vec<Vec<u32>> = rows.iter().map(|visit| visit.inputs.clone()).collect();
        let wanted: [&[u32]; 6] =
            [&[0, 1, 2, 3], &[4], &[6, 7], &[9, 10, 11, 12], &[13, 14, 15, 16], &[17, 18]];
        assert_eq!(inputs, wanted);
        assert_eq!(rows[1].targets, [5]);
        assert!(
            rows.iter().all(|visit| visit.inputs.len() == visit.targets.len() && visit.starts.is_empty())
        );
    }
}
