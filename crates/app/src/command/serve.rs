use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use doorward::settings::{ServerSettings, Settings, load_serve};
use doorward::{Doorward, RegistrationMode, server};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::logging;

/// How long the background work may take to end, after the requests have had their 8 seconds.
const BACKGROUND_DRAIN: Duration = Duration::from_millis(1_800);

pub(super) fn run(file: Option<&Path>) -> anyhow::Result<()> {
    let (settings, server) = load_serve(file, super::environment()?)?;
    logging::start(&server.log)?;
    runtime()?.block_on(async {
        let listener =
            TcpListener::bind(server.listen).await.with_context(|| format!("cannot listen on {}", server.listen))?;
        run_on(listener, settings, server, |_| ()).await
    })
}

pub(super) fn runtime() -> anyhow::Result<Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Serves until a signal asks to end. `answering` is told the public URL once requests are answered.
pub(super) async fn run_on(
    listener: TcpListener,
    settings: Settings,
    server: ServerSettings,
    answering: impl FnOnce(&str),
) -> anyhow::Result<()> {
    raise_descriptor_limit();
    let mut end = std::pin::pin!(end_signal()?);
    let url = settings.public_url.as_str().trim_end_matches('/').to_owned();
    let mode = settings.registration;
    // Starting may wait for a database or for another node's migration; whoever asks to end need not.
    let doorward = tokio::select! {
        biased;
        () = &mut end => return Ok(()),
        started = Doorward::start(settings) => started?,
    };
    match mode {
        RegistrationMode::Open => {
            tracing::warn!("registration.mode is open: registering tells whether an address has an account");
        }
        RegistrationMode::Verified | RegistrationMode::Closed => {}
    }
    let (ending, ended) = tokio::sync::oneshot::channel::<()>();
    let mut background = tokio::spawn(doorward.background_until(async { drop(ended.await) }));
    tracing::info!(listen = %listener.local_addr()?, url, "answering");
    answering(&url);
    server::serve(listener, doorward.routes(), server.connections, end).await;
    drop(ending);
    match tokio::time::timeout(BACKGROUND_DRAIN, &mut background).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::error!(%error, "the background work panicked"),
        Err(_) => background.abort(),
    }
    tracing::info!("ended");
    Ok(())
}

/// Resolves on SIGTERM or SIGINT.
fn end_signal() -> anyhow::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// Every connection is a file descriptor, and the usual limit is 1,024.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
}
