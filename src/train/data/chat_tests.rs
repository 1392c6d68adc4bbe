use serde_json::json;

use super::super::rows;
use super::*;

fn style(template: Option<&str>) -> ChatStyle {
    let marks = BTreeMap::from([
        ("bos_token".to_owned(), "<s>".to_owned()),
        ("eos_token".to_owned(), "</s>".to_owned()),
    ]);
    ChatStyle::new(template, marks, Some("<|endoftext|>".to_owned())).unwrap()
}

fn text(template: &str, turns: Value) -> Result<String, ChatRefusal> {
    style(Some(template)).document(turns.as_array().unwrap(), 0).map(|document| document.text)
}

#[test]
fn without_a_template_turns_are_joined_by_the_end_mark() {
    let plain = style(None);
    let of = |turns: Value| plain.document(turns.as_array().unwrap(), 0).map(|document| document.text);
    let openai = json!([{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]);
    assert_eq!(of(openai).unwrap(), "Hi.<|endoftext|>Hello.");
    let share_gpt = json!([{"from": "human", "value": "Hi."}, {"from": "gpt", "value": "Hello."}]);
    assert_eq!(of(share_gpt).unwrap(), "Hi.<|endoftext|>Hello.");
    let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": null, "tool_calls": []}, {"role": "assistant", "content": "c"}]);
    assert_eq!(of(parts).unwrap(), "ab<|endoftext|>c");
    assert_eq!(of(json!([])).unwrap(), "");
    assert_eq!(of(json!([{"role": "user", "content": " "}])).unwrap(), "");
    assert_eq!(
        ChatStyle::default()
            .document(&[json!({"role": "user", "content": "a"}), json!({"role": "b", "content": "c"})], 0)
            .unwrap()
            .text,
        "a\nc"
    );
    for (turns, what) in [
        (json!(["hi"]), "turn 1 is not an object"),
        (json!([{"role": "user", "content": "a"}, {"content": "b"}]), "turn 2 has no speaker"),
        (json!([{"role": "user", "content": 5}]), "turn 1 contains something that is not text"),
        (json!([{"role": "user", "content": [{"type": "image", "url": "x"}]}]), "turn 1 contains something"),
    ] {
        let Err(ChatRefusal::Turn(problem)) = of(turns) else { panic!("{what}") };
        assert!(problem.starts_with(what), "{problem}");
    }
}

#[test]
fn templates_have_what_transformers_gives_them() {
    let turns = json!([{"from": "human", "value": " Hi "}, {"from": "gpt", "value": "Hello <you> & me"}]);
    let blocks = "{% for message in messages %}\n    {%- if loop.index0 > 5 %}{% break %}{% endif %}\n    {{ message.role | upper \
                  }}: {{ message['content'].strip() + eos_token }}\n{% endfor %}";
    assert_eq!(
        text(blocks, turns.clone()).unwrap(),
        "    USER: Hi</s>\n    ASSISTANT: Hello <you> & me</s>\n"
    );
    let namespace = "{% set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ bos_token }}{{ ns.n }}";
    assert_eq!(text(namespace, turns.clone()).unwrap(), "<s>2");
    let json =
        "{{ messages[1] | tojson }}{% if tools %}t{% endif %}{% if add_generation_prompt %}g{% endif %}";
    assert_eq!(text(json, turns.clone()).unwrap(), r#"{"content": "Hello <you> & me", "role": "assistant"}"#);
    let marked = "{% for m in messages %}{%- generation %}\n{{ m.content }}{% endgeneration -%} {% endfor %}";
    assert_eq!(text(marked, turns.clone()).unwrap(), " Hi Hello <you> & me");
    let refuses = "{{ raise_exception('Roles must alternate') }}";
    assert_eq!(text(refuses, turns.clone()), Err(ChatRefusal::Template("Roles must alternate".to_owned())));
    let year = text("{{ strftime_now('%Y') }}", turns.clone()).unwrap();
    assert!(year.len() == 4 && year.starts_with("20"), "{year}");
    assert!(text("{{ strftime_now('%Q') }}", turns).is_err());
    assert!(ChatStyle::new(Some("{% for %}"), BTreeMap::new(), None).unwrap_err().contains("cannot be read"));
}

/// The text of a conversation, and its answers in it.
fn answered(style: &ChatStyle, turns: &Value, from: usize) -> Result<(String, Vec<String>), ChatRefusal> {
    let document = style.document(turns.as_array().unwrap(), from)?;
    let answers = document.answers.unwrap().into_iter().map(|span| document.text[span].to_owned());
    Ok((document.text.clone(), answers.collect()))
}

fn two_rounds() -> Value {
    json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}])
}

#[test]
fn answers_are_found_whatever_writes_the_turns() {
    let with = |style: ChatStyle, named: ChatTemplate| style.with(named, LossOn::Answers).unwrap();
    let turns = two_rounds();
    let joined = with(style(None), ChatTemplate::Tokenizer);
    let (text, answers) = answered(&joined, &turns, 0).unwrap();
    assert_eq!(text, "Hi<|endoftext|>Hello<|endoftext|>Why?<|endoftext|>So.");
    assert_eq!(answers, ["Hello<|endoftext|>", "So."], "with the mark that ends them");
    assert_eq!(answered(&joined, &turns, 2).unwrap().1, ["So."], "the first ones belong to the prompt");
    let (text, answers) = answered(&with(style(None), ChatTemplate::ChatMl), &turns, 0).unwrap();
    assert!(
        text.starts_with("<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello<|im_end|>\n"),
        "{text}"
    );
    assert_eq!(answers, ["Hello<|im_end|>", "So.<|im_end|>"]);
    let (text, answers) = answered(&with(style(None), ChatTemplate::Plain), &turns, 0).unwrap();
    assert_eq!((text.as_str(), answers), ("HiHelloWhy?So.", vec!["Hello".to_owned(), "So.".to_owned()]));
    // A template that says what is generated, and one that does not, with and without a prompt for the answer.
    let source = "{% for m in messages %}[{{ m.role }}] {% if m.role == 'assistant' %}{% generation %}{{ m.content }}\
                  {{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}";
    let (text, answers) = answered(&with(style(Some(source)), ChatTemplate::Tokenizer), &turns, 0).unwrap();
    assert_eq!(text, "[user] Hi[assistant] Hello</s>[user] Why?[assistant] So.</s>");
    assert_eq!(answers, ["Hello</s>", "So.</s>"]);
    let unmarked = "{% for m in messages %}[{{ m.role }}] {{ m.content }}{{ eos_token }}{% endfor %}\
                    {% if add_generation_prompt %}[assistant] {% endif %}";
    let (text, answers) = answered(&with(style(Some(unmarked)), ChatTemplate::Tokenizer), &turns, 0).unwrap();
    assert_eq!(text, "[user] Hi</s>[assistant] Hello</s>[user] Why?</s>[assistant] So.</s>");
    assert_eq!(answers, ["Hello</s>", "So.</s>"], "without what asks for them");
    let counts = "{{ messages | length }}{% for m in messages %}{{ m.content }}{% endfor %}";
    let refused = answered(&with(style(Some(counts)), ChatTemplate::Tokenizer), &turns, 0);
    assert!(matches!(refused, Err(ChatRefusal::Template(_))), "{refused:?}");
    let question = json!([{"role": "user", "content": "Hi"}]);
    assert_eq!(answered(&joined, &question, 0), Err(ChatRefusal::NoAnswer));
    assert_eq!(style(None).document(question.as_array().unwrap(), 0).unwrap().answers, None, "all counts");
}

#[test]
fn instructions_are_written_as_alpaca_has_them_and_as_any_template_does() {
    let row = |value: Value, named: ChatTemplate| {
        let style = style(None).with(named, LossOn::Answers).unwrap();
        let pick = rows::Pick::Instruction(Some("input".to_owned()), "output".to_owned());
        match rows::document(&pick, value.as_object().unwrap(), &style) {
            Ok(rows::RowOutcome::Document(document)) => {
                let answers = document.answers.clone().unwrap();
                assert_eq!(answers.len(), 1);
                (document.text.clone(), document.text[answers[0].clone()].to_owned())
            }
            other => panic!("{other:?}"),
        }
    };
    let whole = json!({"instruction": "Add.", "input": "1 and 2", "output": "3"});
    let (text, answer) = row(whole.clone(), ChatTemplate::Alpaca);
    assert_eq!(
        (text.as_str(), answer.as_str()),
        (
            "Below is an instruction that describes a task, paired with an input that provides further context. Write a \
             response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n### Input:\n1 and 2\n\n\
             ### Response:\n3",
            "3"
        )
    );
    let bare = json!({"instruction": "Greet.", "input": "", "output": "Hello"});
    let (text, answer) = row(bare, ChatTemplate::Alpaca);
    assert!(text.ends_with("request.\n\n### Instruction:\nGreet.\n\n### Response:\nHello"), "{text}");
    assert!(text.starts_with("Below is an instruction that describes a task. Write") && answer == "Hello");
    let (text, answer) = row(whole, ChatTemplate::ChatMl);
    assert!(text.starts_with("<|im_start|>user\nAdd.\n\n1 and 2<|im_end|>"), "{text}");
    assert_eq!(answer, "3<|im_end|>");
}
