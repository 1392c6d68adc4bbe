//! The card of a data set: the YAML at the top of its `README.md` names its subsets ("configurations" of the `datasets` library)
//! and the files of each. Pure.

use globset::{GlobBuilder, GlobMatcher};
use serde_json::Value;

use super::error::HubError;

/// The name of the subset that is taken where none is asked for.
const DEFAULT: &str = "default";

/// One subset of a data set.
#[derive(Clone, Debug)]
pub(super) struct Subset {
    name: String,
    default: bool,
    files: Vec<SplitFiles>,
}

/// Files by a pattern, and the split that they are, where the card says.
#[derive(Clone, Debug)]
struct SplitFiles {
    split: Option<String>,
    pattern: GlobMatcher,
}

impl Subset {
    /// The subset to take of those that a card names; `None` where it names none, and all files belong together.
    ///
    /// # Errors
    /// A name that is not among them; several without a default, with their names.
    pub fn choose(all: Vec<Subset>, asked: Option<&str>, id: &str) -> Result<Option<Subset>, HubError> {
        let known: Vec<String> = all.iter().map(|subset| subset.name.clone()).collect();
        let id = || id.to_owned();
        let found = |is: &dyn Fn(&Subset) -> bool| all.iter().find(|subset| is(subset)).cloned();
        if let Some(asked) = asked {
            let subset = found(&|subset| subset.name == asked);
            let missing = || HubError::NoSubset { id: id(), asked: super::error::visible(asked), known };
            return subset.map(Some).ok_or_else(missing);
        }
        match &all[..] {
            [] => Ok(None),
            [only] => Ok(Some(only.clone())),
            _ => found(&|subset| subset.default)
                .or_else(|| found(&|subset| subset.name == DEFAULT))
                .map(Some)
                .ok_or_else(|| HubError::Subsets { id: id(), known }),
        }
    }

    /// Whether a file belongs to it; without patterns every file does.
    pub fn holds(&self, file: &str) -> bool {
        self.files.is_empty() || self.files.iter().any(|of| of.pattern.is_match(file))
    }

    /// Whether the card says which files are which split.
    pub fn has_splits(&self) -> bool {
        self.files.iter().any(|of| of.split.is_some())
    }

    /// The split that a file is, where the card says.
    pub fn split_of(&self, file: &str) -> Option<&str> {
        self.files.iter().find(|of| of.pattern.is_match(file))?.split.as_deref()
    }
}

/// The subsets that a card names; none where it has no front matter, or one that cannot be read.
pub(super) fn subsets(card: &[u8]) -> Vec<Subset> {
    let Some(matter) = std::str::from_utf8(card).ok().and_then(front_matter) else { return Vec::new() };
    let Ok(Value::Object(fields)) = serde_saphyr::from_str::<Value>(matter) else { return Vec::new() };
    let configs = fields.get("configs").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    configs.iter().filter_map(subset).collect()
}

/// The text between the line `---` at the top and the next one.
fn front_matter(card: &str) -> Option<&str> {
    let text = card.trim_start_matches('\u{feff}').strip_prefix("---")?;
    let text = text.strip_prefix('\r').unwrap_or(text).strip_prefix('\n')?;
    text.find("\n---").map(|end| &text[..=end])
}

fn subset(config: &Value) -> Option<Subset> {
    let name = text(config.get("config_name")?)?;
    let folder = config.get("data_dir").and_then(Value::as_str).map(|dir| dir.trim_matches('/'));
    let mut files = Vec::new();
    match config.get("data_files") {
        Some(Value::Object(splits)) => {
            splits.iter().for_each(|(split, paths)| add(&mut files, Some(split), folder, paths));
        }
        Some(Value::Array(list)) => {
            for entry in list {
                match entry.get("path") {
                    Some(paths) => {
                        let split = entry.get("split").and_then(text);
                        add(&mut files, split.as_deref(), folder, paths);
                    }
                    None => add(&mut files, None, folder, entry),
                }
            }
        }
        Some(paths) => add(&mut files, None, folder, paths),
        None => {
            if let Some(folder) = folder.filter(|folder| !folder.is_empty()) {
                add(&mut files, None, Some(folder), &Value::from("**"));
            }
        }
    }
    let default = config.get("default").and_then(Value::as_bool).unwrap_or(false);
    Some(Subset { name, default, files })
}

/// Adds a pattern, or a list of them.
fn add(files: &mut Vec<SplitFiles>, split: Option<&str>, folder: Option<&str>, paths: &Value) {
    match paths {
        Value::Array(list) => list.iter().for_each(|path| add(files, split, folder, path)),
        Value::String(path) => {
            let path = match folder {
                Some(folder) if !folder.is_empty() => format!("{folder}/{path}"),
                _ => path.clone(),
            };
            let path = path.trim_start_matches("./");
            if let Ok(glob) = GlobBuilder::new(path).literal_separator(true).build() {
                files.push(SplitFiles { split: split.map(str::to_owned), pattern: glob.compile_matcher() });
            }
        }
        _ => {}
    }
}

/// A name, which YAML may take for a number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "---\nlicense: mit\nconfigs:\n- config_name: en\n  data_files:\n  - split: train\n    path: en/train-*\n  \
        - split: test\n    path: [en/test.csv, en/more/*.csv]\n- config_name: 2019\n  data_files: old/**\n- config_name: de\n  \
        data_dir: de\n---\n# Texts\n---\n";

    fn chosen(card: &str, asked: Option<&str>) -> Result<Option<Subset>, HubError> {
        Subset::choose(subsets(card.as_bytes()), asked, "datasets/a/b")
    }

    #[test]
    fn a_subset_is_asked_for_where_there_are_several() {
        let error = chosen(CARD, None).unwrap_err();
        assert_eq!(error.to_string(), "data set a/b has 3 subsets: en, 2019, de");
        assert_eq!(error.hint().unwrap(), "name one: datasets/a/b:en");
        let error = chosen(CARD, Some("fr")).unwrap_err();
        assert_eq!(error.to_string(), "data set a/b has no subset fr");
        assert_eq!(error.hint().unwrap(), "its subsets: en, 2019, de");
        assert!(chosen("# no card", Some("fr")).unwrap_err().to_string().ends_with("its card names none"));
    }

    #[test]
    fn files_belong_to_subsets_and_splits_by_their_patterns() {
        let en = chosen(CARD, Some("en")).unwrap().unwrap();
        assert!(en.has_splits());
        for (file, split) in [
            ("en/train-0.csv", Some("train")),
            ("en/train-0/x.csv", None),
            ("en/test.csv", Some("test")),
            ("en/more/a.csv", Some("test")),
            ("de/train-0.csv", None),
        ] {
            assert_eq!((en.split_of(file), en.holds(file)), (split, split.is_some()), "{file}");
        }
        let old = chosen(CARD, Some("2019")).unwrap().unwrap();
        assert!(old.holds("old/a/b.csv") && !old.holds("en/test.csv") && !old.has_splits());
        let de = chosen(CARD, Some("de")).unwrap().unwrap();
        assert!(de.holds("de/x/y.csv") && !de.holds("en/test.csv"));
    }

    #[test]
    fn one_subset_or_a_default_is_taken_without_asking() {
        let one = "---\nconfigs:\n- config_name: only\n  data_files: a.csv\n---\n";
        assert!(chosen(one, None).unwrap().unwrap().holds("a.csv"));
        let flagged = CARD.replace("config_name: de", "config_name: de\n  default: true");
        assert!(chosen(&flagged, None).unwrap().unwrap().holds("de/x.csv"));
        let named = CARD.replace("config_name: de", "config_name: default");
        assert!(chosen(&named, None).unwrap().unwrap().holds("de/x.csv"));
        for none in ["", "# x", "---\nlicense: mit\n---\n", "---\nconfigs: [\n---\n", "---\n- a\n---\n"] {
            assert!(chosen(none, None).unwrap().is_none(), "{none:?}");
        }
    }

    #[test]
    fn aliases_that_multiply_are_refused() {
        let mut bomb = "---\na0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
        for i in 1..12 {
            let alias = format!("*a{}", i - 1);
            bomb.push_str(&format!("a{i}: &a{i} [{}]\n", vec![alias; 9].join(", ")));
        }
        bomb.push_str("configs:\n- config_name: x\n---\n");
        assert!(subsets(bomb.as_bytes()).is_empty());
        let deep = format!("---\nconfigs: {}\n---\n", "[".repeat(100_000));
        assert!(subsets(deep.as_bytes()).is_empty());
    }
}
