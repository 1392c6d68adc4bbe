use serde_json::json;

use super::*;

fn style(template: Option<&str>) -> ChatStyle {
    let marks = BTreeMap::from([
        ("bos_token".to_owned(), "<s>".to_owned()),
        ("eos_token".to_owned(), "</s>".to_owned()),
    ]);
    ChatStyle::new(template, marks, Some("<|endoftext|>".to_owned())).unwrap()
}

fn text(template: &str, turns: Value) -> Result<String, ChatRefusal> {
    style(Some(template)).document(turns.as_array().unwrap())
}

#[test]
fn without_a_template_turns_are_joined_by_the_end_mark() {
    let plain = style(None);
    let of = |turns: Value| plain.document(turns.as_array().unwrap());
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
            .document(&[json!({"role": "user", "content": "a"}), json!({"role": "b", "content": "c"})])
            .unwrap(),
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
