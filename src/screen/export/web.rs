//! The map as one HTML page: it draws itself from the data inside it, shows the values on hover, and asks nothing of any
//! address (a policy in its head forbids it).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::screen::export::figure::MapFigure;
use crate::screen::export::frame::{hex, markup};
use crate::screen::export::numbers::PaneNumbers;
use crate::screen::export::write::escaped;

/// What the page draws: the numbers, and the place of every cell in the list of colours (−1: a dropped token).
#[derive(Serialize)]
struct PageData<'a> {
    numbers: &'a PaneNumbers,
    colours: Vec<String>,
    /// One row a query, from the first key to the query itself.
    steps: Vec<Vec<i32>>,
    dropped: String,
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'\">\n\
<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";

const SCRIPT: &str = r#"
const data = JSON.parse(document.getElementById("data").textContent);
const rows = data.numbers.rows, values = data.numbers.values, n = rows.length;
const canvas = document.getElementById("map"), told = document.getElementById("told");
const cell = Math.max(2, Math.min(18, Math.floor(900 / n)));
canvas.width = canvas.height = cell * n;
const pen = canvas.getContext("2d");
let at = [n - 1, 0];
function paint() {
  pen.clearRect(0, 0, canvas.width, canvas.height);
  data.steps.forEach((row, q) => row.forEach((step, k) => {
    pen.fillStyle = step < 0 ? data.dropped : data.colours[step];
    pen.fillRect(k * cell, q * cell, cell, cell);
  }));
  pen.strokeStyle = getComputedStyle(document.body).color;
  pen.strokeRect(at[1] * cell + 0.5, at[0] * cell + 0.5, cell - 1, cell - 1);
}
function tell(q, k) {
  at = [Math.max(0, Math.min(n - 1, q)), Math.max(0, Math.min(n - 1, k))];
  const [query, key] = at, v = values[query][key];
  const value = key > query ? "not read: it comes later" : v === null ? "dropped" : String(v);
  told.textContent = "query " + query + " " + rows[query].token + "   key " + key + " " + rows[key].token + "   " + value;
  paint();
}
canvas.addEventListener("mousemove", e => {
  const box = canvas.getBoundingClientRect();
  tell(Math.floor((e.clientY - box.top) / box.height * n), Math.floor((e.clientX - box.left) / box.width * n));
});
canvas.addEventListener("keydown", e => {
  const move = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[e.key];
  if (move) { e.preventDefault(); tell(at[0] + move[0], at[1] + move[1]); }
});
tell(n - 1, 0);
"#;

/// The page.
///
/// # Errors
/// What JSON cannot hold, in a sentence.
pub fn html(figure: &MapFigure) -> Result<String, String> {
    let colours: Vec<String> = figure.ramp().into_iter().map(hex).collect();
    let place: BTreeMap<&str, usize> = colours.iter().enumerate().map(|(i, c)| (c.as_str(), i)).collect();
    let step = |colour: Option<_>| colour.and_then(|c| place.get(hex(c).as_str())).map_or(-1, |i| *i as i32);
    let steps = (0..figure.frame.len).map(|q| figure.row(q).into_iter().map(step).collect()).collect();
    let data =
        PageData { numbers: figure.numbers, steps, colours: colours.clone(), dropped: hex(figure.dropped()) };
    let json = serde_json::to_string(&data).map_err(|e| format!("JSON cannot hold it: {e}"))?;
    // Nothing in the data can end the element that holds it, or begin another.
    let json = escaped(&json).replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e");
    let caption: String = figure.caption().iter().map(|line| format!("<p>{}</p>\n", markup(line))).collect();
    Ok(format!(
        "{HEAD}<title>Attention map: maskscope</title>\n<style>\nbody {{ background: {}; color: {}; font: 13px ui-monospace, monospace; \
         margin: 1.5em; }}\np {{ margin: .3em 0; overflow-wrap: anywhere; max-width: 100ch; }}\n\
         #told {{ min-height: 1.5em; white-space: pre-wrap; position: sticky; top: 0; background: inherit; }}\n\
         canvas {{ image-rendering: pixelated; }}\n</style></head>\n<body>\n\
         <div id=\"told\" role=\"status\"></div>\n\
         <canvas id=\"map\" tabindex=\"0\" role=\"img\" aria-label=\"attention map: queries down, keys right\"></canvas>\n\
         {caption}<script type=\"application/json\" id=\"data\">{json}</script>\n<script>{SCRIPT}</script>\n</body></html>\n",
        hex(figure.background()),
        hex(figure.ink())
    ))
}
