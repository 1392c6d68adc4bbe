//! Which tensor of a checkpoint is which weight of the model. Wrappers put prefixes before the names, heads lie beside
//! the trunk, and some programs keep their matrices `[out, in]`: all that is told from names and shapes, before anything
//! is read.

use std::collections::{BTreeSet, HashMap};

use super::config::Config;
use super::error::ModelError;
use super::family::{Conventions, Parameter, ParameterRole, WeightLayout};

/// Names shown of a checkpoint that does not fit.
const SHOWN: usize = 4;

/// A tensor that a checkpoint holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    pub name: String,
    pub shape: Vec<usize>,
}

/// Where a weight comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The offer with this number; `turned` where it lies the other way round than in memory.
    Offer { at: usize, turned: bool },
    /// A bias that the network does without.
    Zeros,
}

/// One weight of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// As in [`Config::named_parameters`].
    pub name: String,
    /// As the model has it.
    pub shape: Vec<usize>,
    pub origin: Origin,
}

/// How a checkpoint fills a model.
#[derive(Debug)]
pub struct Fit {
    pub places: Vec<Place>,
    /// An output matrix beside embeddings that ought to be tied, to be compared with them: the offers of both.
    pub rival: Option<(usize, usize)>,
    /// Worth a line to the person.
    pub notes: Vec<String>,
}

/// Finds every weight of `config` among what `file` offers.
///
/// # Errors
/// The first weight that is missing or of another shape; what the names look like instead.
pub fn fit(config: &Config, offers: &[Offer], file: &str, without_biases: bool) -> Result<Fit, ModelError> {
    let by_name: HashMap<&str, usize> = (offers.iter().enumerate())
        .filter(|(_, offer)| !config.family.is_buffer(&offer.name))
        .map(|(at, offer)| (offer.name.as_str(), at))
        .collect();
    let (names, parameters) = (config.family.conventions(), config.named_parameters());
    let search = Search { config, names, parameters, offers, by_name, file, without_biases };
    let prefix = search.prefix()?;
    search.places(prefix)
}

struct Search<'a> {
    config: &'a Config,
    names: &'static Conventions,
    parameters: Vec<Parameter>,
    offers: &'a [Offer],
    by_name: HashMap<&'a str, usize>,
    file: &'a str,
    without_biases: bool,
}

impl<'a> Search<'a> {
    /// The first norm of a block, or the one after the last.
    fn norm(&self, layer: Option<usize>) -> &str {
        let is = |p: &&Parameter| p.role == ParameterRole::NormWeight && p.layer == layer;
        self.parameters.iter().find(is).map_or("", |p| p.name.as_str())
    }

    /// What stands before the trunk's names: whatever fits most of them.
    fn prefix(&self) -> Result<&'a str, ModelError> {
        // Names that every trunk has.
        let landmarks = [self.names.embedding, self.norm(None), self.norm(Some(0))];
        let ends = |name: &'a str| {
            let prefix = landmarks.iter().find_map(|end| name.strip_suffix(end))?;
            (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
        };
        let candidates: BTreeSet<&str> = self.by_name.keys().filter_map(|name| ends(name)).collect();
        let held =
            |prefix: &str| self.parameters.iter().filter(|p| self.get(prefix, &p.name).is_some()).count();
        let mut counted: Vec<(usize, &str)> =
            candidates.into_iter().map(|prefix| (held(prefix), prefix)).collect();
        counted.sort_by_key(|(held, prefix)| (std::cmp::Reverse(*held), prefix.len()));
        match counted.as_slice() {
            [] => {
                let Conventions { label, embedding, .. } = self.names;
                let norm = self.norm(Some(0));
                Err(self.foreign(format!("no tensor is named as in a {label} ({embedding}, {norm}, …)")))
            }
            [(first, a), (second, b), ..] if first == second && *first > 1 => {
                let problem = format!(
                    "contains two models, under {a:?} and under {b:?}, and it is not clear which one to load"
                );
                Err(ModelError::file(self.file, problem))
            }
            [(_, prefix), ..] => Ok(prefix),
        }
    }

    fn get(&self, prefix: &str, name: &str) -> Option<usize> {
        self.by_name.get(format!("{prefix}{name}").as_str()).copied()
    }

    /// The output matrix: beside the trunk's names or beside one of the parts of its prefix.
    fn head(&self, prefix: &str) -> Option<usize> {
        let mut at = Some(prefix);
        while let Some(prefix) = at {
            if let Some(found) = self.get(prefix, self.names.head) {
                return Some(found);
            }
            let shorter = prefix.strip_suffix('.').map(|p| p.rfind('.').map_or("", |dot| &p[..=dot]));
            at = shorter.filter(|_| !prefix.is_empty());
        }
        None
    }

    /// Whether matrices lie the other way round than the family has them: told by the first one that is not square.
    fn unusual(&self, prefix: &str) -> bool {
        let oblong = |p: &&Parameter| p.role.is_matrix() && p.shape[0] != p.shape[1];
        let Some(parameter) = self.parameters.iter().find(oblong) else { return false };
        let Some(at) = self.get(prefix, &parameter.name) else { return false };
        let mut usual = parameter.shape.clone();
        if self.names.layout == WeightLayout::OutIn {
            usual.reverse();
        }
        self.offers[at].shape.iter().rev().eq(&usual)
    }

    fn places(&self, prefix: &str) -> Result<Fit, ModelError> {
        let head = self.head(prefix);
        let embedding = self.get(prefix, self.names.embedding);
        let tied = self.config.tie_word_embeddings;
        let unusual = self.unusual(prefix);
        let turns = unusual != (self.names.layout == WeightLayout::OutIn);
        let bias = self.parameters.iter().find(|p| p.role == ParameterRole::Bias);
        let biasless = self.without_biases && bias.is_some_and(|p| self.get(prefix, &p.name).is_none());
        let mut places = Vec::new();
        for Parameter { name, shape, role, .. } in self.parameters.clone() {
            let found = match role {
                ParameterRole::Head => head,
                ParameterRole::Embedding if tied => embedding.or(head),
                _ => self.get(prefix, &name),
            };
            let Some(at) = found else {
                if biasless && role.is_bias() {
                    places.push(Place { name, shape, origin: Origin::Zeros });
                    continue;
                }
                return Err(self.foreign(format!("tensor {prefix}{name} is missing")));
            };
            let turned = turns && role.is_matrix();
            self.check_shape(at, &shape, turned)?;
            places.push(Place { name, shape, origin: Origin::Offer { at, turned } });
        }
        let rival = if tied { embedding.zip(head) } else { None };
        if let Some((_, at)) = rival {
            self.check_shape(at, &[self.config.vocab_size, self.config.n_embd], false)?;
        }
        let notes = self.notes(&places, head, unusual);
        Ok(Fit { places, rival, notes })
    }

    fn check_shape(&self, at: usize, wanted: &[usize], turned: bool) -> Result<(), ModelError> {
        let Offer { name, shape } = &self.offers[at];
        let mut wanted = wanted.to_vec();
        if turned {
            wanted.reverse();
        }
        if *shape == wanted {
            return Ok(());
        }
        Err(ModelError::file(
            self.file,
            format!("tensor {name} has shape {shape:?}, expected {wanted:?} from config.json"),
        ))
    }

    /// What is not used, and why.
    fn notes(&self, places: &[Place], head: Option<usize>, unusual: bool) -> Vec<String> {
        let mut used: BTreeSet<usize> = head.into_iter().collect();
        used.extend(places.iter().filter_map(|place| match place.origin {
            Origin::Offer { at, .. } => Some(at),
            Origin::Zeros => None,
        }));
        let mut rest: Vec<&str> =
            self.by_name.iter().filter(|(_, at)| !used.contains(at)).map(|(n, _)| *n).collect();
        rest.sort_unstable();
        let mut notes = Vec::new();
        for (part, what) in self.names.other_heads {
            if rest.iter().any(|name| name.contains(part)) {
                rest.retain(|name| !name.contains(part));
                let name = part.trim_end_matches('.');
                notes.push(format!(
                    "{name} is {what} and is not used: next tokens come from the trunk and its embeddings"
                ));
            }
        }
        if !rest.is_empty() {
            notes.push(format!("{} of the checkpoint's tensors are not used: {}", rest.len(), listed(&rest)));
        }
        if unusual {
            let how = match self.names.layout {
                WeightLayout::InOut => "[out, in], as nn.Linear has them",
                WeightLayout::OutIn => "[in, out], as Conv1D has them",
            };
            notes.push(format!("the matrices are stored {how}, and were transposed"));
        }
        notes
    }

    /// An error that shows what the names look like.
    fn foreign(&self, problem: String) -> ModelError {
        let names: Vec<&str> = self.offers.iter().map(|offer| offer.name.as_str()).collect();
        let problem = if names.is_empty() {
            "contains no tensors".to_owned()
        } else {
            format!("{problem}; the names look like {}", listed(&names))
        };
        ModelError::file(self.file, problem)
            .with_hint("config.json and the weights may belong to different models")
    }
}

/// A few names of many.
fn listed(names: &[&str]) -> String {
    let more = if names.len() > SHOWN { ", …" } else { "" };
    let shown: Vec<String> =
        names.iter().take(SHOWN).map(|n| super::tokenizer::visible(n.as_bytes())).collect();
    format!("{}{more}", shown.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(tied: bool) -> Config {
        let json = serde_json::json!({
            "model_type": "gpt2", "vocab_size": 11, "n_positions": 7, "n_embd": 4, "n_layer": 2, "n_head": 2,
            "tie_word_embeddings": tied,
        });
        Config::parse(json.to_string().as_bytes(), "config.json").unwrap()
    }

    fn offers(prefix: &str) -> Vec<Offer> {
        let trunk = config(true).named_parameters().into_iter();
        trunk.map(|p| Offer { name: format!("{prefix}{}", p.name), shape: p.shape }).collect()
    }

    fn head(name: &str) -> Offer {
        Offer { name: name.to_owned(), shape: vec![11, 4] }
    }

    #[test]
    fn any_one_prefix_comes_off() {
        for prefix in [
            "",
            "transformer.",
            "_orig_mod.",
            "module.",
            "model.",
            "_orig_mod.transformer.",
            "base_model.model.transformer.",
            "state_dict.module.gpt.",
            "model._forward_module.transformer.",
        ] {
            let fit = fit(&config(true), &offers(prefix), "w", false).unwrap();
            assert!(fit.places.len() == offers("").len() && fit.notes.is_empty(), "{prefix}");
            let mut with_head = offers(prefix);
            let before = prefix.strip_suffix("transformer.").unwrap_or(prefix);
            with_head.push(head(&format!("{before}lm_head.weight")));
            let fit = super::fit(&config(false), &with_head, "w", false).unwrap();
            let at = with_head.len() - 1;
            assert_eq!(fit.places.last().unwrap().origin, Origin::Offer { at, turned: false }, "{prefix}");
            let fit = super::fit(&config(true), &with_head, "w", false).unwrap();
            assert_eq!(fit.rival, Some((0, at)), "{prefix}");
        }
    }

    #[test]
    fn an_embedding_that_was_left_out_is_the_head_that_it_is_tied_to() {
        let mut without = offers("transformer.");
        without[0] = head("lm_head.weight");
        let found = fit(&config(true), &without, "w", false).unwrap();
        assert_eq!(found.places[0].origin, Origin::Offer { at: 0, turned: false });
        assert!(found.rival.is_none() && fit(&config(false), &without, "w", false).is_err());
    }

    #[test]
    fn what_does_not_fit_shows_the_names_that_are_there() {
        let message = |offers: &[Offer]| fit(&config(true), offers, "w", false).unwrap_err().to_string();
        let gpt1 = [head("transformer.tokens_embed.weight"), head("transformer.h.0.ln_1.weight")];
        assert!(
            message(&gpt1).contains("wte.weight is missing; the names look like transformer.tokens_embed")
        );
        assert!(message(&[head("encoder.layer.0.weight")]).contains("encoder.layer.0.weight"));
        assert_eq!(message(&[]), "w: contains no tensors");
        let two: Vec<Offer> = offers("student.").into_iter().chain(offers("teacher.")).collect();
        assert!(message(&two).contains("two models"));
        let mut short = offers("");
        short.retain(|offer| offer.name != "h.1.mlp.c_fc.bias");
        assert!(message(&short).starts_with("w: tensor h.1.mlp.c_fc.bias is missing"));
        // A half model beside a whole one is no rival.
        let mut whole = offers("a.");
        whole.push(head("b.wte.weight"));
        assert!(fit(&config(true), &whole, "w", false).is_ok());
    }

    #[test]
    fn matrices_of_a_linear_layer_are_turned() {
        let mut turned = offers("transformer.");
        for offer in turned.iter_mut().filter(|o| o.name.contains(".h.") && o.shape.len() == 2) {
            offer.shape.reverse();
        }
        let found = fit(&config(true), &turned, "w", false).unwrap();
        let places = found.places.iter();
        assert_eq!(places.filter(|p| matches!(p.origin, Origin::Offer { turned: true, .. })).count(), 8);
        assert!(found.notes[0].contains("[out, in]"));
        turned.retain(|offer| !offer.name.ends_with(".bias"));
        assert!(fit(&config(true), &turned, "w", false).is_err());
        let found = fit(&config(true), &turned, "w", true).unwrap();
        assert_eq!(found.places.iter().filter(|p| p.origin == Origin::Zeros).count(), 2 * 6 + 1);
    }

    #[test]
    fn heads_beside_the_trunk_are_named_and_buffers_are_not() {
        let mut classifier = offers("transformer.");
        classifier.push(Offer { name: "score.weight".to_owned(), shape: vec![1, 4] });
        classifier.push(Offer { name: "transformer.h.0.attn.bias".to_owned(), shape: vec![1, 1, 7, 7] });
        let notes = fit(&config(true), &classifier, "w", false).unwrap().notes;
        assert!(notes.len() == 1 && notes[0].starts_with("score is a classifier's"), "{notes:?}");
    }
}
