//! The action table: name, one-line doc, default keys, context. Dispatch, help, the hint bar, the palette and the
//! README's key table are all read from here, so that they cannot drift apart. Pure data.

/// Where an action applies. A key means the first action that has it in the innermost active context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Context {
    /// Always.
    Anywhere,
    /// Whenever no text is being typed.
    Panes,
    /// The text editor.
    Text,
    /// The token strip.
    Tokens,
    /// The heatmap.
    Map,
    /// The grid of all heads.
    Overview,
    /// The list of settings.
    Mask,
    /// The τ × p plane.
    Plane,
    /// A panel that only scrolls.
    Panel,
    /// The mix editor.
    Mix,
    /// The Train screen, whatever pane.
    Train,
    /// The form of a run.
    Setup,
    /// Curves over steps.
    Chart,
    /// The list of runs.
    Runs,
    /// Raster, batch, samples, log.
    Feed,
    /// A question on top of the screen.
    Ask,
    /// A number or list being typed.
    Entry,
    /// A list on top of the screen: palette, models, choices.
    List,
    /// A page on top of the screen: help, tour.
    Page,
}

impl Context {
    /// Heading in help and README.
    pub fn title(self) -> &'static str {
        match self {
            Context::Anywhere => "Anywhere",
            Context::Panes => "Outside the text",
            Context::Text => "Text",
            Context::Tokens => "Tokens",
            Context::Map => "Attention map",
            Context::Overview => "Overview of heads",
            Context::Mask => "Mask settings",
            Context::Plane => "τ × p plane",
            Context::Panel => "Effect, why, window, cost",
            Context::Mix => "Mix of operations",
            Context::Train => "Train",
            Context::Setup => "Settings of a run",
            Context::Chart => "Charts",
            Context::Runs => "Runs",
            Context::Feed => "Raster, batch, samples, log",
            Context::Ask => "Questions",
            Context::Entry => "Typing a value",
            Context::List => "Lists",
            Context::Page => "Help and tour",
        }
    }

    pub const ALL: &'static [Context] = &[
        Context::Anywhere,
        Context::Panes,
        Context::Text,
        Context::Tokens,
        Context::Map,
        Context::Overview,
        Context::Mask,
        Context::Plane,
        Context::Panel,
        Context::Mix,
        Context::Train,
        Context::Setup,
        Context::Chart,
        Context::Runs,
        Context::Feed,
        Context::Ask,
        Context::Entry,
        Context::List,
        Context::Page,
    ];
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    pub verb: Verb,
    /// Stable name, for key settings and the palette.
    pub name: &'static str,
    pub context: Context,
    /// Default keys in `context`.
    pub keys: &'static [&'static str],
    /// Further default keys, single letters mostly, whenever no text is being typed.
    pub pane_keys: &'static [&'static str],
    /// A word or two for the hint bar; empty keeps it out of the bar.
    pub hint: &'static str,
    /// One line: what it does.
    pub doc: &'static str,
}

macro_rules! actions {
    ($($context:ident { $($verb:ident $name:literal [$($key:literal)*] [$($pane:literal)*] $hint:literal $doc:literal;)+ })+) => {
        /// Everything a key, a hint or a palette entry can ask for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Verb { $($(#[doc = $doc] $verb),+),+ }

        /// The table, in the order of help.
        pub static ACTIONS: &[Spec] = &[$($(Spec {
            verb: Verb::$verb, name: $name, context: Context::$context,
            keys: &[$($key),*], pane_keys: &[$($pane),*], hint: $hint, doc: $doc,
        }),+),+];
    };
}

actions! {
    Anywhere {
        Quit "quit" ["ctrl-c" "ctrl-q"] ["q"] "quit" "Leave, with the terminal as it was";
        Help "help" ["f1"] ["?"] "help" "Show every key, from the same table that runs them";
        Palette "palette" ["ctrl-p"] [":"] "commands" "Find any action by name";
        Tour "tour" ["f2"] [] "tour" "Walk through the screen in a minute";
        NextPane "next-pane" ["tab"] [] "next pane" "Go to the next pane";
        PreviousPane "previous-pane" ["shift-tab"] [] "" "Go to the previous pane";
        Undo "undo" ["ctrl-/" "alt-u"] ["u"] "undo" "Undo the last change of text, settings or view";
        Redo "redo" ["ctrl-y" "alt-r"] ["U"] "" "Redo what was undone";
        Retry "retry" ["ctrl-r"] [] "retry" "Try again what failed";
        Cancel "cancel" ["ctrl-g"] ["x"] "cancel" "Cancel the download or the background work that is running";
        Theme "theme" ["ctrl-t"] [] "" "Switch between the dark and the light theme";
        Redraw "redraw" ["ctrl-l"] [] "" "Draw the whole screen anew";
        Suspend "suspend" ["ctrl-z"] [] "" "Stop the program until the shell resumes it";
    }
    Panes {
        Dismiss "dismiss" ["esc"] [] "" "Close the message on screen, or leave the enlarged pane";
        EditText "edit-text" ["i"] [] "edit text" "Type in the text editor";
        ThresholdDown "threshold-down" ["["] [] "τ" "Lower the threshold τ by one step";
        ThresholdUp "threshold-up" ["]"] [] "" "Raise the threshold τ by one step";
        ThresholdFineDown "threshold-fine-down" ["{"] [] "" "Lower the threshold τ by a fine step";
        ThresholdFineUp "threshold-fine-up" ["}"] [] "" "Raise the threshold τ by a fine step";
        ProbabilityDown "probability-down" [","] [] "p" "Lower the probability p by one step";
        ProbabilityUp "probability-up" ["."] [] "" "Raise the probability p by one step";
        ProbabilityFineDown "probability-fine-down" ["<"] [] "" "Lower the probability p by a fine step";
        ProbabilityFineUp "probability-fine-up" [">"] [] "" "Raise the probability p by a fine step";
        Reroll "reroll" ["r"] [] "re-roll" "Re-roll the seed: new draws, everything else unchanged";
        Polarity "polarity" ["y"] [] "" "Next polarity: high, low, random";
        Scale "scale" ["S"] [] "" "Next scale of the score: rank, calibrated, raw";
        Score "score" ["s"] [] "score" "Choose the score: how the attention a token receives becomes a number";
        Contribution "contribution" ["v"] [] "" "Weight attention by the size of the values, or not";
        Op "op" ["d"] [] "operation" "Next operation: replace, hide, drop, evict, skip, keep";
        Replacement "replacement" ["w"] [] "" "Next replacement: what a replaced token becomes";
        Protect "protect" ["g"] [] "" "Next protection: which tokens are never masked";
        Article "preset" ["a"] [] "" "Switch between the default settings and the article's";
        Presets "presets" ["A"] [] "presets" "Choose among all presets: the article, BERT, cache policies, controls";
        Mix "mix" ["O"] [] "" "Edit the mix: shares of operations, each masked token drawing its own";
        Scope "scope" ["b"] [] "" "Decide with the whole text in view, or block by block from the past only";
        Policy "policy" ["P"] [] "" "Choose who decides at a boundary: the threshold or a cache policy";
        MapKind "map-kind" ["m"] [] "masked/base/diff" "Show the masked run, the baseline, or their difference";
        NextLayer "next-layer" ["l"] [] "layer" "Next layer (after the last one: the mean over layers)";
        PreviousLayer "previous-layer" ["L"] [] "" "Previous layer";
        NextHead "next-head" ["h"] [] "head" "Next head (after the last one: the mean over heads)";
        PreviousHead "previous-head" ["H"] [] "" "Previous head";
        Overview "overview" ["o"] [] "all heads" "Show all layers × heads as thumbnails, or go back to the map";
        ColourScale "colour-scale" ["c"] [] "" "Next colour scale: sqrt, linear, log, row-max";
        Effects "effects" ["e"] [] "all operations" "Show the effect of every operation side by side, or of the chosen one";
        Rerolls "rerolls" ["R"] [] "" "Re-roll many seeds in the background: effect as mean ± spread";
        Cost "cost" ["f"] [] "true cost" "Measure in the background what hiding each token really costs";
        Window "window" ["W"] [] "" "Show the rolling window: how every token stood at every boundary, and its history";
        Why "why" ["Y"] [] "" "Show why the token under the cursor is masked or not";
        Leak "leak" ["k"] [] "" "Measure in the background what the mask tells about the next token, on held-out text";
        UseCalibration "use-calibration" ["C"] [] "score against the distance null" "Score against the distance null that was measured in the background";
        Train "train" ["T"] [] "train" "Open the Train screen with exactly this policy; a run goes on while you explore";
        Models "models" ["M"] [] "models" "Choose or type a model";
        Refresh "refresh-model" ["f5"] [] "newer version" "Fetch the newer version that the Hub has of the model in use; the old one serves until it is whole";
        Enlarge "enlarge" ["z"] [] "enlarge" "Let the pane fill the screen, or put it back";
    }
    Text {
        LeaveText "leave-text" ["esc"] [] "done" "Go back to the pane you came from";
        NewLine "new-line" ["enter"] [] "" "Break the line";
        CaretLeft "caret-left" ["left"] [] "" "Move one character left";
        CaretRight "caret-right" ["right"] [] "" "Move one character right";
        CaretUp "caret-up" ["up"] [] "" "Move one line up";
        CaretDown "caret-down" ["down"] [] "" "Move one line down";
        CaretWordLeft "caret-word-left" ["ctrl-left" "alt-left" "alt-b"] [] "" "Move one word left";
        CaretWordRight "caret-word-right" ["ctrl-right" "alt-right" "alt-f"] [] "" "Move one word right";
        CaretHome "caret-home" ["home"] [] "" "Move to the start of the line";
        CaretEnd "caret-end" ["end" "ctrl-e"] [] "" "Move to the end of the line";
        CaretPageUp "caret-page-up" ["pageup"] [] "" "Move one page up";
        CaretPageDown "caret-page-down" ["pagedown"] [] "" "Move one page down";
        CaretTop "caret-top" ["ctrl-home"] [] "" "Move to the start of the text";
        CaretBottom "caret-bottom" ["ctrl-end"] [] "" "Move to the end of the text";
        SelectLeft "select-left" ["shift-left"] [] "" "Select one character left";
        SelectRight "select-right" ["shift-right"] [] "" "Select one character right";
        SelectUp "select-up" ["shift-up"] [] "" "Select one line up";
        SelectDown "select-down" ["shift-down"] [] "" "Select one line down";
        SelectWordLeft "select-word-left" ["ctrl-shift-left"] [] "" "Select one word left";
        SelectWordRight "select-word-right" ["ctrl-shift-right"] [] "" "Select one word right";
        SelectHome "select-home" ["shift-home"] [] "" "Select to the start of the line";
        SelectEnd "select-end" ["shift-end"] [] "" "Select to the end of the line";
        SelectAll "select-all" ["ctrl-a"] [] "select all" "Select the whole text";
        Copy "copy" ["alt-c" "ctrl-insert"] [] "copy" "Copy the selection to the clipboard (OSC 52)";
        Cut "cut" ["ctrl-x"] [] "" "Cut the selection to the clipboard";
        Paste "paste" ["ctrl-v"] [] "" "Paste what was last copied or cut here";
        Backspace "backspace" ["backspace" "ctrl-h"] [] "" "Delete the character before the caret";
        Delete "delete" ["delete" "ctrl-d"] [] "" "Delete the character after the caret";
        BackspaceWord "backspace-word" ["ctrl-w" "alt-backspace" "ctrl-backspace"] [] "" "Delete the word before the caret";
        DeleteWord "delete-word" ["alt-d" "ctrl-delete"] [] "" "Delete the word after the caret";
        DeleteToStart "delete-to-start" ["ctrl-u"] [] "clear line" "Delete to the start of the line";
        DeleteToEnd "delete-to-end" ["ctrl-k"] [] "" "Delete to the end of the line";
    }
    Tokens {
        TokenPrevious "token-previous" ["left"] [] "token" "Select the token before";
        TokenNext "token-next" ["right"] [] "" "Select the token after";
        TokenUp "token-up" ["up"] [] "" "Select the token one row up";
        TokenDown "token-down" ["down"] [] "" "Select the token one row down";
        TokenFirst "token-first" ["home"] [] "" "Select the first token";
        TokenLast "token-last" ["end"] [] "" "Select the last token";
        NextMasked "next-masked" ["n"] [] "next masked" "Select the next masked token";
        PreviousMasked "previous-masked" ["N"] [] "" "Select the previous masked token";
        Pin "pin" ["space"] [] "pin" "Pin the token, so that it is never masked, or unpin it";
    }
    Map {
        MapLeft "map-left" ["left"] [] "crosshair" "Move the crosshair to the key before";
        MapRight "map-right" ["right"] [] "" "Move the crosshair to the key after";
        MapUp "map-up" ["up"] [] "" "Move the crosshair to the query before";
        MapDown "map-down" ["down"] [] "" "Move the crosshair to the query after";
        MapFirst "map-first" ["home"] [] "" "Move the crosshair to the first key";
        MapLast "map-last" ["end"] [] "" "Move the crosshair to the query itself";
        MapPageUp "map-page-up" ["pageup"] [] "" "Move the crosshair eight queries up";
        MapPageDown "map-page-down" ["pagedown"] [] "" "Move the crosshair eight queries down";
        PanLeft "pan-left" ["shift-left"] [] "pan" "Pan the map left";
        PanRight "pan-right" ["shift-right"] [] "" "Pan the map right";
        PanUp "pan-up" ["shift-up"] [] "" "Pan the map up";
        PanDown "pan-down" ["shift-down"] [] "" "Pan the map down";
        ZoomIn "zoom-in" ["+" "="] [] "zoom" "Zoom in";
        ZoomOut "zoom-out" ["-"] [] "" "Zoom out";
        ZoomFit "zoom-fit" ["0"] [] "fit" "Fit the whole map";
        MapPeak "map-peak" ["enter"] [] "strongest" "Jump to the strongest cell of the query";
        MapPin "map-pin" ["space"] [] "" "Pin the key token, so that it is never masked, or unpin it";
    }
    Overview {
        HeadLeft "head-left" ["left"] [] "choose" "Choose the thumbnail to the left";
        HeadRight "head-right" ["right"] [] "" "Choose the thumbnail to the right";
        HeadUp "head-up" ["up"] [] "" "Choose the thumbnail above";
        HeadDown "head-down" ["down"] [] "" "Choose the thumbnail below";
        HeadFirst "head-first" ["home"] [] "" "Choose the first thumbnail";
        HeadLast "head-last" ["end"] [] "" "Choose the last thumbnail";
        HeadOpen "head-open" ["enter"] [] "open" "Open the chosen head in the map";
        SortHeads "sort-heads" ["k"] [] "sort" "Next order: place, sink, entropy, previous token, induction, mask mass";
    }
    Mask {
        ItemUp "item-up" ["up"] [] "setting" "Go to the setting above";
        ItemDown "item-down" ["down"] [] "" "Go to the setting below";
        ItemFirst "item-first" ["pageup"] [] "" "Go to the first setting";
        ItemLast "item-last" ["pagedown"] [] "" "Go to the last setting";
        ValueDown "value-down" ["left"] [] "change" "Lower the value by one step, or take the choice before";
        ValueUp "value-up" ["right"] [] "" "Raise the value by one step, or take the next choice";
        ValueFineDown "value-fine-down" ["shift-left"] [] "fine" "Lower the value by a fine step";
        ValueFineUp "value-fine-up" ["shift-right"] [] "" "Raise the value by a fine step";
        ValueMin "value-min" ["home"] [] "" "Lowest value";
        ValueMax "value-max" ["end"] [] "" "Highest value";
        ValueOpen "value-open" ["enter"] [] "type / choose" "Type the value, or choose from all of them";
        ValueReset "value-reset" ["backspace" "delete"] [] "reset" "Back to the default value";
    }
    Plane {
        PlaneLeft "plane-left" ["left"] [] "move" "Lower the threshold τ";
        PlaneRight "plane-right" ["right"] [] "" "Raise the threshold τ";
        PlaneUp "plane-up" ["up"] [] "" "Raise the probability p";
        PlaneDown "plane-down" ["down"] [] "" "Lower the probability p";
        PlaneFineLeft "plane-fine-left" ["shift-left"] [] "" "Lower the threshold τ by a fine step";
        PlaneFineRight "plane-fine-right" ["shift-right"] [] "" "Raise the threshold τ by a fine step";
        PlaneFineUp "plane-fine-up" ["shift-up"] [] "" "Raise the probability p by a fine step";
        PlaneFineDown "plane-fine-down" ["shift-down"] [] "" "Lower the probability p by a fine step";
        AlongLess "along-less" ["pageup"] [] "same rate" "Slide along the curve of equal rate: fewer candidates, surer draws";
        AlongMore "along-more" ["pagedown"] [] "" "Slide along the curve of equal rate: more candidates, rarer draws";
    }
    Panel {
        ScrollUp "scroll-up" ["up"] [] "scroll" "Scroll up";
        ScrollDown "scroll-down" ["down"] [] "" "Scroll down";
        ScrollPageUp "scroll-page-up" ["pageup"] [] "" "Scroll one page up";
        ScrollPageDown "scroll-page-down" ["pagedown"] [] "" "Scroll one page down";
        PanelTokenPrevious "panel-token-previous" ["left"] [] "token" "Select the token before";
        PanelTokenNext "panel-token-next" ["right"] [] "" "Select the token after";
    }
    Mix {
        MixUp "mix-up" ["up" "shift-tab"] [] "operation" "Operation above";
        MixDown "mix-down" ["down" "tab"] [] "" "Operation below";
        MixLess "mix-less" ["left"] [] "share" "Give it five percent less; the others fill up in proportion";
        MixMore "mix-more" ["right"] [] "" "Give it five percent more; the others make room in proportion";
        MixFineLess "mix-fine-less" ["shift-left"] [] "" "One percent less";
        MixFineMore "mix-fine-more" ["shift-right"] [] "" "One percent more";
        MixNone "mix-none" ["home" "backspace" "delete"] [] "" "Take its whole share away";
        MixAll "mix-all" ["end"] [] "all of it" "Give it everything: no mix any more";
        MixBert "mix-bert" ["b"] [] "BERT" "BERT's mix: 80 % replaced, 10 % a random token, 10 % kept";
        MixClose "mix-close" ["enter" "esc" "q" "O"] [] "close" "Close the editor; undo takes changes back";
    }
    Train {
        RunGo "run" ["space"] [] "start/pause" "Plan a run, start it, pause it, or let it go on";
        RunStop "run-stop" ["s"] [] "stop" "Stop the run: the step is finished and everything saved";
        RunKill "run-kill" ["K"] [] "kill" "End the run at once; only its last checkpoint stays";
        RateDown "rate-down" ["("] [] "learning rate" "Lower the learning rate from the next step on, or of the next run";
        RateUp "rate-up" [")"] [] "" "Raise the learning rate from the next step on, or of the next run";
        RateSchedule "rate-schedule" ["="] [] "" "Give the learning rate back to its schedule";
        RunSave "run-save" ["w"] [] "save" "Save a checkpoint now";
        RunSample "run-sample" ["g"] [] "sample" "Let the model write a sample now";
        RunEvaluate "run-evaluate" ["v"] [] "" "Measure the validation loss now";
        Follow "follow" ["f"] [] "follow" "Let the explorer follow the training weights: every step, every 10, every 100, or not";
        RunOpen "run-open" ["o"] [] "open result" "Open the newest checkpoint of this run in the explorer";
        ChartLog "chart-log" ["y"] [] "log" "Logarithmic or linear axis of the losses";
        ChartTail "chart-tail" ["t"] [] "tail/all" "Show the newest steps only, or all";
        RunsShow "runs" ["R"] [] "runs" "Show the runs on disk";
        Explore "explore" ["E"] [] "explore" "Go back to the explorer; the run goes on";
    }
    Setup {
        FieldUp "field-up" ["up"] [] "setting" "Go to the setting above";
        FieldDown "field-down" ["down"] [] "" "Go to the setting below";
        FieldFirst "field-first" ["pageup"] [] "" "Go to the first setting";
        FieldLast "field-last" ["pagedown"] [] "" "Go to the last setting";
        FieldLess "field-less" ["left"] [] "change" "Lower the value by one step, or take the choice before";
        FieldMore "field-more" ["right"] [] "" "Raise the value by one step, or take the next choice";
        FieldFineLess "field-fine-less" ["shift-left"] [] "" "Lower the value by a fine step";
        FieldFineMore "field-fine-more" ["shift-right"] [] "" "Raise the value by a fine step";
        FieldOpen "field-open" ["enter"] [] "type / choose" "Type the value, or choose from all of them";
        FieldReset "field-reset" ["backspace" "delete"] [] "" "Back to the configured value";
    }
    Chart {
        CursorLeft "cursor-left" ["left"] [] "cursor" "Move the cursor one column to earlier steps";
        CursorRight "cursor-right" ["right"] [] "" "Move the cursor one column to later steps";
        CursorFarLeft "cursor-far-left" ["shift-left" "pageup"] [] "" "Move the cursor ten columns to earlier steps";
        CursorFarRight "cursor-far-right" ["shift-right" "pagedown"] [] "" "Move the cursor ten columns to later steps";
        CursorFirst "cursor-first" ["home"] [] "" "Put the cursor on the first step";
        CursorLast "cursor-last" ["end"] [] "newest" "Take the cursor away: the newest step counts";
    }
    Runs {
        RunsUp "runs-up" ["up"] [] "run" "Go to the run above";
        RunsDown "runs-down" ["down"] [] "" "Go to the run below";
        RunsMark "runs-mark" ["m"] [] "compare" "Lay the losses of this run over the chart, or take them off";
        RunsOpen "runs-open" ["enter"] [] "open" "Open the newest checkpoint of this run in the explorer";
        RunsDelete "runs-delete" ["delete" "D"] [] "delete" "Delete the run and its checkpoints, after a question";
        RunsRead "runs-read" ["r"] [] "read anew" "Read the runs folder anew";
    }
    Feed {
        FeedUp "feed-up" ["up"] [] "scroll" "Scroll up";
        FeedDown "feed-down" ["down"] [] "" "Scroll down";
        FeedPageUp "feed-page-up" ["pageup"] [] "" "Scroll one page up";
        FeedPageDown "feed-page-down" ["pagedown"] [] "" "Scroll one page down";
        FeedPrevious "feed-previous" ["left"] [] "sequence" "Show the sequence before";
        FeedNext "feed-next" ["right"] [] "" "Show the next sequence";
    }
    Ask {
        AskYes "ask-yes" ["enter" "y"] [] "yes" "Do it";
        AskNo "ask-no" ["esc" "n" "q"] [] "no" "Leave everything as it is";
    }
    Entry {
        EntryAccept "entry-accept" ["enter"] [] "accept" "Take the value";
        EntryCancel "entry-cancel" ["esc"] [] "leave as it was" "Leave the value as it was";
        EntryBackspace "entry-backspace" ["backspace" "ctrl-h"] [] "" "Delete the last character";
        EntryClear "entry-clear" ["ctrl-u"] [] "" "Delete everything typed";
        EntryComplete "entry-complete" ["tab"] [] "" "Complete the path; in other fields, go to the next pane";
    }
    List {
        ListUp "list-up" ["up" "shift-tab"] [] "" "Entry above";
        ListDown "list-down" ["down" "tab"] [] "choose" "Entry below";
        ListPageUp "list-page-up" ["pageup"] [] "" "Eight entries up";
        ListPageDown "list-page-down" ["pagedown"] [] "" "Eight entries down";
        ListAccept "list-accept" ["enter"] [] "take" "Take the entry";
        ListClose "list-close" ["esc"] [] "close" "Close the list";
        ListBackspace "list-backspace" ["backspace" "ctrl-h"] [] "" "Delete the last character typed";
        ListClear "list-clear" ["ctrl-u"] [] "" "Delete everything typed";
    }
    Page {
        PageClose "page-close" ["esc" "q" "?" "f1"] [] "close" "Close";
        PageAdvance "page-advance" ["enter" "space"] [] "" "Next step of the tour; after the last it ends";
        PageNext "page-next" ["right"] [] "next" "Next step of the tour";
        PageBack "page-back" ["left" "backspace"] [] "back" "Previous step of the tour";
        PageUp "page-up" ["up"] [] "" "Scroll up";
        PageDown "page-down" ["down"] [] "scroll" "Scroll down";
        PagePageUp "page-page-up" ["pageup"] [] "" "Scroll one page up";
        PagePageDown "page-page-down" ["pagedown"] [] "" "Scroll one page down";
    }
}

impl Verb {
    /// The row of the table. Every verb has exactly one, in the order of declaration.
    pub fn spec(self) -> &'static Spec {
        &ACTIONS[self as usize]
    }

    pub fn by_name(name: &str) -> Option<Verb> {
        ACTIONS.iter().find(|s| s.name == name).map(|s| s.verb)
    }
}

/// The README's key table, as Markdown.
pub fn markdown() -> String {
    let mut out = String::new();
    for context in Context::ALL {
        out.push_str(&format!("**{}**\n\n| keys | action |\n|---|---|\n", context.title()));
        for spec in ACTIONS.iter().filter(|s| s.context == *context) {
            let keys: Vec<String> = spec
                .keys
                .iter()
                .chain(spec.pane_keys)
                .map(|k| format!("`{}`", k.replace('|', "\\|")))
                .collect();
            out.push_str(&format!("| {} | {} |\n", keys.join(" "), spec.doc.replace('|', "\\|")));
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_finds_its_row_and_names_are_unique() {
        for (i, spec) in ACTIONS.iter().enumerate() {
            assert_eq!(spec.verb as usize, i);
            assert_eq!(spec.verb.spec().name, spec.name);
            assert_eq!(Verb::by_name(spec.name), Some(spec.verb), "name used twice: {}", spec.name);
            assert!(!spec.doc.is_empty() && !spec.doc.ends_with('.'), "{}", spec.name);
        }
    }

    #[test]
    fn markdown_has_one_line_per_action() {
        let rows = markdown().lines().filter(|l| l.starts_with("| `")).count();
        assert_eq!(rows, ACTIONS.len());
    }
}
