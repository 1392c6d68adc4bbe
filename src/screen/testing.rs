//! For tests: a port that records, and a small deterministic stand-in for the engine. Its numbers mean nothing; its
//! shapes, orders and rules are those of the real updates.

mod answers;
mod generate;
pub mod interventions;

use std::cell::RefCell;
use std::sync::Arc;

use crate::attention::types::Reduction;
use crate::config::FirstFocus;
use crate::engine::types::{
    self, BoundaryRow, Candidate, Command, CostRow, ExploreRequest, HeadSummary, MapFrame, MapKind,
    ModelInfo, ModelsCommand, PositionHistory, Prediction, RerollRow, Spread, Standing, Token, TrainCommand,
    Update, WindowReport, Work,
};
use crate::hub::{ModelDetails, ModelPlace};
use crate::mask::types::{Decision, MaskSettings, Op, Polarity, PositionDecision, Protection, Scope, State};
use crate::screen::events::Event;
use crate::screen::keys::Key;
use crate::screen::options::Options;
use crate::screen::pane::Pane;
use crate::screen::train::RunRequest;
use crate::screen::{App, Port, Request};
pub use answers::{answer, tokens, unit};

/// The text that most tests look at.
pub const TEXT: &str = "The captain looked at the grey sea for a long time, and then he turned to the old sailor and \
                        said that the storm would come before the morning.";

/// A port that keeps what it was handed.
#[derive(Default)]
pub struct Recorder {
    pub requests: RefCell<Vec<ExploreRequest>>,
    pub commands: RefCell<Vec<Command>>,
    pub emitted: RefCell<Vec<Request>>,
    pub plans: RefCell<Vec<RunRequest>>,
    pub trains: RefCell<Vec<TrainCommand>>,
    pub models: RefCell<Vec<ModelsCommand>>,
}

impl Port for Recorder {
    fn explore(&self, request: ExploreRequest) {
        self.requests.borrow_mut().push(request);
    }
    fn command(&self, command: Command) {
        self.commands.borrow_mut().push(command);
    }
    fn plan(&self, request: RunRequest) {
        self.plans.borrow_mut().push(request);
    }
    fn train(&self, command: TrainCommand) {
        self.trains.borrow_mut().push(command);
    }
    fn models(&self, command: ModelsCommand) {
        self.models.borrow_mut().push(command);
    }
}

/// An app, its port, and whether requests are answered.
pub struct Stage {
    pub app: App,
    pub port: Recorder,
    pub answering: bool,
    writer: generate::Writer,
}

impl Stage {
    /// An app over `TEXT` with a loaded model and everything answered.
    pub fn new() -> Self {
        Stage::with(options())
    }

    pub fn with(options: Options) -> Self {
        let (app, port) = (App::new(options).unwrap(), Recorder::default());
        let mut stage = Stage { app, port, answering: true, writer: generate::Writer::default() };
        let requests = stage.app.start();
        stage.take(requests);
        stage.update(Update::ModelReady(model("demo", 4, 4)));
        stage
    }

    /// Presses keys: names separated by spaces, e.g. `tab ctrl-r ]`.
    pub fn press(&mut self, keys: &str) -> &mut Self {
        for key in keys.split_whitespace() {
            self.event(Event::Key(key.parse::<Key>().unwrap()));
        }
        self
    }

    /// Types characters as single key presses.
    pub fn types(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            let name = if c == ' ' { "space".to_owned() } else { c.to_string() };
            self.event(Event::Key(name.parse().unwrap()));
        }
        self
    }

    pub fn event(&mut self, event: Event) -> &mut Self {
        let requests = self.app.handle(event);
        self.take(requests);
        self
    }

    pub fn act(&mut self, change: impl FnOnce(&mut App)) -> &mut Self {
        self.app.act(change);
        let requests = self.app.take_requests();
        self.take(requests);
        self
    }

    pub fn focus(&mut self, pane: &'static Pane) -> &mut Self {
        self.act(|app| app.focus(pane))
    }

    pub fn update(&mut self, update: Update) -> &mut Self {
        self.event(Event::Update(update))
    }

    /// Lets time pass.
    pub fn wait(&mut self, millis: u64) -> &mut Self {
        self.app.now += std::time::Duration::from_millis(millis);
        self.event(Event::Tick)
    }

    fn take(&mut self, requests: Vec<Request>) {
        for request in requests {
            match request.clone() {
                Request::Explore(request) => {
                    self.port.explore(*request.clone());
                    if self.answering {
                        for update in answer(&request) {
                            self.event(Event::Update(update));
                        }
                    }
                }
                Request::Command(command) => {
                    self.port.command(command.clone());
                    if self.answering {
                        self.obey(command);
                    }
                }
                Request::Plan(request) => self.port.plan(*request),
                Request::Train(command) => self.port.train(command),
                Request::Models(command) => self.port.models(command),
                _ => {}
            }
            self.port.emitted.borrow_mut().push(request);
        }
    }

    fn obey(&mut self, command: Command) {
        let n = self.app.results.len();
        match command {
            Command::Rerolls { generation, count } => {
                let s = |mean, sd| Spread { mean, sd, n: count };
                let row = |op| RerollRow {
                    op,
                    kl: s(0.2131, 0.0872),
                    loss: s(3.71, 0.12),
                    delta_masked: s(-0.4, 0.2),
                    delta_unmasked: s(-0.1, 0.05),
                    saved: s(0.0, 0.0),
                };
                let mut ops = vec![self.app.doc.mask.op];
                if self.app.view.effects {
                    ops.extend(Op::ALL.iter().filter(|op| **op != self.app.doc.mask.op));
                }
                let rows = ops.into_iter().map(row).collect();
                let rate = s(0.151, 0.032);
                self.update(Update::Rerolls { generation, done: count, of: count, rate, rows });
            }
            Command::Cost { generation } => self.cost(generation, n),
            Command::PatchGrid { generation } => {
                self.update(interventions::grid(generation, n));
            }
            Command::Generate(command) => {
                if let Some(news) = self.writer.obey(command) {
                    self.update(Update::Generate(Box::new(news)));
                }
            }
            _ => {}
        }
    }

    fn cost(&mut self, generation: u64, n: usize) {
        let costs = (0..n).map(|i| (i > 0).then(|| (unit(i as u64, 77) as f32 - 0.2) * 0.3)).collect();
        let scores = [
            Reduction::Plain,
            Reduction::Corrected,
            Reduction::Sum,
            Reduction::Window,
            Reduction::DistanceNull,
            Reduction::Last,
        ];
        let used = self.app.doc.score.reduction;
        let row = |(i, reduction): (usize, &Reduction)| CostRow {
            score: reduction.to_string(),
            reduction: *reduction,
            contribution: true,
            rho: (i != 5).then_some(0.71 - 0.23 * i as f64),
            position: None,
            tokens: n - 1,
            in_force: *reduction == used,
        };
        let rows = scores.iter().enumerate().map(row).collect();
        self.update(Update::Cost { generation, done: n, of: n, costs, rows });
    }

    /// The newest request.
    pub fn last(&self) -> ExploreRequest {
        self.port.requests.borrow().last().unwrap().clone()
    }

    pub fn asked(&self) -> usize {
        self.port.requests.borrow().len()
    }
}

pub fn options() -> Options {
    let defaults = Options::default();
    // Most tests press keys of the panes: they start there.
    let mut settings = (*defaults.settings).clone();
    settings.ui.focus = FirstFocus::Mask;
    Options {
        settings: Arc::new(settings),
        // The pictures of the tests were made under this one.
        mask: MaskSettings { seed: 1, ..MaskSettings::default() },
        text: TEXT.to_owned(),
        wanted: Some("openai-community/gpt2".to_owned()),
        known: vec![
            known("demo", ModelPlace::Bundled, (3_240_000, 6_500_000, 256)),
            known("openai-community/gpt2", ModelPlace::Hub, (124_439_808, 550_000_000, 1024)),
            known("distilbert/distilgpt2", ModelPlace::Cached, (81_912_576, 353_000_000, 1024)),
        ],
        ..defaults
    }
}

/// A model of so many parameters and bytes, with this context.
pub fn known(id: &str, place: ModelPlace, (parameters, bytes, context): (u64, u64, usize)) -> ModelDetails {
    let here = place != ModelPlace::Hub;
    ModelDetails {
        doc: "a model of the tests".to_owned(),
        parameters: Some(parameters),
        size_bytes: here.then_some(bytes),
        download_bytes: (place != ModelPlace::Bundled).then_some(bytes),
        layers: Some(12),
        heads: Some(12),
        width: Some(768),
        context: Some(context),
        licence: Some("MIT".to_owned()),
        cached_commit: (place == ModelPlace::Cached).then(|| "1".repeat(40)),
        ..ModelDetails::new(id, place)
    }
}

pub fn model(id: &str, n_layer: usize, n_head: usize) -> ModelInfo {
    ModelInfo {
        id: id.to_owned(),
        n_layer,
        n_head,
        n_embd: 256,
        n_positions: 256,
        vocab_size: 4096,
        parameters: 3_240_000,
        dtype: "f32".to_owned(),
        device: "cpu".to_owned(),
        has_mask_row: false,
        calibrated: true,
        note: None,
    }
}
