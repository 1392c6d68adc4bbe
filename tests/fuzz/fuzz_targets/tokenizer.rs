#![no_main]

use libfuzzer_sys::fuzz_target;
use maskscope::model::Tokenizer;

fuzz_target!(|data: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::from_json(data, "tokenizer.json")
        && let Ok(ids) = tokenizer.ids("one \u{fb01}ne 漢字 x\u{301}\n\n<|endoftext|>")
    {
        let _ = tokenizer.decode(&ids);
    }
});
