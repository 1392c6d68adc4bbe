//! No subcommand: the screen.

use std::path::PathBuf;
use std::sync::Arc;

use crossbeam_channel::Sender;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::error::CliError;
use super::flags::{FlagSet, ParameterFlags};
use super::kept::{KeptForm, KeptText};
use super::output::note;
use super::{CommandContext, convert};
use crate::config::{ExploreSettings, ThemeName};
use crate::engine::loader::{LoadOptions, Purpose};
use crate::engine::models::ModelLibrary;
use crate::engine::trainer::{Trainer, TrainerOptions};
use crate::engine::types::{
    Command, ExploreRequest, ExportOutcome, HeadChoice, ModelsCommand, TrainCommand, Update,
};
use crate::engine::worker::Engine;
use crate::hub::{ModelSpec, models_at_hand, telling_head};
use crate::mask::types::MaskSettings;
use crate::screen::explore::text::EXAMPLE_TEXT;
use crate::screen::export::parcel::Parcel;
use crate::screen::export::session::SavedSession;
use crate::screen::options::{Depth, presets};
use crate::screen::train::RunRequest;
use crate::screen::{self, App, Look, Options, Port, TerminalOptions};
use crate::support::paths::{self, expand_home};
use crate::train::grow;
use crate::train::settings::TrainSettings;
use crate::train::spec::{DataSpec, MaskingSpec, RunSpec};

/// Flags that mirror parameters.
#[derive(Clone, Copy, Debug)]
pub struct Flags;

impl FlagSet for Flags {
    const FLAGS: &'static [(&'static str, &'static str)] = &[
        ("model", "model.id"),
        ("revision", "model.revision"),
        ("device", "model.device"),
        ("offline", "hub.offline"),
        ("refresh", "hub.refresh"),
        ("text", "explore.text"),
    ];
}

/// `maskscope`
#[derive(Clone, Debug, clap::Args)]
pub struct ScreenArgs {
    /// File whose text to open
    #[arg(long, value_name = "FILE", conflicts_with = "explore.text", help_heading = "View")]
    pub text_file: Option<PathBuf>,
    /// Session to open: text, model, settings and cursor as they were when it was saved
    #[arg(long, value_name = "FILE", conflicts_with = "text_file", help_heading = "View")]
    pub session: Option<PathBuf>,
    #[command(flatten)]
    pub parameters: ParameterFlags<Flags>,
}

/// How much goes to the log: error, warn (default), info, debug.
const LOG_LEVEL: &str = "MASKSCOPE_LOG";

/// The engine, the trainer and the library of models, as the screen sees them.
struct EnginePort {
    engine: Engine,
    trainer: Trainer,
    models: ModelLibrary,
    runs: PathBuf,
    /// The configured context for training, and whether the configuration names it.
    context: usize,
    context_asked: bool,
    kept: KeptText,
    form: KeptForm,
    /// Where news of exports go.
    updates: Sender<Update>,
}

impl EnginePort {
    /// The spec of a run: the form's settings, over them the explorer's policy.
    fn spec(&self, request: &RunRequest) -> RunSpec {
        let run = &request.run;
        if request.grows {
            let seed = request.train.seed;
            return grow::spec(seed, grow::STEPS, self.runs.join(format!("grown-induction-{seed}")));
        }
        let paths = |text: &str| match text {
            "" => Vec::new(),
            text => vec![expand_home(text)],
        };
        let data = DataSpec {
            train: paths(&run.data),
            validation: paths(&run.validation),
            column: (!run.column.is_empty()).then(|| run.column.clone()),
            held_share: 0.1,
            held_seed: Some(request.train.seed),
            ..DataSpec::default()
        };
        let out = if run.out.is_empty() { self.runs.join(run_name(request)) } else { expand_home(&run.out) };
        let mut spec = request.train.spec(request.model.clone(), (data, out), None, &request.score);
        spec.time_limit = (run.minutes > 0.0).then_some(run.minutes * 60.0);
        if let Some(policy) = &request.policy {
            let explorer = MaskingSpec::from_explorer(policy, &request.score);
            spec.masking = MaskingSpec {
                schedule: spec.masking.schedule,
                cool_down: spec.masking.cool_down,
                clean_share: spec.masking.clean_share,
                score_from: spec.masking.score_from,
                joint: spec.masking.joint,
                ..explorer
            };
            spec.fixed_cuts = true;
        }
        spec
    }
}

/// What a run's folder is called: its data and who masks; the trainer adds a number where that is taken.
fn run_name(request: &RunRequest) -> String {
    let data = std::path::Path::new(&request.run.data).file_stem();
    let made_up = request.train.synthetic.map_or("run", |task| task.name());
    let data = data.map_or_else(|| made_up.to_owned(), |n| n.to_string_lossy().into_owned());
    let arm = if request.train.twins.is_some() {
        "twins"
    } else if request.policy.is_some() {
        "explorer"
    } else {
        request.train.arm.name()
    };
    format!("{data}-{arm}")
}

impl Port for EnginePort {
    fn explore(&self, request: ExploreRequest) {
        self.engine.explore(request);
    }

    fn command(&self, command: Command) {
        self.engine.command(command);
    }

    fn plan(&self, request: RunRequest) {
        self.form.keep(&request);
        let spec = self.spec(&request);
        let asked = request.grows || self.context_asked || spec.context != self.context;
        self.trainer.plan(spec, asked);
    }

    fn train(&self, command: TrainCommand) {
        self.trainer.command(command);
    }

    fn keep(&self, text: &str) {
        self.kept.keep(text);
    }

    fn models(&self, command: ModelsCommand) {
        self.models.command(command);
    }

    fn export(&self, parcel: Parcel) {
        let updates = self.updates.clone();
        let path = parcel.path.clone();
        let work = move || {
            // Nobody listens once the screen is closing.
            let _ = updates.send(Update::Exported(parcel.write()));
        };
        if let Err(error) = std::thread::Builder::new().name("export".to_owned()).spawn(work) {
            let message = format!("no thread could be started: {error}");
            let _ = self.updates.send(Update::Exported(ExportOutcome::Failed { path, message }));
        }
    }
}

/// Opens the screen and stays until it is left.
///
/// # Errors
/// No terminal, a device that is not available, settings that the screen cannot use.
pub fn run(
    args: &ScreenArgs,
    context: &CommandContext,
    session: Option<&SavedSession>,
) -> Result<(), CliError> {
    let settings = &context.loaded.settings;
    let kept = KeptText::open(args.text_file.as_deref(), context)?;
    let log = start_log(context);
    if let Some(threads) = settings.compute.threads_explorer {
        // Fails only when a pool exists already, which then stays.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    }
    let chosen = convert::device(settings)?;
    let tried = chosen.tried.clone().filter(|_| cfg!(feature = "cuda"));
    let load = LoadOptions {
        hub: convert::hub_options(context),
        device: chosen.device,
        device_name: chosen.name,
        purpose: Purpose::Explore(settings.compute.weights),
    };
    let options = options(context, &kept)?;
    let (send, updates) = crossbeam_channel::unbounded();
    let engine = Engine::start(load.clone(), send.clone())
        .map_err(|e| CliError::failed(format!("the engine cannot start: {e}")))?;
    let models = ModelLibrary::start(load.hub.clone(), send.clone())
        .map_err(|e| CliError::failed(format!("the library of models cannot start: {e}")))?;
    let trainer = TrainerOptions { load, threads: settings.compute.threads_trainer };
    let trainer = Trainer::start(trainer, engine.follower(), send.clone())
        .map_err(|e| CliError::failed(format!("the trainer cannot start: {e}")))?;
    let port = EnginePort {
        engine,
        trainer,
        models,
        runs: options.runs.clone(),
        context: settings.train.context,
        context_asked: context.asked(TrainSettings::context),
        kept,
        form: KeptForm::at_home(),
        updates: send,
    };
    // The bundled model is there at once; any other one is fetched beside it, while this one can be used.
    port.command(Command::LoadModel { spec: "demo".to_owned() });
    let spec = settings.model.spec();
    let mut app = furnished(options, context, &port.form)?;
    greet(&mut app, port.kept.reopened, tried.as_deref());
    session.map_or(Ok(()), |session| app.reopen(session)).map_err(CliError::failed)?;
    if spec != "demo" {
        port.command(Command::LoadModel { spec });
    }
    let result = screen::run(app, &port, updates, TerminalOptions { mouse: settings.ui.mouse });
    let said = port.kept.said();
    drop(port);
    drop(log);
    if let Some(said) = said {
        note(&said);
    }
    Ok(result?)
}

/// What is said first: where the text comes from, and why the CPU is used.
fn greet(app: &mut App, reopened: bool, tried: Option<&str>) {
    if reopened {
        app.say(format!("Your text of last time; {} opens the example", app.key_label(&EXAMPLE_TEXT)));
    }
    if let Some(reason) = tried {
        app.say(convert::on_cpu(reason));
    }
}

/// The screen's state as the settings and the form of last time have it.
fn furnished(options: Options, context: &CommandContext, form: &KeptForm) -> Result<App, CliError> {
    let explore = &context.loaded.settings.explore;
    let mut app = App::new(options).map_err(|e| CliError::usage(e.to_string()).with_hint_if(e.hint()))?;
    app.doc.heads = HeadChoice { layer: explore.layer, head: explore.head };
    if !context.asked(ExploreSettings::layer) && !context.asked(ExploreSettings::head) {
        let model: Option<ModelSpec> = context.loaded.settings.model.id.parse().ok();
        if let Some((layer, head)) = model.as_ref().and_then(telling_head) {
            app.doc.heads = HeadChoice { layer: Some(layer), head: Some(head) };
        }
    }
    app.doc.map = explore.map;
    app.view.colours = explore.color_scale;
    app.train.recalled = form.recall(&mut app.doc, &|key| context.asked(key));
    Ok(app)
}

/// The log goes to a file: the screen belongs to the frames. Without a place for it, no log is written.
fn start_log(context: &CommandContext) -> Option<tracing_appender::non_blocking::WorkerGuard> {
    let folder = paths::state()?;
    std::fs::create_dir_all(&folder).ok()?;
    let file = tracing_appender::rolling::never(folder, "maskscope.log");
    let (writer, guard) = tracing_appender::non_blocking(file);
    let level = context.env.text(LOG_LEVEL).and_then(|l| l.parse().ok()).unwrap_or(tracing::Level::WARN);
    // hf-hub logs addresses, which may be signed.
    let wanted = Targets::new().with_default(level).with_target("hf_hub", LevelFilter::OFF);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(false);
    tracing_subscriber::registry().with(lines.with_filter(wanted)).try_init().ok()?;
    Some(guard)
}

fn options(context: &CommandContext, kept: &KeptText) -> Result<Options, CliError> {
    let settings = &context.loaded.settings;
    let wanted = (!settings.model.hub_id.is_empty()).then(|| settings.model.hub_id.clone());
    Ok(Options {
        text: kept.opened.clone(),
        mask: settings.mask.clone(),
        score: settings.score.clone(),
        rolling: settings.rolling.clone().settled(),
        presets: presets(),
        look: look(context),
        wanted,
        known: models_at_hand(&convert::hub_options(context)).unwrap_or_default(),
        settings: Arc::new(settings.clone()),
        free: MaskSettings::ROWS.iter().all(|row| !context.asked(row.path)),
        runs: runs_folder(),
    })
}

/// Where runs of the screen go unless told otherwise.
pub(super) fn runs_folder() -> PathBuf {
    paths::data().unwrap_or_default().join("runs")
}

fn look(context: &CommandContext) -> Look {
    let ui = &context.loaded.settings.ui;
    let env = |name| context.env.text(name).unwrap_or_default();
    let depth = match ui.color {
        Some(depth) => depth,
        None if !env("NO_COLOR").is_empty() || env("TERM") == "dumb" => Depth::None,
        None if matches!(env("COLORTERM"), "truecolor" | "24bit") => Depth::True,
        None if env("TERM").contains("256color") || env("TERM").contains("direct") => Depth::Indexed,
        None => Depth::Ansi,
    };
    let locale =
        ["LC_ALL", "LC_CTYPE", "LANG"].map(env).into_iter().find(|v| !v.is_empty()).unwrap_or_default();
    let posix = matches!(locale, "C" | "POSIX");
    Look { dark: ui.theme == ThemeName::Dark, depth, ascii: ui.ascii || posix }
}
