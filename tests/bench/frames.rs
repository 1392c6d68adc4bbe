//! How long a frame takes: the real screen over the bundled model's whole context, one pane after the other, at 200×50.
//! `cargo bench --bench frames`

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::{Criterion, criterion_group, criterion_main};
use maskscope::engine::loaded::HELD_OUT_TEXT;
use maskscope::engine::loader::{LoadOptions, Purpose};
use maskscope::engine::types::{Command, Update};
use maskscope::engine::worker::Engine;
use maskscope::hub::HubOptions;
use maskscope::model::WeightType;
use maskscope::screen::actions;
use maskscope::screen::draw::draw;
use maskscope::screen::{App, Event, Options, Request, pane};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

const AREA: Rect = Rect { x: 0, y: 0, width: 200, height: 50 };

/// The screen with everything answered.
fn settled() -> App {
    let load = LoadOptions {
        hub: HubOptions::default(),
        device: candle_core::Device::Cpu,
        device_name: "cpu",
        purpose: Purpose::Explore(WeightType::F32),
    };
    let (send, updates) = crossbeam_channel::unbounded();
    let engine = Engine::start(load, send).unwrap();
    engine.command(Command::LoadModel { spec: "demo".to_owned() });
    let text: String = HELD_OUT_TEXT.chars().take(1200).collect();
    let mut app = App::new(Options { text, ..Options::default() }).unwrap();
    app.size = (AREA.width, AREA.height);
    let obey = |requests: Vec<Request>| {
        for request in requests {
            match request {
                Request::Explore(request) => engine.explore(*request),
                Request::Command(command) => engine.command(command),
                _ => {}
            }
        }
    };
    obey(app.start());
    let deadline = Instant::now() + Duration::from_secs(60);
    // The overview is asked for last: it wants every map once more.
    let mut ready = false;
    loop {
        let update = updates.recv_deadline(deadline).expect("the engine answers within a minute");
        let done = matches!(update, Update::Done { .. });
        obey(app.handle(Event::Update(update)));
        if done && ready && !app.busy() {
            return app;
        }
        if done && !ready {
            ready = true;
            obey(overview(&mut app));
            obey(app.handle(Event::Key("]".parse().unwrap())));
        }
    }
}

/// Opens or closes the overview of all heads.
fn overview(app: &mut App) -> Vec<Request> {
    app.act(actions::by_name("overview").unwrap().run);
    app.take_requests()
}

fn frames(c: &mut Criterion) {
    let mut app = settled();
    let mut group = c.benchmark_group("frame 200x50");
    let mut frame = |app: &mut App, name: &str| {
        let mut buffer = Buffer::empty(AREA);
        group.bench_function(name, |b| {
            b.iter(|| {
                buffer.reset();
                black_box(draw(&mut buffer, black_box(app)))
            });
        });
    };
    frame(&mut app, "all heads");
    let _ = overview(&mut app);
    for pane in pane::all() {
        app.act(|app| app.focus(pane));
        frame(&mut app, &format!("{pane:?}"));
    }
    group.finish();
}

criterion_group!(benches, frames);
criterion_main!(benches);
