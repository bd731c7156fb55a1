//! How mail leaves.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use doorward_auth::{Auth, FailedMail, Fault, MailBatch, MailReport};
use doorward_domain::{EmailAddress, Locale, MailComposer, MailId, MailTransport, Message, SendError};
use doorward_mail::{
    FileTransport, Sender, SmtpOptions, SmtpTransport, TemplateError, TemplateOptions, Templates, UnusableSmtp,
};
use secrecy::ExposeSecret;
use thiserror::Error;
use url::Url;

use crate::lanes::Deliveries;

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

/// Mail, as it is delivered.
#[derive(Clone)]
pub(crate) struct ToMailServer(pub(crate) Auth);

impl Deliveries for ToMailServer {
    type Batch = MailBatch;
    type Id = MailId;

    const WHAT: &'static str = "mail";
    /// Each batch goes to a domain of its own.
    const LANES: usize = 16;

    async fn lease(&self) -> Result<Option<MailBatch>, Fault> {
        self.0.lease_mail().await
    }

    async fn deliver(&self, batch: MailBatch) -> Result<MailReport, Fault> {
        self.0.deliver_mail(batch).await
    }

    fn complain(&self, failed: &FailedMail) {
        let FailedMail { id, error, dead } = failed;
        tracing::warn!(mail = %id, dead, error, "mail not delivered");
    }
}
