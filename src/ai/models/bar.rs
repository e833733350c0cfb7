//! A progress bar for the command line.

use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};

use super::{ModelError, Models, Progress, Source};

const BYTES: &str = "{msg} {wide_bar} {bytes}/{total_bytes} {eta}";
const WORK: &str = "{spinner} {msg}";

/// [`Models::fetch`] with a bar on stderr, drawn only where that is a terminal.
///
/// # Errors
/// As [`Models::fetch`].
pub async fn fetch_with_bar(models: &Models, name: &str, source: Source) -> Result<PathBuf, ModelError> {
    let bar = ProgressBar::new_spinner();
    let result = models.fetch(name, source, |progress| show(&bar, progress)).await;
    bar.finish_and_clear();
    result
}

fn show(bar: &ProgressBar, progress: Progress) {
    match progress {
        Progress::Downloading { done, total } => {
            if bar.length() != Some(total) {
                bar.disable_steady_tick();
                bar.set_style(style(BYTES));
                bar.set_message("downloading");
                bar.set_length(total);
            }
            bar.set_position(done);
        }
        Progress::Installing => work(bar, "downloading with pip"),
        Progress::Converting => work(bar, "converting"),
        Progress::Verifying => work(bar, "checking"),
    }
}

fn work(bar: &ProgressBar, message: &'static str) {
    bar.set_style(style(WORK));
    bar.set_message(message);
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the templates above are well-formed")
}
