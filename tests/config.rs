//! Settings as a user meets them: the table against the shipped file and the rooms' enums, layers, mistakes, saving.

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};

use maskscope::attention::types::Reduction;
use maskscope::config::{
    AllSettings, BUILT_IN, ConfigError, Depth, Env, FlagValue, Kind, Loaded, PRESETS, Preset, Row, SetBy,
    SettingSources, Settings, Value, defaults, load, save,
};
use maskscope::mask::types::{Op, Polarity, Protect, Scale};
use proptest::prelude::*;

fn env(pairs: &[(&str, &str)]) -> Env {
    pairs.iter().map(|(name, value)| (*name, *value)).collect()
}

fn flag(flag: &str, key: &str, value: &str) -> FlagValue {
    FlagValue { key: key.into(), value: value.into(), flag: flag.into() }
}

/// Loads `text` as the user's file.
fn load_text(text: &str) -> Result<Loaded, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("config.toml");
    std::fs::write(&file, text).unwrap();
    load(SettingSources { file: Some(file), ..SettingSources::default() })
}

fn rows() -> Vec<&'static Row> {
    Settings::default().rows()
}

/// `key = value` lines of the shipped file, as `(section, line)`.
fn shipped_lines() -> Vec<(&'static str, &'static str)> {
    let mut section = "";
    let mut out = Vec::new();
    for line in BUILT_IN.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            section = name;
        } else if !line.is_empty() && !line.starts_with('#') {
            out.push((section, line));
        }
    }
    out
}

mod table {
    use super::*;

    #[test]
    fn the_declared_defaults_are_those_of_the_shipped_file() {
        assert_eq!(defaults().unwrap(), Settings::default());
    }

    #[test]
    fn every_default_is_within_its_bounds() {
        let defaults = defaults().unwrap();
        for row in rows() {
            let value = defaults.get(row.path).unwrap_or_else(|| panic!("no value for {}", row.path));
            assert_eq!(row.kind.check(value.clone()), Ok(value), "{}", row.path);
        }
    }

    #[test]
    fn paths_are_unique_and_docs_are_one_line_without_a_full_stop() {
        let mut seen = std::collections::BTreeSet::new();
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        for row in rows() {
            assert!(seen.insert(row.path), "{} twice", row.path);
            assert!(row.was.iter().all(|old| seen.insert(old)), "{}", row.path);
            assert!(row.key().chars().all(plain) && row.table().chars().all(plain), "{}", row.path);
            let docs = row.kind.choices().iter().flat_map(|choice| [choice.name, choice.doc]);
            for text in [row.name(), row.doc].into_iter().chain(docs) {
                assert!(
                    !text.is_empty() && !text.contains('\n') && !text.ends_with('.'),
                    "{}: {text:?}",
                    row.path
                );
            }
        }
        assert!(Settings::REMOVED.iter().all(|(path, _)| seen.insert(path)));
    }

    #[test]
    fn bounds_and_steps_make_sense() {
        for Row { path, kind, .. } in rows() {
            match *kind {
                Kind::Float { min, max, step, fine_step, log } => {
                    assert!(min < max && max < f64::MAX && fine_step > 0.0 && fine_step <= step, "{path}");
                    assert!(!log || min > 0.0, "{path}: a log slider cannot start at 0");
                }
                Kind::Int { min, max, step } | Kind::IntOr { min, max, step, .. } => {
                    assert!(min < max && max < i64::MAX && step >= 1, "{path}");
                }
                Kind::Ints { min, max } => assert!(min < max && max < i64::MAX, "{path}"),
                Kind::Choice(choices) => {
                    let names: std::collections::BTreeSet<_> =
                        choices.iter().flat_map(|c| c.was.iter().chain([&c.name])).collect();
                    let all: usize = choices.iter().map(|c| 1 + c.was.len()).sum();
                    assert!(choices.len() > 1 && names.len() == all, "{path}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn every_setting_with_a_track_holds_its_default_and_its_ends() {
        let defaults = defaults().unwrap();
        for Row { path, kind, .. } in rows() {
            let value = defaults.get(path).unwrap();
            let Some(place) = kind.place(&value) else { continue };
            assert!((0.0..=1.0).contains(&place), "{path}");
            for end in [kind.at_place(0.0).unwrap(), kind.at_place(1.0).unwrap()] {
                assert_eq!(kind.step(&end, 0, true), Some(end), "{path}");
            }
            let there = kind.step(&value, 1, true).unwrap();
            assert_eq!(kind.step(&there, -1, true), Some(value), "{path}");
        }
    }

    /// A setting that no code reads does nothing, however well it is declared. Its field is read where `.field` stands
    /// outside the declaration of its struct.
    #[test]
    fn every_setting_is_read_somewhere() {
        fn sources(folder: &Path, out: &mut String) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                let name = path.file_name().unwrap().to_str().unwrap().to_owned();
                if path.is_dir() && name != "settings" {
                    sources(&path, out);
                } else if name.ends_with(".rs") && !name.contains("test") {
                    out.push_str(&std::fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let read = |field: &str| {
            let dotted = format!(".{field}");
            text.match_indices(&dotted).any(|(at, _)| {
                let after = text[at + dotted.len()..].chars().next().unwrap_or(' ');
                let line = text[..at].rsplit('\n').next().unwrap_or_default();
                !is_word(after) && !matches!(after, '(' | '"') && !line.trim_start().starts_with("//")
            })
        };
        let unread: Vec<_> = rows().into_iter().filter(|row| !read(row.key())).map(|row| row.path).collect();
        assert!(unread.is_empty(), "nobody reads {unread:?}");
        assert!(!read("input_fps"), "the test finds what is not read");
    }

    #[test]
    fn protection_lists_are_read_as_they_are_checked() {
        let kind = Settings::default().row("mask.protect").unwrap().kind;
        for text in ["default", "none", "first", "last", "last:7", "sinks", "eot", "first,last:4,sinks,eot"] {
            assert!(kind.parse(text).is_ok(), "{text}");
            assert!(text.parse::<Protect>().is_ok(), "{text}");
        }
        for text in ["", "first,", "frist", "last:", "last:x", "last:-1", "first,default"] {
            assert!(kind.parse(text).is_err(), "{text:?}");
            assert!(text.parse::<Protect>().is_err(), "{text:?}");
        }
        let Protect { sinks, eot, .. } = Protect::default();
        for protect in [Protect::NONE, Protect::default(), Protect { first: true, last: 16, sinks, eot }] {
            assert!(kind.parse(&protect.to_string()).is_ok(), "{protect}");
        }
    }

    #[test]
    fn a_misspelt_key_finds_its_like() {
        for (key, near) in [
            ("mask.treshold", "mask.threshold"),
            ("explore.threshold", "mask.threshold"),
            ("threshold", "mask.threshold"),
            ("trian.steps", "train.steps"),
        ] {
            let hint = Settings::default().set(key, "1").unwrap_err().hint().unwrap();
            assert_eq!(hint, format!("did you mean {near}?"), "{key}");
        }
    }

    #[test]
    fn the_variable_is_the_key_in_capitals() {
        let variable = Settings::default().row("train.batch_size").unwrap().variable();
        assert_eq!(variable, "MASKSCOPE_TRAIN__BATCH_SIZE");
    }

    #[test]
    fn setting_one_key_changes_that_key_alone() {
        let base = defaults().unwrap();
        for row in rows() {
            let other = match row.path {
                "mask.mix" => "keep:1".to_owned(),
                "train.twins" => "dyn-rand,none".to_owned(),
                _ => other_value(&row.kind, &base.get(row.path).unwrap()),
            };
            let mut settings = base.clone();
            settings.set(row.path, &other).unwrap();
            let changed: Vec<_> = settings.changed_since(&base).into_iter().map(|(key, _)| key).collect();
            assert_eq!(changed, [row.path]);
        }
    }

    /// Some allowed value besides `value`, as typed in.
    fn other_value(kind: &Kind, value: &Value) -> String {
        let candidates = match kind {
            Kind::Float { min, max, .. } => vec![min.to_string(), max.to_string()],
            Kind::Int { min, max, .. } => vec![min.to_string(), max.to_string()],
            Kind::IntOr { word, max, .. } => vec![(*word).to_string(), max.to_string()],
            Kind::Bool => vec!["true".into(), "false".into()],
            Kind::Choice(choices) => choices.iter().map(|choice| choice.name.to_owned()).collect(),
            Kind::Terms { alone, .. } => alone.iter().map(ToString::to_string).collect(),
            Kind::Text | Kind::Path | Kind::Texts => vec!["something else".into()],
            Kind::Ints { max, .. } => vec![format!("0,{max}")],
        };
        candidates.into_iter().find(|text| kind.parse(text).unwrap() != *value).unwrap()
    }

    #[test]
    fn the_first_screen_is_the_promised_one() {
        let Settings { mask, model, explore, .. } = defaults().unwrap();
        assert_eq!((mask.threshold, mask.probability), (0.70, 0.50));
        assert_eq!((mask.scale, mask.op, mask.polarity), (Scale::Rank, Op::Replace, Polarity::High));
        assert_eq!(model.id, "demo");
        assert!(explore.text.split_whitespace().count() >= 20);
    }
}

mod shipped_file {
    use super::*;

    #[test]
    fn as_the_users_own_it_changes_nothing() {
        assert_eq!(load_text(BUILT_IN).unwrap().settings, defaults().unwrap());
    }

    #[test]
    fn any_line_may_be_commented_out() {
        let defaults = defaults().unwrap();
        for (_, line) in shipped_lines() {
            let text = BUILT_IN.replacen(&format!("\n{line}\n"), &format!("\n# {line}\n"), 1);
            assert_ne!(text, BUILT_IN, "{line}");
            assert_eq!(load_text(&text).unwrap().settings, defaults, "{line}");
        }
    }

    #[test]
    fn any_line_may_stand_alone() {
        let defaults = defaults().unwrap();
        for (section, line) in shipped_lines() {
            let loaded = load_text(&format!("[{section}]\n{line}\n")).unwrap();
            assert_eq!(loaded.settings, defaults, "{line}");
            let key = format!("{section}.{}", line.split(' ').next().unwrap());
            assert!(matches!(loaded.origin(&key), SetBy::File { line: 2, column: 1, .. }), "{key}");
        }
    }
}

mod layers {
    use super::*;

    #[test]
    fn each_one_goes_over_the_last() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, "[mask]\nthreshold = 0.1\nprobability = 0.1\nseed = 1\nhistory = 2\n").unwrap();
        let options = SettingSources {
            env: env(&[("MASKSCOPE_MASK__PROBABILITY", "0.2"), ("MASKSCOPE_MASK__SEED", "2")]),
            file: Some(file.clone()),
            preset: None,
            flags: vec![flag("--seed", "mask.seed", "3")],
        };
        let loaded = load(options).unwrap();
        let mask = &loaded.settings.mask;
        assert_eq!((mask.threshold, mask.probability, mask.seed), (0.1, 0.2, 3));
        let rolling = &loaded.settings.rolling;
        assert_eq!((rolling.history, rolling.decay), (2.0, defaults().unwrap().rolling.decay));
        let place = |line| SetBy::File { path: file.clone(), line, column: 1 };
        assert_eq!(loaded.origin("mask.threshold"), place(2));
        assert_eq!(loaded.origin("mask.probability"), SetBy::Env("MASKSCOPE_MASK__PROBABILITY".into()));
        assert_eq!(loaded.origin("mask.seed"), SetBy::Flag("--seed".into()));
        assert_eq!(loaded.origin("mask.decay"), SetBy::BuiltIn);
        assert_eq!(loaded.path, Some(file));
    }

    #[test]
    fn the_last_flag_wins() {
        let flags = vec![flag("--set", "mask.seed", "1"), flag("--seed", "mask.seed", "2")];
        assert_eq!(
            load(SettingSources { flags, ..SettingSources::default() }).unwrap().settings.mask.seed,
            2
        );
    }

    #[test]
    fn the_file_is_found_in_its_usual_places() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: PathBuf, seed: u32| {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, format!("[mask]\nseed = {seed}\n")).unwrap();
            path.to_str().unwrap().to_owned()
        };
        write(home.path().join(".config/maskscope/config.toml"), 11);
        write(home.path().join("xdg/maskscope/config.toml"), 12);
        let named = write(home.path().join("named.toml"), 13);
        let flagged = write(home.path().join("flagged.toml"), 14);
        let home_text = home.path().to_str().unwrap();
        let xdg = format!("{home_text}/xdg");
        let seed = |pairs: &[(&str, &str)], file: Option<&str>| {
            let file = file.map(PathBuf::from);
            load(SettingSources { env: env(pairs), file, ..SettingSources::default() })
                .unwrap()
                .settings
                .mask
                .seed
        };
        let (at_home, at_xdg) = (("HOME", home_text), ("XDG_CONFIG_HOME", xdg.as_str()));
        let at_name = ("MASKSCOPE_CONFIG", named.as_str());
        assert_eq!(seed(&[at_home], None), 11);
        assert_eq!(seed(&[at_home, at_xdg], None), 12);
        assert_eq!(seed(&[at_home, at_xdg, at_name], None), 13);
        assert_eq!(seed(&[at_home, at_xdg, at_name], Some(&flagged)), 14);
        // A relative XDG path is no path, and an empty variable is none.
        assert_eq!(seed(&[at_home, ("XDG_CONFIG_HOME", "xdg"), ("MASKSCOPE_CONFIG", "")], None), 11);
    }

    #[test]
    fn a_file_that_was_named_must_exist_and_the_usual_one_need_not() {
        assert!(
            load(SettingSources { env: env(&[("HOME", "/nowhere")]), ..SettingSources::default() }).is_ok()
        );
        let named =
            SettingSources { env: env(&[("MASKSCOPE_CONFIG", "/nowhere/x")]), ..SettingSources::default() };
        assert_eq!(load(named).unwrap_err().to_string(), "cannot read /nowhere/x: no such file");
        let flagged = SettingSources { file: Some("/nowhere/y".into()), ..SettingSources::default() };
        assert_eq!(load(flagged).unwrap_err().to_string(), "cannot read /nowhere/y: no such file");
    }

    #[test]
    fn variables_that_are_customary_are_heard() {
        let load = |pairs: &[(&str, &str)]| {
            load(SettingSources { env: env(pairs), ..SettingSources::default() }).unwrap().settings
        };
        let settings = load(&[
            ("HF_ENDPOINT", "http://127.0.0.1:1"),
            ("HF_HOME", "/hf"),
            ("HF_HUB_OFFLINE", "1"),
            ("NO_COLOR", "yes"),
        ]);
        assert_eq!(settings.hub.endpoint.as_deref(), Some("http://127.0.0.1:1"));
        assert_eq!(settings.hub.cache.as_deref(), Some(Path::new("/hf/hub")));
        assert!(settings.hub.offline);
        assert_eq!(settings.ui.color, Some(Depth::None));
        let settings = load(&[
            ("HF_HOME", "/hf"),
            ("HF_HUB_CACHE", "/cache"),
            ("NO_COLOR", ""),
            ("HF_HUB_OFFLINE", "1"),
            ("MASKSCOPE_HUB__OFFLINE", "false"),
        ]);
        assert!(!load(&[("HF_HUB_OFFLINE", "maybe")]).hub.offline);
        assert_eq!(settings.hub.cache.as_deref(), Some(Path::new("/cache")));
        assert_eq!(settings.ui.color, None);
        assert!(!settings.hub.offline);
    }

    #[test]
    fn the_home_folder_is_spelt_out_in_paths() {
        let options = SettingSources {
            env: env(&[("HOME", "/home/ada")]),
            flags: vec![flag("--set", "hub.cache", "~/models"), flag("--set", "explore.text", "~/models")],
            ..SettingSources::default()
        };
        let settings = load(options).unwrap().settings;
        assert_eq!(settings.hub.cache.as_deref(), Some(Path::new("/home/ada/models")));
        assert_eq!(settings.explore.text, "~/models");
    }

    #[test]
    fn variables_are_checked_like_everything_else() {
        let message = |name: &str, value: &str| {
            let error =
                load(SettingSources { env: env(&[(name, value)]), ..SettingSources::default() }).unwrap_err();
            (error.to_string(), error.hint().unwrap_or_default())
        };
        let (error, hint) = message("MASKSCOPE_MASK__THRESHOLD", "2");
        assert_eq!(error, "MASKSCOPE_MASK__THRESHOLD: mask.threshold must be at most 1, not 2");
        assert_eq!(hint, "a number from 0 to 1");
        let (error, hint) = message("MASKSCOPE_MASK__TRESHOLD", "0.5");
        assert_eq!(error, "MASKSCOPE_MASK__TRESHOLD: unknown key: mask.treshold");
        assert_eq!(hint, "did you mean mask.threshold?");
        // A switch of the program, not a setting.
        assert!(
            load(SettingSources { env: env(&[("MASKSCOPE_LOG", "debug")]), ..SettingSources::default() })
                .is_ok()
        );
    }

    #[cfg(unix)]
    #[test]
    fn variables_that_are_not_text_are_refused_where_they_matter() {
        use std::ffi::OsString;
        use std::os::unix::ffi::OsStringExt;
        let with = |name: &str| {
            let env = [(OsString::from(name), OsString::from_vec(vec![b'a', 0xff]))].into_iter().collect();
            load(SettingSources { env, ..SettingSources::default() })
        };
        assert_eq!(
            with("MASKSCOPE_EXPLORE__TEXT").unwrap_err().to_string(),
            "MASKSCOPE_EXPLORE__TEXT: not UTF-8 text at byte 1"
        );
        assert!(with("LS_COLORS").is_ok());
    }

    #[test]
    fn bindings_come_from_every_layer() {
        let loaded = load_text("[keys]\nquit = [\"q\", \"ctrl-c\"]\nreroll = \"r\"\nhelp = []\n").unwrap();
        let keys = &loaded.settings.keys;
        assert_eq!(keys["quit"], ["q", "ctrl-c"]);
        assert_eq!(keys["reroll"], ["r"]);
        assert!(keys["help"].is_empty());
        assert!(matches!(loaded.origin("keys.quit"), SetBy::File { line: 2, .. }));
        let options =
            SettingSources { env: env(&[("MASKSCOPE_KEYS__QUIT", "x,y")]), ..SettingSources::default() };
        assert_eq!(load(options).unwrap().settings.keys["quit"], ["x", "y"]);
    }

    #[test]
    fn every_problem_is_reported_not_the_first_alone() {
        let error = load_text("[mask]\nthreshold = 2\nseed = \"x\"\n[maks]\n").unwrap_err();
        assert_eq!(error.problems.len(), 3);
        assert!(error.to_string().ends_with("(and 2 more)"), "{error}");
    }
}

mod old_names {
    use super::*;

    #[test]
    fn a_choice_under_its_old_name_is_read_and_answered_with_the_new_one() {
        let loaded = load_text("[explore]\ncolor_scale = \"root\"\n").unwrap();
        assert_eq!(loaded.settings, defaults().unwrap());
        let [note] = &loaded.notes[..] else { panic!("{:?}", loaded.notes) };
        assert!(note.ends_with("config.toml:2:15: explore.color_scale = root is now sqrt"), "{note}");
        let flags = vec![flag("--set", "explore.color_scale", "row max")];
        let loaded = load(SettingSources { flags, ..SettingSources::default() }).unwrap();
        assert_eq!(loaded.notes, ["--set: explore.color_scale = row max is now row-max"]);
        assert_eq!(loaded.settings.get("explore.color_scale"), Some(Value::Text("row-max".into())));
        let loaded = load_text("[score]\nreduction = \"null\"\n").unwrap();
        assert!(loaded.notes[0].ends_with("config.toml:2:13: score.reduction = null is now distance-null"));
        assert_eq!(loaded.settings, defaults().unwrap());
    }

    #[test]
    fn a_setting_under_its_old_name_is_read_from_files_variables_and_flags() {
        let rate = |loaded: &Loaded| loaded.settings.train.joint_learning_rate;
        let loaded = load_text("[train]\njoint_rate = 0.5\n").unwrap();
        assert_eq!(rate(&loaded), 0.5);
        let note = "train.joint_rate is now train.joint_learning_rate";
        assert!(loaded.notes[0].ends_with(&format!("config.toml:2:1: {note}")), "{:?}", loaded.notes);
        let flags = vec![flag("--joint-rate", "train.joint_rate", "0.25")];
        let loaded = load(SettingSources { flags, ..SettingSources::default() }).unwrap();
        assert_eq!((rate(&loaded), loaded.notes), (0.25, vec![format!("--joint-rate: {note}")]));
    }

    #[test]
    fn what_is_no_setting_any_more_is_passed_over_with_the_reason() {
        let loaded = load_text("[ui]\ninput_fps = 60\nmouse = false\n").unwrap();
        assert!(!loaded.settings.ui.mouse);
        let [note] = &loaded.notes[..] else { panic!("{:?}", loaded.notes) };
        assert!(note.contains("config.toml:2:1: ui.input_fps is no longer a setting: "), "{note}");
        let mut settings = Settings::default();
        assert!(settings.set("ui.input_fps", "60").is_err());
        assert!(load_text("").unwrap().notes.is_empty());
    }
}

mod presets {
    use super::*;

    #[test]
    fn cache_policies_can_be_used() {
        for policy in maskscope::mask::presets::CachePolicy::ALL {
            let settings = Preset::find(policy.name()).unwrap().settings().unwrap();
            assert_eq!(settings.rolling.policy, Some(*policy));
            assert!(settings.rolling.settled().check(&settings.mask, 256).is_ok(), "{policy}");
        }
    }

    #[test]
    fn the_article_is_as_printed() {
        let mut settings = defaults().unwrap();
        settings.set("mask.exact_k", "true").unwrap();
        settings.set("mask.seed", "77").unwrap();
        settings.set("explore.top", "3").unwrap();
        settings.apply(Preset::find("article").unwrap()).unwrap();
        let mask = &settings.mask;
        assert_eq!((mask.threshold, mask.probability), (0.9, 0.5));
        assert_eq!((mask.scale, &mask.protect, mask.op), (Scale::Raw, &Protect::NONE, Op::Replace));
        assert_eq!((settings.score.reduction, settings.score.contribution), (Reduction::Plain, false));
        // It decides all of mask and score, and nothing else; the draw stays the user's.
        assert!(!mask.exact_k);
        assert_eq!((mask.seed, settings.explore.top), (77, 3));
    }

    #[test]
    fn a_preset_lies_under_flags_and_over_the_environment() {
        let options = SettingSources {
            env: env(&[("MASKSCOPE_MASK__THRESHOLD", "0.2"), ("MASKSCOPE_MASK__SEED", "5")]),
            preset: Preset::find("article"),
            flags: vec![flag("--probability", "mask.probability", "1")],
            ..SettingSources::default()
        };
        let loaded = load(options).unwrap();
        let mask = &loaded.settings.mask;
        assert_eq!((mask.threshold, mask.probability, mask.seed), (0.9, 1.0, 5));
        assert_eq!(loaded.origin("mask.threshold"), SetBy::Flag("--preset article".into()));
    }

    #[test]
    fn default_is_the_defaults() {
        let mut settings = defaults().unwrap();
        settings.set("mask.threshold", "0.1").unwrap();
        settings.apply(Preset::find("default").unwrap()).unwrap();
        assert_eq!(settings, defaults().unwrap());
        assert!(PRESETS.iter().all(|preset| preset.values().is_ok()));
    }
}

mod saving {
    use super::*;

    const COMMENTED: &str = "\
# mine
[mask]   # what goes

# I like it low
threshold   =  0.3   # not 0.7
seed = 4
";

    fn changes(pairs: &[(&str, &str)]) -> Vec<(String, Value)> {
        let base = defaults().unwrap();
        let mut settings = base.clone();
        for (key, value) in pairs {
            settings.set(key, value).unwrap();
        }
        settings.changed_since(&base)
    }

    /// Saves over `old`, gives the text and the names in the folder.
    fn saved(old: Option<&str>, pairs: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("deep/er/config.toml");
        if let Some(old) = old {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(&file, old).unwrap();
        }
        save(&file, &changes(pairs)).unwrap();
        let names: Vec<_> = std::fs::read_dir(file.parent().unwrap()).unwrap().collect();
        assert_eq!(names.len(), 1, "{names:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(load_text(&text).is_ok(), "{text}");
        text
    }

    #[test]
    fn comments_and_layout_stay() {
        let text = saved(Some(COMMENTED), &[("mask.threshold", "0.85"), ("ui.theme", "light")]);
        assert_eq!(text, COMMENTED.replace("0.3 ", "0.85 ") + "\n[ui]\ntheme = \"light\"\n");
    }

    #[test]
    fn a_new_file_has_a_header_and_only_what_changed() {
        let text = saved(None, &[("mask.seed", "9"), ("train.learning_rate", "3e-4")]);
        let mut lines = text.lines();
        assert!(lines.next().unwrap().starts_with("# Your settings for maskscope."));
        let rest: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
        assert_eq!(rest, ["[mask]", "seed = 9", "[train]", "learning_rate = 3e-4"]);
    }

    #[test]
    fn every_way_to_write_a_key_is_found() {
        assert_eq!(saved(Some("mask.seed = 4\n"), &[("mask.seed", "9")]), "mask.seed = 9\n");
        assert_eq!(saved(Some("mask = { seed = 4 }\n"), &[("mask.seed", "9")]), "mask = { seed = 9 }\n");
        let dotted = saved(Some("mask.seed = 4\n"), &[("mask.threshold", "0.5")]);
        assert_eq!(load_text(&dotted).unwrap().settings.mask.seed, 4);
        assert_eq!(load_text(&dotted).unwrap().settings.mask.threshold, 0.5);
        let binding = saved(Some("[keys]\n"), &[("keys.quit", "q,x")]);
        assert_eq!(binding, "[keys]\nquit = [\"q\", \"x\"]\n");
    }

    #[test]
    fn a_comment_at_the_end_stays_above_new_sections() {
        let text = saved(Some("[mask]\nseed = 4\n\n# the end"), &[("mask.seed", "9"), ("ui.theme", "light")]);
        assert_eq!(text, "[mask]\nseed = 9\n\n# the end\n\n[ui]\ntheme = \"light\"\n");
    }

    #[test]
    fn windows_line_ends_and_odd_text_survive() {
        let evil = "say \"hi\" \\ \u{1b}[31m\ttab\nnext # no comment";
        let text = saved(Some("# a\r\n[explore]\r\ntop = 3\r\n"), &[("explore.text", evil)]);
        assert_eq!(load_text(&text).unwrap().settings.explore.text, evil);
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn a_broken_file_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        let broken = "[mask\nthreshold = 1\n";
        std::fs::write(&file, broken).unwrap();
        let error = save(&file, &changes(&[("mask.seed", "9")])).unwrap_err();
        assert!(error.to_string().contains("config.toml:1:"), "{error}");
        assert!(error.hint().is_some());
        assert_eq!(std::fs::read_to_string(&file).unwrap(), broken);
        for (key, value) in [("mask.threshold", Value::Float(7.0)), ("hub.token", Value::Text("hf_x".into()))]
        {
            std::fs::write(&file, COMMENTED).unwrap();
            assert!(save(&file, &[(key.into(), value)]).is_err(), "{key}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), COMMENTED);
        }
    }

    #[cfg(unix)]
    #[test]
    fn links_and_permissions_stay() {
        use std::os::unix::fs::{PermissionsExt, symlink};
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().join("dotfiles.toml");
        let link = folder.path().join("config.toml");
        std::fs::write(&real, COMMENTED).unwrap();
        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o600)).unwrap();
        symlink("dotfiles.toml", &link).unwrap();
        save(&link, &changes(&[("mask.seed", "9")])).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(std::fs::read_to_string(&real).unwrap().contains("seed = 9"));
        assert_eq!(real.metadata().unwrap().permissions().mode() & 0o777, 0o600);

        std::fs::set_permissions(&real, std::fs::Permissions::from_mode(0o400)).unwrap();
        let error = save(&link, &changes(&[("mask.seed", "10")])).unwrap_err();
        assert!(error.to_string().ends_with("the file is read-only"), "{error}");
        assert!(std::fs::read_to_string(&real).unwrap().contains("seed = 9"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_nothing_yet_makes_its_target() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("config.toml");
        std::os::unix::fs::symlink("later.toml", &link).unwrap();
        save(&link, &changes(&[("mask.seed", "9")])).unwrap();
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert!(folder.path().join("later.toml").is_file());
    }

    #[test]
    fn nothing_changed_writes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        std::fs::write(&file, COMMENTED).unwrap();
        let before = std::fs::metadata(&file).unwrap().modified().unwrap();
        save(&file, &[("mask.seed".into(), Value::Int(4))]).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().modified().unwrap(), before);
    }
}

fn any_key() -> impl Strategy<Value = &'static str> {
    (0..rows().len()).prop_map(|i| rows()[i].path)
}

proptest! {
    /// Typed-in text is refused and changes nothing, or is taken, within bounds, and survives saving and loading.
    #[test]
    fn typed_text_is_taken_whole_or_not_at_all(key in any_key(), text in "\\PC{0,12}|-?[0-9]{1,6}(\\.[0-9]{1,4})?|[a-z,:0-9]{0,12}") {
        let base = defaults().unwrap();
        let mut settings = base.clone();
        if settings.set(key, &text).is_err() {
            prop_assert_eq!(&settings, &base);
            return Ok(());
        }
        let value = settings.get(key).unwrap();
        let kind = settings.row(key).unwrap().kind;
        prop_assert_eq!(kind.check(value.clone()), Ok(value));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.toml");
        save(&file, &settings.changed_since(&base)).unwrap();
        let options = SettingSources { file: Some(file.clone()), ..SettingSources::default() };
        // With nothing changed there is a header and no key.
        prop_assert_eq!(load(options).unwrap().settings, settings);
    }

    /// No file, however odd, makes loading panic.
    #[test]
    fn any_file_loads_or_is_refused(text in "(\\[(mask|keys|maks|ui)\\]\n|[a-z_.\"]{1,9} = [0-9a-z\"\\[\\]{}.,-]{0,9}\n|\\PC{0,9}\n){0,6}") {
        if let Err(error) = load_text(&text) {
            prop_assert!(!error.problems.is_empty());
            for problem in &error.problems {
                prop_assert!(!problem.to_string().contains('\n'), "{}", problem);
            }
        }
    }
}
