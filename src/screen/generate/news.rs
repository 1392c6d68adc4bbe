//! What the engine says of the text that is being written. Pure.

use std::sync::Arc;

use crate::engine::types::GenerateUpdate;
use crate::screen::app::App;
use crate::screen::popups::tour;

/// Takes in news of the text.
pub fn take(app: &mut App, news: GenerateUpdate) {
    match news {
        GenerateUpdate::State(view) => {
            if app.generate.told.is_none() {
                // Of a text that another model was asked for.
                return;
            }
            app.generate.view = Some(Arc::new(view));
        }
        GenerateUpdate::Failed { message, hint } => {
            app.generate.failure = Some((message.clone(), hint));
            app.say(message);
        }
    }
    // A stop of the tour may have waited for it.
    tour::follow(app, true);
    app.settle();
}
