//! Chat templates: those with a name, and how one is read so that what the assistant says can be found in the text again.

use std::ops::Range;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Value as Jinja};
use minijinja::{Environment, Error, ErrorKind};
use regex::{Captures, Regex};
use serde_json::Value;

use crate::settings::choice;

choice! {
    /// How prompts, instructions and conversations become text.
    pub enum ChatTemplate {
        /// the tokenizer's own template; without one, turns joined by the end-of-text token
        Tokenizer = "tokenizer",
        /// ChatML: <|im_start|>, role and text of each turn, <|im_end|>
        ChatMl = "chatml",
        /// Stanford Alpaca: ### Instruction, ### Input and ### Response under a line that explains them
        Alpaca = "alpaca",
        /// one turn after the other with nothing between, as TRL joins prompt and completion
        Plain = "plain",
    }
}

#[allow(clippy::derivable_impls, reason = "the variants are a macro's")]
impl Default for ChatTemplate {
    fn default() -> Self {
        ChatTemplate::Tokenizer
    }
}

const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' }}{% if m.role == 'assistant' %}\
    {% generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}\
    {% else %}{{ m.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}";

/// As the column `text` of tatsu-lab/alpaca has it; a system turn takes the place of the first lines.
const ALPACA: &str = "{% for m in messages %}{% if m.role == 'assistant' %}\
    {% generation %}{{ m.content }}{% endgeneration %}{% if not loop.last %}{{ '\\n\\n' }}{% endif %}\
    {% elif m.role == 'system' %}{{ m.content + '\\n\\n' }}{% else %}\
    {% if loop.first %}{{ 'Below is an instruction that describes a task' }}\
    {% if m.instruction_input %}{{ ', paired with an input that provides further context' }}{% endif %}\
    {{ '. Write a response that appropriately completes the request.\\n\\n' }}{% endif %}\
    {{ '### Instruction:\\n' + m.content + '\\n\\n' }}\
    {% if m.instruction_input %}{{ '### Input:\\n' + m.instruction_input + '\\n\\n' }}{% endif %}{{ '### Response:\\n' }}{% endif %}{% endfor %}";

const PLAIN: &str = "{% for m in messages %}{% if m.role == 'assistant' %}\
    {% generation %}{{ m.content }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";

impl ChatTemplate {
    /// The template itself; that of the tokenizer is not known here.
    pub fn source(self) -> Option<&'static str> {
        match self {
            ChatTemplate::Tokenizer => None,
            ChatTemplate::ChatMl => Some(CHATML),
            ChatTemplate::Alpaca => Some(ALPACA),
            ChatTemplate::Plain => Some(PLAIN),
        }
    }
}

/// Stand around what a template marks as generated, until the text is whole; no text contains them, since Unicode keeps them
/// free of meaning.
const MARKS: [char; 2] = ['\u{fdd0}', '\u{fdd1}'];

/// A template that can be rendered.
pub struct CompiledTemplate {
    environment: Environment<'static>,
    /// Whether it says itself what the assistant generates.
    pub marks_answers: bool,
}

const NAME: &str = "chat_template";

impl CompiledTemplate {
    /// A template under the settings and with the functions that transformers gives it.
    ///
    /// # Errors
    /// A template that is damaged, in words.
    pub fn new(source: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        let syntax = SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build();
        environment.set_syntax(syntax.map_err(|e| e.to_string())?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |reason: String| -> Result<Jinja, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, reason))
        });
        environment.add_function("strftime_now", |format: String| strftime(&format));
        environment.add_filter("tojson", to_json);
        environment.add_filter("generated", |text: String| format!("{}{text}{}", MARKS[0], MARKS[1]));
        let source = generation(source);
        let marks_answers = source.contains("filter generated");
        environment
            .add_template_owned(NAME, source)
            .map_err(|e| format!("the chat template cannot be read: {e}"))?;
        Ok(CompiledTemplate { environment, marks_answers })
    }

    /// The text, and the byte ranges of it that the template marks as generated.
    ///
    /// # Errors
    /// What the template refuses, in words.
    pub fn render(&self, names: Jinja) -> Result<(String, Vec<Range<usize>>), String> {
        let written = self.environment.get_template(NAME).and_then(|template| template.render(names));
        let written = written.map_err(|e| e.detail().map_or_else(|| e.to_string(), str::to_owned))?;
        let (mut text, mut answers, mut start) = (String::with_capacity(written.len()), Vec::new(), 0);
        for c in written.chars() {
            match c {
                c if c == MARKS[0] => start = text.len(),
                c if c == MARKS[1] && start < text.len() => answers.push(start..text.len()),
                c if c == MARKS[1] => {}
                c => text.push(c),
            }
        }
        Ok((text, answers))
    }
}

/// `{% generation %}` marks what an assistant says; the text is the same without.
fn generation(source: &str) -> String {
    match Regex::new(r"(\{%[-+]?\s*)(?:generation|(endgeneration))(\s*[-+]?%\})") {
        Err(_) => source.to_owned(),
        Ok(tag) => {
            let plain = |found: &Captures| {
                let inside = if found.get(2).is_some() { "endfilter" } else { "filter generated" };
                format!("{}{inside}{}", &found[1], &found[3])
            };
            tag.replace_all(source, plain).into_owned()
        }
    }
}

/// Today in the words of a template that writes the date.
fn strftime(format: &str) -> Result<String, Error> {
    use std::fmt::Write;
    let mut out = String::new();
    write!(out, "{}", chrono::Local::now().format(format)).map_err(|_| {
        Error::new(ErrorKind::InvalidOperation, format!("{format:?} is not a valid date format"))
    })?;
    Ok(out)
}

/// JSON as Python's `json.dumps(ensure_ascii=False)` writes it: a space after `,` and `:`, nothing escaped for HTML.
fn to_json(value: &Jinja, options: Kwargs) -> Result<String, Error> {
    let indent: Option<usize> = options.get("indent")?;
    let wrong = |e: serde_json::Error| Error::new(ErrorKind::BadSerialization, e.to_string());
    let value = serde_json::to_value(value).map_err(wrong)?;
    let mut out = String::new();
    python_json(&value, indent, 0, &mut out);
    Ok(out)
}

fn python_json(value: &Value, indent: Option<usize>, depth: usize, out: &mut String) {
    let line = |out: &mut String, depth: usize| {
        if let Some(indent) = indent {
            out.push('\n');
            out.push_str(&" ".repeat(indent * depth));
        }
    };
    let between = if indent.is_some() { "," } else { ", " };
    match value {
        Value::Array(list) if !list.is_empty() => {
            out.push('[');
            for (n, item) in list.iter().enumerate() {
                out.push_str(if n > 0 { between } else { "" });
                line(out, depth + 1);
                python_json(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push(']');
        }
        Value::Object(map) if !map.is_empty() => {
            out.push('{');
            for (n, (key, item)) in map.iter().enumerate() {
                out.push_str(if n > 0 { between } else { "" });
                line(out, depth + 1);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push_str(": ");
                python_json(item, indent, depth + 1, out);
            }
            line(out, depth);
            out.push('}');
        }
        other => out.push_str(&other.to_string()),
    }
}
