//! What `doorward doctor` looks at: everything outside of the process that a service needs.

use std::error::Error;

use doorward_http::problem::chain;
use doorward_mail::{FileTransport, SmtpTransport};

use crate::database::Database;
use crate::settings::{DatabaseSettings, Settings};
use crate::{MailDelivery, signing_keys};

const DATABASE: &str = "the database answers and its tables are up to date";

/// One thing that a service needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub subject: &'static str,
    /// What is wrong with it; `None` for nothing.
    pub problem: Option<String>,
}

impl Finding {
    fn new<E: Into<Box<dyn Error + Send + Sync>>>(subject: &'static str, outcome: Result<(), E>) -> Self {
        Self { subject, problem: outcome.err().map(|error| chain(&*error.into())) }
    }
}

/// Looks at everything that a service with these settings needs. Changes nothing but that a folder for mails is made.
///
/// What depends on a database that does not answer is not looked at.
pub async fn diagnose(settings: Settings) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.push(match settings.mail.delivery.clone() {
        MailDelivery::Smtp(options) => Finding::new("the mail server takes mail", check_smtp(options).await),
        MailDelivery::Directory { folder, from, .. } => {
            Finding::new("the folder for mails can be written", FileTransport::new(folder, from).map(|_| ()))
        }
        MailDelivery::Transport(_) => Finding { subject: "mail is delivered by the service's own code", problem: None },
    });
    let as_it_is = DatabaseSettings { migrate: false, ..settings.database.clone() };
    match Database::open(&as_it_is, false).await {
        Err(error) => {
            findings.push(Finding::new(DATABASE, Err(error)));
            return findings;
        }
        Ok(database) => {
            findings.push(Finding { subject: DATABASE, problem: None });
            if settings.tasks.is_some() {
                let tasks = database.owned.tasks(false).await.map(|_| ());
                findings.push(Finding::new("the database keeps each user's tasks from others", tasks));
            }
        }
    }
    let keys = signing_keys(Settings { database: as_it_is, ..settings }).await.map(|_| ());
    findings.push(Finding::new("the master key opens the signing keys", keys));
    findings
}

async fn check_smtp(options: doorward_mail::SmtpOptions) -> Result<(), Box<dyn Error + Send + Sync>> {
    SmtpTransport::new(options)?.check().await?;
    Ok(())
}
