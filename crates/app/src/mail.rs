//! How mail leaves, and the loop that delivers it.

use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use doorward_auth::{Auth, Fault, MailReport};
use doorward_domain::{EmailAddress, Locale, MailComposer, MailTransport, Message, SendError};
use doorward_mail::{
    FileTransport, Sender, SmtpOptions, SmtpTransport, TemplateError, TemplateOptions, Templates, UnusableSmtp,
};
use secrecy::ExposeSecret;
use thiserror::Error;
use tokio::task::{JoinError, JoinSet};
use url::Url;

use crate::mail_server::MailServer;

/// How mail leaves and what it looks like.
#[derive(Clone)]
pub struct MailSettings {
    /// Who delivers it.
    pub delivery: MailDelivery,
    /// What the service is called in its mails.
    pub service_name: String,
    /// A folder of the operator's own templates.
    pub templates: Option<PathBuf>,
}

/// Who delivers mail.
#[derive(Clone)]
pub enum MailDelivery {
    /// A mail server.
    Smtp(SmtpOptions),
    /// Nobody: each mail becomes a file.
    Directory {
        /// Where the files go; made when there is none.
        folder: PathBuf,
        /// Whom the mails come from.
        from: Sender,
        /// Whether each mail's link is written to the log as well. For development alone: it can be used.
        log_links: bool,
    },
    /// A transport of the embedding service's own.
    Transport(Arc<dyn MailTransport>),
}

impl std::fmt::Debug for MailSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MailSettings").field("service_name", &self.service_name).finish_non_exhaustive()
    }
}

/// Mail cannot be sent with these settings.
#[derive(Debug, Error)]
pub enum MailError {
    /// The mail server cannot be used.
    #[error(transparent)]
    Smtp(#[from] UnusableSmtp),
    /// The folder for mails cannot be made.
    #[error("the folder for mails (mail.directory) cannot be made")]
    Folder(#[source] std::io::Error),
    /// The templates do not work.
    #[error(transparent)]
    Templates(#[from] TemplateError),
}

impl MailSettings {
    /// What the service is called unless it is told otherwise.
    pub const SERVICE_NAME: &'static str = "Doorward";

    /// Through a mail server.
    #[must_use]
    pub fn smtp(options: SmtpOptions) -> Self {
        Self::new(MailDelivery::Smtp(options))
    }

    /// Into a folder.
    #[must_use]
    pub fn directory(folder: impl Into<PathBuf>, from: Sender) -> Self {
        Self::new(MailDelivery::Directory { folder: folder.into(), from, log_links: false })
    }

    /// Through a transport of one's own.
    #[must_use]
    pub fn transport(transport: Arc<dyn MailTransport>) -> Self {
        Self::new(MailDelivery::Transport(transport))
    }

    pub(crate) fn new(delivery: MailDelivery) -> Self {
        Self { delivery, service_name: Self::SERVICE_NAME.to_owned(), templates: None }
    }

    /// The templates, tried out.
    pub(crate) fn compile_templates(&self, public_url_host: &str) -> Result<Templates, TemplateError> {
        Templates::new(TemplateOptions {
            service_name: self.service_name.clone(),
            public_url_host: public_url_host.to_owned(),
            folder: self.templates.clone(),
        })
    }

    /// The two ports, and the languages that there are.
    pub(crate) fn open(self, public_url: &Url) -> Result<MailPorts, MailError> {
        let templates = self.compile_templates(public_url.host_str().unwrap_or_default())?;
        let languages = templates.languages();
        let transport: Arc<dyn MailTransport> = match self.delivery {
            MailDelivery::Smtp(options) => Arc::new(SmtpTransport::new(options)?),
            MailDelivery::Directory { folder, from, log_links } => {
                let files = FileTransport::new(folder, from).map_err(MailError::Folder)?;
                if log_links { Arc::new(LinkLog(files)) } else { Arc::new(files) }
            }
            MailDelivery::Transport(transport) => transport,
        };
        Ok(MailPorts { composer: Arc::new(templates), transport, languages })
    }
}

pub(crate) struct MailPorts {
    pub(crate) composer: Arc<dyn MailComposer>,
    pub(crate) transport: Arc<dyn MailTransport>,
    pub(crate) languages: Vec<Locale>,
}

/// Writes the link of each mail to the log, so that a developer need not open the file.
struct LinkLog(FileTransport);

#[async_trait]
impl MailTransport for LinkLog {
    async fn send(&self, message: &Message) -> Result<(), SendError> {
        self.0.send(message).await?;
        let link = message.text.expose_secret().lines().map(str::trim).find(|line| is_link(line)).unwrap_or_default();
        tracing::info!(to = EmailAddress::as_str(&message.to), subject = message.subject, link, "mail written");
        Ok(())
    }
}

fn is_link(line: &str) -> bool {
    line.starts_with("http://") || line.starts_with("https://")
}

/// How many batches are delivered at once, each to a domain of its own.
const LANES: usize = 16;
/// The batches that are being delivered.
type Lanes = JoinSet<Result<MailReport, Fault>>;
/// How often the outbox is looked into.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a batch may hold up the next. One that takes longer gets company.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long mails that are being sent may take once the service is told to end.
const DRAIN: Duration = Duration::from_millis(1_500);

/// Delivers mail as it falls due, until `end` resolves and what is under way then is sent. What takes too long for
/// that is delivered by anybody when the lease ends, and so is everything when this is dropped.
///
/// Batches follow each other, so that a node that dies has one mail under way. Only a slow one is left behind.
pub(crate) async fn deliver(auth: Auth, end: impl Future<Output = ()>) {
    let mut lanes = JoinSet::new();
    let mut server = MailServer::default();
    let mut end = pin!(end);
    loop {
        let full = lanes.len() >= LANES;
        let begun = !full && server.may_be_tried(Instant::now()) && begin_batch(&auth, &mut lanes).await;
        let wait = async {
            if full {
                settle_next(&mut lanes, &mut server).await;
            } else if begun {
                tokio::select! {
                    () = settle_next(&mut lanes, &mut server) => {}
                    () = tokio::time::sleep(PATIENCE) => {}
                }
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::select! {
            biased;
            () = &mut end => break,
            () = wait => {}
        }
        while let Some(done) = lanes.try_join_next() {
            settle(done, &mut server);
        }
    }
    let sent = async {
        while !lanes.is_empty() {
            settle_next(&mut lanes, &mut server).await;
        }
    };
    if tokio::time::timeout(DRAIN, sent).await.is_err() {
        tracing::warn!("mail was still being sent when the time to drain was over; it is sent again");
    }
}

/// Begins to deliver the next batch; `false` when there is none.
async fn begin_batch(auth: &Auth, lanes: &mut Lanes) -> bool {
    match auth.lease_mail().await {
        Ok(Some(batch)) => {
            let auth = auth.clone();
            lanes.spawn(async move { auth.deliver_mail(batch).await });
            true
        }
        Ok(None) => false,
        Err(error) => {
            tracing::warn!(%error, "the outbox could not be read");
            false
        }
    }
}

async fn settle_next(lanes: &mut Lanes, server: &mut MailServer) {
    if let Some(done) = lanes.join_next().await {
        settle(done, server);
    }
}

fn settle(done: Result<Result<MailReport, Fault>, JoinError>, server: &mut MailServer) {
    match done {
        Ok(Ok(report)) => {
            server.note(&report, Instant::now());
            for mail in report.failed {
                tracing::warn!(mail = %mail.id, dead = mail.dead, error = mail.error, "mail not delivered");
            }
        }
        Ok(Err(error)) => tracing::warn!(%error, "mail could not be settled and will be sent again"),
        Err(error) => tracing::error!(%error, "delivering mail panicked"),
    }
}
