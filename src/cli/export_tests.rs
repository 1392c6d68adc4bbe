//! The command line that the screen prints, read by the program's own parser and run: the same numbers, bit for bit.

use std::ffi::OsString;

use super::export::answer;
use super::*;
use crate::engine::loader::{LoadOptions, Purpose};
use crate::engine::types::Update;
use crate::engine::worker::Engine;
use crate::hub::HubOptions;
use crate::model::WeightType;
use crate::screen::explore::map;
use crate::screen::export::command::command_line;
use crate::screen::export::numbers::PaneNumbers;
use crate::screen::export::part::ExportPart;
use crate::screen::export::{session::SavedSession, subject};
use crate::screen::{App, Event, Options, Request};

/// Words as bash reads them.
fn words(line: &str) -> Vec<OsString> {
    let (mut out, mut word, mut chars) = (Vec::new(), Vec::<u8>::new(), line.chars().peekable());
    let push = |word: &mut Vec<u8>, c: char| word.extend(c.encode_utf8(&mut [0; 4]).bytes());
    while let Some(c) = chars.next() {
        match c {
            ' ' => out.push(std::mem::take(&mut word)),
            '\\' => push(&mut word, chars.next().unwrap()),
            '\'' => chars.by_ref().take_while(|c| *c != '\'').for_each(|c| push(&mut word, c)),
            '$' if chars.peek() == Some(&'\'') => {
                chars.next();
                while let Some(c) = chars.next().filter(|c| *c != '\'') {
                    match (c, if c == '\\' { chars.next().unwrap() } else { c }) {
                        ('\\', 'n') => word.push(b'\n'),
                        ('\\', 't') => word.push(b'\t'),
                        ('\\', 'x') => {
                            let digits: String =
                                [chars.next().unwrap(), chars.next().unwrap()].iter().collect();
                            word.push(u8::from_str_radix(&digits, 16).unwrap());
                        }
                        (_, c) => push(&mut word, c),
                    }
                }
            }
            c => push(&mut word, c),
        }
    }
    out.push(word);
    out.into_iter().map(|word| OsString::from(String::from_utf8(word).unwrap())).collect()
}

/// An app over the real engine with the bundled model.
struct RealScreen {
    app: App,
    engine: Engine,
    updates: crossbeam_channel::Receiver<Update>,
}

impl RealScreen {
    fn open(text: &str) -> Self {
        let load = LoadOptions {
            hub: HubOptions::default(),
            device: candle_core::Device::Cpu,
            device_name: "cpu",
            purpose: Purpose::Explore(WeightType::F32),
        };
        let (send, updates) = crossbeam_channel::unbounded();
        let engine = Engine::start(load, send).unwrap();
        engine.command(crate::engine::types::Command::LoadModel { spec: "demo".to_owned() });
        let mut app = App::new(Options { text: text.to_owned(), ..Options::default() }).unwrap();
        let first = app.start();
        let mut screen = RealScreen { app, engine, updates };
        screen.perform(first);
        screen.settle();
        screen
    }

    fn perform(&self, requests: Vec<Request>) {
        for request in requests {
            match request {
                Request::Explore(request) => self.engine.explore(*request),
                Request::Command(command) => self.engine.command(command),
                _ => {}
            }
        }
    }

    fn act(&mut self, change: impl FnOnce(&mut App)) {
        self.app.act(change);
        let requests = self.app.take_requests();
        self.perform(requests);
        self.settle();
    }

    /// Takes in answers until the newest request has all of its.
    fn settle(&mut self) {
        while self.app.busy() || self.app.model.is_none() {
            let update = self.updates.recv_timeout(std::time::Duration::from_secs(60)).unwrap();
            let requests = self.app.handle(Event::Update(update));
            self.perform(requests);
        }
    }

    fn fingerprint(&self) -> String {
        self.engine.command(crate::engine::types::Command::Fingerprint);
        loop {
            if let Update::Fingerprint { hash, .. } = self.updates.recv().unwrap() {
                return hash.unwrap();
            }
        }
    }
}

fn export_args(line: &str) -> (export::ExportArgs, CommandContext) {
    let cli = parse(words(line)).unwrap();
    let Some(Commands::Export(args)) = cli.command else { panic!("{line}") };
    let flags = args.parameters.values().to_vec();
    let context = context(cli.common, Env::default(), Output::stdout(), args.preset, flags).unwrap();
    (*args, context)
}

#[test]
fn the_printed_command_gives_the_numbers_of_the_screen() {
    let mut screen =
        RealScreen::open("It's the captain\u{2019}s \"old\" sea,\n\tand $HOME was \\ far; \u{1b}[31m -- 漢");
    screen.act(|app| {
        app.doc.mask.threshold = 0.35;
        app.doc.mask.seed = 9;
        app.doc.mask.op = crate::mask::types::Op::Hide;
        app.doc.mask.exact_k = true;
        app.doc.score.layers = vec![0, 2];
        app.doc.score.contribution = !app.doc.score.contribution;
        app.doc.heads.layer = Some(1);
        app.doc.map = crate::engine::types::MapKind::Difference;
        app.doc.toggle_pin(2);
        map::crosshair(app, 5, 3);
        app.view.overview = true;
    });
    for part in [ExportPart::Tokens, ExportPart::Map, ExportPart::Effect, ExportPart::Heads] {
        let here = subject(&screen.app);
        let shown = PaneNumbers::of(part, &screen.app.results, &here).unwrap();
        assert!(!shown.command.contains('\u{1b}') && !shown.command.contains('\n'));
        let (args, context) = export_args(&shown.command);
        let (asked, there) = answer(&args, &context).unwrap();
        let printed = PaneNumbers::of(part, &asked.results, &there).unwrap();
        let json = |n: &PaneNumbers| serde_json::to_value(n).unwrap();
        assert_eq!(json(&printed), json(&shown), "{}", shown.command);
    }
    // A missing setting would be noticed: without the seed the numbers are others.
    let line = command_line(ExportPart::Tokens, &subject(&screen.app)).replace("--seed=9", "--seed=10");
    let (args, context) = export_args(&line);
    let (asked, there) = answer(&args, &context).unwrap();
    let other = PaneNumbers::of(ExportPart::Tokens, &asked.results, &there).unwrap();
    let shown = PaneNumbers::of(ExportPart::Tokens, &screen.app.results, &subject(&screen.app)).unwrap();
    assert_ne!(other.columns, shown.columns);
}

#[test]
fn a_session_of_the_screen_replays_without_one() {
    let mut screen = RealScreen::open("The captain looked at the grey sea for a long time.");
    screen.act(|app| {
        app.doc.mask.threshold = 0.4;
        app.doc.toggle_pin(3);
        map::crosshair(app, 6, 2);
    });
    let hash = screen.fingerprint();
    let session = SavedSession::new(&screen.app.results, &subject(&screen.app), &hash, (6, 2)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("s.toml");
    let verify = |session: &SavedSession| {
        std::fs::write(&file, session.written().unwrap()).unwrap();
        let args =
            replay::ReplayArgs { file: file.clone(), verify: true, output: output::JsonFlag { json: true } };
        let context = context(Common::default(), Env::default(), Output::stdout(), None, Vec::new()).unwrap();
        replay::run(&args, &context).map_err(|e| e.message)
    };
    verify(&session).unwrap();
    let mut seed = session.clone();
    seed.settings.insert("mask.seed".to_owned(), "5".to_owned());
    assert!(verify(&seed).unwrap_err().contains("mask.seed was changed"));
    let mut weights = session.clone();
    weights.model.weights = "0".repeat(64);
    assert!(verify(&weights).unwrap_err().contains("the weights of demo differ"));
    // A number alone, as another machine or version would give it.
    let mut number = session;
    number.recorded.loss_masked = number.recorded.loss_masked.map(|x| x + 0.02);
    assert!(verify(&number).unwrap_err().contains("loss under the mask was"));
}
