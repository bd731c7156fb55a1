use anyhow::anyhow;
use doorward::settings::{LogFormat, LogSettings};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::registry;
use tracing_subscriber::util::SubscriberInitExt as _;

/// Sends the log to standard error, where supervisors look for it.
pub(super) fn start(settings: &LogSettings) -> anyhow::Result<()> {
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match settings.format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(true).with_span_list(false).boxed(),
    };
    registry().with(lines.with_filter(settings.level.clone())).try_init().map_err(|error| anyhow!(error))
}
