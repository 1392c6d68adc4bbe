use crate::engine::types::{Command, LoadProgress, ModelsCommand, ModelsUpdate, Update};
use crate::hub::{ModelDetails, ModelPlace};
use crate::screen::app::OFFER;
use crate::screen::general::REFRESH_MODEL;
use crate::screen::popups::Popup;
use crate::screen::testing::{Stage, known, model};
use crate::screen::tests::desk::Desk;
use crate::screen::tests::{picture, text};

#[test]
fn a_newer_version_is_offered_until_it_is_taken() {
    let mut stage = Stage::new();
    let possible = |s: &Stage| REFRESH_MODEL.possible(&s.app);
    assert!(!possible(&stage));
    stage.press("f5");
    assert!(stage.app.loading.is_none(), "there is nothing to fetch");
    stage.update(Update::ModelMoved { spec: "owner/name".into() });
    assert!(possible(&stage));
    stage.press("f5");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::RefreshModel { spec }) if spec == "owner/name")
    );
    assert!(stage.app.can_cancel() && !possible(&stage));
    let failed =
        Update::ModelFailed { id: "owner/name".into(), message: "the connection broke".into(), hint: None };
    stage.update(failed);
    assert!(possible(&stage), "the offer stays where the fetch failed");
    stage.update(Update::ModelReady(model("owner/name", 2, 2)));
    assert!(!possible(&stage));
}

#[test]
fn models_are_loaded_cancelled_and_switched_with_everything_kept() {
    let mut stage = Stage::new();
    stage.press("] ] i").types(" More").press("esc l l h");
    let before = stage.last();
    stage.press("M").types("gpt2").press("enter");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "openai-community/gpt2")
    );
    let progress = LoadProgress {
        id: "openai-community/gpt2".into(),
        what: "model.safetensors".into(),
        done: 5,
        total: Some(9),
        rate: None,
        file: None,
    };
    stage.update(Update::ModelLoading(progress));
    assert!(stage.app.can_cancel() && stage.app.wake().is_some());
    stage.press("]");
    assert_eq!(stage.last().mask.threshold, 0.76, "the model in use stays usable");
    stage.press("x");
    assert!(matches!(stage.port.commands.borrow().last(), Some(Command::CancelLoad)));
    stage.press("M").types("my/own-model").press("enter");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "my/own-model")
    );
    let asked = stage.asked();
    stage.update(Update::ModelReady(model("my/own-model", 1, 2)));
    assert_eq!(stage.asked(), asked + 1);
    let after = stage.last();
    assert_eq!((after.text, after.score), (before.text, before.score));
    assert_eq!(after.heads.layer, Some(0), "a layer the model does not have is brought back");
    assert!(stage.app.loading.is_none());
}

#[test]
fn a_cancelled_load_stays_cancelled() {
    let mut stage = Stage::new();
    let progress = |done| LoadProgress { done, ..LoadProgress::new("my/model", "x") };
    stage.press("M").types("my/model").press("enter");
    stage.update(Update::ModelLoading(progress(1)));
    stage.press("x");
    stage.update(Update::ModelLoading(progress(2)));
    assert!(stage.app.loading.is_none());
    stage.press("M").types("my/model").press("enter");
    stage.update(Update::ModelLoading(progress(3)));
    assert!(stage.app.loading.is_some());
}

#[test]
fn a_failed_load_becomes_a_card_with_retry() {
    let mut stage = Stage::new();
    stage.press("M").types("no/such").press("enter");
    stage.update(Update::ModelFailed {
        id: "no/such".into(),
        message: "not found".into(),
        hint: Some("check the id".into()),
    });
    assert_eq!(stage.app.cards.len(), 1);
    assert_eq!(stage.app.model.as_ref().unwrap().id, "demo");
    stage.press("ctrl-r");
    assert!(stage.app.cards.is_empty());
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "no/such")
    );
    stage.update(Update::ModelFailed { id: "no/such".into(), message: "not found".into(), hint: None });
    stage.press("esc");
    assert!(stage.app.cards.is_empty());
}

fn news(stage: &mut Stage, news: ModelsUpdate) {
    stage.update(Update::Models(Box::new(news)));
}

fn last(stage: &Stage) -> Option<ModelsCommand> {
    stage.port.models.borrow().last().cloned()
}

fn shown(stage: &mut Stage) -> String {
    text(&picture(stage, 80, 24))
}

#[test]
fn opening_lists_what_is_at_hand_and_asks_about_the_selected_model_once() {
    let mut stage = Stage::new();
    stage.press("M");
    assert_eq!(*stage.port.models.borrow(), [ModelsCommand::List], "the bundled model needs no question");
    stage.press("down");
    let asked = ModelsCommand::Describe("openai-community/gpt2".into());
    assert_eq!(last(&stage), Some(asked.clone()));
    let n = stage.port.models.borrow().len();
    stage.press("up down");
    assert_eq!(stage.port.models.borrow().len(), n + 1, "not answered yet: asked again");
    let details = ModelDetails {
        hub_commit: Some("2".repeat(40)),
        gated: Some(true),
        ..known("openai-community/gpt2", ModelPlace::Hub, (7_000_000, 29_000_000, 64))
    };
    let spec = details.id.clone();
    news(&mut stage, ModelsUpdate::Described { spec, details: Ok(Box::new(details)) });
    stage.press("up down");
    assert_eq!(stage.port.models.borrow().len(), n + 1);
    let screen = shown(&mut stage);
    for part in ["context", "7.0 M", "29.0 MB to download", "licence MIT", "its owner must grant access"] {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
}

#[test]
fn what_the_hub_does_not_answer_is_said_and_what_is_unknown_left_blank() {
    let mut stage = Stage::new();
    stage.press("M").types("owner/new");
    assert_eq!(last(&stage), Some(ModelsCommand::Describe("owner/new".into())));
    assert!(shown(&mut stage).contains("asking about it"));
    let details = Err("model owner/new not found on the Hub".to_owned());
    news(&mut stage, ModelsUpdate::Described { spec: "owner/new".into(), details });
    assert!(shown(&mut stage).contains("model owner/new not found on the Hub"));
    let details = Ok(Box::new(ModelDetails::new("owner/new", ModelPlace::Hub)));
    news(&mut stage, ModelsUpdate::Described { spec: "owner/new".into(), details });
    let screen = shown(&mut stage);
    assert!(screen.contains("not downloaded") && !screen.contains("width "), "{screen}");
}

#[test]
fn a_typed_folder_is_completed_by_tab() {
    let mut stage = Stage::new();
    stage.press("M").types("/models/gp");
    assert!(stage.port.models.borrow().contains(&ModelsCommand::Complete("/models/gp".into())));
    let completed = |typed: &str, offers: &[&str]| ModelsUpdate::Completed {
        typed: typed.into(),
        offers: offers.iter().map(|o| (*o).to_owned()).collect(),
    };
    news(&mut stage, completed("/models/g", &["/models/gone/"]));
    assert!(!shown(&mut stage).contains("tab:"), "an answer to something else");
    news(&mut stage, completed("/models/gp", &["/models/gpt2/", "/models/gpt2-random/"]));
    assert!(shown(&mut stage).contains("tab: gpt2/  gpt2-random/"));
    stage.press("tab");
    let typed = |s: &Stage| s.app.popup.as_ref().unwrap().list().unwrap().typed.clone();
    assert_eq!(typed(&stage), "/models/gpt2");
    news(&mut stage, completed("/models/gpt2", &["/models/gpt2/"]));
    stage.press("tab enter");
    assert!(
        matches!(stage.port.commands.borrow().last(), Some(Command::LoadModel { spec }) if spec == "/models/gpt2/")
    );
    // Elsewhere it goes on to the next model.
    stage.press("M tab");
    assert_eq!(stage.app.popup.as_ref().unwrap().list().unwrap().selected, 1);
}

#[test]
fn a_download_shows_its_progress_is_cancelled_at_once_and_tried_again() {
    let mut stage = Stage::new();
    stage.press("M").types("gpt2").press("ctrl-d");
    let pull = ModelsCommand::Pull { spec: "openai-community/gpt2".into(), refresh: false };
    assert_eq!(last(&stage), Some(pull.clone()));
    assert!(stage.app.can_cancel() && stage.app.wake().is_some());
    let progress = LoadProgress {
        done: 214_000_000,
        total: Some(548_000_000),
        rate: Some(12.3e6),
        file: Some((100_000_000, 400_000_000)),
        ..LoadProgress::new("openai-community/gpt2", "model.safetensors (3 of 4)")
    };
    news(&mut stage, ModelsUpdate::Pulling(progress.clone()));
    let screen = shown(&mut stage);
    for part in ["model.safetensors (3 of 4)", "100 / 400 MB · 12.3 MB/s · 0:24 left", "214 / 548 MB", "39 %"]
    {
        assert!(screen.contains(part), "{part}:\n{screen}");
    }
    let n = stage.port.models.borrow().len();
    stage.press("ctrl-d");
    assert_eq!(stage.port.models.borrow().len(), n, "one download at a time");
    stage.press("ctrl-g");
    assert_eq!(last(&stage), Some(ModelsCommand::CancelPull));
    news(&mut stage, ModelsUpdate::Pulling(progress));
    assert!(stage.app.models.pulling.is_none(), "what is late is ignored");
    stage.press("ctrl-d");
    let (message, hint) = ("the connection broke".to_owned(), None);
    news(&mut stage, ModelsUpdate::Failed { command: pull.clone(), message, hint });
    assert!(stage.app.models.pulling.is_none());
    let screen = shown(&mut stage);
    assert!(screen.contains("the connection broke") && screen.contains("the download failed"), "{screen}");
    stage.press("ctrl-r");
    assert!(stage.app.cards.is_empty() && last(&stage) == Some(pull));
    news(&mut stage, ModelsUpdate::Pulled { spec: "openai-community/gpt2".into(), note: None });
    assert!(stage.app.models.pulling.is_none());
    assert!(matches!(stage.app.popup, Some(Popup::Models(_))), "the screen stays");
}

#[test]
fn removing_asks_and_says_the_size() {
    let mut stage = Stage::new();
    stage.press("M delete");
    assert!(matches!(stage.app.popup, Some(Popup::Models(_))), "the bundled model cannot be removed");
    stage.types("distil").press("delete");
    let screen = shown(&mut stage);
    assert!(screen.contains("distilbert/distilgpt2") && screen.contains("353.0 MB"), "{screen}");
    let n = stage.port.models.borrow().len();
    stage.press("esc");
    let list = stage.app.popup.as_ref().and_then(Popup::list).unwrap();
    assert_eq!((list.typed.as_str(), stage.port.models.borrow().len()), ("distil", n));
    stage.press("delete enter");
    assert_eq!(last(&stage), Some(ModelsCommand::Remove("distilbert/distilgpt2".into())));
    assert!(matches!(stage.app.popup, Some(Popup::Models(_))));
    let command = ModelsCommand::Remove("distilbert/distilgpt2".into());
    let message = "distilbert/distilgpt2 is being downloaded by another process".to_owned();
    news(&mut stage, ModelsUpdate::Failed { command, message, hint: None });
    stage.press("esc");
    assert!(stage.app.cards.is_empty() && stage.app.popup.is_some(), "the message goes first");
}

#[test]
fn a_branch_that_moved_is_marked_and_fetched() {
    let mut stage = Stage::new();
    stage.press("M");
    let cached = known("distilbert/distilgpt2", ModelPlace::Cached, (81_912_576, 353_000_000, 1024));
    let newer = ModelDetails { hub_commit: Some("2".repeat(40)), ..cached.clone() };
    news(&mut stage, ModelsUpdate::Described { spec: cached.id.clone(), details: Ok(Box::new(newer)) });
    assert!(shown(&mut stage).contains("newer"));
    stage.press("down down");
    assert!(shown(&mut stage).contains("F5 fetches it"), "{}", shown(&mut stage));
    stage.press("f5");
    assert_eq!(last(&stage), Some(ModelsCommand::Pull { spec: cached.id.clone(), refresh: true }));
    news(&mut stage, ModelsUpdate::Pulled { spec: cached.id.clone(), note: None });
    let listed = ModelDetails { cached_commit: Some("2".repeat(40)), ..cached };
    news(&mut stage, ModelsUpdate::Listed(vec![listed]));
    assert!(!shown(&mut stage).contains("newer"));
}

#[test]
fn a_click_selects_and_a_second_one_opens() {
    let mut desk = Desk::new();
    desk.stage.press("M");
    let (x, y) = desk.find("openai-community/gpt2");
    desk.click(x, y);
    assert!(desk.stage.app.loading.is_none(), "a download needs more than one click");
    assert_eq!(desk.stage.app.popup.as_ref().and_then(Popup::list).unwrap().selected, 1);
    desk.click(x, y);
    assert!(desk.stage.app.loading.is_some() && desk.stage.app.popup.is_none());
}

#[test]
fn the_model_on_offer_is_mentioned_for_a_while_only() {
    let mut stage = Stage::new();
    let offer = "loads openai-community/gpt2 from the Hub";
    assert!(shown(&mut stage).contains(offer));
    let after = OFFER.as_millis() as u64 + 1;
    assert!(stage.app.wake().is_some());
    stage.wait(after);
    let screen = shown(&mut stage);
    assert!(!screen.contains(offer) && screen.contains("reads: "), "{screen}");
    assert!(stage.app.wake().is_none());
    stage.update(Update::ModelMoved { spec: "owner/name".into() });
    assert!(shown(&mut stage).contains("fetches the newer owner/name"));
    stage.wait(after);
    assert!(!shown(&mut stage).contains("fetches the newer"));
    assert!(REFRESH_MODEL.possible(&stage.app), "the key stays");
}

#[test]
fn a_folder_in_use_is_read_again_and_nothing_else_is() {
    let mut stage = Stage::new();
    let loads = |s: &Stage| {
        let commands = s.port.commands.borrow();
        commands.iter().filter(|c| matches!(c, Command::LoadModel { .. })).count()
    };
    for (spec, place, again) in [("owner/new", ModelPlace::Hub, 1), ("/models/own", ModelPlace::Folder, 2)] {
        let before = loads(&stage);
        for _ in 0..2 {
            stage.press("M").types(spec);
            let details = Ok(Box::new(ModelDetails::new(spec, place)));
            news(&mut stage, ModelsUpdate::Described { spec: spec.into(), details });
            stage.press("enter");
            stage.update(Update::ModelReady(model(spec, 1, 2)));
        }
        assert_eq!(loads(&stage) - before, again, "{spec}");
    }
}
